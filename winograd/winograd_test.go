package winograd

import (
	"context"
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// A variant is a product kernel with the transforms of the same instruction set.
type variant struct {
	kern *ukernel.Blocked
	tr   *transforms
}

func (v variant) String() string { return fmt.Sprintf("F%d_%s", v.tr.m, v.tr.name) }

// variants lists what this machine has.
func variants() (list []variant) {
	for i := range transformTable {
		for j := range ukernel.BlockedKernels {
			v := variant{&ukernel.BlockedKernels[j], &transformTable[i]}
			if v.kern.ISA == v.tr.isa && cpu.Has(v.tr.isa) {
				list = append(list, v)
			}
		}
	}
	return list
}

func forEachVariant(t *testing.T, f func(t *testing.T, v variant)) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) { f(t, v) })
	}
}

type problem struct {
	n, c, h, w, k, pad int
	e                  fuse.Epilogue
}

func (p problem) String() string {
	return fmt.Sprintf("n%d c%d h%d w%d k%d pad%d %+v", p.n, p.c, p.h, p.w, p.k, p.pad, p.e)
}

func (p problem) shape() ref.ConvShape {
	return ref.ConvShape{N: p.n, C: p.c, H: p.h, W: p.w, K: p.k, KH: 3, KW: 3, Pad: p.pad}
}

// convolve runs v on NCHW operands with a team of the given size. Everything
// around and inside the operands is poisoned.
func convolve(t testing.TB, v variant, p problem, x, w, bias []float32, workers int) []float32 {
	t.Helper()
	f, err := newFilter(v.kern, v.tr, v.tr.m, p.c, p.k, false, w, nil)
	require.NoError(t, err)
	return convolveBy(t, f, p, x, bias, workers)
}

// convolveBy is convolve for packed filters.
func convolveBy(t testing.TB, f *Filter, p problem, x, bias []float32, workers int) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	conv, err := f.NewConv(p.n, p.h, p.w, p.pad, bias, p.e)
	require.NoError(t, err)
	scratch := testutil.NaNGuarded(t, conv.ScratchLen(workers))
	e, err := conv.NewExec(scratch, team)
	require.NoError(t, err)
	in, out := layout.Len(p.c, p.h, p.w), layout.Len(p.k, conv.ph, conv.pw)
	src := testutil.NaNGuarded(t, p.n*in)
	for i := range p.n {
		layout.FromNCHW(p.c, p.h, p.w, src[i*in:][:in], x[i*p.c*p.h*p.w:])
	}
	dst := testutil.NaNGuarded(t, p.n*out)
	team.Begin()
	defer team.End()
	require.NoError(t, e.Run(context.Background(), dst, src))
	y := make([]float32, p.n*p.k*conv.ph*conv.pw)
	for i := range p.n {
		layout.ToNCHW(p.k, conv.ph, conv.pw, y[i*p.k*conv.ph*conv.pw:], dst[i*out:][:out])
		for b := range layout.Blocks(p.k) * 16 * conv.ph * conv.pw {
			if ch := b/(16*conv.ph*conv.pw)*16 + b%16; ch >= p.k {
				require.Zero(t, dst[i*out+b], "padded channel %d", ch)
			}
		}
	}
	return y
}

// finishRef applies the epilogue to the reference and returns, for each result,
// the bound of the elements it is made from.
func finishRef(p problem, y []float64, bound func(int) float64) ([]float64, func(int) float64) {
	if !p.e.ReLU {
		return y, bound
	}
	y = ref.ReLU(y)
	if !p.e.Pool {
		return y, bound
	}
	s := p.shape()
	pooled, _ := ref.MaxPool2x2(p.n*p.k, s.OH(), s.OW(), y)
	bounds := make([]float64, len(y))
	for i := range bounds {
		bounds[i] = bound(i)
	}
	worst, _ := ref.MaxPool2x2(p.n*p.k, s.OH(), s.OW(), bounds)
	return pooled, func(i int) float64 { return worst[i] }
}

