package vgg_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// tensorOf reads a tensor of a file.
func tensorOf(t testing.TB, path, name string) []float32 {
	t.Helper()
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	tensor, err := f.Tensor(name)
	require.NoError(t, err)
	x := make([]float32, tensor.Len())
	require.NoError(t, tensor.Float32s(x))
	return x
}

// TestONNXFiles opens graphs as exporters write them: each gives PyTorch's logits,
// of one network for its input, or of what is listed for a ramp.
func TestONNXFiles(t *testing.T) {
	dir := testutil.Shared(t, "data", "people")
	answer := filepath.Join(dir, "06_net.pth.expected.safetensors")
	for _, c := range []struct {
		file, layers string
		ramp         []float32
	}{
		{"o_ext.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_convadd.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_transmat.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_f16cast.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_logsoftmax.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_norm.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_keras.onnx", "8 8 M 16 16 M F24 F24 F10", nil},
		{"o_bneps.onnx", "8 8 M 16 16 M F24 F24 F10", []float32{0.073639, 0.234808, 0.138523, 0.125788, 0.188934, -0.097635, 0.143003, -0.164104, 0.199355, 0.128183}},
		{"o_ceil.onnx", "8 M F10", []float32{0.198492, -0.271032, -0.042695, -0.043275, 0.131082, -0.040955, -0.149669, -0.187698, 0.201227, -0.194033}},
		{"o_gap.onnx", "8 8 M 16 16 M G F10", []float32{0.059105, -0.058983, 0.0722, 0.123413, -0.099163, -0.241699, -0.107012, 0.260859, -0.11086, -0.079104}},
		{"o_avg2.onnx", "8 8 M 16 16 M A F24 F24 F10", []float32{0.086122, 0.219406, 0.113315, 0.118503, 0.1887, -0.103024, 0.171059, -0.184543, 0.211114, 0.119388}},
	} {
		t.Run(c.file, func(t *testing.T) {
			f, err := weights.Open(filepath.Join(dir, c.file))
			require.NoError(t, err)
			require.Equal(t, c.layers, f.Metadata()[weights.KeyLayers])
			require.NoError(t, f.Close())
			m, err := vgg.Open(filepath.Join(dir, c.file))
			require.NoError(t, err)
			var input []float32
			want := c.ramp
			if want == nil {
				input, want = tensorOf(t, answer, "input"), tensorOf(t, answer, "output")
			} else {
				for i := range 3 * m.Config().Size * m.Config().Size {
					_, part := math.Modf(float64(i) * 0.37)
					input = append(input, float32(part))
				}
			}
			s, err := m.NewSession(vgg.Batch(len(want) / m.Config().Classes()))
			require.NoError(t, err)
			got := make([]float32, len(want))
			require.NoError(t, s.Run(context.Background(), got, input))
			largest, bound := 0.0, 1e-5
			if c.file == "o_f16cast.onnx" {
				bound = 2e-3 // whose weights are rounded
			}
			for _, v := range want {
				largest = max(largest, math.Abs(float64(v)))
			}
			for i, v := range want {
				require.InDelta(t, v, got[i], bound*largest, "logit %d", i)
			}
		})
	}
}
