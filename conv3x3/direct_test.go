package conv3x3

import (
	"context"
	"fmt"
	"math"
	"slices"
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

func forEachKernel(t *testing.T, f func(t *testing.T, kern *ukernel.Indirect)) {
	testutil.EachKernel(t, ukernel.IndirectKernels, func(kern *ukernel.Indirect) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// A problem is one direct convolution.
type problem struct {
	s            Shape
	planar, relu bool
}

func (p problem) String() string { return fmt.Sprintf("%+v planar=%v relu=%v", p.s, p.planar, p.relu) }

func (p problem) ref() ref.ConvShape {
	s := p.s
	return ref.ConvShape{N: s.N, C: s.C, H: s.H, W: s.W, K: s.K, KH: 3, KW: 3, Pad: s.Pad, Stride: s.Stride}
}

// convolve runs a kernel on NCHW operands; the memory around them is poisoned.
func convolve(t testing.TB, kern *ukernel.Indirect, p problem, x, w, bias []float32, workers int) []float32 {
	t.Helper()
	s := p.s
	f := &Filter{c: s.C, k: s.K, stride: s.stride(), bias: bias}
	f.packDirect(kern, w)
	spec := Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad, Planar: p.planar, Epilogue: fuse.Epilogue{ReLU: p.relu}}
	n, err := f.ScratchLen(spec, workers)
	require.NoError(t, err)
	team := parallel.NewTeam(workers)
	e, err := f.NewExec(spec, testutil.NaNGuarded(t, n), team)
	require.NoError(t, err)
	src := x
	if !p.planar {
		src = testutil.NaNGuarded(t, e.srcLen)
		convertEach(src, x, s.N, s.C, s.H, s.W, layout.FromNCHW)
	}
	dst := testutil.NaNGuarded(t, e.dstLen)
	team.Begin()
	defer team.End()
	require.NoError(t, e.Run(context.Background(), dst, src))
	finite := !slices.ContainsFunc(x, func(v float32) bool { return v-v != 0 })
	plane := s.OH() * s.OW()
	for i, v := range dst {
		if ch := i/(16*plane)%layout.Blocks(s.K)*16 + i%16; ch >= s.K && finite { // 0·Inf is NaN
			require.Zero(t, v, "padded channel %d", ch)
		}
	}
	y := make([]float32, s.N*s.K*plane)
	convertEach(y, dst, s.N, s.K, s.OH(), s.OW(), layout.ToNCHW)
	return y
}

// testDirect compares a kernel with the reference: integers must come out
// exactly, other data within the bound of a sum of 9·C+1 terms.
func testDirect(t *testing.T, kern *ukernel.Indirect, p problem, seed uint64) {
	t.Helper()
	s := p.s
	nx, nw := s.N*s.C*s.H*s.W, s.K*s.C*9
	finish := func(y []float64) []float64 {
		if p.relu {
			return ref.ReLU(y)
		}
		return y
	}
	x, w, b := testutil.Ints(seed, nx, -4, 4), testutil.Ints(seed+1, nw, -4, 4), testutil.Ints(seed+2, s.K, -4, 4)
	testutil.Unchanged(t, "src", x)
	want, _ := ref.Conv2D(p.ref(), x, w, b)
	testutil.CheckExact(t, "integers", p, convolve(t, kern, p, x, w, b, 1), finish(want))

	x, w, b = testutil.Normal(seed, nx), testutil.Normal(seed+1, nw), testutil.Normal(seed+2, s.K)
	want, mag := ref.Conv2D(p.ref(), x, w, b)
	testutil.Check(t, "normal", p, convolve(t, kern, p, x, w, b, 1), finish(want), ref.Bound(9*s.C+1, mag))
}

func TestDirectRemainders(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *ukernel.Indirect) {
		seed := uint64(1)
		for w := 1; w <= 2*kern.MR+1; w++ { // every group of pixels
			for _, k := range []int{1, 16, 17, 48, 64, 70, 130} { // every width of panel
				for _, planar := range []bool{false, true} {
					p := problem{Shape{N: 1, C: 3, H: 2, W: w, K: k, Pad: 1}, planar, w%2 == 0}
					testDirect(t, kern, p, seed)
					seed += 3
				}
			}
		}
		for w := 1; w <= 4*kern.MR+3; w++ { // the same with stride 2
			p := problem{Shape{N: 1, C: 3, H: 3, W: w, K: 1 + 9*w%70, Pad: 1, Stride: 2}, w%3 == 0, w%2 == 0}
			testDirect(t, kern, p, seed)
			seed += 3
		}
		for _, s := range []Shape{{2, 1, 1, 1, 1, 1, 0}, {1, 15, 3, 3, 5, 0, 0}, {3, 20, 5, 4, 18, 0, 0}, {2, 33, 6, 9, 16, 1, 0}, {1, 2, 7, 30, 64, 1, 0}} {
			testDirect(t, kern, problem{s, false, false}, seed)
			testDirect(t, kern, problem{s, true, true}, seed)
			seed += 3
		}
	})
}