// magnitude returns, for each output, the sum of the magnitudes of everything
// that the algorithm adds up: |Aᵀ|·[Σ_c (|G||g||Gᵀ|) ⊙ (|Bᵀ||d||B|)]·|A| + |b|.
func magnitude(m int, p problem, x, w, bias []float32) []float64 {
	return spread(m, p, x, w, bias, func(_ int, u, v float64, _ float32) float64 { return u * v })
}

// absolute returns the magnitudes of a matrix.
func absolute(mat bilinear.Matrix) [][]float64 {
	f := mat.Float64()
	for _, row := range f {
		for j := range row {
			row[j] = math.Abs(row[j])
		}
	}
	return f
}

// both returns mat·X·matᵀ, where X is n×n.
func both(mat [][]float64, n int, get func(i, j int) float64) []float64 {
	r := len(mat)
	t := make([]float64, r*n)
	for i := range r {
		for j := range n {
			for k := range n {
				t[i*n+j] += mat[i][k] * get(k, j)
			}
		}
	}
	y := make([]float64, r*r)
	for i := range r {
		for j := range r {
			for k := range n {
				y[i*r+j] += t[i*n+k] * mat[j][k]
			}
		}
	}
	return y
}

// spread returns, for each output, |Aᵀ|·[Σ_c term(ξk, U, V, scale)]·|A| + |b|, where U =
// |G||g||Gᵀ|, V = |Bᵀ||d||B|, ξk = 36·k+ξ, and scale is that of the tile.
func spread(m int, p problem, x, w, bias []float32, term func(xik int, u, v float64, scale float32) float64) []float64 {
	alg := bilinear.New(m)
	a := alg.Alpha
	bt, g, at := absolute(alg.BT), absolute(alg.G), absolute(alg.AT)
	s := p.shape()
	out := make([]float64, s.OutputLen())
	u := make([][]float64, p.k*p.c)
	for i := range u {
		u[i] = both(g, 3, func(r, s int) float64 { return math.Abs(float64(w[i*9+r*3+s])) })
	}
	for n := range p.n {
		for ty := 0; ty < s.OH(); ty += m {
			for tx := 0; tx < s.OW(); tx += m {
				var extremes [32]uint32
				v := make([][]float64, p.c)
				for c := range v {
					v[c] = both(bt, a, func(i, j int) float64 {
						y, xx := ty+i-p.pad, tx+j-p.pad
						if y < 0 || xx < 0 || y >= p.h || xx >= p.w {
							return 0
						}
						d := x[((n*p.c+c)*p.h+y)*p.w+xx]
						extremes[0] = uint32(max(int32(extremes[0]), int32(math.Float32bits(d))))
						extremes[16] = max(extremes[16], math.Float32bits(d))
						return math.Abs(float64(d))
					})
				}
				scale := scaleOf(&extremes)
				for k := range p.k {
					sum := make([]float64, a*a)
					for c := range p.c {
						for i := range sum {
							sum[i] += term(k*a*a+i, u[k*p.c+c][i], v[c][i], scale)
						}
					}
					y := both(at, a, func(i, j int) float64 { return sum[i*a+j] })
					for i := range min(m, s.OH()-ty) {
						for j := range min(m, s.OW()-tx) {
							out[((n*p.k+k)*s.OH()+ty+i)*s.OW()+tx+j] = y[i*m+j] + math.Abs(float64(bias[k]))
						}
					}
				}
			}
		}
	}
	return out
}

// roundings bounds the number of roundings on the way of one term: at most 5 in
// each of the four one-dimensional transforms, 1 for U, C for the product and 1
// for the bias.
func roundings(c int) int { return 4*5 + 1 + layout.Blocks(c)*16 + 1 }

