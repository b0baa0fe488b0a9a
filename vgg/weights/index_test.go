package weights

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// writeShards writes a network of two files and its index into a folder.
func writeShards(t testing.TB, dir string) (index string) {
	t.Helper()
	for i, names := range [][]string{{"a", "b"}, {"c"}} {
		var out []Out
		for _, n := range names {
			out = append(out, Out{Name: n, DType: F32, Shape: []int{2}, Floats: []float32{float32(n[0]), 1}})
		}
		require.NoError(t, WriteFile(filepath.Join(dir, fmt.Sprintf("m-%05d-of-00002.safetensors", i+1)), out, map[string]string{"format": "pt"}))
	}
	index = filepath.Join(dir, "m.safetensors.index.json")
	require.NoError(t, os.WriteFile(index, []byte(`{"metadata": {"total_size": 1}, "weight_map": {
		"a": "m-00001-of-00002.safetensors", "b": "m-00001-of-00002.safetensors", "c": "m-00002-of-00002.safetensors"}}`), 0o666))
	return index
}

func TestIndex(t *testing.T) {
	dir := t.TempDir()
	index := writeShards(t, dir)
	f, err := Open(index)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, f.Names())
	require.Equal(t, "safetensors", f.Format())
	require.Equal(t, map[string]string{"format": "pt"}, f.Metadata())
	require.NoError(t, f.Unchanged())
	for _, n := range f.Names() {
		w, err := f.Tensor(n)
		require.NoError(t, err)
		x := make([]float32, 2)
		require.NoError(t, w.Float32s(x))
		require.Equal(t, []float32{float32(n[0]), 1}, x)
		w.Release()
	}
	f.Release()
	require.NoError(t, f.Close())
	_, err = f.Tensor("c")
	require.Error(t, err, "closed")

	_, err = Open(filepath.Join(dir, "m-00001-of-00002.safetensors"))
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "part 00001 of 00002 of a network, which is opened by its index m.safetensors.index.json")
	require.NoError(t, os.Remove(index))
	_, err = Open(filepath.Join(dir, "m-00002-of-00002.safetensors"))
	require.ErrorContains(t, err, "m.safetensors.index.json, which is not there")
}

// TestBadIndex: what contradicts the files is an error, and no path leads out.
func TestBadIndex(t *testing.T) {
	const one, two = `"m-00001-of-00002.safetensors"`, `"m-00002-of-00002.safetensors"`
	outside := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, WriteFile(outside, []Out{{Name: "a", DType: F32, Shape: []int{1}, Floats: []float32{1}}}, nil))
	for text, want := range map[string]string{
		`{"weight_map": {"a": ` + one + `, "b": ` + one + `, "c": ` + one + `}}`:       "c\": the index says that it is in \"m-00001-of-00002.safetensors\", which has it not",
		`{"weight_map": {"a": ` + one + `, "c": ` + two + `}}`:                         `"b": is in "m-00001-of-00002.safetensors", and the index does not say so`,
		`{"weight_map": {"a": ` + one + `, "b": ` + one + `, "c": "m-3.safetensors"}}`: `the index names the file "m-3.safetensors": no such file`,
		`{"weight_map": {"a": "../x.safetensors"}}`:                                    `want one in its folder`,
		`{"weight_map": {"a": "` + filepath.ToSlash(outside) + `"}}`:                   `want one in its folder`,
		`{"weight_map": {"a": "link.safetensors"}}`:                                    `"link.safetensors"`,
		`{"weight_map": {"a": "."}}`:                                                   "not a regular file",
		`{"weight_map": {"a": ""}}`:                                                    "want one in its folder",
		`{"weight_map": {"a": "m.safetensors.index.json"}}`:                            "an index in an index",
		`{"weight_map": {"a": ` + one + `, "a": ` + two + `}}`:                         `"a" stands twice`,
		`{"weight_map": {"a": 3}}`:                                                     "want a string",
		`{"weight_map": {}}`:                                                           "without weight_map",
		`{"architectures": ["X"], "id2label": {"0": "a"}}`:                             "JSON without weight_map",
		`{0: 'a'}`: "is no JSON",
		`{"weight_map": {"a": ` + one + `, "b": ` + one + `, "c": "cut-3-of-3.safetensors"}}`: "cut-3-of-3.safetensors",
	} {
		dir := t.TempDir()
		index := writeShards(t, dir)
		require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link.safetensors")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cut-3-of-3.safetensors"), []byte("\x08\x00\x00\x00\x00\x00\x00\x00{"), 0o666))
		require.NoError(t, os.WriteFile(index, []byte(text), 0o666))
		_, err := Open(index)
		require.Error(t, err, text)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, dir)
	}
	_, err := FromBytes("index", []byte(`{"weight_map": {"a": "b"}}`))
	require.ErrorContains(t, err, "opened by its path")
}

