package gemm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

func forEachBlocked(t *testing.T, f func(t *testing.T, kern *ukernel.Blocked)) {
	testutil.EachKernel(t, ukernel.BlockedKernels, func(kern *ukernel.Blocked) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// linear runs a kernel; the memory around the operands is poisoned.
func linear(t testing.TB, kern *ukernel.Blocked, n, out, in int, x, w, bias []float32, workers int, opts ...Option) []float32 {
	t.Helper()
	team := parallel.NewTeam(workers)
	l, err := newLinear(kern, in, out, w, bias, team, opts)
	require.NoError(t, err)
	e, err := l.NewExec(n, team)
	require.NoError(t, err)
	testutil.Poison(e.packed)
	testutil.Poison(e.sums)
	src := testutil.NaNGuarded(t, len(x))
	copy(src, x)
	dst := testutil.NaNGuarded(t, n*out)
	team.Begin()
	defer team.End()
	require.NoError(t, e.Run(context.Background(), n, dst, src))
	testutil.CheckBits(t, "src", n, src, x)
	return append([]float32(nil), dst...)
}

// single stores weights in float32 even if half precision holds them.
func single() Option { return func(o *options) { o.single = true } }

func testLinear(t *testing.T, kern *ukernel.Blocked, n, out, in int, seed uint64) {
	t.Helper()
	shape := fmt.Sprintf("n%d out%d in%d", n, out, in)
	x, w, b := testutil.Ints(seed, n*in, -4, 4), testutil.Ints(seed+1, out*in, -4, 4), testutil.Ints(seed+2, out, -4, 4)
	want, _ := ref.Linear(n, in, out, x, w, b)
	testutil.CheckExact(t, "integers", shape, linear(t, kern, n, out, in, x, w, b, 1, single()), want)
	testutil.CheckExact(t, "integers, in half precision", shape, linear(t, kern, n, out, in, x, w, b, 1), want)

	x, w, b = testutil.Normal(seed, n*in), testutil.Normal(seed+1, out*in), testutil.Normal(seed+2, out)
	want, mag := ref.Linear(n, in, out, x, w, b)
	chunks := (in + chunkBlocks*16 - 1) / (chunkBlocks * 16)
	testutil.Check(t, "normal", shape, linear(t, kern, n, out, in, x, w, b, 1, ReLU()), ref.ReLU(want), ref.Bound(in+chunks+1, mag))
}

func TestLinearRemainders(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		seed := uint64(1)
		for n := 1; n <= 2*kern.MR+1; n++ {
			for _, out := range []int{1, 16, 47, 64, 65, 130} {
				testLinear(t, kern, n, out, 40, seed)
				seed += 3
			}
		}
		for _, in := range []int{1, 15, 16, 17, 512, 513, 1100} {
			testLinear(t, kern, 1, 20, in, seed)
			testLinear(t, kern, 3, 20, in, seed)
			seed += 3
		}
	})
}

// TestLinearExactHalf: weights that half precision holds are stored so, and the results are
// the same bits as from float32. One weight that it does not hold, wherever that is, and all
// are stored in float32.
func TestLinearExactHalf(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		const n, out, in = 9, 150, 533
		x, w, b := testutil.Normal(1, n*in), testutil.Normal(2, out*in), testutil.Normal(3, out)
		for i := range w {
			w[i] = half.ToFloat32(half.FromFloat32(w[i]))
		}
		w[7], w[8] = 0x1p-24, float32(math.Copysign(0, -1))
		l, err := newLinear(kern, in, out, w, b, nil, nil)
		require.NoError(t, err)
		require.EqualValues(t, 2*len(l.h), l.Bytes())
		for m := 1; m <= n; m++ {
			got := linear(t, kern, m, out, in, x[:m*in], w, b, 2)
			testutil.CheckBits(t, "float16 and float32", m, got, linear(t, kern, m, out, in, x[:m*in], w, b, 1, single()))
			testutil.CheckBits(t, "with Half", m, got, linear(t, kern, m, out, in, x[:m*in], w, b, 1, Half()))
		}
		for _, at := range []int{0, probeRows*in + 5, len(w) - 1} {
			changed := slices.Clone(w)
			changed[at] = 1.0001
			l, err := newLinear(kern, in, out, changed, b, parallel.NewTeam(2), nil)
			require.NoError(t, err)
			require.Nil(t, l.h)
			want := linear(t, kern, n, out, in, x, changed, b, 1, single())
			testutil.CheckBits(t, "one weight of float32", at, linear(t, kern, n, out, in, x, changed, b, 2), want)
		}
	})
}