func checkConv(t *testing.T, v variant, seed uint64, p problem, workers int) {
	t.Helper()
	s := p.shape()
	if v.tr.m == 2 {
		// Integers, and filters of multiples of 4: F(2×2,3×3) is then exact.
		x := testutil.Ints(seed, s.InputLen(), -4, 4)
		w := testutil.Ints(seed+1, s.WeightLen(), -4, 4)
		for i := range w {
			w[i] *= 4
		}
		b := testutil.Ints(seed+2, p.k, -4, 4)
		want, _ := ref.Conv2D(s, x, w, b)
		want, _ = finishRef(p, want, func(int) float64 { return 0 })
		testutil.CheckExact(t, "convolution of integers", p, convolve(t, v, p, x, w, b, workers), want)
	}
	x := testutil.Normal(seed, s.InputLen())
	w := testutil.Normal(seed+1, s.WeightLen())
	b := testutil.Normal(seed+2, p.k)
	want, _ := ref.Conv2D(s, x, w, b)
	want, bound := finishRef(p, want, ref.Bound(roundings(p.c), magnitude(v.tr.m, p, x, w, b)))
	testutil.Check(t, "convolution", p, convolve(t, v, p, x, w, b, workers), want, bound)
}

var epilogues = []fuse.Epilogue{{}, {ReLU: true}, {ReLU: true, Pool: true}}

// TestConv goes through every size of a tile's remainder, with and without
// padding, blocks of channels that are full and not, and each epilogue.
func TestConv(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		t.Parallel()
		for size := 2; size <= 11; size++ {
			p := problem{n: 1 + size%2, c: 1 + 13*size%37, h: size, w: 13 - size, k: 1 + 29*size%83, pad: 1, e: epilogues[size%3]}
			checkConv(t, v, uint64(size), p, 1+size%3)
			if size >= 4 && size <= 9 {
				p.pad, p.e = 0, epilogues[(size+1)%3]
				p.e.Pool = p.e.Pool && size < 9 && size > 4
				checkConv(t, v, uint64(size), p, 1+size%3)
			}
		}
		for c := 1; c <= 20; c++ { // every remainder of the last block of channels
			checkConv(t, v, uint64(c), problem{n: 1, c: c, h: 4, w: 7, k: 5, pad: 1}, 1)
		}
		checkConv(t, v, 1, problem{n: 1, c: 3, h: 1, w: 1, k: 5, pad: 1}, 1)
		checkConv(t, v, 2, problem{n: 1, c: 16, h: 1, w: 30, k: 16, pad: 1, e: epilogues[1]}, 2)
		checkConv(t, v, 3, problem{n: 2, c: 32, h: 20, w: 23, k: 64, pad: 1, e: epilogues[2]}, 2)
		checkConv(t, v, 4, problem{n: 1, c: 48, h: 9, w: 31, k: 112, pad: 1, e: epilogues[1]}, 3)
	})
}

// TestPanelMajor covers the order of loops for filters larger than the cache.
func TestPanelMajor(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		if v.kern.ISA == cpu.Generic || testing.Short() {
			t.Skip("needs large channels: too slow for the portable kernels or -short")
		}
		p := problem{n: 1, c: 512, h: 14, w: 14, k: 512, pad: 1, e: epilogues[1]}
		if v.tr.m == 2 {
			p.h, p.w = 6, 6
		}
		f, err := newFilter(v.kern, v.tr, v.tr.m, p.c, p.k, false, make([]float32, p.shape().WeightLen()), nil)
		require.NoError(t, err)
		conv, err := f.NewConv(p.n, p.h, p.w, p.pad, nil, p.e)
		require.NoError(t, err)
		require.Equal(t, 1, conv.loops(1).blocks)
		s := p.shape()
		x, w, b := testutil.Normal(1, s.InputLen()), testutil.Normal(2, s.WeightLen()), testutil.Normal(3, p.k)
		for i := range x {
			x[i] = max(x[i], 0)
		}
		want, mag := ref.Conv2D(s, x, w, b)
		want, _ = finishRef(p, want, nil)
		// The magnitude of the definition is at most that of the algorithm.
		got := convolve(t, v, p, x, w, b, 2)
		testutil.Check(t, "convolution", p, got, want, ref.Bound(40*roundings(p.c), mag))
		maxRel, _ := testutil.RelErrors(got, want)
		require.Less(t, maxRel, 3e-5)
	})
}

