package winograd

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// A fixedVariant is a product kernel with transforms.
type fixedVariant struct {
	kern *ukernel.BlockedInt16
	tr   *fixedTransforms
}

func (v fixedVariant) String() string { return v.kern.Name + "_" + v.tr.name }

// fixedVariants lists every product kernel and all transforms of this machine, the portable
// ones last.
func fixedVariants() (list []fixedVariant) {
	for i := range ukernel.BlockedInt16Kernels {
		for j := range fixedTable {
			v := fixedVariant{&ukernel.BlockedInt16Kernels[i], &fixedTable[j]}
			if same := (v.kern.ISA == cpu.Generic) == (v.tr.isa == cpu.Generic); same && cpu.Has(v.kern.ISA) && cpu.Has(v.tr.isa) {
				list = append(list, v)
			}
		}
	}
	return list
}

// fixedTwin is the portable variant.
func fixedTwin() fixedVariant { list := fixedVariants(); return list[len(list)-1] }

func (v fixedVariant) filter(t testing.TB, p problem, w []float32) *Filter {
	t.Helper()
	f, err := newFixedFilter(v.kern, v.tr, p.c, p.k, w, nil)
	require.NoError(t, err)
	return f
}

// fixedBound is the bound of the package's documentation for each output: half a step of u
// and of v, and the roundings of float32, of which there are less than 50 on the way of a
// term.
func fixedBound(f *Filter, p problem, x, w, bias []float32) func(i int) float64 {
	steps := make([]float64, p.k*tileElements)
	for i := range steps {
		k, xi := i/tileElements, i%tileElements
		steps[i] = f.fixed.step(k/16, xi, k%16)
	}
	const gamma = 50.0 / (1 << 24)
	sum := spread(4, p, x, w, bias, func(xik int, u, v float64, scale float32) float64 {
		du := math.Abs(steps[xik]) / 2
		dv := tileBound[xik%tileElements] * float64(scale) / float64(f.fixed.limit) / 2
		quantised := u*dv + du*v + du*dv
		return quantised + gamma*(u*v+quantised)
	})
	return func(i int) float64 { return sum[i] }
}

// checkFixed compares all variants with the twin, bit for bit, and the twin with the
// definition.
func checkFixed(t *testing.T, p problem, x, w, b []float32) {
	t.Helper()
	twin := fixedTwin()
	f := twin.filter(t, p, w)
	requireNoWrap(t, f)
	got := convolveBy(t, f, p, x, b, 1)
	want, _ := ref.Conv2D(p.shape(), x, w, b)
	want, bound := finishRef(p, want, fixedBound(f, p, x, w, b))
	testutil.Check(t, "fixed point", p, got, want, bound)
	for i, v := range fixedVariants() {
		if v != twin {
			testutil.CheckBits(t, v.String(), p, convolveBy(t, v.filter(t, p, w), p, x, b, 1+i%3), got)
		}
	}
}

// requireNoWrap: no sum of products leaves int32.
func requireNoWrap(t *testing.T, f *Filter) {
	t.Helper()
	for panel := range f.panels() {
		width := f.width(panel)
		for xi := range tileElements {
			u := f.fixed.u[f.panel(panel, xi).first:]
			for out := range width {
				sum := 0
				for c := range f.cBlocks * 16 {
					sum += abs(int(u[f.fixed.index(width, c, out)]))
				}
				require.LessOrEqual(t, sum*f.fixed.limit, math.MaxInt32, "panel %d, element %d, output %d", panel, xi, out)
			}
		}
	}
}

func abs(x int) int { return max(x, -x) }

// fixedData returns operands of a convolution; those of x are not negative unless signed.
func fixedData(p problem, seed uint64, signed bool) (x, w, b []float32) {
	s := p.shape()
	x, w, b = testutil.Normal(seed, s.InputLen()), testutil.Normal(seed+1, s.WeightLen()), testutil.Normal(seed+2, p.k)
	for i := range x {
		if !signed {
			x[i] = max(x[i], 0)
		}
	}
	return x, w, b
}