// TestLinearBits compares batches and workers bit for bit.
func TestLinearBits(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		const n, out, in = 9, 600, 1040
		x, w, b := testutil.Normal(1, n*in), testutil.Normal(2, out*in), testutil.Normal(3, out)
		want := linear(t, kern, n, out, in, x, w, b, 1)
		for i := range n {
			for _, workers := range []int{1, 2, 20} { // 20: too many for several panels at once
				testutil.CheckBits(t, "one input", i, linear(t, kern, 1, out, in, x[i*in:][:in], w, b, workers), want[i*out:][:out])
			}
		}
		testutil.CheckBits(t, "3 workers", n, linear(t, kern, n, out, in, x, w, b, 3), want)
		want = linear(t, kern, n, out, in, x, w, b, 1, Half())
		testutil.CheckBits(t, "one input in half precision", 1, linear(t, kern, 1, out, in, x[:in], w, b, 1, Half()), want[:out])
	})
}

// TestLinearHalf compares half precision with float32 of the rounded weights.
func TestLinearHalf(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		for _, n := range []int{1, 2, 7, 13} {
			const out, in = 70, 1040
			x, w, b := testutil.Normal(1, n*in), testutil.Normal(2, out*in), testutil.Normal(3, out)
			got := linear(t, kern, n, out, in, x, w, b, 2, Half())
			for i, v := range w {
				w[i] = half.ToFloat32(half.FromFloat32(v))
			}
			testutil.CheckBits(t, "half precision", n, got, linear(t, kern, n, out, in, x, w, b, 2))
		}
	})
}

// TestLinearColumns permutes columns, drops one and adds a zero one.
func TestLinearColumns(t *testing.T) {
	const n, out, in = 2, 5, 7
	perm := []int32{3, -1, 0, 6, 5, 2, 4, -1}
	w, x := testutil.Ints(1, out*in, -4, 4), testutil.Ints(2, n*len(perm), -4, 4)
	straight := make([]float32, n*in) // x in the order of w's columns
	for i := range n {
		for j, c := range perm {
			if c >= 0 {
				straight[i*in+int(c)] = x[i*len(perm)+j]
			}
		}
	}
	want, _ := ref.Linear(n, in, out, straight, w, nil)
	testutil.CheckExact(t, "columns", perm, linear(t, ukernel.BestBlocked(), n, out, in, x, w, nil, 1, Columns(perm)), want)
}

func TestLinearNonFinite(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		got := linear(t, kern, 3, 1, 2, []float32{nan, 1, inf, 1, -inf, 1}, []float32{1, 1}, nil, 1, ReLU())
		testutil.CheckExact(t, "NaN and Inf", "3×1×2", got, []float64{math.NaN(), math.Inf(1), 0})
	})
}