// TestAccuracy holds the gate of the design: for weights and activations as in
// a network, the largest error is below 3e-5 and the rms below 1e-6 of the rms
// of the output.
func TestAccuracy(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		p := problem{n: 1, c: 128, h: 28, w: 28, k: 64, pad: 1, e: epilogues[1]}
		if v.kern.ISA == cpu.Generic {
			p.c, p.k, p.h = 32, 16, 12
		}
		s := p.shape()
		x := testutil.Normal(5, s.InputLen())
		for i := range x {
			x[i] = max(x[i], 0)
		}
		w, b := testutil.Normal(6, s.WeightLen()), testutil.Normal(7, p.k)
		for i := range w {
			w[i] *= float32(math.Sqrt(2 / float64(9*p.c)))
		}
		want, _ := ref.Conv2D(s, x, w, b)
		maxRel, rms := testutil.RelErrors(convolve(t, v, p, x, w, b, 1), ref.ReLU(want))
		t.Logf("max %.2g rms %.2g", maxRel, rms)
		require.Less(t, maxRel, 3e-5)
		require.Less(t, rms, 1e-6)
	})
}

// TestSameBits: a picture's result depends on neither the batch nor the workers.
func TestSameBits(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		p := problem{n: 5, c: 20, h: 18, w: 13, k: 70, pad: 1, e: epilogues[2]}
		s := p.shape()
		x, w, b := testutil.Normal(1, s.InputLen()), testutil.Normal(2, s.WeightLen()), testutil.Normal(3, p.k)
		all := convolve(t, v, p, x, w, b, 1)
		for workers := 2; workers <= 3; workers++ {
			testutil.CheckBits(t, "workers", workers, convolve(t, v, p, x, w, b, workers), all)
		}
		one := p
		one.n = 1
		in, out := len(x)/p.n, len(all)/p.n
		for i := range p.n {
			testutil.CheckBits(t, "picture", i, convolve(t, v, one, x[i*in:][:in], w, b, 2), all[i*out:][:out])
		}
	})
}

// TestNaN: a NaN or an infinity reaches the outputs that depend on it, through
// ReLU and pool, and no output of another tile.
func TestNaN(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, e := range epilogues {
				p := problem{n: 1, c: 16, h: 24, w: 24, k: 16, pad: 1, e: e}
				s := p.shape()
				x, w := testutil.Normal(1, s.InputLen()), testutil.Normal(2, s.WeightLen())
				x[12*24+12] = bad
				y := convolve(t, v, p, x, w, make([]float32, p.k), 1)
				side, at := 24, 12
				if e.Pool {
					side, at = 12, 6
				}
				require.True(t, math.IsNaN(float64(y[at*side+at])), "%v %v", bad, e)
				require.False(t, math.IsNaN(float64(y[0])))
				require.False(t, math.IsNaN(float64(y[side*side-1])))
			}
		}
	})
}