// TestFixed goes through every size of a tile's remainder, with and without padding, blocks
// of channels that are full and not, each epilogue, and inputs of either sign.
func TestFixed(t *testing.T) {
	t.Parallel()
	for size := 2; size <= 11; size++ {
		p := problem{n: 1 + size%2, c: 1 + 13*size%37, h: size, w: 13 - size, k: 1 + 29*size%83, pad: 1, e: epilogues[size%3]}
		x, w, b := fixedData(p, uint64(size), size%2 == 0)
		checkFixed(t, p, x, w, b)
		if size >= 5 && size < 9 {
			p.pad, p.e = 0, epilogues[(size+1)%3]
			checkFixed(t, p, x, w, b)
		}
	}
	for c := 1; c <= 20; c++ { // every remainder of the last block of channels
		p := problem{n: 1, c: c, h: 4, w: 7, k: 5, pad: 1}
		x, w, b := fixedData(p, uint64(c), true)
		checkFixed(t, p, x, w, b)
	}
	for i, p := range []problem{
		{n: 1, c: 3, h: 1, w: 1, k: 5, pad: 1},
		{n: 1, c: 16, h: 1, w: 30, k: 16, pad: 1, e: epilogues[1]},
		{n: 2, c: 32, h: 20, w: 23, k: 64, pad: 1, e: epilogues[2]},
		{n: 1, c: 144, h: 9, w: 11, k: 112, pad: 1, e: epilogues[1]},
	} {
		x, w, b := fixedData(p, uint64(i), i%2 == 0)
		checkFixed(t, p, x, w, b)
	}
}

// TestFixedPanelMajor covers the order of loops for filters larger than the cache.
func TestFixedPanelMajor(t *testing.T) {
	t.Parallel()
	if testing.Short() && cpu.Best() == cpu.Generic {
		t.Skip("too slow for the portable kernels")
	}
	p := problem{n: 1, c: 512, h: 6, w: 6, k: 512, pad: 1, e: epilogues[1]}
	x, w, b := fixedData(p, 1, false)
	var first []float32
	for _, v := range fixedVariants() {
		f := v.filter(t, p, w)
		conv, err := f.NewConv(1, 6, 6, 1, nil, p.e)
		require.NoError(t, err)
		require.Equal(t, 1, conv.loops(1).blocks)
		got := convolveBy(t, f, p, x, b, 2)
		if first == nil {
			first = got
			want, _ := ref.Conv2D(p.shape(), x, w, b)
			largest, rms := testutil.RelErrors(got, ref.ReLU(want))
			t.Logf("largest error %.2g, rms %.2g", largest, rms)
			require.Less(t, largest, 4e-2)
			require.Less(t, rms, 4e-3)
		}
		testutil.CheckBits(t, v.String(), p, got, first)
		if testing.Short() {
			break
		}
	}
}

// TestFixedAdversarial holds the bound where it is hard to hold: outliers, tiles of one
// value, with the signs that make a transformed element largest, subnormals, the ends of the
// range, filters of one tap and of a wide range.
func TestFixedAdversarial(t *testing.T) {
	t.Parallel()
	p := problem{n: 1, c: 20, h: 9, w: 10, k: 18, pad: 1, e: epilogues[0]}
	for _, channels := range []int{20, 130} {
		p.c = channels
		for name, fill := range map[string]func(x []float32, i int) float32{
			"equal":      func([]float32, int) float32 { return 1 },
			"zeros":      func([]float32, int) float32 { return float32(math.Copysign(0, -1)) },
			"outlier":    func(x []float32, i int) float32 { return x[i] + float32(1e6*float64(max(0, 1-i%1000))) },
			"signs":      func(_ []float32, i int) float32 { return float32(1 - 2*(i%10&1^i/10%9&1)) },
			"quarters":   func(_ []float32, i int) float32 { return float32(1 - 2*(i%10/2&1^i/20&1)) },
			"nonneg":     func(_ []float32, i int) float32 { return float32(i%10&1 ^ i/10%9&1) },
			"subnormals": func(x []float32, _ int) float32 { return 0x1p-149 },
			"tiny":       func(x []float32, i int) float32 { return x[i] * 0x1p-110 },
			"large":      func(x []float32, i int) float32 { return x[i] * 0x1p100 },
			"limits":     func(x []float32, i int) float32 { return float32(1+i%2) * 0x1p119 },
		} {
			x, w, b := fixedData(p, 3, true)
			for i := range x {
				x[i] = fill(x, i)
			}
			for i := range w {
				switch i / (9 * p.c) % 3 {
				case 0:
					w[i] *= float32(math.Ldexp(1, -(i*7)%40)) // a wide range
				case 1:
					w[i] = 0
					if i%9 == 4 {
						w[i] = 1
					}
				}
			}
			if name == "limits" { // so that the exact result is finite
				for i := range w {
					w[i] *= 0x1p-20
				}
			}
			t.Run(fmt.Sprintf("%s/c=%d", name, channels), func(t *testing.T) { checkFixed(t, p, x, w, b) })
		}
	}
}

