package optimiser

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/stretchr/testify/require"
)

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

func TestSGD(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			const rate, momentum, decay = 0.01, 0.9, 5e-4
			w, v, g := testutil.Normal(1, n*16), testutil.Normal(2, n*16), testutil.Normal(3, n*16)
			w64, v64 := ref.Float64(w), ref.Float64(v)
			ref.SGD(w64, v64, ref.Float64(g), rate, momentum, decay)
			for _, guarded := range testutil.Guards {
				gw, gv := guarded(t, w), guarded(t, v)
				k.sgd(n, &gw[0], &gv[0], &guarded(t, g)[0], rate, momentum, decay)
				// Five roundings of terms of this size, and those of the constants.
				bound := func(i int) float64 {
					return ref.Gamma(8) * (math.Abs(float64(v[i])) + math.Abs(float64(g[i])) + math.Abs(float64(w[i])))
				}
				testutil.Check(t, "v", n, gv, v64, bound)
				testutil.Check(t, "w", n, gw, w64, bound)
			}
		}
	})
}

// TestSGDTail gives SGD lengths that are no multiple of a block.
func TestSGDTail(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 33} {
		w, v, g := testutil.Ints(1, n, -4, 4), testutil.Ints(2, n, -4, 4), testutil.Ints(3, n, -4, 4)
		want := ref.Float64(w)
		ref.SGD(want, ref.Float64(v), ref.Float64(g), 0.5, 0.5, 0.25)
		SGD(w, v, g, Rule{0.5, 0.5, 0.25})
		testutil.CheckExact(t, "w", n, w, want)
	}
	require.Panics(t, func() { SGD(make([]float32, 2), make([]float32, 1), make([]float32, 2), Rule{1, 1, 1}) })
}

// product returns g[i][j] = Σ_t a[i][t]·x[t][j] and the sums of magnitudes.
func product(rows, n, taps int, a, x []float32, ldx int) (g, mag []float64) {
	g, mag = make([]float64, rows*n), make([]float64, rows*n)
	for i := range rows {
		for t := range taps {
			for j := range n {
				p := float64(a[i*taps+t]) * float64(x[t*ldx+j])
				g[i*n+j] += p
				mag[i*n+j] += math.Abs(p)
			}
		}
	}
	return g, mag
}

// TestSGDProductKernels goes through blocks, taps and distances of rows.
func TestSGDProductKernels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		const rate, momentum, decay = 0.01, 0.9, 5e-4
		for i, rows := range []int{1, sgdRows} {
			for n := 1; n <= 5; n++ {
				for _, taps := range []int{1, 2, 7, 8, 33} {
					ldx, ld := n*16+5*(n%2), n*16+3*(taps%2)
					length := (rows-1)*ld + n*16
					w, v, a, x := testutil.Normal(1, length), testutil.Normal(2, length), testutil.Normal(3, rows*taps), testutil.Normal(4, (taps-1)*ldx+n*16)
					g, mag := product(rows, n*16, taps, a, x, ldx)
					w64, v64, bound := ref.Float64(w), ref.Float64(v), make([]float64, length) // what lies between rows stays
					for r := range rows {
						at := r * ld
						ref.SGD(w64[at:at+n*16], v64[at:at+n*16], g[r*n*16:][:n*16], rate, momentum, decay)
						for j, m := range mag[r*n*16:][:n*16] { // as in TestSGD, and the roundings of the sum
							bound[at+j] = ref.Gamma(8)*(math.Abs(float64(v[at+j]))+math.Abs(float64(w[at+j]))) + ref.Gamma(8+taps)*m
						}
					}
					for _, guarded := range testutil.Guards {
						gw, gv := guarded(t, w), guarded(t, v)
						k.sgdProduct[i](n, taps, &gw[0], &gv[0], &guarded(t, a)[0], &guarded(t, x)[0], ld, ldx, rate, momentum, decay)
						testutil.Check(t, "v", []int{rows, n, taps}, gv, v64, func(i int) float64 { return bound[i] })
						testutil.Check(t, "w", []int{rows, n, taps}, gw, w64, func(i int) float64 { return bound[i] })
					}
				}
			}
		}
	})
}

// manyRuns: under the race detector a sync.Pool drops a quarter of what it gets,
// and allocations are less than one a run only in the mean.
const manyRuns = 100

// TestSGDProduct compares with the product that is written to memory, bit for bit,
// for rows with gaps, which stay as they are, and a last block that is not whole.
func TestSGDProduct(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 200, 16 * 130} {
		for _, taps := range []int{1, 8, productPiece / 128} {
			const rows, rate, momentum, decay = sgdRows + 3, 0.01, 0.9, 5e-4
			ld, ldx := n+3, n+1
			w, v, a, x := testutil.Normal(1, (rows-1)*ld+n), testutil.Normal(2, (rows-1)*ld+n), testutil.Normal(3, rows*taps), testutil.Normal(4, (taps-1)*ldx+n)
			wantW, wantV := append([]float32(nil), w...), append([]float32(nil), v...)
			g := make([]float32, rows*n)
			o := ukernel.IndirectArgs{A: a, AStep: taps, B: make([]float32, taps*16), C: make([]float32, rows*16), LDC: 16, Bias: make([]float32, 16)}
			for i := range taps {
				o.Offsets = append(o.Offsets, i)
			}
			for j := 0; j < n; j += 16 {
				for i := range taps {
					copy(o.B[i*16:][:16], x[i*ldx+j:i*ldx+n])
				}
				ukernel.BestIndirect().RunM(rows, 16, &o)
				for i := range rows {
					copy(g[i*n+j:(i+1)*n], o.C[i*16:][:16])
				}
			}
			for i := range rows {
				SGD(wantW[i*ld:][:n], wantV[i*ld:][:n], g[i*n:][:n], Rule{rate, momentum, decay})
			}
			update := func() { SGDProduct(Product{rows, n, taps, w, v, ld, a, x, ldx}, Rule{rate, momentum, decay}) }
			update()
			testutil.CheckBits(t, "w", []int{n, taps}, w, wantW)
			testutil.CheckBits(t, "v", []int{n, taps}, v, wantV)
			require.Zero(t, testutil.AllocsPerRun(manyRuns, update))
		}
	}
	x := make([]float32, 40)
	for name, f := range map[string]func(){
		"w": func() { SGDProduct(Product{2, 16, 2, x[:31], x, 16, x, x, 16}, Rule{1, 1, 1}) },
		"v": func() { SGDProduct(Product{2, 16, 2, x, x[:31], 16, x, x, 16}, Rule{1, 1, 1}) },
		"a": func() { SGDProduct(Product{2, 16, 2, x, x, 16, x[:3], x, 16}, Rule{1, 1, 1}) },
		"x": func() { SGDProduct(Product{2, 16, 2, x, x, 16, x, x[:31], 16}, Rule{1, 1, 1}) },
	} {
		require.Panics(t, f, name)
	}
	SGDProduct(Product{}, Rule{1, 1, 1})
}