// TestPoolNaN puts a NaN of either sign at each pixel of a tile and around it. Every window of
// the pool that depends on the pixel is NaN, also where three of its four numbers are not.
func TestPoolNaN(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		const side = 12
		p := problem{n: 1, c: 1, h: side, w: side, k: 16, pad: 1, e: epilogues[2]}
		x, w := testutil.Normal(1, side*side), testutil.Normal(2, 16*9)
		alone := 0 // windows of which one number is NaN
		for _, bits := range []uint32{0x7fc00000, 0xffc00000} {
			for at := range 7 * 7 {
				py, px := 2+at/7, 2+at%7
				before := x[py*side+px]
				x[py*side+px] = math.Float32frombits(bits)
				pooled := convolve(t, v, p, x, w, nil, 1)
				plain := p
				plain.e = epilogues[1]
				y := convolve(t, v, plain, x, w, nil, 1)
				x[py*side+px] = before
				for i, got := range pooled {
					k, oy, ox := i/36, i/6%6, i%6
					nans := 0
					for d := range 4 {
						if v := y[(k*side+2*oy+d/2)*side+2*ox+d%2]; v != v {
							nans++
						}
					}
					if nans == 1 {
						alone++
					}
					require.Equal(t, nans > 0, got != got, "%08x at %d, %d: window %d, %d has %d NaNs", bits, py, px, oy, ox, nans)
				}
			}
		}
		require.Positive(t, alone)
	})
}

// TestRunMasked: each block of 16 channels is masked, and each tile, also at the edges.
func TestRunMasked(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		p := problem{n: 2, c: 20, h: 9, w: 14, k: 40, pad: 1}
		f, err := newFilter(v.kern, v.tr, v.tr.m, p.c, p.k, false, testutil.Normal(1, p.k*p.c*9), nil)
		require.NoError(t, err)
		c, err := f.NewConv(p.n, p.h, p.w, p.pad, nil, fuse.Epilogue{})
		require.NoError(t, err)
		e, err := c.NewExec(make([]float32, c.ScratchLen(1)), nil)
		require.NoError(t, err)
		x := blockedCopy(t, testutil.Normal(2, p.n*p.c*p.h*p.w), p.n, p.c, p.h, p.w)
		want, got, mask := make([]float32, c.dstLen()), make([]float32, c.dstLen()), testutil.Ints(3, c.dstLen(), -1, 1)
		require.NoError(t, e.Run(context.Background(), want, x))
		for i, m := range mask {
			if m <= 0 {
				want[i] = 0
			}
		}
		require.NoError(t, e.RunMasked(context.Background(), got, x, mask))
		testutil.CheckBits(t, "masked", p, got, want)
	})
}

// TestRange: a power of two goes through the algorithm without a rounding, so
// that large and small numbers, up to the reach of the transforms' sums, give the
// same bits but for the exponent; and subnormals are computed with, not dropped.
func TestRange(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		p := problem{n: 1, c: 20, h: 9, w: 10, k: 17, pad: 1, e: epilogues[1]}
		s := p.shape()
		x, w, b := testutil.Normal(1, s.InputLen()), testutil.Normal(2, s.WeightLen()), testutil.Normal(3, p.k)
		scaled := func(x []float32, e int) []float32 {
			y := make([]float32, len(x))
			for i, v := range x {
				y[i] = float32(math.Ldexp(float64(v), e))
			}
			return y
		}
		want := convolve(t, v, p, x, w, b, 1)
		for _, e := range []int{-60, 100} {
			testutil.CheckBits(t, "scaled", e, convolve(t, v, p, scaled(x, e), w, scaled(b, e), 1), scaled(want, e))
		}
		// Subnormal x: each value that the transforms make is rounded to a multiple
		// of 2⁻¹⁴⁹, which the second transform spreads over 36 of them.
		tiny := scaled(x, -135)
		exact, _ := ref.Conv2D(s, tiny, w, []float32(nil))
		got := convolve(t, v, p, tiny, w, nil, 1)
		largest, _ := testutil.RelErrors(got, ref.ReLU(exact))
		require.Less(t, largest, 0x1p-9, "subnormals")
	})
}

// TestZeros: nothing but zeros of either sign gives the bias, and its NaN with
// either sign reaches ReLU and pool.
func TestZeros(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		negative := float32(math.Copysign(0, -1))
		for _, e := range epilogues {
			p := problem{n: 1, c: 16, h: 8, w: 8, k: 4, pad: 1, e: e}
			x, w := make([]float32, p.shape().InputLen()), testutil.Normal(1, p.shape().WeightLen())
			for i := range x {
				x[i] = negative
			}
			bias := []float32{negative, 0x1p-149, math.Float32frombits(0x7fc00000), math.Float32frombits(0xffc00000)}
			y := convolve(t, v, p, x, w, bias, 1)
			for i, got := range y {
				want := bias[i/(len(y)/p.k)]
				require.True(t, got == want || got != got && want != want, "%v: got %v, want %v", e, got, want)
			}
		}
	})
}

