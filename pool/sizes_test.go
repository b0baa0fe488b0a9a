package pool

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/shape"
)

// constructor makes a plan for n pictures of c×h×w whose sides are at least least.
type constructor struct {
	name  string
	least int
	make  func(n, c, h, w int) error
}

func constructors() []constructor {
	nchw := NCHW()
	return []constructor{
		{"NewMaxPool", 2, func(n, c, h, w int) error { _, err := NewMaxPool(n, c, h, w, nil); return err }},
		{"NewMaxPool NCHW", 2, func(n, c, h, w int) error { _, err := NewMaxPool(n, c, h, w, nil, nchw); return err }},
		{"NewMaxPoolGrad", 2, func(n, c, h, w int) error { _, err := NewMaxPoolGrad(n, c, h, w, fuse.Epilogue{}, nil); return err }},
		{"NewAvgPool", 2, func(n, c, h, w int) error { _, err := NewAvgPool(n, c, h, w, nil); return err }},
		{"NewAvgPool NCHW", 2, func(n, c, h, w int) error { _, err := NewAvgPool(n, c, h, w, nil, nchw); return err }},
		{"NewAvgPoolGrad", 2, func(n, c, h, w int) error { _, err := NewAvgPoolGrad(n, c, h, w, nil); return err }},
		{"NewGlobalPool", 1, func(n, c, h, w int) error { _, err := NewGlobalPool(n, c, h, w, nil); return err }},
		{"NewGlobalPool NCHW", 1, func(n, c, h, w int) error { _, err := NewGlobalPool(n, c, h, w, nil, nchw); return err }},
		{"NewGlobalPoolGrad", 1, func(n, c, h, w int) error { _, err := NewGlobalPoolGrad(n, c, h, w, nil); return err }},
		{"NewLRN", 1, func(n, c, h, w int) error { _, err := NewLRN(n, c, h, w, nil); return err }},
		{"NewLRNGrad", 1, func(n, c, h, w int) error { _, err := NewLRNGrad(n, c, h, w, nil); return err }},
		{"NewScaleGrad", 1, func(n, c, h, w int) error { _, err := NewScaleGrad(n, c, h, w, nil); return err }},
	}
}

// fits reports whether n pictures of c×h×w, in whole blocks of 16 channels, are at most
// shape.Max floats, with numbers that cannot overflow.
func fits(n, c, h, w int) bool {
	product := big.NewInt(16)
	blocks := new(big.Int).Div(new(big.Int).Add(big.NewInt(int64(c)), big.NewInt(15)), big.NewInt(16))
	for _, x := range []*big.Int{big.NewInt(int64(n)), blocks, big.NewInt(int64(h)), big.NewInt(int64(w))} {
		product.Mul(product, x)
	}
	return product.Cmp(big.NewInt(shape.Max)) <= 0
}

// hugeSizes are those whose products wrap around to small or negative ones.
var hugeSizes = []int{-1, 0, 1, 2, 17, 1 << 15, shape.Max / 16, math.MaxInt/16 + 1, math.MaxInt/2 + 1, math.MaxInt - 14, math.MaxInt}

// TestConstructorsOverflow: sizes that no memory holds are an error, however their product
// wraps around, and all others are none.
func TestConstructorsOverflow(t *testing.T) {
	for _, c := range constructors() {
		for _, n := range hugeSizes {
			for _, channels := range hugeSizes {
				for _, h := range hugeSizes {
					for _, w := range []int{-1, 1, 2, 1 << 20, math.MaxInt/4 + 1, math.MaxInt} {
						err := c.make(n, channels, h, w)
						if n > 0 && channels > 0 && h >= c.least && w >= c.least && fits(n, channels, h, w) {
							require.NoError(t, err, "%s(%d, %d, %d, %d)", c.name, n, channels, h, w)
						} else {
							require.ErrorIs(t, err, ErrShape, "%s(%d, %d, %d, %d)", c.name, n, channels, h, w)
						}
					}
				}
			}
		}
	}
}

// TestResizeOverflow: the same for interpolations, whose sides are bounded as well, and for
// Concat.
func TestResizeOverflow(t *testing.T) {
	sizes := []int{-1, 0, 1, 3, 1 << 12, shape.Max / 16, math.MaxInt/16 + 1, math.MaxInt/2 + 1, math.MaxInt - 14, math.MaxInt}
	scratch := make([]float32, BilinearScratchLen(3, 1))
	for _, n := range sizes {
		for _, h := range sizes {
			for _, oh := range sizes {
				bad := n < 1 || h < 1 || oh < 1
				for name, c := range map[string]struct {
					err  error
					fits bool
				}{
					"pictures": {second(NewNearest(n, 1, h, 1, 1, oh, nil)), fits(n, 1, h, 1) && fits(n, 1, 1, oh)},
					"channels": {second(NewNearest(1, n, 1, h, oh, 1, nil)), fits(1, n, 1, h) && fits(1, n, oh, 1)},
					"bilinear": {second(NewBilinear(n, 1, h, 3, 1, oh, scratch, nil)), fits(n, 1, h, 3) && fits(n, 1, 1, oh)},
				} {
					if bad || !c.fits || oh > mostSide {
						require.ErrorIs(t, c.err, ErrShape, "%s %d %d %d", name, n, h, oh)
					} else if h <= mostSide {
						require.NoError(t, c.err, "%s %d %d %d", name, n, h, oh)
					}
				}
				if bad || h > shape.Max || oh > shape.Max || !fits(n, h+oh, 1, 1) {
					require.ErrorIs(t, second(NewConcat(n, h, oh, 1, 1, nil)), ErrShape, "%d %d %d", n, h, oh)
				} else {
					require.NoError(t, second(NewConcat(n, h, oh, 1, 1, nil)), "%d %d %d", n, h, oh)
				}
			}
		}
	}
	require.ErrorIs(t, second(NewNearest(1, 1, 1, 1, 1, mostSide+1, nil)), ErrShape)
	require.NoError(t, second(NewNearest(1, 1, 1, 1, mostSide, 1, nil)))
}

func second[T any](_ T, err error) error { return err }