// TestStray: what stands in the place of a file is called what it is.
func TestStray(t *testing.T) {
	for text, want := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 553433881\n": "a pointer of git-lfs, which stands for a file of 553433881 bytes",
		"version https://git-lfs.github.com/spec/v1\n":                                  "a pointer of git-lfs, which stands for a file that",
		"<!DOCTYPE html><html>": "a page of HTML",
		"\n\n  <html lang=en>":  "a page of HTML",
		"\ufeff<?xml version":   "a page of HTML or XML",
	} {
		_, err := FromBytes("x.pth", []byte(text))
		require.ErrorIs(t, err, ErrFormat, "%q", text)
		require.ErrorContains(t, err, want)
	}
}

// repack copies an archive with other methods, and lets change the members.
func repack(t testing.TB, data []byte, change func(name string, content []byte) []byte) []byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	var b bytes.Buffer
	out := zip.NewWriter(&b)
	for _, m := range in.File {
		r, err := m.Open()
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		w, err := out.CreateHeader(&zip.FileHeader{Name: m.Name, Method: zip.Deflate})
		require.NoError(t, err)
		_, err = w.Write(change(m.Name, content))
		require.NoError(t, err)
	}
	require.NoError(t, out.Close())
	return b.Bytes()
}

// TestDeflated: an archive that another program packed again holds the same tensors.
func TestDeflated(t *testing.T) {
	stored := formatFiles(t)["zip.pth"]
	want, err := FromBytes("stored", stored)
	require.NoError(t, err)
	same := func(_ string, content []byte) []byte { return content }
	got, err := FromBytes("deflated", repack(t, stored, same))
	require.NoError(t, err)
	require.Equal(t, want.Names(), got.Names())
	for _, n := range want.Names() {
		a, err := want.Tensor(n)
		require.NoError(t, err)
		for range 2 {
			b, err := got.Tensor(n)
			require.NoError(t, err)
			require.Equal(t, a.Shape, b.Shape)
			require.Equal(t, a.Data, b.Data, n)
		}
	}

	packed := repack(t, stored, same)
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	require.NoError(t, err)
	for _, m := range z.File {
		if strings.HasSuffix(m.Name, "data/0") {
			at, err := m.DataOffset()
			require.NoError(t, err)
			packed[at+int64(m.CompressedSize64)/2] ^= 1
		}
	}
	damaged, err := FromBytes("damaged", packed) // reads what is not in its order at once
	if err == nil {
		err = readAll(damaged)
	}
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "checksum")

	zeros := repack(t, stored, func(name string, content []byte) []byte {
		if strings.Contains(name, "/data/") {
			clear(content)
		}
		return content
	})
	_, err = FromBytes("zeros", zeros)
	require.NoError(t, err, "a few times smaller is no bomb")
}

// TestDeflatedBomb: an archive that says that it holds more than it can is refused
// before memory is taken for it.
func TestDeflatedBomb(t *testing.T) {
	const n = 1 << 22
	pickle := fmt.Sprintf("\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ%stQK\x00J%s\x85K\x01\x85tRs.", le32(n), le32(n))
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string][]byte{"a/data.pkl": []byte(pickle), "a/data/0": make([]byte, 4*n)} {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	data := b.Bytes()
	require.Less(t, len(data), 100_000)
	var err error
	require.Less(t, allocated(func() { _, err = FromBytes("bomb", data) }), int64(1<<20))
	require.ErrorContains(t, err, "more than 32 times")
}

func le32(n uint32) string {
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

// FuzzIndex reads damaged indices of one good file.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata": {}, "weight_map": {"a": "w.safetensors", "b": "w.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"a": "../w.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"a": "i"}}`))
	dir := f.TempDir()
	require.NoError(f, WriteFile(filepath.Join(dir, "w.safetensors"), []Out{
		{Name: "a", DType: F32, Shape: []int{1}, Floats: []float32{1}}, {Name: "b", DType: F32, Shape: []int{1}, Floats: []float32{2}},
	}, nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "i")
		if !bytes.HasPrefix(text, []byte("{")) {
			return // no index
		}
		require.NoError(t, os.WriteFile(path, text, 0o666))
		var file *File
		err := testutil.Bounded(t, len(text), func() (_ int64, err error) {
			file, err = Open(path)
			return 0, err
		})
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		require.Equal(t, []string{"a", "b"}, file.Names())
		require.NoError(t, readAll(file))
		require.NoError(t, file.Close())
	})
}
