package picture

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCheckInputLimits: each bound of the checks, from both sides.
func TestCheckInputLimits(t *testing.T) {
	const h, w = 4, 8
	n := h * w
	// planes are those of a picture that passes, with the least and the greatest value.
	planes := func(lo, hi float32) []float32 {
		x := make([]float32, 3*n)
		for i := range x {
			f := float32(0.5 + 0.5*math.Sin(float64(i%n)/9))
			x[i] = lo + (hi-lo)*f
		}
		x[0], x[n-1] = lo, hi
		return x
	}
	problem := func(x []float32, p Preset) Problem {
		if warn := CheckInput(x, 1, h, w, p); warn != nil {
			return warn.Problem
		}
		return 0
	}
	for _, c := range []struct {
		lo, hi float32
		want   Problem
	}{
		{0, 255, 0}, {-2.5, 257.5, 0}, {-2.6, 255, OutOfRange}, {0, 257.6, OutOfRange}, {100, 105.2, 0}, {100, 105, TooNarrow},
	} {
		require.Equal(t, c.want, problem(planes(c.lo, c.hi), None), "%+v", c)
	}
	centred := Preset{Mean: [3]float32{100, 100, 100}}
	require.Equal(t, Problem(0), problem(planes(-0.5, 100), centred))
	require.Equal(t, NotCentered, problem(planes(0, 100), centred))

	mean := func(f float32) []float32 { // a green channel of that mean
		x := planes(0, 255)
		for i := range n {
			x[n+i] = 255 * f
		}
		return x
	}
	for f, want := range map[float32]Problem{0.021: 0, 0.019: UnlikelyColor, 0.979: 0, 0.981: UnlikelyColor} {
		require.Equal(t, want, problem(mean(f), None), "%v", f)
	}
	warn := CheckInput(mean(0.01), 1, h, w, None)
	require.Contains(t, warn.Advice, "channel 1 is at 1 % of its range")
	require.Equal(t, -1, warn.Picture)
	require.InDelta(t, 2.55, warn.Mean[1], 1e-3)
	require.ErrorContains(t, warn, "batch unlikely colour: values from 0 to 255")

	require.Equal(t, TooNarrow, CheckInput([]float32{100, 100, 100}, 1, 1, 1, None).Problem, "one pixel is no constant")
	require.Equal(t, Constant, CheckInput(make([]float32, 6), 1, 1, 2, None).Problem)
	for _, bad := range [][3]int{{-1, 1, 1}, {1, -1, 1}, {1, 1, -1}, {-1, -1, 1}, {1, 1, 2}, {2, 1, 1}, {1, 2, 1}} {
		require.Panics(t, func() { CheckInput(make([]float32, 3), bad[0], bad[1], bad[2], None) }, "%v", bad)
	}
	require.Nil(t, CheckInput(nil, 3, 0, 5, None))
}

// TestCheckInputInterleaved: pictures of less than 8 columns or 2 rows tell nothing of the order.
func TestCheckInputInterleaved(t *testing.T) {
	mixed := func(h, w int) []float32 {
		x := make([]float32, 3*h*w)
		for i := range x {
			x[i] = []float32{40, 120, 220}[i%3] + float32(i%5)
		}
		return x
	}
	for size, want := range map[[2]int]bool{{2, 8}: true, {2, 7}: false, {1, 8}: false, {8, 9}: true} {
		require.Equal(t, want, interleaved(mixed(size[0], size[1]), 1, size[0], size[1]), "%v", size)
	}
	smooth := make([]float32, 3*2*8)
	for i := range smooth {
		smooth[i] = float32(i)
	}
	require.False(t, interleaved(smooth, 1, 2, 8))
	// Half as much at a distance of three is not enough, and a little less is.
	half := func(three float32) []float32 {
		x := make([]float32, 3*2*8)
		for i := range x {
			x[i] = float32(i%8%3%2) + three*float32(i%8/3)
		}
		return x
	}
	require.False(t, interleaved(half(1), 1, 2, 8))
	require.True(t, interleaved(half(0.1), 1, 2, 8))
}

// TestGuess names the preset whose range the values fill best, and none if they fill less than a
// quarter of it.
func TestGuess(t *testing.T) {
	for _, c := range []struct {
		lo, hi float32
		not    Preset
		want   string
	}{
		{0, 255, Torch, `preset "none" would fit`}, {-100, 130, Torch, `preset "caffe" would fit`}, {0, 1, Torch, `preset "unit" would fit`}, {-2, 2, None, `preset "torch" would fit`}, {0, 1, Unit, "no known preset fits"},
		{0, 0.26, None, `preset "unit" would fit`}, {0, 0.24, None, "no known preset fits"}, {-1000, 1000, None, "no known preset fits"}, {-2.5, 257.5, Torch, `preset "none" would fit`}, {-2.6, 255, Caffe, "no known preset fits"}, {0, 257.6, Caffe, "no known preset fits"},
	} {
		require.Equal(t, c.want, guess(c.lo, c.hi, c.not), "%+v", c)
	}
	for p, want := range map[*Preset][2]float32{&None: {0, 255}, &Unit: {0, 1}, &Caffe: {-123.68, 151.061}} {
		lo, hi := p.extent()
		require.InDelta(t, want[0], lo, 1e-4)
		require.InDelta(t, want[1], hi, 1e-4)
	}
}