// TestDirectNonFinite pins what a NaN and an infinity do.
func TestDirectNonFinite(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *ukernel.Indirect) {
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		p := problem{Shape{N: 1, C: 1, H: 1, W: 9, K: 2, Pad: 1}, true, true}
		x := []float32{1, 0, 0, nan, 0, 0, 0, 0, inf}
		w := make([]float32, 18)
		w[4], w[9+4] = 1, -1 // the identity and its negative
		want := []float64{1, 0, float64(nan), float64(nan), float64(nan), 0, 0, float64(nan), float64(inf),
			0, 0, float64(nan), float64(nan), float64(nan), 0, 0, float64(nan), 0}
		testutil.CheckExact(t, "NaN and Inf", p, convolve(t, kern, p, x, w, []float32{0, 0}, 1), want)
	})
}

// TestDirectWorkers compares the bits of several teams, batches and layouts.
func TestDirectWorkers(t *testing.T) {
	p := problem{Shape{N: 3, C: 5, H: 11, W: 13, K: 20, Pad: 1}, false, true}
	x, w, b := testutil.Normal(1, 3*5*11*13), testutil.Normal(2, 20*5*9), testutil.Normal(3, 20)
	want := convolve(t, ukernel.BestIndirect(), p, x, w, b, 1)
	for _, workers := range []int{2, 3} {
		testutil.CheckBits(t, "workers", workers, convolve(t, ukernel.BestIndirect(), p, x, w, b, workers), want)
	}
	p.planar = true
	testutil.CheckBits(t, "planar", p, convolve(t, ukernel.BestIndirect(), p, x, w, b, 1), want)
	p.s.N = 1
	testutil.CheckBits(t, "batch of 1", p, convolve(t, ukernel.BestIndirect(), p, x[:5*11*13], w, b, 1), want[:len(want)/3])
}

func FuzzDirect(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(8), uint8(9), uint8(16), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, flags uint8) {
		s := Shape{N: 1, C: 1 + int(c)%20, H: 2 + int(h)%9, W: 2 + int(w)%20, K: 1 + int(k)%80, Pad: 1, Stride: int(flags) / 4 % 3}
		if s.stride() == 2 && s.C >= layout.Block {
			flags &^= 1 // it reads blocks
		}
		for i := range ukernel.IndirectKernels {
			if cpu.Has(ukernel.IndirectKernels[i].ISA) {
				testDirect(t, &ukernel.IndirectKernels[i], problem{s, flags&1 > 0, flags&2 > 0}, seed)
			}
		}
	})
}

// A layer is one to be measured.
type layer struct {
	name string
	s    Shape
}

// stridedLayers are RepVGG's with stride 2, and a small one.
var stridedLayers = []layer{
	{"a0_stage1", Shape{1, 48, 112, 112, 48, 1, 2}}, {"a0_stage2", Shape{1, 48, 56, 56, 96, 1, 2}}, {"a0_stage3", Shape{1, 96, 28, 28, 192, 1, 2}},
	{"a0_stage4", Shape{1, 192, 14, 14, 1280, 1, 2}}, {"c32", Shape{1, 32, 64, 64, 32, 1, 2}}, {"b1_stage1", Shape{1, 64, 112, 112, 128, 1, 2}},
	{"b1_stage2", Shape{1, 128, 56, 56, 256, 1, 2}}, {"b1_stage3", Shape{1, 256, 28, 28, 512, 1, 2}}, {"b1_stage4", Shape{1, 512, 14, 14, 2048, 1, 2}},
}

