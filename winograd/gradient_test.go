package winograd

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// A gradVariant is what the weight gradient computes with.
type gradVariant struct {
	kern *ukernel.Indirect
	tr   *transforms
}

func forEachGradVariant(t testing.TB, f func(v gradVariant)) {
	for i := range transformTable {
		for j := range ukernel.IndirectKernels {
			v := gradVariant{&ukernel.IndirectKernels[j], &transformTable[i]}
			if v.tr.m == 4 && v.kern.ISA == v.tr.isa && cpu.Has(v.tr.isa) {
				f(v)
			}
		}
	}
}

// blockedCopy converts n pictures to blocks, with poison around them.
func blockedCopy(t testing.TB, x []float32, n, c, h, w int) []float32 {
	b := testutil.NaNGuarded(t, n*layout.Len(c, h, w))
	for i := range n {
		layout.FromNCHW(c, h, w, b[i*layout.Len(c, h, w):], x[i*c*h*w:])
	}
	return b
}

// weightGrad runs a variant; chunk, if positive, replaces the planned one.
func weightGrad(t testing.TB, v gradVariant, p problem, x, dy []float32, chunk, workers int) (dw, db []float32) {
	t.Helper()
	g, err := newWeightGrad(v.kern, v.tr, p.n, p.c, p.h, p.w, p.k, p.pad)
	require.NoError(t, err)
	if chunk > 0 {
		g.chunk = min(chunk, g.conv.tiles)
	}
	team := parallel.NewTeam(workers)
	e, err := g.NewExec(testutil.NaNGuarded(t, g.ScratchLen(workers)), team)
	require.NoError(t, err)
	dw, db = testutil.NaNGuarded(t, p.k*p.c*9), testutil.NaNGuarded(t, p.k)
	team.Begin()
	defer team.End()
	s := p.shape()
	require.NoError(t, e.Run(context.Background(), dw, db, blockedCopy(t, x, p.n, p.c, p.h, p.w), blockedCopy(t, dy, p.n, p.k, s.OH(), s.OW())))
	return dw, db
}

var gradProblems = []problem{
	{1, 1, 4, 4, 1, 1, fuse.Epilogue{}}, {1, 16, 3, 3, 16, 0, fuse.Epilogue{}}, {2, 17, 5, 9, 20, 1, fuse.Epilogue{}},
	{3, 40, 7, 6, 70, 0, fuse.Epilogue{}}, {1, 5, 14, 14, 130, 1, fuse.Epilogue{}}, {2, 64, 13, 10, 64, 1, fuse.Epilogue{}},
	{1, 90, 5, 6, 20, 1, fuse.Epilogue{}},
}

// The gate of a gradient: its largest error relative to its root mean square.
const gradBound = 3e-5

func testWeightGrad(t *testing.T, v gradVariant, p problem, seed uint64) {
	t.Helper()
	s := p.shape()
	x, dy := testutil.Normal(seed, p.n*p.c*p.h*p.w), testutil.Normal(seed+1, s.OutputLen())
	want, _ := ref.Conv2DWeightGrad(s, x, dy)
	wantBias, mag := ref.Conv2DBiasGrad(s, dy)
	got, bias := weightGrad(t, v, p, x, dy, 0, 1)
	check := func(dw, db []float32) {
		largest, _ := testutil.RelErrors(dw, want)
		require.Less(t, largest, gradBound, "%v %v", v.tr.name, p)
		testutil.Check(t, "bias", p, db, wantBias, ref.Bound(16*gradRun+1, mag)) // a run is one sum
	}
	check(got, bias)
	got3, bias3 := weightGrad(t, v, p, x, dy, 0, 3)
	testutil.CheckBits(t, "3 workers", p, got3, got)
	testutil.CheckBits(t, "bias, 3 workers", p, bias3, bias)
	check(weightGrad(t, v, p, x, dy, 3, 2)) // several chunks
}

func TestWeightGrad(t *testing.T) {
	forEachGradVariant(t, func(v gradVariant) {
		for i, p := range gradProblems {
			testWeightGrad(t, v, p, uint64(2*i))
		}
	})
}

