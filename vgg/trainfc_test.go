package vgg

import (
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
)

// TestMaskRowsNaN: fully connected layers take the ReLU's gradient as all others do,
// and a NaN lets it pass.
func TestMaskRowsNaN(t *testing.T) {
	x := []float32{-1, 0, float32(math.NaN()), 2, float32(math.Inf(1)), float32(math.Copysign(0, -1))}
	dx := []float32{1, 2, 3, 4, 5, 6}
	want := ref.ReLUGrad(x, dx)
	for i := range want {
		want[i] *= 2
	}
	f := &trainLayer{op: op{relu: true}, x: x, dx: dx, scale: 2}
	f.maskRows()
	testutil.CheckExact(t, "dx", len(x), dx, want)
}