func TestLinearErrors(t *testing.T) {
	_, err := NewLinear(3, 2, make([]float32, 5), nil, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewLinear(3, 2, make([]float32, 6), make([]float32, 3), nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewLinear(3, 2, make([]float32, 6), nil, nil, Columns([]int32{3}))
	require.ErrorIs(t, err, ErrShape)
	l, err := NewLinear(3, 2, make([]float32, 6), nil, nil)
	require.NoError(t, err)
	_, err = l.NewExec(0, nil)
	require.ErrorIs(t, err, ErrShape)
	e, err := l.NewExec(2, nil)
	require.NoError(t, err)
	require.ErrorIs(t, e.Run(context.Background(), 3, make([]float32, 6), make([]float32, 9)), ErrShape)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, e.Run(ctx, 1, make([]float32, 2), make([]float32, 3)), context.Canceled)
}

// TestLinearFrom reads rows as they are packed: the memory is that of the whole
// matrix, and an error of the reader is returned.
func TestLinearFrom(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		for _, out := range []int{1, 16, 63, 65, 200} {
			const in = 37
			w, bias := testutil.Normal(1, out*in), testutil.Normal(2, out)
			read := func(dst []float32, first int) error { copy(dst, w[first*in:][:len(dst)]); return nil }
			perm := []int32{3, -1, 0, 36, 5, 2, 4, -1}
			for _, opts := range [][]Option{{}, {Half()}, {Columns(perm)}, {Fixed()}, {Fixed(), Columns(perm)}} {
				want, err := newLinear(kern, in, out, w, bias, nil, opts)
				require.NoError(t, err)
				team := parallel.NewTeam(3)
				team.Begin()
				got, err := newLinearFrom(kern, in, out, read, bias, team, opts)
				team.End()
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			bad := errors.New("bad")
			_, err := newLinearFrom(kern, in, out, func(dst []float32, first int) error {
				if first+len(dst)/in == out { // the last rows
					return bad
				}
				return read(dst, first)
			}, bias, nil, nil)
			require.ErrorIs(t, err, bad)
		}
	})
	_, err := NewLinearFrom(3, 2, nil, make([]float32, 3), nil)
	require.ErrorIs(t, err, ErrShape)
}

// TestLinearWindows slides a layer over a plane: the bits are those of the same
// inputs one after the other.
func TestLinearWindows(t *testing.T) {
	forEachBlocked(t, func(t *testing.T, kern *ukernel.Blocked) {
		const out, height, width, kernel = 70, 7, 9, 3 // of 32 channels, in two blocks
		var offsets, inputs []int
		for i := range 2 * kernel * kernel {
			offsets = append(offsets, 16*((i/(kernel*kernel)*height+i/kernel%kernel)*width+i%kernel))
		}
		for i := range (height - kernel + 1) * (width - kernel + 1) {
			inputs = append(inputs, 16*(i/(width-kernel+1)*width+i%(width-kernel+1)))
		}
		in, n := 16*len(offsets), len(inputs)
		src := testutil.NaNGuarded(t, 2*height*width*16)
		copy(src, testutil.Normal(1, len(src)))
		var flat []float32
		for _, at := range inputs {
			for _, off := range offsets {
				flat = append(flat, src[at+off:][:16]...)
			}
		}
		for _, opts := range [][]Option{nil, {Fixed()}} {
			w, bias := testutil.Normal(2, out*in), testutil.Normal(3, out)
			want := linear(t, kern, n, out, in, flat, w, bias, 1, opts...)
			l, err := newLinear(kern, in, out, w, bias, nil, opts)
			require.NoError(t, err)
			for _, batch := range []int{n, 1} {
				e, err := l.NewExec(batch, parallel.NewTeam(2))
				require.NoError(t, err)
				require.Equal(t, batch, e.Batch())
				dst := testutil.NaNGuarded(t, n*out)
				for i := 0; i < n; i += batch {
					require.NoError(t, e.RunWindows(context.Background(), dst[i*out:][:batch*out], src, inputs[i:][:batch], offsets))
				}
				testutil.CheckBits(t, "windows", batch, dst, want)
			}
			e, err := l.NewExec(n, nil)
			require.NoError(t, err)
			ctx, dst := context.Background(), make([]float32, n*out)
			require.ErrorIs(t, e.RunWindows(ctx, dst[1:], src, inputs, offsets), ErrShape)
			require.ErrorIs(t, e.RunWindows(ctx, dst, src, inputs, offsets[1:]), ErrShape)
			require.ErrorIs(t, e.RunWindows(ctx, dst, src[1:], inputs, offsets), ErrShape)
			require.ErrorIs(t, e.RunWindows(ctx, nil, src, nil, offsets), ErrShape)
			require.Zero(t, testutil.AllocsPerRun(5, func() { _ = e.RunWindows(ctx, dst, src, inputs, offsets) }))
		}
	})
}