// testInputGrad compares the convolution with turned filters with the reference
// gradient.
func testInputGrad(t *testing.T, v variant, p problem, seed uint64) {
	t.Helper()
	s := p.shape()
	w, dy := testutil.Normal(seed, p.k*p.c*9), testutil.Normal(seed+9, s.OutputLen())
	want, _ := ref.Conv2DInputGrad(s, dy, w)
	f, err := newFilter(v.kern, v.tr, v.tr.m, p.k, p.c, true, make([]float32, len(w)), nil)
	require.NoError(t, err)
	require.NoError(t, f.Repack(w, nil))
	conv, err := f.NewConv(p.n, s.OH(), s.OW(), 2-p.pad, nil, fuse.Epilogue{})
	require.NoError(t, err)
	e, err := conv.NewExec(testutil.NaNGuarded(t, conv.ScratchLen(1)), nil)
	require.NoError(t, err)
	dst := testutil.NaNGuarded(t, p.n*layout.Len(p.c, p.h, p.w))
	require.NoError(t, e.Run(context.Background(), dst, blockedCopy(t, dy, p.n, p.k, s.OH(), s.OW())))
	dx := make([]float32, p.n*p.c*p.h*p.w)
	for j := range p.n {
		layout.ToNCHW(p.c, p.h, p.w, dx[j*p.c*p.h*p.w:], dst[j*layout.Len(p.c, p.h, p.w):])
	}
	largest, _ := testutil.RelErrors(dx, want)
	require.Less(t, largest, gradBound, "%v %v", v, p)
}

// TestInputGrad covers both paddings and algorithms.
func TestInputGrad(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant) {
		for i, p := range gradProblems {
			testInputGrad(t, v, p, uint64(i))
		}
	})
}

// TestAdjoint checks ⟨conv(x), y⟩ = ⟨w, weightGrad(x, y)⟩ on the kernels themselves.
func TestAdjoint(t *testing.T) {
	p := problem{2, 20, 9, 11, 33, 1, fuse.Epilogue{}}
	x, w := testutil.Normal(1, p.n*p.c*p.h*p.w), testutil.Normal(2, p.k*p.c*9)
	y := testutil.Normal(3, p.shape().OutputLen())
	forEachVariant(t, func(t *testing.T, v variant) {
		if v.tr.m != 4 {
			t.Skip("the gradient is the transpose of F(4×4,3×3)")
		}
		forward := ref.Dot(convolve(t, v, p, x, w, nil, 1), y)
		forEachGradVariant(t, func(g gradVariant) {
			dw, _ := weightGrad(t, g, p, x, y, 0, 1)
			require.InEpsilon(t, forward, ref.Dot(w, dw), 1e-5)
		})
	})
}

// TestGradientGuards puts the operands of the transform of dY against pages that
// fault.
func TestGradientGuards(t *testing.T) {
	forEachGradVariant(t, func(v gradVariant) {
		for tiles := 1; tiles <= 3; tiles++ {
			width := tiles * 4 * 16
			src := testutil.Normal(1, 4*width)
			const step = 32
			n := 36*tiles*step - 16
			want := make([]float32, n)
			v.tr.gradient(tiles, &want[0], tiles*step, step, &src[0], width)
			tail, head := testutil.Guarded[float32](t, n), testutil.GuardedHead[float32](t, n)
			v.tr.gradient(tiles, &tail[0], tiles*step, step, &testutil.GuardedCopy(t, src)[0], width)
			v.tr.gradient(tiles, &head[0], tiles*step, step, &testutil.GuardedHeadCopy(t, src)[0], width)
			testutil.CheckBits(t, "tail", tiles, tail, want)
			testutil.CheckBits(t, "head", tiles, head, want)
		}
	})
}

func TestFilterGradientGuards(t *testing.T) {
	forEachGradVariant(t, func(v gradVariant) {
		const xi = 32
		src := testutil.Normal(1, 35*xi+16)
		var got [2][]float32
		for i, place := range testutil.Guards {
			got[i] = place(t, make([]float32, 9*16))
			v.tr.filterGradient(&got[i][0], &place(t, src)[0], xi)
		}
		testutil.CheckBits(t, "guarded", xi, got[0], got[1])
	})
}

