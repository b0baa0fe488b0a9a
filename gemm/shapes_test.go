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
	seen := map[Conv1x1]bool{}
	g := NewMultiplier(parallel.NewTeam(2))
	for _, file := range []string{"conv_shapes_basic", "conv_shapes_tails", "conv_shapes_regression_padding", "conv_shapes_regression_small_spatial"} {
		for _, b := range testutil.ConvShapes(t, file) {
			s := Conv1x1{N: 2, C: b.C, H: b.H, W: b.W, K: b.K}
			if !b.Planes || b.KH != 1 || b.KW != 1 || b.Stride != 1 || b.Group != 1 || b.Pad != 0 || seen[s] {
				continue
			}
			seen[s] = true
			shape := ref.ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, K: s.K, KH: 1, KW: 1}
			x, w, bias := testutil.Normal(1, shape.InputLen()), testutil.Normal(2, shape.WeightLen()), testutil.Normal(3, s.K)
			want, mag := ref.Conv2D(shape, x, w, bias)
			y := testutil.NaNGuarded(t, shape.OutputLen())
			require.NoError(t, s.Forward(context.Background(), g, y, x, w, bias, false))
			testutil.Check(t, "NCHW", b.Text, y, want, ref.Bound(s.C+1, mag))
			y = pointwise(t, ukernel.BestIndirect(), pointwiseShape{s.N, s.C, s.H, s.W, s.K}, x, w, bias, false, 2)
			testutil.Check(t, "blocked", b.Text, y, want, ref.Bound(s.C+1, mag))
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
