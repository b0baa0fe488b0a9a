package vgg_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// outside moves the elements of a graph's floats to one file, as torch does.
func outside(g *graph, location string) (data []byte) {
	for i, t := range g.Tensors {
		if t.Style != "" || t.Data == nil {
			continue
		}
		offset := len(data)
		for _, v := range t.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
		g.Tensors[i].External = map[string]string{"location": location, "offset": strconv.Itoa(offset), "length": strconv.Itoa(len(data) - offset)}
	}
	return data
}

// TestONNXExternal: elements may be in files of the same folder, and in no other
// place.
func TestONNXExternal(t *testing.T) {
	form := graphForms()["MatMul and Add of HWC"].graph.graph
	x, input := inputOf(&form)
	want, err := form.Eval(x)
	require.NoError(t, err)
	open := func(dir string, g *graph) (*vgg.Model, error) {
		path := filepath.Join(dir, "model.onnx")
		require.NoError(t, os.WriteFile(path, g.Encode(), 0o600))
		return vgg.Open(path)
	}

	t.Run("beside", func(t *testing.T) {
		for _, location := range []string{"model.onnx.data", "./model.onnx.data", "sub/weights.bin", "a..b"} {
			dir, g := t.TempDir(), form.Clone()
			data := outside(g, location)
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, location)), 0o700))
			data = append(data, make([]byte, 1<<20)...) // of another network, say
			require.NoError(t, os.WriteFile(filepath.Join(dir, location), data, 0o600))
			m, err := open(dir, g)
			require.NoError(t, err, location)
			s, err := m.NewSession()
			require.NoError(t, err)
			got := make([]float32, len(want.V))
			require.NoError(t, s.Run(t.Context(), got, input))
			require.Empty(t, differs(got, want))
		}
	})

	t.Run("one file for each tensor", func(t *testing.T) {
		dir, g := t.TempDir(), form.Clone()
		data := outside(g, "")
		for i, tensor := range g.Tensors {
			if e := tensor.External; e != nil {
				from, _ := strconv.Atoi(e["offset"])
				n, _ := strconv.Atoi(e["length"])
				require.NoError(t, os.WriteFile(filepath.Join(dir, tensor.Name), data[from:][:n], 0o600))
				g.Tensors[i].External = map[string]string{"location": tensor.Name}
			}
		}
		_, err := open(dir, g)
		require.NoError(t, err)
	})

	t.Run("a link to the folder itself", func(t *testing.T) {
		dir, g := t.TempDir(), form.Clone()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), outside(g, "link"), 0o600))
		require.NoError(t, os.Symlink("data", filepath.Join(dir, "link")))
		_, err := open(dir, g)
		require.NoError(t, err)
	})

	for name, c := range map[string]struct {
		change func(dir string, e map[string]string)
		want   string
	}{
		"parent":         {func(_ string, e map[string]string) { e["location"] = "../data" }, `in "../data", want a file in the folder`},
		"parent of sub":  {func(_ string, e map[string]string) { e["location"] = "sub/../../data" }, "want a file in the folder"},
		"absolute":       {func(dir string, e map[string]string) { e["location"] = filepath.Join(dir, "data") }, "want a file in the folder"},
		"no location":    {func(_ string, e map[string]string) { delete(e, "location") }, `in "", want a file in the folder`},
		"a folder":       {func(_ string, e map[string]string) { e["location"] = "." }, "not a regular file"},
		"absent":         {func(_ string, e map[string]string) { e["location"] = "none" }, `"none" beside this file: no such file`},
		"link out":       {func(_ string, e map[string]string) { e["location"] = "out" }, "escapes"},
		"folder out":     {func(_ string, e map[string]string) { e["location"] = "folder/passwd" }, "escapes"},
		"behind the end": {func(_ string, e map[string]string) { e["offset"] = "100000" }, "bytes at 100000 of \"data\", which has"},
		"too long":       {func(_ string, e map[string]string) { e["length"] = "9223372036854775807" }, "which has"},
		"no number":      {func(_ string, e map[string]string) { e["offset"] = "-1" }, `the offset "-1", want a number of bytes`},
		"too large":      {func(_ string, e map[string]string) { e["length"] = "9223372036854775808" }, "want a number of bytes"},
		"another length": {func(_ string, e map[string]string) { e["length"] = "4" }, "in 4 bytes of F32"},
		"another key":    {func(_ string, e map[string]string) { e["basepath"] = "/" }, `unknown key "basepath"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, g := t.TempDir(), form.Clone()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), outside(g, "data"), 0o600))
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
			require.NoError(t, os.Symlink("/etc", filepath.Join(dir, "folder")))
			c.change(dir, g.Tensors[0].External)
			_, err := open(dir, g)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, `"t0"`)
		})
	}

	t.Run("from memory", func(t *testing.T) {
		g := form.Clone()
		outside(g, "data")
		_, err := weights.FromBytes("graph", g.Encode())
		require.ErrorContains(t, err, "opened by its path")
	})

	t.Run("cut short", func(t *testing.T) {
		dir, g := t.TempDir(), form.Clone()
		data := outside(g, "data")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), data[:len(data)-1], 0o600))
		_, err := open(dir, g)
		require.ErrorContains(t, err, `of "data", which has`)
	})
}

// TestONNXShared: one tensor that many layers use does not become many times
// the memory of the file.
func TestONNXShared(t *testing.T) {
	g := newGraph(0, 64, 8, 8)
	w, b := g.tensor(0, 64, 64, 3, 3), g.tensor(0, 64)
	for range 3 {
		g.node("Conv", pads1, w, b).relu()
	}
	_, err := weights.FromBytes("graph", g.Encode())
	require.NoError(t, err)
	for range 60 {
		g.node("Conv", pads1, w, b).relu()
	}
	_, err = weights.FromBytes("graph", g.Encode())
	require.ErrorContains(t, err, "used by many")
}