// TestFilterTransform compares U = G·w·Gᵀ with float64, in which it is computed:
// what is left is one rounding to float32. Operands stand against pages that fault.
func TestFilterTransform(t *testing.T) {
	for i := range transformTable {
		tr := &transformTable[i]
		if !cpu.Has(tr.isa) {
			continue
		}
		const xi = 32
		g := bilinear.New(tr.m).G.Float64()
		w := testutil.Normal(uint64(i), 9*16)
		for _, place := range testutil.Guards {
			u := place(t, make([]float32, (len(g)*len(g)-1)*xi+16))
			tr.filter(&u[0], xi, &place(t, w)[0])
			for e := range len(g) * len(g) {
				for l := range 16 {
					want := 0.0
					for r := range 9 {
						want += g[e/len(g)][r/3] * float64(w[r*16+l]) * g[e%len(g)][r%3]
					}
					require.InDelta(t, want, u[e*xi+l], 0x1p-24*math.Abs(want)+1e-15, "%s m=%d ξ=%d", tr.name, tr.m, e)
				}
			}
		}
	}
}

func TestWeightGradErrors(t *testing.T) {
	_, err := NewWeightGrad(1, 16, 2, 2, 16, 0)
	require.ErrorIs(t, err, ErrShape)
	g, err := NewWeightGrad(1, 16, 4, 4, 16, 1)
	require.NoError(t, err)
	_, err = g.NewExec(make([]float32, g.ScratchLen(1)-1), nil)
	require.ErrorIs(t, err, ErrShape)
	e, err := g.NewExec(make([]float32, g.ScratchLen(1)), nil)
	require.NoError(t, err)
	require.ErrorIs(t, e.Run(context.Background(), make([]float32, 1), nil, make([]float32, 256), make([]float32, 256)), ErrShape)
	dw, db, x := make([]float32, 16*16*9), make([]float32, 16), make([]float32, 256)
	require.ErrorIs(t, e.Run(context.Background(), dw, db[1:], x, x), ErrShape)
	require.Zero(t, testutil.AllocsPerRun(10, func() { _ = e.Run(context.Background(), dw, db, x, x) }))
	f, err := NewFilter(4, 16, 16, make([]float32, 16*16*9), nil)
	require.NoError(t, err)
	require.ErrorIs(t, f.Repack(make([]float32, 9), nil), ErrShape)
}

// lateContext ends while a helper computes its part, after the caller has computed its own
// and looked at the context for the last time.
type lateContext struct {
	context.Context
	helps, callerDone chan struct{}
	once, last        sync.Once
	ended             atomic.Bool
}

func (c *lateContext) Err() error {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	part, helper := false, false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		part = part || strings.HasSuffix(f.Function, ").partItem")
		helper = helper || strings.HasSuffix(f.Function, ").help")
	}
	switch {
	case c.ended.Load():
		return context.Canceled
	case helper && part:
		c.once.Do(func() { close(c.helps) })
		<-c.callerDone
		c.ended.Store(true)
		return context.Canceled
	case part:
		<-c.helps // so that the caller does not compute both parts
	default: // the caller, behind an item
		c.last.Do(func() { close(c.callerDone) })
	}
	return nil
}

// TestWeightGradLateCancel: a context that ends while the last part is computed is an error,
// although the caller has seen all of its own part: the gradient is not whole.
func TestWeightGradLateCancel(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs GOMAXPROCS of 2 or more")
	}
	g, err := NewWeightGrad(1, 32, 8, 8, 16, 1)
	require.NoError(t, err)
	team := parallel.NewTeam(2)
	require.Equal(t, 2, g.parts(2))
	e, err := g.NewExec(make([]float32, g.ScratchLen(2)), team)
	require.NoError(t, err)
	team.Begin()
	defer team.End()
	ctx := &lateContext{Context: context.Background(), helps: make(chan struct{}), callerDone: make(chan struct{})}
	err = e.Run(ctx, make([]float32, 16*32*9), make([]float32, 16), make([]float32, 2*16*64), make([]float32, 16*64))
	require.True(t, ctx.ended.Load())
	require.ErrorIs(t, err, context.Canceled)
}

