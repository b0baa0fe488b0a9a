package conv3x3

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// largeShape is how many multiplications the definition may have for a shape to
// be tested in short mode.
const largeShape = 6e6

// sampled is how many output channels of a large shape the reference computes.
const sampled = 3

// checkShape compares both algorithms with the reference, on the first, the last
// and one more output channel if all are too many: Winograd by its gate, the
// definition by the bound of a sum of 9·C+1 terms.
func checkShape(t *testing.T, name string, s Shape) {
	t.Helper()
	products := float64(s.C * s.K * 9 * s.OH() * s.OW())
	if products > largeShape && testing.Short() {
		return
	}
	s.N = 1 // a picture's result does not depend on the others
	x, w, b := testutil.Normal(1, s.C*s.H*s.W), testutil.Uniform(2, s.K*s.C*9), testutil.Normal(3, s.K)
	plane := s.OH() * s.OW()
	channels := make([]int, 0, s.K)
	for k := range s.K {
		if products < largeShape || k < sampled-1 || k == s.K-1 {
			channels = append(channels, k)
		}
	}
	var ws, bs []float32
	for _, k := range channels {
		ws, bs = append(ws, w[k*s.C*9:][:s.C*9]...), append(bs, b[k])
	}
	want, mag := ref.Conv2D(ref.ConvShape{N: 1, C: s.C, H: s.H, W: s.W, K: len(channels), KH: 3, KW: 3, Pad: s.Pad}, x, ws, bs)
	for _, algorithm := range [][]Option{nil, {Direct(), Workers(2)}} {
		p, err := NewPlan(s, w, b, algorithm...)
		require.NoError(t, err, name)
		dst := testutil.NaNGuarded(t, s.K*plane)
		require.NoError(t, p.Forward(dst, x))
		got := make([]float32, 0, len(want))
		for _, k := range channels {
			got = append(got, dst[k*plane:][:plane]...)
		}
		if algorithm != nil {
			testutil.Check(t, "direct", name, got, want, ref.Bound(9*s.C+1, mag))
			continue
		}
		largest, rms := testutil.RelErrors(got, want)
		require.Less(t, largest, 3e-5, "%s %+v", name, s)
		require.Less(t, rms, 5e-6, "%s %+v", name, s)
	}
}

// TestBenchdnnShapes goes through the 3×3 convolutions of benchdnn's lists. What
// nonet does not offer must be refused: paddings above 1, outputs of no size.
// Where a list pads the far side alone, the last row and column are left out.
func TestBenchdnnShapes(t *testing.T) {
	computed, refused := 0, 0
	for _, file := range []string{"conv_shapes_basic", "conv_shapes_tails", "conv_shapes_regression_padding", "conv_shapes_regression_small_spatial", "conv_shapes_vgg_11", "conv_shapes_vgg_19"} {
		seen := map[Shape]bool{}
		for _, b := range testutil.ConvShapes(t, file) {
			if !b.Planes || b.KH != 3 || b.KW != 3 || b.Stride != 1 || b.Group != 1 || b.PadW != b.Pad {
				continue
			}
			s := Shape{N: b.N, C: b.C, H: b.H, W: b.W, K: b.K, Pad: b.Pad}
			if seen[s] {
				continue
			}
			seen[s] = true
			if s.Pad > 1 || s.OH() < 1 || s.OW() < 1 {
				_, err := NewPlan(s, make([]float32, s.K*s.C*9), nil)
				require.ErrorIs(t, err, ErrShape, b.Text)
				refused++
				continue
			}
			require.LessOrEqual(t, s.OH(), b.OH, b.Text)
			checkShape(t, b.Text, s)
			computed++
		}
	}
	t.Logf("%d shapes computed, %d refused", computed, refused)
	require.Greater(t, computed, 45)
	require.Greater(t, refused, 4)
}

// TestDeepBenchShapes goes through DeepBench's 3×3 convolutions with stride 1 and
// padding 1, which are wide, flat and of few channels as well.
func TestDeepBenchShapes(t *testing.T) {
	f, err := os.Open(testutil.Shared(t, "data", "shapes", "deepbench_conv3x3_s1p1.csv"))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	seen := map[Shape]bool{}
	for _, row := range rows[1:] {
		var v [5]int // w, h, c, n, k
		for i := range v {
			v[i], err = strconv.Atoi(row[i+1])
			require.NoError(t, err)
		}
		s := Shape{N: 1, C: v[2], H: v[1], W: v[0], K: v[4], Pad: 1}
		if !seen[s] {
			seen[s] = true
			checkShape(t, fmt.Sprint(row), s)
		}
	}
	require.Greater(t, len(seen), 20)
}

// TestShapeCheck: a shape is one if a filter fits into its padded pictures.
func TestShapeCheck(t *testing.T) {
	for h := range 5 {
		for w := range 5 {
			for pad := -1; pad <= 2; pad++ {
				for stride := -1; stride <= 3; stride++ {
					ok := h > 0 && w > 0 && pad >= 0 && pad <= 1 && stride >= 0 && stride <= 2 && h+2*pad >= 3 && w+2*pad >= 3
					for _, s := range []Shape{{1, 1, h, w, 1, pad, stride}, {2, 20, h, w, 3, pad, stride}} {
						require.Equal(t, ok, s.check() == nil, "%+v", s)
					}
				}
			}
		}
	}
	for _, s := range []Shape{{0, 1, 3, 3, 1, 1, 1}, {1, 0, 3, 3, 1, 1, 1}, {1, 1, 3, 3, 0, 1, 1}, {1, 1, shape.Max + 1, 3, 1, 1, 1}, {1, 1, 3, shape.Max + 1, 1, 1, 1}, {shape.Max / 16, 1, 3, 3, 1, 1, 1}} {
		require.ErrorIs(t, s.check(), ErrShape, "%+v", s)
	}
}
