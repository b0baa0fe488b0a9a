package vgg

import (
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// TestRowsOfIntegers: a fully connected layer whose weights are no floats is an error that names
// them.
func TestRowsOfIntegers(t *testing.T) {
	layers, err := ParseLayers("8 M F10")
	require.NoError(t, err)
	cfg := Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	params, err := cfg.Params()
	require.NoError(t, err)
	for _, bad := range []string{"", "fc2.weight"} {
		var out []weights.Out
		for _, p := range params {
			w, err := src.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			o := weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: w}
			if p.Name == bad {
				o = weights.Out{Name: p.Name, DType: weights.I32, Shape: p.Shape, Data: make([]byte, 4*len(w))}
			}
			out = append(out, o)
		}
		meta, err := Metadata(cfg)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "x.safetensors")
		require.NoError(t, weights.WriteFile(path, out, meta))
		m, err := Open(path)
		if bad == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, bad)
		require.Nil(t, m)
	}
}