// TestWeightGradOverflow: sizes that no memory holds are an error, however products wrap
// around.
func TestWeightGradOverflow(t *testing.T) {
	f, err := NewFilter(4, 16, 16, make([]float32, 16*16*9), nil)
	require.NoError(t, err)
	huge := []int{-1, 0, shape.Max / 16, math.MaxInt/16 + 1, math.MaxInt/4 + 1, math.MaxInt/2 + 1, math.MaxInt - 1, math.MaxInt}
	for _, x := range huge {
		for _, y := range append([]int{4}, huge...) {
			for i, s := range [][4]int{{x, 16, 4, y}, {y, 16, 4, x}, {1, 16, x, y}, {1, 16, y, x}, {y, 16, x, 4}, {y, x, 4, 4}, {1, x, y, 4}} {
				_, err := NewWeightGrad(s[0], s[1], s[2], s[3], 16, 1)
				require.ErrorIs(t, err, ErrShape, "%v", s)
				_, err = NewWeightGrad(s[0], 16, s[2], s[3], s[1], 1)
				if i < 5 || s[1] < 1 || s[1] > shape.Max {
					require.ErrorIs(t, err, ErrShape, "%v", s)
				}
				if i < 5 {
					_, err = f.NewConv(s[0], s[2], s[3], 1, nil, fuse.Epilogue{})
					require.ErrorIs(t, err, ErrShape, "%v", s)
				}
			}
		}
	}
}

func FuzzWeightGrad(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(5), uint8(9), uint8(20), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, c, h, w, k, pad uint8) {
		p := problem{1, 1 + int(c)%40, 3 + int(h)%12, 3 + int(w)%12, 1 + int(k)%80, int(pad) % 2, fuse.Epilogue{}}
		forEachGradVariant(t, func(v gradVariant) { testWeightGrad(t, v, p, seed) })
	})
}

// BenchmarkGradients measures both gradients of VGG's layers, and the forward
// convolution for comparison.
func BenchmarkGradients(b *testing.B) {
	for _, l := range []struct {
		name       string
		c, size, k int
	}{{"conv1_2", 64, 224, 64}, {"conv2_2", 128, 112, 128}, {"conv3_2", 256, 56, 256}, {"conv4_2", 512, 28, 512}, {"conv5_1", 512, 14, 512}} {
		const n = 4
		x, dy := layout.Alloc(n*layout.Len(l.c, l.size, l.size)), layout.Alloc(n*layout.Len(l.k, l.size, l.size))
		copy(x, testutil.Normal(1, len(x)))
		copy(dy, testutil.Normal(2, len(dy)))
		weights := testutil.Normal(3, l.c*l.k*9)
		for _, workers := range []int{1, 2} {
			team := parallel.NewTeam(workers)
			run := func(op string, f func() error) {
				b.Run(fmt.Sprintf("layer=%s/op=%s/workers=%d/kernel=%s", l.name, op, workers, ukernel.BestBlocked().Name), func(b *testing.B) {
					team.Begin()
					defer team.End()
					for b.Loop() {
						require.NoError(b, f())
					}
					b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N)/n, "ms/picture")
				})
			}
			for _, op := range []string{"forward", "input"} {
				filter, k := NewFilter, l.k
				if op == "input" {
					filter, k = NewInputGradFilter, l.c
				}
				f, err := filter(4, l.c, l.k, weights, team)
				require.NoError(b, err)
				conv, err := f.NewConv(n, l.size, l.size, 1, nil, fuse.Epilogue{})
				require.NoError(b, err)
				e, err := conv.NewExec(layout.Alloc(conv.ScratchLen(workers)), team)
				require.NoError(b, err)
				src, dst := x, layout.Alloc(n*layout.Len(k, l.size, l.size))
				if op == "input" {
					src = dy
				}
				run(op, func() error { return e.Run(context.Background(), dst, src) })
			}
			g, err := NewWeightGrad(n, l.c, l.size, l.size, l.k, 1)
			require.NoError(b, err)
			e, err := g.NewExec(layout.Alloc(g.ScratchLen(workers)), team)
			require.NoError(b, err)
			dw := make([]float32, len(weights))
			run("weight", func() error { return e.Run(context.Background(), dw, nil, x, dy) })
		}
	}
}