// TestLinearWorkersApart: what a worker computes touches no sums of another worker.
func TestLinearWorkersApart(t *testing.T) {
	const n, in, out, workers, batch = 3, 40, 300, 3, 5
	src, want, dst := testutil.Normal(1, n*in), make([]float32, n*out), make([]float32, n*out)
	for _, opts := range [][]Option{{single()}, {Half()}, {Fixed()}} {
		l, err := NewLinear(in, out, testutil.Normal(2, out*in), nil, nil, opts...)
		require.NoError(t, err)
		e, err := l.NewExec(batch, parallel.NewTeam(workers))
		require.NoError(t, err)
		require.NoError(t, e.Run(context.Background(), n, want, src)) // packs the inputs
		j := &linearJob{n: n, dst: dst, src: src, a: e.packed}
		for worker := range workers {
			for p := range l.panels() {
				if l.fixed != nil {
					own := len(e.fixed.sums) / workers
					testutil.ChangesOnly(t, "sums", e.fixed.sums, worker*own, (worker+1)*own, func() { e.fixedPanel(j, worker, p) })
				} else {
					own := len(e.sums) / workers
					testutil.ChangesOnly(t, "sums", e.sums, worker*own, (worker+1)*own, func() { e.panel(j, worker, p) })
				}
			}
			testutil.CheckBits(t, "results of worker", worker, dst, want)
			clear(dst)
		}
	}
}

func TestLinearAllocates(t *testing.T) {
	team := parallel.NewTeam(2)
	l, err := NewLinear(100, 70, testutil.Normal(1, 7000), nil, nil)
	require.NoError(t, err)
	e, err := l.NewExec(3, team)
	require.NoError(t, err)
	dst, src := make([]float32, 210), make([]float32, 300)
	ctx := context.Background()
	require.Zero(t, testutil.AllocsPerRun(20, func() { _ = e.Run(ctx, 3, dst, src) }))
}

func FuzzLinear(f *testing.F) {
	f.Add(uint64(1), uint8(7), uint8(64), uint16(40))
	f.Fuzz(func(t *testing.T, seed uint64, n, out uint8, in uint16) {
		for i := range ukernel.BlockedKernels {
			if cpu.Has(ukernel.BlockedKernels[i].ISA) {
				testLinear(t, &ukernel.BlockedKernels[i], 1+int(n)%16, 1+int(out), 1+int(in)%1200, seed)
			}
		}
	})
}

func BenchmarkLinear(b *testing.B) {
	const out, in = 4096, 25088
	w := testutil.Uniform(1, out*in)
	for i := range ukernel.BlockedKernels {
		kern := &ukernel.BlockedKernels[i]
		if !cpu.Has(kern.ISA) || kern.ISA == cpu.Generic {
			continue
		}
		for _, storage := range []string{"float32", "half", "fixed"} {
			opts := map[string][]Option{"half": {Half()}, "fixed": {Fixed()}}[storage]
			l, err := newLinear(kern, in, out, w, nil, parallel.NewTeam(4), opts)
			require.NoError(b, err)
			for _, n := range []int{1, 8, 32} {
				for _, workers := range []int{1, 2} {
					name := kern.Name
					if l.fixed != nil {
						name = l.fixed.kernel.Name
					}
					b.Run(fmt.Sprintf("layer=fc6/n=%d/workers=%d/storage=%s/kernel=%s", n, workers, storage, name), func(b *testing.B) {
						benchmarkLinear(b, l, n, workers)
					})
				}
			}
		}
	}
}

func benchmarkLinear(b *testing.B, l *Linear, n, workers int) {
	team := parallel.NewTeam(workers)
	e, err := l.NewExec(n, team)
	require.NoError(b, err)
	dst, src := layout.Alloc(n*l.out), layout.Alloc(n*l.in)
	copy(src, testutil.Uniform(2, len(src)))
	team.Begin()
	defer team.End()
	for b.Loop() {
		require.NoError(b, e.Run(context.Background(), n, dst, src))
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(2*float64(n*l.out*l.in)/seconds/1e9, "GFLOP/s")
	b.ReportMetric(float64(l.Bytes())/seconds/1e9, "GB/s")
}