// TestPieces gives SGD more than one call of a kernel takes.
func TestPieces(t *testing.T) {
	const n = (2*piece+1)*16 + 5
	w, v, g := testutil.Ints(1, n, -4, 4), testutil.Ints(2, n, -4, 4), testutil.Ints(3, n, -4, 4)
	want := ref.Float64(w)
	ref.SGD(want, ref.Float64(v), ref.Float64(g), 0.5, 0.5, 0.25)
	SGD(w, v, g, Rule{0.5, 0.5, 0.25})
	testutil.CheckExact(t, "SGD", n, w, want)
	require.Zero(t, testutil.AllocsPerRun(manyRuns, func() { SGD(w, v, g, Rule{0, 0, 0}) }))
}

// TestSpecials: subnormals are numbers like any other, and a NaN or an infinity touches no
// element but its own.
func TestSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		x, y := testutil.SpecialPairs()
		n := len(x) / 16
		// With rate and momentum 1 and no decay every operation is an addition.
		w, v := append([]float32(nil), x...), append([]float32(nil), y...)
		k.sgd(n, &w[0], &v[0], &x[0], 1, 1, 0)
		wantV, wantW := make([]float32, len(x)), make([]float32, len(x))
		for i := range x {
			decayed := x[i] + 0*x[i] // NaN for an infinity
			wantV[i] = y[i] + decayed
			wantW[i] = x[i] - wantV[i]
		}
		testutil.CheckExact(t, "v", n, v, wantV)
		testutil.CheckExact(t, "w", n, w, wantW)

		// And along a product of one term.
		w, v = append(w[:0], x...), append(v[:0], y...)
		one := float32(1)
		k.sgdProduct[0](n, 1, &w[0], &v[0], &one, &x[0], 0, n*16, 1, 1, 0)
		testutil.CheckExact(t, "v along a product", n, v, wantV)
		testutil.CheckExact(t, "w along a product", n, w, wantW)
	})
}

func FuzzSGD(f *testing.F) {
	f.Add(uint64(1), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		blocks := 1 + int(n)%20
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			w, v, g := testutil.Ints(seed, blocks*16, -4, 4), testutil.Ints(seed+1, blocks*16, -4, 4), testutil.Ints(seed+2, blocks*16, -4, 4)
			want := ref.Float64(w)
			ref.SGD(want, ref.Float64(v), ref.Float64(g), 0.5, 0.5, 0.25)
			k.sgd(blocks, &w[0], &v[0], &g[0], 0.5, 0.5, 0.25)
			testutil.CheckExact(t, "w", blocks, w, want)
		}
	})
}

func FuzzSGDProduct(f *testing.F) {
	f.Add(uint64(1), uint8(9), uint8(8))
	f.Fuzz(func(t *testing.T, seed uint64, n, taps uint8) {
		blocks, taps1 := 1+int(n)%20, 1+int(taps)%40
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			for i, rows := range []int{1, sgdRows} {
				n := blocks * 16
				w, v := testutil.Ints(seed, rows*n, -4, 4), testutil.Ints(seed+1, rows*n, -4, 4)
				a, x := testutil.Ints(seed+2, rows*taps1, -4, 4), testutil.Ints(seed+3, taps1*n, -4, 4)
				g, _ := product(rows, n, taps1, a, x, n)
				want := ref.Float64(w)
				ref.SGD(want, ref.Float64(v), g, 0.5, 0.5, 0.25)
				k.sgdProduct[i](blocks, taps1, &w[0], &v[0], &a[0], &x[0], n, n, 0.5, 0.5, 0.25)
				testutil.CheckExact(t, "w", []int{rows, blocks}, w, want)
			}
		}
	})
}

func BenchmarkSGD(b *testing.B) {
	const n = 1 << 22
	x, y, z := testutil.Normal(1, n), testutil.Normal(2, n), testutil.Normal(3, n)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for op, f := range map[string]func(){
			"sgd": func() { k.sgd(n/16, &x[0], &y[0], &z[0], 1e-3, 0.9, 5e-4) },
			"sgdproduct": func() { // of a batch of 8, in rows of n/64
				for at := 0; at < n; at += sgdRows * n / 64 {
					k.sgdProduct[1](n/64/16, 8, &x[at], &y[at], &z[0], &z[8*sgdRows], n/64, n/64, 1e-3, 0.9, 5e-4)
				}
			},
		} {
			b.Run(fmt.Sprintf("op=%s/kernel=%s", op, k.name), func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
