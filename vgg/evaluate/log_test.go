package evaluate

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// TestResume interrupts an evaluation after every picture, tears the last line, and
// goes on: in the end the result and the file are those of a run in one piece.
func TestResume(t *testing.T) {
	d := folder(t, 3, "a", "b", "c")
	members := []Member{member(t, model(t), "center"), member(t, model(t), "single", 9)}
	for _, name := range []string{"out.jsonl", "out.csv"} {
		dir := t.TempDir()
		calm := filepath.Join(dir, "calm"+filepath.Ext(name))
		l, err := OpenLog(calm, "x", false)
		require.NoError(t, err)
		want, err := Run(context.Background(), d, members, Options{OnPicture: l.Append, Done: l.Done()})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		whole, err := os.ReadFile(calm)
		require.NoError(t, err)

		path := filepath.Join(dir, name)
		stop := errors.New("stop")
		var r Result
		for runs := 0; ; runs++ {
			require.LessOrEqual(t, runs, d.N)
			l, err := OpenLog(path, "x", true)
			require.NoError(t, err)
			left := 1
			r, err = Run(context.Background(), d, members, Options{Batch: 2, Done: l.Done(), OnPicture: func(o Outcome) error {
				if left == 0 {
					return stop
				}
				left--
				return l.Append(o)
			}})
			require.NoError(t, l.Close())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, stop)
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(string(whole[:runs*7])[strings.LastIndexByte(string(whole[:runs*7]), '\n')+1:])
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		require.Equal(t, want, r)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(got))

		_, err = OpenLog(path, "x", false)
		require.ErrorIs(t, err, os.ErrExist, "nothing is overwritten")
		_, err = OpenLog(path, "y", true)
		require.ErrorIs(t, err, ErrData)
		require.ErrorContains(t, err, "another run")

		// Data that are not those of the file.
		for _, other := range []*Data{folder(t, 2, "a", "b", "c"), folder(t, 4, "a", "b", "c"), folder(t, 3, "a", "c")} {
			l, err := OpenLog(path, "x", true)
			require.NoError(t, err)
			m := member(t, model(t, vgg.Labels([]string{"a", "b", "c"})), "center")
			_, err = Run(context.Background(), other, []Member{m}, Options{Done: l.Done(), OnPicture: l.Append})
			require.ErrorIs(t, err, ErrData)
			require.ErrorContains(t, err, "earlier run")
			require.NoError(t, l.Close())
		}
		got, err = os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(got), "and the file is as it was")
	}
}

// TestLogTexts writes names that are hard to write.
func TestLogTexts(t *testing.T) {
	want := []Outcome{
		{Path: "a/b,c.jpg", Class: 2, Label: `say "x"`, Top: []vgg.Prediction{{Class: 1, ID: "n01440764", Label: "a, b", Probability: 0.12345678901234568}, {Class: 2, Label: "\"", Probability: 1.2345678901234567e-30}}},
		{Path: "line\nbreak\r.png", Class: -1, Label: "\xff\xfe", Err: "no, \"thing\"\n"},
		{Path: `"quoted"`, Label: "ünï", Top: []vgg.Prediction{{Label: "x"}}},
		{Path: "\u2028 \x00", Label: ""},
	}
	for _, name := range []string{"a.jsonl", "a.CSV"} {
		path := filepath.Join(t.TempDir(), name)
		l, err := OpenLog(path, "run", false)
		require.NoError(t, err)
		for _, o := range want {
			require.NoError(t, l.Append(o))
		}
		require.NoError(t, l.Close())
		l, err = OpenLog(path, "run", true)
		require.NoError(t, err)
		var got []Outcome
		for o, err := range l.Done() {
			require.NoError(t, err)
			got = append(got, o)
		}
		require.Equal(t, want, got)
		require.NoError(t, l.Close())

		b, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := bytes.Count(b, []byte("\n"))
		require.Equal(t, len(want)+strings.Count(strings.ToLower(name), "csv"), lines, "a line each")
		require.NoError(t, os.WriteFile(path, []byte("words\n"), 0o600))
		_, err = OpenLog(path, "run", true)
		require.ErrorIs(t, err, ErrData)
	}
}

// TestKinds finds the same pictures in a directory, a tar file and a list.
func TestKinds(t *testing.T) {
	d := folder(t, 3, "a", "b", "c")
	dir := t.TempDir()
	archive, list := filepath.Join(dir, "data.tar"), filepath.Join(dir, "list.txt")
	f, err := os.Create(archive)
	require.NoError(t, err)
	w := tar.NewWriter(f)
	require.NoError(t, w.AddFS(os.DirFS(d.Name)))
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	lines := "\n"
	rel, err := filepath.Rel(dir, d.Name)
	require.NoError(t, err)
	var want []Outcome
	m := member(t, model(t), "center")
	wantResult, want := run(t, d, Options{}, m)
	for i, o := range want {
		p := filepath.ToSlash(rel) + "/" + o.Path
		lines += []string{p + "\t" + o.Label, p + "  " + o.Label + " \r", filepath.Join(d.Name, o.Path) + " " + o.Label}[i%3] + "\n"
	}
	require.NoError(t, os.WriteFile(list, []byte(lines), 0o600))
	for _, path := range []string{archive, list} {
		other, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, d.N, other.N)
		require.Equal(t, d.Classes, other.Classes)
		r, got := run(t, other, Options{}, m)
		require.Equal(t, wantResult, r)
		for i := range want {
			require.Equal(t, want[i].Scores, got[i].Scores)
			require.True(t, strings.HasSuffix(got[i].Path, want[i].Path))
			require.Equal(t, want[i].Err == "", got[i].Err == "")
		}
		require.NoError(t, other.Close())
	}
	for _, bad := range []string{"words\n", "a.jpg\n", "a.jpg 1\nb.jpg\n", "\x00\x01 \x02\n", ""} {
		require.NoError(t, os.WriteFile(list, []byte(bad), 0o600))
		_, err := Open(list)
		require.ErrorIs(t, err, ErrData, "%q", bad)
	}
}

// FuzzLog reads files that anything may have written.
func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"run":"r","path":"a","class":0,"label":"a","top":[{"class":1,"label":"b","probability":1}]}`+"\n"), false)
	f.Add([]byte(string(csvForm{}.header())+"r,a,0,a,,1,,b,1"+strings.Repeat(",", 16)+"\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, comma bool) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if comma {
			path = strings.TrimSuffix(path, "jsonl") + "csv"
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
		var l *Log
		err := testutil.Bounded(t, len(b), func() (_ int64, err error) {
			l, err = OpenLog(path, "r", true)
			return 0, err
		})
		if err != nil {
			return
		}
		defer l.Close()
		for o, err := range l.Done() {
			if err == nil {
				require.NoError(t, l.Append(o), "what can be read can be written")
			}
		}
	})
}