// TestFixedNonFinite: a NaN, an infinity or a number beyond 2¹²⁰ makes NaN of its tiles, and
// of no other, through ReLU and pool; a filter with a NaN or an infinity makes NaN of its
// output.
func TestFixedNonFinite(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range fixedVariants() {
		for _, bad := range []float32{nan, -nan, inf, -inf, 0x1p121, -0x1p121} {
			for _, e := range epilogues {
				p := problem{n: 1, c: 17, h: 24, w: 24, k: 16, pad: 1, e: e}
				x, w, b := fixedData(p, 1, true)
				x[12*24+13] = bad // in the patches of tiles 3 of both directions
				y := convolveBy(t, v.filter(t, p, w), p, x, b, 1)
				side := 4
				if e.Pool {
					side = 2
				}
				for i, got := range y {
					row, col := i/(side*6)%(side*6)/side, i%(side*6)/side
					want := (row == 2 || row == 3) && (col == 2 || col == 3)
					if row == 2 && 12 > 4*2-1+5 || col == 2 && 13 > 4*2-1+5 {
						want = false
					}
					require.Equal(t, want, got != got, "%v %v %v: tile %d, %d", v, bad, e, row, col)
				}
			}
		}
		for _, bad := range []float32{nan, inf, -inf} {
			p := problem{n: 1, c: 17, h: 5, w: 5, k: 18, pad: 1}
			x, w, b := fixedData(p, 1, false)
			w[17*17*9+20] = bad
			y := convolveBy(t, v.filter(t, p, w), p, x, b, 1)
			for i, got := range y {
				require.Equal(t, i/25 == 17, got != got, "output %d", i/25)
			}
		}
	}
}

// TestFixedSameBits: a picture's result depends on neither the batch nor the workers.
func TestFixedSameBits(t *testing.T) {
	t.Parallel()
	for _, v := range fixedVariants() {
		p := problem{n: 5, c: 20, h: 18, w: 13, k: 70, pad: 1, e: epilogues[2]}
		x, w, b := fixedData(p, 1, true)
		f := v.filter(t, p, w)
		all := convolveBy(t, f, p, x, b, 1)
		for workers := 2; workers <= 3; workers++ {
			testutil.CheckBits(t, "workers", workers, convolveBy(t, f, p, x, b, workers), all)
		}
		one := p
		one.n = 1
		in, out := len(x)/p.n, len(all)/p.n
		for i := range p.n {
			testutil.CheckBits(t, "picture", i, convolveBy(t, f, one, x[i*in:][:in], b, 2), all[i*out:][:out])
		}
	}
}

// TestFixedLimit: the bits of v by the number of channels.
func TestFixedLimit(t *testing.T) {
	t.Parallel()
	for c, want := range map[int]int{1: 16383, 128: 16383, 129: 8191, 512: 8191, 513: 4095, 2048: 4095, 1 << 30: 3} {
		require.Equal(t, want, fixedLimit(c), "%d channels", c)
	}
}

