package gemm

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// TestBenchdnnShapes goes through the 1×1 convolutions of benchdnn's lists, on
// NCHW as products of matrices, and blocked.
func TestBenchdnnShapes(t *testing.T) {
	seen := map[pointwiseShape]bool{}
	g := NewMultiplier(parallel.NewTeam(2))
	for _, file := range []string{"conv_shapes_basic", "conv_shapes_tails", "conv_shapes_regression_padding", "conv_shapes_regression_small_spatial"} {
		for _, b := range testutil.ConvShapes(t, file) {
			s := pointwiseShape{2, b.C, b.H, b.W, b.K}
			if !b.Planes || b.KH != 1 || b.KW != 1 || b.Stride != 1 || b.Group != 1 || b.Pad != 0 || seen[s] {
				continue
			}
			seen[s] = true
			shape := ref.ConvShape{N: s.n, C: s.c, H: s.h, W: s.w, K: s.k, KH: 1, KW: 1}
			x, w, bias := testutil.Normal(1, shape.InputLen()), testutil.Normal(2, shape.WeightLen()), testutil.Normal(3, s.k)
			want, mag := ref.Conv2D(shape, x, w, bias)
			y := testutil.NaNGuarded(t, shape.OutputLen())
			plane := s.h * s.w
			for i := range len(y) {
				y[i] = bias[i/plane%s.k]
			}
			for n := range s.n {
				require.NoError(t, g.SGEMM(context.Background(), false, false, s.k, plane, s.c, 1, w, s.c, x[n*s.c*plane:], plane, 1, y[n*s.k*plane:], plane))
			}
			testutil.Check(t, "NCHW", b.Text, y, want, ref.Bound(s.c+1, mag))
			y = pointwise(t, ukernel.BestIndirect(), s, x, w, bias, false, 2)
			testutil.Check(t, "blocked", b.Text, y, want, ref.Bound(s.c+1, mag))
		}
	}
	t.Logf("%d shapes", len(seen))
	require.Greater(t, len(seen), 20)
}

// TestBenchdnnProducts goes through the fully connected layers of benchdnn's
// VGG-16. Of more than 512 outputs, 512 are computed.
func TestBenchdnnProducts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds: needs a run without -short")
	}
	for _, b := range testutil.ConvShapes(t, "ip_shapes_vgg16") {
		out, in := min(b.K, 512), b.C*max(1, b.H*b.W)
		x, w, bias := testutil.Normal(1, 2*in), testutil.Uniform(2, out*in), testutil.Normal(3, out)
		want, mag := ref.Linear(2, in, out, x, w, bias)
		got := linear(t, ukernel.BestBlocked(), 2, out, in, x, w, bias, 2)
		testutil.Check(t, "fully connected", b.Text, got, want, ref.Bound(in+in/512+2, mag))
	}
}