// TestTransformGuards puts the operands of the transforms against pages that
// fault.
func TestTransformGuards(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, v variant) {
		m, a := v.tr.m, v.tr.m+2
		for tiles := 1; tiles <= 3; tiles++ {
			width := (tiles*m + 2) * 16
			src := testutil.Normal(1, a*width)
			want := make([]float32, a*a*tiles*16)
			v.tr.input(tiles, &want[0], tiles*16, 16, &src[0], width)
			tail, head := testutil.Guarded[float32](t, len(want)), testutil.GuardedHead[float32](t, len(want))
			v.tr.input(tiles, &tail[0], tiles*16, 16, &testutil.GuardedCopy(t, src)[0], width)
			v.tr.input(tiles, &head[0], tiles*16, 16, &testutil.GuardedHeadCopy(t, src)[0], width)
			testutil.CheckBits(t, "input, tail", tiles, tail, want)
			testutil.CheckBits(t, "input, head", tiles, head, want)

			bias := testutil.Uniform(2, 16)
			for i, fn := range v.tr.output {
				side := m
				if i == outputPool {
					side = m / 2
				}
				row := tiles * side * 16
				run := func(out, mm, b []float32) []float32 {
					fn(tiles, &out[0], row, &mm[0], tiles*16, 16, &b[0])
					return out
				}
				want := run(make([]float32, side*row), append([]float32(nil), tail...), bias)
				testutil.CheckBits(t, "output, tail", i, run(testutil.Guarded[float32](t, side*row), testutil.GuardedCopy(t, tail), testutil.GuardedCopy(t, bias)), want)
				testutil.CheckBits(t, "output, head", i, run(testutil.GuardedHead[float32](t, side*row), testutil.GuardedHeadCopy(t, tail), testutil.GuardedHeadCopy(t, bias)), want)
			}
		}
	})
}

func TestErrors(t *testing.T) {
	t.Parallel()
	_, err := NewFilter(3, 1, 1, make([]float32, 9), nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewFilter(4, 2, 2, make([]float32, 35), nil)
	require.ErrorIs(t, err, ErrShape)
	f, err := NewFilter(4, 2, 2, make([]float32, 36), nil)
	require.NoError(t, err)
	for _, p := range []problem{{n: 0, h: 4, w: 4, pad: 1}, {n: 1, h: 2, w: 4}, {n: 1, h: 4, w: 4, pad: 3}, {n: 1, h: 1, w: 9, pad: 1, e: epilogues[2]}, {n: 1, h: 4, w: 4, pad: 1, e: fuse.Epilogue{Pool: true}}} {
		_, err = f.NewConv(p.n, p.h, p.w, p.pad, nil, p.e)
		require.ErrorIs(t, err, ErrShape, "%v", p)
	}
	conv, err := f.NewConv(1, 4, 4, 1, nil, fuse.Epilogue{})
	require.NoError(t, err)
	_, err = conv.NewExec(make([]float32, conv.ScratchLen(1)-1), nil)
	require.ErrorIs(t, err, ErrShape)
	e, err := conv.NewExec(make([]float32, conv.ScratchLen(1)), nil)
	require.NoError(t, err)
	require.ErrorIs(t, e.Run(context.Background(), make([]float32, 255), make([]float32, 256)), ErrShape)
	require.ErrorIs(t, e.Run(context.Background(), make([]float32, 256), make([]float32, 255)), ErrShape)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, e.Run(ctx, make([]float32, 256), make([]float32, 256)), context.Canceled)
}