// TestFixedWeights: the filters come back within a step of their elements.
func TestFixedWeights(t *testing.T) {
	t.Parallel()
	for _, v := range fixedVariants() {
		for _, s := range [][2]int{{1, 1}, {37, 70}, {130, 16}} {
			p := problem{c: s[0], k: s[1]}
			w := testutil.Normal(1, p.c*p.k*9)
			f := v.filter(t, p, w)
			back := f.Weights(nil)
			_, rms := testutil.RelErrors(back, ref.Float64(w))
			require.Less(t, rms, 2e-3)
			require.NoError(t, f.Repack(w, nil))
			testutil.CheckBits(t, "packed again", s, f.Weights(nil), back)
		}
	}
}

// TestFMA compares with exact arithmetic, where roundings to float64 and to float32 might
// differ from one.
func TestFMA(t *testing.T) {
	t.Parallel()
	check := func(x, y, z float32) {
		exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
		sum := exact(x)
		sum.Mul(sum, exact(y)).Add(sum, exact(z))
		want, _ := sum.Float32()
		require.Equal(t, want, fma(x, y, z), "%v·%v + %v", x, y, z)
	}
	check(1+0x1p-12, 1-0x1p-12, 0x1p24+2) // the product is just below 1
	check(1+0x1p-12, 1+0x1p-12, 0x1p24+2)
	check(0x1p-25*(1+0x1p-15), 1+0x1p-16, 1)
	check(-0x1p-25*(1+0x1p-15), 1-0x1p-16, 1)
	check(0x1p-80, 0x1p-80, 0x1p-149)
	check(0x1p127, 2, -0x1p127)
	x, y, z := testutil.Normal(1, 10000), testutil.Normal(2, 10000), testutil.Normal(3, 10000)
	for i := range x {
		check(x[i], y[i], float32(math.Ldexp(float64(z[i]), i%80-40)))
		near := math.Float32frombits(math.Float32bits(z[i]) &^ 0xff) // the product is near half a unit of the last place
		check(x[i], float32(math.Ldexp(float64(near), -24)/float64(x[i])), near)
	}
}

// TestFixedGuards puts the operands of the transforms against pages that fault.
func TestFixedGuards(t *testing.T) {
	t.Parallel()
	twin := fixedTwin().tr
	for i := range fixedTable {
		tr := &fixedTable[i]
		if !cpu.Has(tr.isa) {
			continue
		}
		for tiles := 1; tiles <= 3; tiles++ {
			width := (tiles*4 + 2) * 16
			src, scale := testutil.Normal(1, 6*width), testutil.Uniform(2, tiles*tileElements)
			for i := range scale {
				scale[i] *= 3e4 // some leave the range
			}
			input := func(tr *fixedTransforms, dst []int16, src, scale []float32) []int16 {
				tr.input(tiles, &dst[0], tiles*16, 16, &src[0], width, &scale[0])
				return dst
			}
			n := tileElements * tiles * 16
			want := input(twin, make([]int16, n), src, scale)
			require.Equal(t, want, input(tr, testutil.Guarded[int16](t, n), testutil.GuardedCopy(t, src), testutil.GuardedCopy(t, scale)), tr.name)
			require.Equal(t, want, input(tr, testutil.GuardedHead[int16](t, n), testutil.GuardedHeadCopy(t, src), testutil.GuardedHeadCopy(t, scale)), tr.name)
			checkExtremes(t, tr, tiles)

			m := make([]int32, n)
			for i, v := range want {
				m[i] = int32(v) * 60000
			}
			bias, factors, tile := testutil.Uniform(2, 16), testutil.Uniform(3, tileElements*16), testutil.Uniform(4, tiles)
			for i := range tr.output {
				side := 4
				if i == outputPool {
					side = 2
				}
				row := tiles * side * 16
				output := func(tr *fixedTransforms, out []float32, m []int32, guard func(testing.TB, []float32) []float32) []float32 {
					tr.output[i](tiles, &out[0], row, &m[0], tiles*16, 16, &guard(t, bias)[0], &guard(t, factors)[0], &guard(t, tile)[0])
					return out
				}
				want := output(twin, make([]float32, side*row), testutil.GuardedCopy(t, m), testutil.Guards[0])
				testutil.CheckBits(t, "output, tail", tr.name, output(tr, testutil.Guarded[float32](t, side*row), testutil.GuardedCopy(t, m), testutil.Guards[0]), want)
				testutil.CheckBits(t, "output, head", tr.name, output(tr, testutil.GuardedHead[float32](t, side*row), testutil.GuardedHeadCopy(t, m), testutil.Guards[1]), want)
			}
		}
	}
}

