package vgg_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// FuzzParseLayers: what is accepted is written the same way again, and no size of
// picture makes the computations of shapes panic.
func FuzzParseLayers(f *testing.F) {
	for _, s := range []string{"64 64 M 128/1 N F10", "=3/1 16 M", "F1", "999999999999", "M M M M M M M", "16 N N", "S 64 S+ A =32 G =F24 S+ F10 S", "8/1 F4+ S"} {
		f.Add(s, 32, 8)
	}
	f.Fuzz(func(t *testing.T, text string, h, w int) {
		layers, err := vgg.ParseLayers(text)
		if err != nil {
			require.ErrorIs(t, err, vgg.ErrConfig)
			return
		}
		cfg := vgg.Config{Name: "fuzz", Channels: 3, Size: w, Pad: 1, Layers: layers}
		again, err := vgg.ParseLayers(cfg.LayerString())
		require.NoError(t, err, "%q", cfg.LayerString())
		require.Equal(t, layers, again)
		_, _ = cfg.Shapes(h, w)
		_, _ = cfg.Params()
		_, _ = cfg.Summary()
		if cfg.Validate() == nil {
			_, err = cfg.Params()
			require.NoError(t, err)
		}
	})
}

// FuzzFromFile gives FromFile the tensors of one network and the description of
// another, or none. What it accepts can be run.
func FuzzFromFile(f *testing.F) {
	f.Add("2 M 3 F4", "2 M 3 F4", uint8(4), uint8(4), true)
	f.Add("=3/1 2 N M F5 F2", "", uint8(6), uint8(6), true)
	f.Add("16 16/1 M 17", "16 16 M 17", uint8(5), uint8(7), false)
	f.Add("3 F7 F9 F1", "3 F7 F9 F1", uint8(3), uint8(2), false)
	f.Add("S 4 S+ A =3 G F5 S F2", "S 4 S+ A =3 G F5 S F2", uint8(0x58), uint8(0x58), true)
	f.Add("3 A F7+ S", "3 M F7 S", uint8(0x97), uint8(0x96), false)
	f.Add("4 3/1 G", "4 3/1 G S", uint8(0x97), uint8(0x97), true)
	f.Fuzz(func(t *testing.T, layers, claimed string, size, claimedSize uint8, padded bool) {
		config := func(text string, size uint8) (vgg.Config, bool) {
			list, err := vgg.ParseLayers(text)
			cfg := vgg.Config{Name: "fuzz", Channels: 3, Size: 1 + int(size)%16, HWC: size >= 128, Layers: list}
			if size&16 != 0 {
				cfg = cfg.WithInput(cfg.Size, 1+int(size>>5)%8)
			}
			if padded {
				cfg.Pad = 1
			}
			return cfg, err == nil && len(list) < 20
		}
		cfg, ok := config(layers, size)
		params, err := cfg.Params()
		if !ok || err != nil {
			return
		}
		var out []weights.Out
		total := 0
		for _, p := range params {
			if total += p.Len(); p.Len() > 1e5 || total > 1e5 {
				return
			}
			out = append(out, weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: make([]float32, p.Len())})
		}
		var meta map[string]string
		if other, ok := config(claimed, claimedSize); ok {
			if meta, err = vgg.Metadata(other); err != nil {
				return
			}
		}
		var data bytes.Buffer
		require.NoError(t, weights.Write(&data, out, meta))
		file, err := weights.FromBytes("fuzz", data.Bytes())
		require.NoError(t, err)
		m, err := vgg.FromFile(file)
		if err != nil {
			return
		}
		cfg = m.Config()
		h, w := cfg.Input()
		if max(h, w) > 64 {
			return
		}
		s, err := m.NewSession(vgg.Workers(1))
		if err != nil {
			return
		}
		result := make([]float32, s.OutputShape().Len())
		require.NoError(t, s.Run(context.Background(), result, make([]float32, cfg.Channels*h*w)), "%s", cfg.LayerString())
	})
}