func TestNoAllocation(t *testing.T) {
	for _, size := range []int{8, 14} {
		c := 16
		if size == 14 {
			c = 512
		}
		f, err := NewFilter(4, c, c, make([]float32, c*c*9), nil)
		require.NoError(t, err)
		conv, err := f.NewConv(1, size, size, 1, nil, epilogues[2])
		require.NoError(t, err)
		team := parallel.NewTeam(2)
		e, err := conv.NewExec(layout.Alloc(conv.ScratchLen(2)), team)
		require.NoError(t, err)
		dst, src := make([]float32, conv.dstLen()), make([]float32, conv.srcLen())
		require.Zero(t, testutil.AllocsPerRun(5, func() {
			if e.Run(context.Background(), dst, src) != nil {
				t.Error("unexpected error")
			}
		}))
	}
}

func FuzzInputGrad(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(5), uint8(9), uint8(20), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, pad uint8) {
		p := problem{1, 1 + int(c)%40, 3 + int(h)%12, 3 + int(w)%12, 1 + int(k)%80, int(pad) % 2, fuse.Epilogue{}}
		for _, v := range variants() {
			testInputGrad(t, v, p, seed)
		}
	})
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(16), uint8(9), uint8(9), uint8(16), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, c, h, w, k, flags uint8) {
		p := problem{n: int(n)%3 + 1, c: int(c)%40 + 1, h: int(h)%20 + 3, w: int(w)%20 + 3, k: int(k)%80 + 1, pad: int(flags) & 1, e: epilogues[int(flags>>1)%3]}
		if s := p.shape(); s.OH() < 2 || s.OW() < 2 {
			p.e.Pool = false
		}
		for _, v := range variants() {
			checkConv(t, v, seed, p, int(flags>>3)%3+1)
		}
	})
}

// layers are the distinct 3×3 layers of VGG at 224×224 that Winograd computes.
var layers = []struct {
	name    string
	c, k, s int
	pool    bool
}{
	{"conv1_2", 64, 64, 224, true}, {"conv2_1", 64, 128, 112, false}, {"conv2_2", 128, 128, 112, true},
	{"conv3_1", 128, 256, 56, false}, {"conv3_2", 256, 256, 56, false}, {"conv3_3", 256, 256, 56, true},
	{"conv4_1", 256, 512, 28, false}, {"conv4_2", 512, 512, 28, false}, {"conv4_3", 512, 512, 28, true},
	{"conv5_1", 512, 512, 14, false},
}

func BenchmarkConv(b *testing.B) {
	for _, l := range layers {
		for _, v := range variants() {
			if v.tr.isa == cpu.Generic {
				continue
			}
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("layer=%s/threads=%d/kernel=%v", l.name, workers, v), func(b *testing.B) {
					f, err := newFilter(v.kern, v.tr, v.tr.m, l.c, l.k, false, testutil.Uniform(1, l.c*l.k*9), nil)
					require.NoError(b, err)
					benchmarkFilter(b, f, l.s, l.pool, workers)
				})
			}
		}
	}
}

