package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// paths lists the pictures of data, and the error at the end.
func paths(d *Data) (list []string, err error) {
	for x, err := range d.Each {
		if err != nil {
			return list, err
		}
		list = append(list, fmt.Sprint(x.Path, " ", x.Class))
	}
	return list, nil
}

// TestDataShards: the shards have the pictures of all data, one after the other, with the
// same numbers of classes. An error of the data is one of each shard that reaches it.
func TestDataShards(t *testing.T) {
	d := folder(t, 2, "a", "b", "c") // 7 files
	all, err := paths(d)
	require.NoError(t, err)
	for count := 1; count <= d.N; count++ {
		var list []string
		for i := range count {
			part, err := d.Shard(shard.Shard{Index: i, Count: count})
			require.NoError(t, err)
			some, err := paths(part)
			require.NoError(t, err)
			require.Len(t, some, part.N)
			require.Equal(t, d.Classes, part.Classes)
			list = append(list, some...)
			for range part.Each { // as a reader does that stops
				break
			}
			require.NoError(t, part.Close(), "the data are still open")
		}
		require.Equal(t, all, list)
	}
	for _, s := range []shard.Shard{{Index: 0, Count: d.N + 1}, {Index: 2, Count: 2}, {}} {
		_, err := d.Shard(s)
		require.ErrorIs(t, err, ErrData, "%v", s)
	}

	broken, stop := *d, errors.New("stop")
	broken.Each = func(yield func(Example, error) bool) {
		n := 0
		for x := range d.Each {
			if n++; n == 3 {
				yield(Example{}, stop)
				return
			}
			if !yield(x, nil) {
				return
			}
		}
	}
	for i, n := range []int{2, 0} { // 7 pictures in shards of 3 and 4
		part, err := broken.Shard(shard.Shard{Index: i, Count: 2})
		require.NoError(t, err)
		some, err := paths(part)
		require.ErrorIs(t, err, stop)
		require.Len(t, some, n)
	}
}

// TestDataChanges: classes that come after the data were opened end the list with an error.
func TestDataChanges(t *testing.T) {
	d := folder(t, 1, "a", "c")
	before, err := paths(d)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(d.Name, "b"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(d.Name, "b", "x.png"), nil, 0o600))
	list, err := paths(d)
	require.ErrorIs(t, err, ErrData)
	require.ErrorContains(t, err, "class b was not there")
	require.Equal(t, before[:2], list, "what comes before it")
}

// TestDataHash: the hash changes with each path, with each class, and with their order.
func TestDataHash(t *testing.T) {
	hash := func(list string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "list.txt")
		require.NoError(t, os.WriteFile(path, []byte(list), 0o600))
		d, err := Open(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, d.Close()) }()
		return d.Hash
	}
	seen := map[string]string{}
	for _, list := range []string{"a.png x\nb.png y\n", "b.png y\na.png x\n", "a.png y\nb.png x\n", "a.png x\nc.png y\n", "a.png x\n"} {
		h := hash(list)
		require.Len(t, h, 64)
		require.Empty(t, seen[h], "%q", list)
		seen[h] = list
	}

	// That of a data set of package train is made alike.
	d := folder(t, 1, "a", "b")
	set, err := train.Open(d.Name)
	require.NoError(t, err)
	defer set.Close()
	from := FromDataset(set)
	require.Equal(t, d.Hash, from.Hash)
	require.Equal(t, d.N, from.N)
	require.NoError(t, from.Close(), "it is the data set that is open")
	all, err := paths(d)
	require.NoError(t, err)
	same, err := paths(from)
	require.NoError(t, err)
	require.Equal(t, all, same)
	for range from.Each {
		break
	}
}

// TestNameNumbers: classes that are no numbers of a name are refused.
func TestNameNumbers(t *testing.T) {
	for _, bad := range []string{"-1", "2", "x", ""} {
		d := &Data{Classes: []string{bad}}
		require.ErrorIs(t, d.NameClasses([]string{"a", "b"}), ErrData, "%q", bad)
	}
	d := &Data{Classes: []string{"1", "0"}}
	require.NoError(t, d.NameClasses([]string{"a", "b"}))
	require.Equal(t, []string{"b", "a"}, d.Classes)
}