func BenchmarkDirect(b *testing.B) {
	for _, l := range append([]layer{
		{"conv1_1", Shape{1, 3, 224, 224, 64, 1, 0}}, {"conv3_2", Shape{1, 256, 56, 56, 256, 1, 0}}, {"a0_stage0", Shape{1, 3, 224, 224, 48, 1, 2}},
	}, stridedLayers...) {
		s := l.s
		x, w := testutil.Normal(1, layout.Len(s.C, s.H, s.W)), testutil.Normal(2, s.K*s.C*9)
		for i := range ukernel.IndirectKernels {
			kern := &ukernel.IndirectKernels[i]
			if !cpu.Has(kern.ISA) || kern.ISA == cpu.Generic && s.C > 3 {
				continue
			}
			b.Run(fmt.Sprintf("layer=%s/kernel=%s", l.name, kern.Name), func(b *testing.B) {
				f := &Filter{c: s.C, k: s.K, stride: s.stride(), bias: make([]float32, s.K)}
				f.packDirect(kern, w)
				benchmarkExec(b, f, s, x)
			})
		}
	}
}

// benchmarkExec measures a convolution with a ReLU.
func benchmarkExec(b *testing.B, f *Filter, s Shape, x []float32) {
	spec := Spec{N: 1, H: s.H, W: s.W, Pad: 1, Planar: f.ReadsPlanes(), Epilogue: fuse.Epilogue{ReLU: true}}
	n, _ := f.ScratchLen(spec, 1)
	e, err := f.NewExec(spec, layout.Alloc(n), nil)
	require.NoError(b, err)
	dst := layout.Alloc(e.dstLen)
	for b.Loop() {
		require.NoError(b, e.Run(context.Background(), dst, x[:e.srcLen]))
	}
	b.ReportMetric(18*float64(s.C*s.K*s.OH()*s.OW())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// TestInputGradFilter compares gradients with respect to the input, direct and by
// Winograd, before and after the filters are replaced.
func TestInputGradFilter(t *testing.T) {
	for i, s := range []Shape{{2, 3, 5, 6, 4, 1, 0}, {1, 5, 6, 4, 20, 0, 0}, {1, 20, 7, 7, 3, 1, 0}, {2, 17, 5, 9, 33, 0, 0}} {
		w, dy := testutil.Normal(uint64(i), s.K*s.C*9), testutil.Normal(9, s.N*s.K*s.OH()*s.OW())
		want, _ := ref.Conv2DInputGrad(problem{s: s}.ref(), dy, w)
		f, err := NewInputGradFilter(s.C, s.K, make([]float32, len(w)), nil)
		require.NoError(t, err)
		require.NoError(t, f.Repack(w, nil))
		spec := Spec{N: s.N, H: s.OH(), W: s.OW(), Pad: 2 - s.Pad}
		n, err := f.ScratchLen(spec, 1)
		require.NoError(t, err)
		e, err := f.NewExec(spec, testutil.NaNGuarded(t, n), nil)
		require.NoError(t, err)
		src, dst := testutil.NaNGuarded(t, e.srcLen), testutil.NaNGuarded(t, e.dstLen)
		convertEach(src, dy, s.N, s.K, s.OH(), s.OW(), layout.FromNCHW)
		require.NoError(t, e.Run(context.Background(), dst, src))
		dx := make([]float32, s.N*s.C*s.H*s.W)
		convertEach(dx, dst, s.N, s.C, s.H, s.W, layout.ToNCHW)
		largest, _ := testutil.RelErrors(dx, want)
		require.Less(t, largest, 3e-5, "%+v", s)
	}
}

// convertEach changes the layout of n pictures.
func convertEach(dst, src []float32, n, c, h, w int, convert func(c, h, w int, dst, src []float32)) {
	for i := range n {
		convert(c, h, w, dst[i*len(dst)/n:][:len(dst)/n], src[i*len(src)/n:][:len(src)/n])
	}
}
