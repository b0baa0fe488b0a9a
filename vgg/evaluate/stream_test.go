package evaluate

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// liveBytes returns what the heap holds.
func liveBytes() int {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// TestConstantMemory looks at the heap near the begin and near the end of long
// data: of pictures, of what cannot be read, and of outcomes of an earlier run.
func TestConstantMemory(t *testing.T) {
	const n = 30000
	members := []Member{member(t, model(t), "center")}
	for name, read := range map[string]func() (image.Image, error){
		"pictures":   func() (image.Image, error) { return picture.NewRGB(8, 8), nil },
		"unreadable": func() (image.Image, error) { return nil, os.ErrNotExist },
	} {
		d := &Data{Name: name, Classes: []string{"a", "b", "c"}, N: n, Each: func(yield func(Example, error) bool) {
			for i := range n {
				if !yield(Example{fmt.Sprintf("a rather long name of a picture %d", i), i % 3, read}, nil) {
					return
				}
			}
		}}
		path := filepath.Join(t.TempDir(), "out.jsonl")
		for _, resume := range []bool{false, true} {
			l, err := OpenLog(path, "x", resume)
			require.NoError(t, err)
			done, before, after := 0, 0, 0
			look := func() {
				if done++; done == 2000 {
					before = liveBytes()
				} else if done == n-100 {
					after = liveBytes()
				}
			}
			r, err := Run(context.Background(), d, members, Options{Done: func(yield func(Outcome, error) bool) {
				for o, err := range l.Done() {
					if look(); !yield(o, err) {
						return
					}
				}
			}, OnPicture: func(o Outcome) error {
				look()
				return l.Append(o)
			}})
			if r.N > 0 {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "none of the 30000 pictures")
			}
			require.NoError(t, l.Close())
			require.Equal(t, n, r.N+r.Unreadable)
			require.Equal(t, n, done)
			require.Less(t, after-before, 1<<20, "%s, resume %v", name, resume)
		}
	}
}

// TestLongList counts and lists a file list, whose items are not kept.
func TestLongList(t *testing.T) {
	const n = 100000
	path := filepath.Join(t.TempDir(), "list.txt")
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "some/directory/picture_%07d.jpg %d\n", i, i%10)
	}
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	b.Reset()
	before := liveBytes()
	d, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, n, d.N)
	require.Len(t, d.Classes, 10)
	count := 0
	for _, err := range d.Each {
		require.NoError(t, err)
		if count++; count == n/2 {
			require.Less(t, liveBytes()-before, 1<<20)
		}
	}
	require.Equal(t, n, count)
}