// benchmarkFilter measures a convolution of one picture of size×size.
func benchmarkFilter(b *testing.B, f *Filter, size int, pool bool, workers int) {
	conv, err := f.NewConv(1, size, size, 1, nil, fuse.Epilogue{ReLU: true, Pool: pool})
	require.NoError(b, err)
	team := parallel.NewTeam(workers)
	e, err := conv.NewExec(layout.Alloc(conv.ScratchLen(workers)), team)
	require.NoError(b, err)
	src, dst := layout.Alloc(conv.srcLen()), layout.Alloc(conv.dstLen())
	for i, v := range testutil.Uniform(2, len(src)) {
		src[i] = max(v, 0)
	}
	for b.Loop() {
		team.Begin()
		if err := e.Run(context.Background(), dst, src); err != nil {
			b.Fatal(err)
		}
		team.End()
	}
	direct := 2 * 9 * float64(f.c*f.k*size*size)
	b.ReportMetric(direct*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// TestWorkersApart: what a worker computes touches no scratch memory of another worker.
func TestWorkersApart(t *testing.T) {
	const c, k, h, w, workers = 20, 40, 13, 9, 3
	weights := testutil.Normal(1, k*c*9)
	plain, err := NewFilter(4, c, k, weights, nil)
	require.NoError(t, err)
	fixed, err := NewFixedFilter(c, k, weights, nil)
	require.NoError(t, err)
	for _, f := range []*Filter{plain, fixed} {
		conv, err := f.NewConv(1, h, w, 1, nil, fuse.Epilogue{})
		require.NoError(t, err)
		scratch := make([]float32, conv.ScratchLen(workers))
		e, err := conv.NewExec(scratch, parallel.NewTeam(workers))
		require.NoError(t, err)
		src, want := testutil.Normal(2, conv.srcLen()), make([]float32, conv.dstLen())
		require.NoError(t, e.Run(context.Background(), want, src))
		own := len(scratch) / workers
		for worker := range workers {
			for i := range e.workers {
				e.workers[i].block = -1
				clear(e.workers[i].strip[:])
			}
			e.dst, e.src = make([]float32, conv.dstLen()), src
			testutil.ChangesOnly(t, "scratch", scratch, worker*own, (worker+1)*own, func() {
				for item := range e.loops.items() {
					e.runItem(worker, item)
				}
			})
			testutil.CheckBits(t, "results of worker", worker, e.dst, want)
			for i := range e.workers {
				require.Equal(t, i == worker, e.workers[i].block != -1, "block of worker %d", i)
				require.Equal(t, i == worker, e.workers[i].strip != [len(e.workers[i].strip)]float32{}, "strip of worker %d", i)
			}
		}
	}
}

// TestFMAHalves: the twin's multiply-add is rounded once, also where the product lies in the middle
// of two numbers and the rest decides.
func TestFMAHalves(t *testing.T) {
	const x = 1 + 0x1p-12 // x² = 1 + 2⁻¹¹ + 2⁻²⁴, half a unit above a number that is even
	for _, scale := range []float32{0x1p-30, 0x1p-3, 1, 0x1p20} {
		for _, sign := range []float32{1, -1} {
			product := sign * scale
			even := product * (1 + 0x1p-11)
			require.Equal(t, even, fma(sign*x, scale*x, 0))
			for _, tiny := range []float32{0x1p-30, 0x1p-45, 0x1p-60, 0x1p-80} {
				require.Equal(t, product*(1+0x1p-11+0x1p-23), fma(sign*x, scale*x, product*tiny), "away from 0: %v, %v", product, tiny)
				require.Equal(t, even, fma(sign*x, scale*x, -product*tiny), "towards 0: %v, %v", product, tiny)
			}
		}
	}
	inf := float32(math.Inf(1))
	require.Equal(t, inf, fma(inf, 1, 3))
	require.Equal(t, -inf, fma(1, 1, -inf))
	require.Equal(t, inf, fma(math.MaxFloat32, 2, 1))
	require.True(t, math.IsNaN(float64(fma(inf, 1, -inf))))
}

// TestFilterBytes: Bytes is what the slices of a filter hold.
func TestFilterBytes(t *testing.T) {
	const c, k = 20, 40
	w := testutil.Normal(1, k*c*9)
	f, err := NewFilter(4, c, k, w, nil)
	require.NoError(t, err)
	require.EqualValues(t, len(f.u)*int(unsafe.Sizeof(f.u[0])), f.Bytes())
	f, err = NewFixedFilter(c, k, w, nil)
	require.NoError(t, err)
	require.EqualValues(t, len(f.fixed.u)*int(unsafe.Sizeof(f.fixed.u[0]))+len(f.fixed.scale)*int(unsafe.Sizeof(f.fixed.scale[0])), f.Bytes())
}
