package train

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIdentity: a data set is identified by the paths, sizes and classes of its pictures, and
// by nothing else. One that is missing counts as none.
func TestIdentity(t *testing.T) {
	ctx := context.Background()
	of := func(d *Dataset) identity {
		t.Helper()
		id, err := d.identify(ctx)
		require.NoError(t, err)
		require.Equal(t, d.Name, id.Name)
		return *id
	}
	a, dir := openFolder(t, 3), folder(t, 3)
	b, err := Open(dir)
	require.NoError(t, err)
	defer b.Close()
	first, second := of(a), of(b)
	require.Equal(t, 9, first.Pictures)
	var bytes int64
	for _, e := range a.Examples {
		info, err := os.Stat(filepath.Join(a.Name, filepath.FromSlash(e.Path)))
		require.NoError(t, err)
		bytes += info.Size()
	}
	require.Equal(t, bytes, first.Bytes)
	require.Equal(t, first.Hash, second.Hash)
	require.Empty(t, first.difference(second))

	one := filepath.Join(dir, "bee", "01.png")
	good := read(t, one)
	require.NoError(t, os.WriteFile(one, good[1:], 0o600))
	require.Equal(t, bytes-1, of(b).Bytes)
	require.NotEqual(t, first.Hash, of(b).Hash)
	shorter := b.unreadable(4, true)
	require.Equal(t, "bee/01.png", shorter.Path)
	require.Equal(t, int64(len(good)-1), shorter.Size)
	require.NoError(t, os.Remove(one))
	require.Equal(t, bytes-int64(len(good)), of(b).Bytes)
	require.NotEqual(t, first.Hash, of(b).Hash)
	missing := b.unreadable(4, true)
	require.Equal(t, int64(-1), missing.Size)
	require.NoError(t, os.WriteFile(one, good, 0o600))
	require.Equal(t, second, of(b))

	// What the identity would be if the picture were as it was.
	for _, was := range []unreadable{shorter, missing} {
		mended := b.mended(second, []unreadable{was}, true)
		require.Equal(t, 9, mended.Pictures)
		require.Equal(t, bytes-int64(len(good))+max(0, was.Size), mended.Bytes)
		require.NotEqual(t, second.Hash, mended.Hash)
		require.Equal(t, mended, b.mended(mended, []unreadable{b.unreadable(4, true)}, false), "it is one of the validation")
		was.Path = "bee/absent.png"
		require.Equal(t, second, b.mended(second, []unreadable{was}, true))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.identify(ended)
	require.ErrorIs(t, err, context.Canceled)
}

func TestIdentityDifference(t *testing.T) {
	id := identity{"here", 3, 100, "aa"}
	for want, now := range map[string]identity{
		"": {"elsewhere", 3, 99, "aa"},
		"3 pictures of here in the checkpoint, 4 of there now":                                     {"there", 4, 100, "aa"},
		"3 pictures of here in the checkpoint, 2 of there now":                                     {"there", 2, 99, "bb"},
		"100 bytes of pictures of here in the checkpoint, 99 of there now":                         {"there", 3, 99, "bb"},
		"other paths, sizes or classes of pictures: aa of here in the checkpoint, bb of there now": {"there", 3, 100, "bb"},
	} {
		require.Equal(t, want, id.difference(now))
	}
}

func TestMarkText(t *testing.T) {
	m, got := mark{0: 0x12, 15: 0xef}, mark{}
	text, err := m.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "120000000000000000000000000000ef", string(text))
	require.NoError(t, got.UnmarshalText(text))
	require.Equal(t, m, got)
	for _, bad := range []string{"", "12", string(text) + "00", "1200000000000000000000000000000g"} {
		require.Error(t, got.UnmarshalText([]byte(bad)), "%q", bad)
	}
}

// TestRecipeDifferences: a field that is not given counts as 0, false or empty, at any depth.
// More epochs are no difference, and fewer are one.
func TestRecipeDifferences(t *testing.T) {
	for _, c := range []struct {
		saved, now string
		want       []string
	}{
		{`{"A":1,"B":{"c":"x"}}`, `{"B":{"c":"x"},"A":1}`, nil},
		{`{"A":0,"B":false,"C":"","D":null}`, `{}`, nil},
		{`{"A":[1,2]}`, `{"A":[1,3]}`, []string{"A[1] is 2 in the checkpoint and 3 now"}},
		{`{"A":[1]}`, `{"A":[1,3]}`, []string{"A[1] is not given in the checkpoint and 3 now"}},
		{`{"A":{"b":{"c":true}}}`, `{}`, []string{"A.b.c is true in the checkpoint and not given now"}},
		{`{"Epochs":3}`, `{"Epochs":4}`, nil},
		{`{"Epochs":3}`, `{"Epochs":3}`, nil},
		{`{"Epochs":10}`, `{"Epochs":9}`, []string{"Epochs is 10 in the checkpoint and 9 now"}},
		{`{"Epochs":"x"}`, `{"Epochs":4}`, []string{"Epochs is x in the checkpoint and 4 now"}},
		{`{"Epochs":-1}`, `{"Epochs":"x"}`, []string{"Epochs is -1 in the checkpoint and x now"}},
		{`{"Batch":3}`, `{"Batch":4}`, []string{"Batch is 3 in the checkpoint and 4 now"}},
		{`{"Z":1,"A":1}`, `{"M":1}`, []string{"A is 1 in the checkpoint and not given now", "M is not given in the checkpoint and 1 now", "Z is 1 in the checkpoint and not given now"}},
	} {
		got, err := recipeDifferences(json.RawMessage(c.saved), json.RawMessage(c.now))
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s and %s", c.saved, c.now)
	}
	_, err := recipeDifferences(json.RawMessage("{"), json.RawMessage("{}"))
	require.Error(t, err)
	_, err = recipeDifferences(json.RawMessage("{}"), nil)
	require.Error(t, err)
}