// checkExtremes compares the extremes of boxes with those of the twin, and those with a
// plain loop.
func checkExtremes(t *testing.T, tr *fixedTransforms, n int) {
	t.Helper()
	specials := testutil.Specials()
	for _, s := range [][3]int{{n, 6, 6}, {1, n, 6}, {2, 6, n}, {n, 1, 1}} {
		blocks, rows, cols := s[0], s[1], s[2]
		row := (cols + n) * 16
		plane := rows*row + 32
		src := testutil.Normal(uint64(n), (blocks-1)*plane+(rows-1)*row+cols*16)
		for i := range src {
			if i%7 == 0 {
				src[i] = specials[i/7%len(specials)]
			}
			src[i] = float32(math.Copysign(float64(src[i]), float64(i%3-1)))
		}
		var want, twin [32]uint32
		for l := range 16 {
			want[l] = 1 << 31
		}
		for i, v := range src {
			if i%plane < rows*row && i%plane%row < cols*16 {
				bits := math.Float32bits(v)
				want[i%16] = uint32(max(int32(want[i%16]), int32(bits)))
				want[16+i%16] = max(want[16+i%16], bits)
			}
		}
		fixedTwin().tr.extremes(blocks, rows, cols, &src[0], plane, row, &twin[0])
		require.Equal(t, want, twin, s)
		for _, guard := range testutil.Guards {
			got := testutil.Guarded[uint32](t, 32)
			tr.extremes(blocks, rows, cols, &guard(t, src)[0], plane, row, &got[0])
			require.Equal(t, want[:], got, "%s %v", tr.name, s)
		}
	}
}

func TestFixedErrors(t *testing.T) {
	t.Parallel()
	_, err := NewFixedFilter(2, 2, make([]float32, 35), nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewFixedFilter(0, 2, nil, nil)
	require.ErrorIs(t, err, ErrShape)
	f, err := NewFixedFilter(2, 2, make([]float32, 36), nil)
	require.NoError(t, err)
	require.True(t, f.Fixed())
	require.ErrorIs(t, f.Repack(make([]float32, 35), nil), ErrShape)
}

func TestFixedNoAllocation(t *testing.T) {
	f, err := NewFixedFilter(64, 64, make([]float32, 64*64*9), nil)
	require.NoError(t, err)
	conv, err := f.NewConv(1, 8, 9, 1, nil, epilogues[2])
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
	require.Contains(t, conv.Loops(1), "int16")
	require.Contains(t, conv.Plan(1), "extremes")
}

func FuzzFixed(f *testing.F) {
	f.Add(uint64(1), uint8(16), uint8(9), uint8(9), uint8(16), uint8(5), int8(0))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, flags uint8, exponent int8) {
		p := problem{n: 1, c: int(c)%40 + 1, h: int(h)%12 + 3, w: int(w)%12 + 3, k: int(k)%40 + 1, pad: int(flags) & 1, e: epilogues[int(flags>>1)%3]}
		if s := p.shape(); s.OH() < 2 || s.OW() < 2 {
			p.e = fuse.Epilogue{}
		}
		x, weights, b := fixedData(p, seed, flags&8 > 0)
		for i := range x {
			x[i] = float32(math.Ldexp(float64(x[i]), int(exponent)/2))
		}
		checkFixed(t, p, x, weights, b)
	})
}

func BenchmarkFixed(b *testing.B) {
	for _, l := range layers {
		for _, v := range fixedVariants() {
			if v.tr.isa == cpu.Generic && l.name != "conv5_1" {
				continue
			}
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("layer=%s/threads=%d/kernel=%v", l.name, workers, v), func(b *testing.B) {
					f, err := newFixedFilter(v.kern, v.tr, l.c, l.k, testutil.Uniform(1, l.c*l.k*9), nil)
					require.NoError(b, err)
					benchmarkFilter(b, f, l.s, l.pool, workers)
				})
			}
		}
	}
}
