package vgg_test

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/stretchr/testify/require"
)

// hostileFile returns a file of testdata/hostile, which are stored compressed.
func hostileFile(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "hostile", name+".gz"))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return data
}

// TestHostileFiles: files of some hundred bytes to a megabyte that once took gigabytes, or
// never ended, are refused within the bounds of every reader.
func TestHostileFiles(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"legacy_tuple60.pth", "magic number"},                    // a tuple of two equal tuples, 60 deep
		{"pth_dicts.pth", "values"},                               // 4 MB of a pickle that deflates well
		{"pth_shared.pth", "same ones many times over"},           // one tensor has many names
		{"onnx_shared.onnx", "used by many"},                      // one tensor has many layers
		{"caffe_names.caffemodel", "100000 blobs and a name of"},  // each blob copies the layer's name
		{"st_size.safetensors", "32768×32768, want at most 2048"}, // a size that no file needs
	} {
		_, err := bounded(t, c.name, hostileFile(t, c.name))
		require.ErrorContains(t, err, c.says, c.name)
		require.Less(t, len(err.Error()), 600, c.name)
	}
}

// TestHostileKinds: the kinds of such files, as they grow.
func TestHostileKinds(t *testing.T) {
	tuples := "K\x01" + strings.Repeat("\x85", 3_000_000) + "." // each in the next
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"tuples in tuples":       {append([]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02"), tuples...), ""},
		"a list of shared lists": {append([]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02"), sharedLists(60)...), ""},
		"long names":             {safetensorsOf(20_000, strings.Repeat("n", 40)), "and 19996 more are not understood"},
		"an escape sequence":     {safetensorsOf(1, "\x1b[2J\x07"), "is not understood"},
		"one long name":          {safetensorsOf(1, strings.Repeat("\x1b[2J", 1<<18)), ""},
		"huge shapes":            {hugeShapes(5000), ""},
		"nested JSON":            {safetensorsHeader(`{"a":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + "}"), ""},
		"a long list of sizes":   {safetensorsHeader(`{"a":{"dtype":"F32","shape":[` + strings.Repeat("1,", 500_000) + `1],"data_offsets":[0,4]}}`), ""},
	} {
		_, err := bounded(t, name, c.data)
		require.ErrorContains(t, err, c.says, name)
		require.Less(t, len(err.Error()), 1001, name)
	}
}

// sharedLists is a pickle of a list of the same list twice, depth times in each other: what
// is printed, or walked, in full is 2^depth values.
func sharedLists(depth int) []byte {
	b := []byte("]")
	for i := range depth {
		b = append(b, 'q', byte(i), ']', '(', 'h', byte(i), 'h', byte(i), 'e')
	}
	return append(b, '.')
}

func safetensorsHeader(header string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
}

// safetensorsOf has n tensors of no elements whose names begin with name.
func safetensorsOf(n int, name string) []byte {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `%s:{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`, jsonText(fmt.Sprint(name, i)))
	}
	b.WriteString("}")
	return safetensorsHeader(b.String())
}

func jsonText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < ' ' {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

// hugeShapes has tensors without elements whose other sizes are as large as an int.
func hugeShapes(n int) []byte {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"features.%d.weight":{"dtype":"F32","shape":[0,%d,%d,%d],"data_offsets":[0,0]}`, i, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64)))
	}
	return safetensorsHeader("{" + strings.Join(parts, ",") + "}")
}

// TestHostileLabels: a network whose labels are escape sequences can be used, and its labels are
// what the file says. Who prints them quotes them.
func TestHostileLabels(t *testing.T) {
	m, err := bounded(t, "esc.safetensors", hostileFile(t, "esc.safetensors"))
	require.NoError(t, err)
	require.Contains(t, strings.Join(m.Labels(), ""), "\x1b")
}

// TestManyOfOnePart multiplies each tensor, layer or member of a good file, which may not take
// more memory than the file's length allows.
func TestManyOfOnePart(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "formats", "*"))
	require.NoError(t, err)
	read, step := 0, 1
	if testing.Short() {
		step = 8
	}
	for _, path := range paths {
		if ext := filepath.Ext(path); ext == ".py" || ext == ".h5" {
			continue
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		tree := structured.Parse(data)
		for at := 0; at < 40; at += step {
			const many = 2
			if file := tree.Edit([]byte{many, byte(at), 0, 0xa0}, 1<<22).Bytes(1 << 22); file != nil {
				_, _ = bounded(t, filepath.Base(path), file)
				read++
			}
		}
	}
	require.Greater(t, read, 200/step)
}
