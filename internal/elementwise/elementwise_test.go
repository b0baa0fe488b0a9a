package elementwise

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

// guarded returns a copy of x against an inaccessible page, behind or before.
func guarded(t testing.TB, tail bool, x []float32) []float32 {
	if tail {
		return testutil.GuardedCopy(t, x)
	}
	return testutil.GuardedHeadCopy(t, x)
}

func TestReLU(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		x := testutil.Normal(1, 5*16)
		x[3], x[4], x[5] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
		want := ref.ReLU(x)
		for _, tail := range []bool{true, false} {
			got := guarded(t, tail, x)
			k.relu(5, &got[0])
			testutil.CheckExact(t, "relu", 5, got, want)
		}
		ReLU(x[:21])
		testutil.CheckExact(t, "relu", 21, x[:21], want[:21])
	})
}

// panels is what CopyPanels does.
func panels(rows, blocks int, src []float32, srcStride int) []float32 {
	var dst []float32
	for b := range blocks {
		for i := range rows {
			dst = append(dst, src[i*srcStride+b*16:][:16]...)
		}
	}
	return dst
}

// TestCopyPanels copies panels in more than one call too.
func TestCopyPanels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for i, rows := range []int{1, atOnce} {
			for n := 1; n <= 3; n++ {
				ld := n*16 + 3
				x := testutil.Normal(1, (rows-1)*ld+n*16)
				want := panels(rows, n, x, ld)
				for _, tail := range []bool{true, false} {
					got := guarded(t, tail, make([]float32, len(want)))
					k.copyPanels[i](n, &got[0], &guarded(t, tail, x)[0], rows*16, ld)
					testutil.CheckExact(t, "panels", []int{rows, n}, got, want)
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 5}, {5, 0}, {3, 1}, {1, 3}, {21, 2}, {9, piece/atOnce + 1}} {
		rows, blocks := s[0], s[1]
		x := testutil.Normal(1, rows*(blocks*16+2))
		got := testutil.NaNGuarded(t, rows*blocks*16)
		CopyPanels(rows, blocks, got, x, blocks*16+2)
		testutil.CheckExact(t, "panels", s, got, panels(rows, blocks, x, blocks*16+2))
	}
}

// TestCopyRows copies rows of every distance, in more than one call too.
func TestCopyRows(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			for rows := 1; rows <= 3; rows++ {
				ds, ss := n*16+5, n*16+rows
				x := testutil.Normal(1, (rows-1)*ss+n*16)
				for _, tail := range []bool{true, false} {
					got := guarded(t, tail, make([]float32, (rows-1)*ds+n*16))
					k.copyRows(n, rows, &got[0], &guarded(t, tail, x)[0], 4*ds, 4*ss, 1<<20)
					want := make([]float32, len(got))
					for i := range rows {
						copy(want[i*ds:][:n*16], x[i*ss:])
					}
					testutil.CheckExact(t, "copy", []int{n, rows}, got, want)
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 5}, {5, 0}, {3, 5}, {1, 16}, {4, 37}, {9000, 33}} {
		rows, n := s[0], s[1]
		x, got := testutil.Normal(1, rows*(n+2)), testutil.NaNGuarded(t, rows*(n+3))
		want := make([]float32, len(got))
		clear(got)
		for i := range rows {
			copy(want[i*(n+3):][:n], x[i*(n+2):])
		}
		CopyRows(rows, n, got, n+3, x, n+2)
		testutil.CheckExact(t, "copy", s, got, want)
	}
	require.Panics(t, func() { CopyRows(2, 16, make([]float32, 32), 16, make([]float32, 31), 16) })
}

func TestAdd(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			x, y := testutil.Normal(1, n*16), testutil.Normal(2, n*16)
			want := addOf(x, y)
			for _, tail := range []bool{true, false} {
				got := guarded(t, tail, x)
				k.add(n, &got[0], &guarded(t, tail, y)[0])
				testutil.CheckExact(t, "add", n, got, want)
			}
		}
	})
	for _, n := range []int{0, 5, 16, 37} {
		x, y := testutil.Normal(1, n), testutil.Normal(2, n)
		want := addOf(x, y)
		Add(x, y)
		testutil.CheckExact(t, "add", n, x, want)
	}
	require.Panics(t, func() { Add(make([]float32, 2), make([]float32, 1)) })
}

// sums64 is what AddRows and AddDots do, with x[k]·b[k*tap+j*step], and the sums of
// magnitudes.
func sums64(y, x, b []float32, tap, step int) (sums, mag []float64) {
	sums, mag = ref.Float64(y), make([]float64, len(y))
	for j := range y {
		mag[j] = math.Abs(sums[j])
		for k, v := range x {
			p := float64(v) * float64(b[k*tap+j*step])
			sums[j] += p
			mag[j] += math.Abs(p)
		}
	}
	return sums, mag
}

func TestAddRows(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for i, rows := range []int{1, atOnce} {
			for n := 1; n <= 4; n++ {
				ldb := n*16 + 5*(n%2)
				y, x, b := testutil.Normal(1, n*16), testutil.Normal(2, rows), testutil.Normal(3, (rows-1)*ldb+n*16)
				want, mag := sums64(y, x, b, ldb, 1)
				for _, tail := range []bool{true, false} {
					got := guarded(t, tail, y)
					k.addRows[i](n, &got[0], &guarded(t, tail, x)[0], &guarded(t, tail, b)[0], ldb)
					testutil.Check(t, "rows", []int{rows, n}, got, want, ref.Bound(rows+1, mag))
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 16}, {3, 0}, {7, 48}, {8, 16}, {21, 32}, {9, 16 * (piece/atOnce + 1)}} {
		rows, n := s[0], s[1]
		y, x, b := testutil.Ints(1, n, -4, 4), testutil.Ints(2, rows, -4, 4), testutil.Ints(3, rows*(n+3), -4, 4)
		want, _ := sums64(y, x, b, n+3, 1)
		AddRows(y, x, b, n+3)
		testutil.CheckExact(t, "rows", s, y, want)
	}
	require.Panics(t, func() { AddRows(make([]float32, 15), make([]float32, 1), make([]float32, 16), 16) })
	require.Panics(t, func() { AddRows(make([]float32, 16), make([]float32, 2), make([]float32, 31), 16) })
}

func FuzzAddRows(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8) {
		blocks, ldb := 1+int(n)%40, (1+int(n)%40)*16+int(gap)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			for i, rows := range []int{1, atOnce} {
				y, x, b := testutil.Ints(seed, blocks*16, -4, 4), testutil.Ints(seed+1, rows, -4, 4), testutil.Ints(seed+2, (rows-1)*ldb+blocks*16, -4, 4)
				want, _ := sums64(y, x, b, ldb, 1)
				k.addRows[i](blocks, &y[0], &x[0], &b[0], ldb)
				testutil.CheckExact(t, k.name, []int{rows, blocks}, y, want)
			}
		}
	})
}

func TestAddDots(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 4; n++ {
			ldb := n*16 + 5*(n%2)
			y, x, b := testutil.Normal(1, 16), testutil.Normal(2, n*16), testutil.Normal(3, 15*ldb+n*16)
			want, mag := sums64(y, x, b, 1, ldb)
			for _, tail := range []bool{true, false} {
				got := guarded(t, tail, y)
				k.addDots(n, &got[0], &guarded(t, tail, x)[0], &guarded(t, tail, b)[0], ldb)
				testutil.Check(t, "dots", n, got, want, ref.Bound(n*16+1, mag))
			}
		}
	})
	for _, rows := range []int{0, 1, 15, 16, 17, 37} {
		for _, taps := range []int{0, 1, 15, 16, 17, 40, piece + 19} {
			y, x, b := testutil.Ints(1, rows, -4, 4), testutil.Ints(2, taps, -4, 4), testutil.Ints(3, rows*(taps+3), -4, 4)
			want, _ := sums64(y, x, b, 1, taps+3)
			AddDots(y, x, b, taps+3, new(DotsEdge))
			testutil.CheckExact(t, "dots", []int{rows, taps}, y, want)
		}
	}
	require.Panics(t, func() { AddDots(make([]float32, 2), make([]float32, 16), make([]float32, 31), 16, nil) })
}

// TestAddDotsChains: a sum is that of AddRows on the transpose bit for bit, in a whole
// group of rows or not.
func TestAddDotsChains(t *testing.T) {
	const rows, taps = 21, 83
	x, b := testutil.Normal(1, taps), testutil.Normal(2, rows*taps)
	across := make([]float32, taps*32)
	for j := range rows {
		for k := range taps {
			across[k*32+j] = b[j*taps+k]
		}
	}
	got, want := make([]float32, rows), make([]float32, 32)
	AddDots(got, x, b, taps, new(DotsEdge))
	AddRows(want, x, across, 32)
	if best.isa == cpu.Generic { // rounds sums between its calls
		t.Skip("the portable form rounds between calls")
	}
	testutil.CheckBits(t, "dots", rows, got, want[:rows])
}

func FuzzAddDots(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, gap uint8) {
		blocks, ldb := 1+int(n)%40, (1+int(n)%40)*16+int(gap)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			y, x, b := testutil.Ints(seed, 16, -4, 4), testutil.Ints(seed+1, blocks*16, -4, 4), testutil.Ints(seed+2, 15*ldb+blocks*16, -4, 4)
			want, _ := sums64(y, x, b, 1, ldb)
			k.addDots(blocks, &y[0], &x[0], &b[0], ldb)
			testutil.CheckExact(t, k.name, blocks, y, want)
		}
	})
}

func addOf(x, y []float32) []float32 {
	want := make([]float32, len(x))
	for i := range x {
		want[i] = x[i] + y[i]
	}
	return want
}

func TestReLUGrad(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 5; n++ {
			x, dx := testutil.Ints(uint64(n), n*16, -2, 2), testutil.Normal(2, n*16)
			x[3], x[4], x[5] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
			want := ref.ReLUGrad(x, dx)
			for _, tail := range []bool{true, false} {
				got := guarded(t, tail, dx)
				k.reluGrad(n, &got[0], &guarded(t, tail, x)[0])
				testutil.CheckExact(t, "dx", n, got, want)
			}
		}
	})
}

func TestSumPixels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 3, 100} {
			x := testutil.Normal(uint64(n), n*16)
			want, mag := make([]float64, 16), make([]float64, 16)
			for i, v := range x {
				want[i%16] += float64(v)
				mag[i%16] += math.Abs(float64(v))
			}
			for _, tail := range []bool{true, false} {
				got := guarded(t, tail, make([]float32, 16))
				k.sumPixels(n, &got[0], &guarded(t, tail, x)[0])
				testutil.Check(t, "sum", n, got, want, ref.Bound(n, mag))
			}
		}
	})
}

func TestSGD(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			const rate, momentum, decay = 0.01, 0.9, 5e-4
			w, v, g := testutil.Normal(1, n*16), testutil.Normal(2, n*16), testutil.Normal(3, n*16)
			w64, v64 := ref.Float64(w), ref.Float64(v)
			ref.SGD(w64, v64, ref.Float64(g), rate, momentum, decay)
			for _, tail := range []bool{true, false} {
				gw, gv := guarded(t, tail, w), guarded(t, tail, v)
				k.sgd(n, &gw[0], &gv[0], &guarded(t, tail, g)[0], rate, momentum, decay)
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
		SGD(w, v, g, 0.5, 0.5, 0.25)
		testutil.CheckExact(t, "w", n, w, want)
	}
	require.Panics(t, func() { SGD(make([]float32, 2), make([]float32, 1), make([]float32, 2), 1, 1, 1) })
	require.Panics(t, func() { ReLUGrad(make([]float32, 15), make([]float32, 15)) })
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
					for _, tail := range []bool{true, false} {
						gw, gv := guarded(t, tail, w), guarded(t, tail, v)
						k.sgdProduct[i](n, taps, &gw[0], &gv[0], &guarded(t, tail, a)[0], &guarded(t, tail, x)[0], ld, ldx, rate, momentum, decay)
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
				SGD(wantW[i*ld:][:n], wantV[i*ld:][:n], g[i*n:][:n], rate, momentum, decay)
			}
			update := func() { SGDProduct(w, v, ld, rows, n, a, taps, x, ldx, rate, momentum, decay) }
			update()
			testutil.CheckBits(t, "w", []int{n, taps}, w, wantW)
			testutil.CheckBits(t, "v", []int{n, taps}, v, wantV)
			require.Zero(t, testing.AllocsPerRun(manyRuns, update))
		}
	}
	x := make([]float32, 40)
	for name, f := range map[string]func(){
		"w": func() { SGDProduct(x[:31], x, 16, 2, 16, x, 2, x, 16, 1, 1, 1) },
		"v": func() { SGDProduct(x, x[:31], 16, 2, 16, x, 2, x, 16, 1, 1, 1) },
		"a": func() { SGDProduct(x, x, 16, 2, 16, x[:3], 2, x, 16, 1, 1, 1) },
		"x": func() { SGDProduct(x, x, 16, 2, 16, x, 2, x[:31], 16, 1, 1, 1) },
	} {
		require.Panics(t, f, name)
	}
	SGDProduct(nil, nil, 0, 0, 0, nil, 0, nil, 0, 1, 1, 1)
}

// dots64 returns y[i][p] = Σ_j w[i][j]·x[p][j] and the sums of magnitudes.
func dots64(rows, vectors, n int, w []float32, ldw int, x []float32, ldx int) (y, mag []float64) {
	y, mag = make([]float64, rows*vectors), make([]float64, rows*vectors)
	for i := range rows {
		for p := range vectors {
			for j := range n {
				v := float64(w[i*ldw+j]) * float64(x[p*ldx+j])
				y[i*vectors+p] += v
				mag[i*vectors+p] += math.Abs(v)
			}
		}
	}
	return y, mag
}

// TestDotsKernels compares with sums in float64, for rows of every distance.
func TestDotsKernels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, n := range []int{1, 2, 3, 9, 100} {
			for _, ldw := range []int{0, n * 16, n*16 + 5} {
				w, x := testutil.Normal(1, (dotRows-1)*ldw+n*16), testutil.Normal(2, dotVectors*n*16)
				packed := make([]float32, DotsLen(dotVectors, n*16))
				PackDots(packed, x, dotVectors, n*16, n*16)
				want, mag := dots64(dotRows, dotVectors, n*16, w, ldw, x, n*16)
				for _, tail := range []bool{true, false} {
					got := guarded(t, tail, make([]float32, dotRows*dotVectors))
					k.dots(n, &got[0], &guarded(t, tail, w)[0], &guarded(t, tail, packed)[0], ldw)
					testutil.Check(t, "dots", []int{n, ldw}, got, want, ref.Bound(n*16, mag))
				}
			}
		}
	})
}

// TestDots goes through remainders of rows, vectors and columns, adds to what is
// there, and compares each product with the same one on its own, bit for bit.
func TestDots(t *testing.T) {
	for _, n := range []int{1, 15, 16, 37, dotBlocks*16 + 17} {
		for rows := 1; rows <= 5; rows++ {
			for _, vectors := range []int{1, 7, 8, 9, 16, 17} {
				ldw, ldx := n+3, n+1
				w, x := testutil.Normal(1, (rows-1)*ldw+n), testutil.Normal(2, (vectors-1)*ldx+n)
				packed := make([]float32, DotsLen(vectors, n))
				PackDots(packed, x, vectors, n, ldx)
				want, mag := dots64(rows, vectors, n, w, ldw, x, ldx)
				y := guarded(t, true, testutil.Normal(3, rows*vectors))
				for i, v := range y {
					want[i] += float64(v)
					mag[i] += math.Abs(float64(v))
				}
				before := append([]float32(nil), y...)
				Dots(y, rows, vectors, n, guarded(t, true, w), ldw, guarded(t, true, packed))
				testutil.Check(t, "dots", []int{n, rows, vectors}, y, want, ref.Bound(n+2, mag))

				i, p := rows-1, vectors-1
				one := make([]float32, DotsLen(1, n))
				PackDots(one, x[p*ldx:], 1, n, n)
				got := before[i*vectors+p:]
				Dots(got, 1, 1, n, w[i*ldw:], n, one)
				testutil.CheckBits(t, "alone", []int{n, rows, vectors}, got[:1], y[i*vectors+p:][:1])
				require.Zero(t, testing.AllocsPerRun(manyRuns/10, func() { Dots(y[:1], 1, 1, n, w, ldw, packed) }))
			}
		}
	}
	x := make([]float32, 256)
	for name, f := range map[string]func(){
		"y": func() { Dots(x[:3], 2, 2, 16, x, 16, x) },
		"w": func() { Dots(x, 2, 2, 16, x[:31], 16, x) },
		"x": func() { Dots(x, 2, 2, 16, x, 16, x[:127]) },
		"n": func() { Dots(x, 2, 2, 16, x, 15, x) },
	} {
		require.Panics(t, f, name)
	}
	Dots(nil, 0, 0, 0, nil, 0, nil)
}

// TestPieces gives the functions more than one call of a kernel takes.
func TestPieces(t *testing.T) {
	const n = (2*piece+1)*16 + 5
	x, y, z := testutil.Ints(1, n, -4, 4), testutil.Ints(2, n, -4, 4), testutil.Ints(3, n, -4, 4)
	want := ref.Float64(x)
	ref.SGD(want, ref.Float64(y), ref.Float64(z), 0.5, 0.5, 0.25)
	w := append([]float32(nil), x...)
	SGD(w, append([]float32(nil), y...), z, 0.5, 0.5, 0.25)
	testutil.CheckExact(t, "SGD", n, w, want)
	copy(w, x)
	ReLU(w)
	testutil.CheckExact(t, "ReLU", n, w, ref.ReLU(x))
	copy(w, y)
	ReLUGrad(w[:n-5], x[:n-5])
	testutil.CheckExact(t, "ReLUGrad", n, w[:n-5], ref.ReLUGrad(x[:n-5], y[:n-5]))
	for name, f := range map[string]func(){"ReLU": func() { ReLU(w) }, "SGD": func() { SGD(w, y, z, 0, 0, 0) }, "ReLUGrad": func() { ReLUGrad(w[:16], x) }} {
		require.Zero(t, testing.AllocsPerRun(manyRuns, f), name)
	}
}

// TestSpecials pins what zeros of either sign, subnormals, infinities and NaN
// become: subnormals are numbers like any other, and a NaN or an infinity
// touches no element but its own.
func TestSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		// Every special value beside every other.
		s := testutil.Specials()
		n := (len(s)*len(s) + 15) / 16
		x, y := make([]float32, n*16), make([]float32, n*16)
		for i := range x {
			x[i], y[i] = s[i%len(s)], s[i/len(s)%len(s)]
		}
		relu := append([]float32(nil), x...)
		k.relu(n, &relu[0])
		testutil.CheckExact(t, "relu", n, relu, ref.ReLU(x))

		sum := append([]float32(nil), x...)
		k.add(n, &sum[0], &y[0])
		testutil.CheckExact(t, "add", n, sum, addOf(x, y))

		grad := append([]float32(nil), y...)
		k.reluGrad(n, &grad[0], &x[0])
		testutil.CheckExact(t, "relu gradient", n, grad, ref.ReLUGrad(x, y))

		// One lane sums what stands in it: the lanes of a pixel are apart.
		for i, v := range s {
			pixels := testutil.Ints(uint64(i), 3*16, -4, 4)
			pixels[16+5] = v
			var got, want [16]float32
			k.sumPixels(3, &got[0], &pixels[0])
			for j := range want {
				want[j] = pixels[j] + pixels[16+j] + pixels[32+j]
			}
			testutil.CheckExact(t, "sum", v, got[:], want[:])
		}

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

		// A special value in a vector reaches that vector's sums, and one in a row
		// that row's.
		for _, v := range s {
			var got [dotRows * dotVectors]float32
			rows, xs := make([]float32, dotRows*32), make([]float32, dotVectors*32)
			for i := range rows {
				rows[i] = 1
			}
			xs[5*16+3] = v
			k.dots(2, &got[0], &rows[0], &xs[0], 32)
			var want [dotRows * dotVectors]float32
			for r := range dotRows {
				want[r*dotVectors+5] = v
			}
			testutil.CheckExact(t, "dots", v, got[:], want[:])
			for i := range xs {
				xs[i] = 1
			}
			clear(rows)
			rows[32+17] = v
			k.dots(2, &got[0], &rows[0], &xs[0], 32)
			for i := range want {
				want[i] = 0
				if i/dotVectors == 1 {
					want[i] = v
				}
			}
			testutil.CheckExact(t, "dots", v, got[:], want[:])
		}
	})
}

func FuzzReLU(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint32(0x7fc00000))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8, bits uint32) {
		blocks := 1 + int(n)%20
		x, dx := testutil.Normal(seed, blocks*16), testutil.Normal(seed+1, blocks*16)
		x[seed%uint64(len(x))] = math.Float32frombits(bits)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			got := testutil.NaNGuarded(t, len(x))
			copy(got, dx)
			k.reluGrad(blocks, &got[0], &x[0])
			testutil.CheckExact(t, "gradient", blocks, got, ref.ReLUGrad(x, dx))
			copy(got, x)
			k.relu(blocks, &got[0])
			testutil.CheckExact(t, "relu", blocks, got, ref.ReLU(x))
			clear(got)
			k.copyRows(1, blocks, &got[0], &x[0], 64, 64, 64)
			testutil.CheckExact(t, "copy", blocks, got, x)
			clear(got)
			k.copyPanels[0](blocks, &got[0], &x[0], 16, 0)
			testutil.CheckExact(t, "panels", blocks, got, x)
			copy(got, x)
			k.add(blocks, &got[0], &dx[0])
			testutil.CheckExact(t, "add", blocks, got, addOf(x, dx))
		}
	})
}

func FuzzSumPixels(f *testing.F) {
	f.Add(uint64(1), uint16(9))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		pixels := 1 + int(n)%3000
		x := testutil.Ints(seed, pixels*16, -4, 4)
		want := make([]float64, 16)
		for i, v := range x {
			want[i%16] += float64(v)
		}
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				got := testutil.NaNGuarded(t, 16)
				k.sumPixels(pixels, &got[0], &x[0])
				testutil.CheckExact(t, "sum", pixels, got, want)
			}
		}
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

func FuzzDots(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(8), uint16(37))
	f.Fuzz(func(t *testing.T, seed uint64, rows, vectors uint8, n uint16) {
		r, v, n1 := 1+int(rows)%20, 1+int(vectors)%20, 1+int(n)%300
		w, x := testutil.Ints(seed, r*n1, -4, 4), testutil.Ints(seed+1, v*n1, -4, 4)
		packed, got := make([]float32, DotsLen(v, n1)), testutil.NaNGuarded(t, r*v)
		PackDots(packed, x, v, n1, n1)
		want, _ := dots64(r, v, n1, w, n1, x, n1)
		clear(got)
		Dots(got, r, v, n1, w, n1, packed)
		testutil.CheckExact(t, "dots", []int{r, v, n1}, got, want)

		blocks := 1 + n1/16
		w, x = testutil.Ints(seed, dotRows*blocks*16, -4, 4), testutil.Ints(seed+1, dotVectors*blocks*16, -4, 4)
		packed = make([]float32, len(x))
		PackDots(packed, x, dotVectors, blocks*16, blocks*16)
		want, _ = dots64(dotRows, dotVectors, blocks*16, w, blocks*16, x, blocks*16)
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				got := testutil.NaNGuarded(t, dotRows*dotVectors)
				k.dots(blocks, &got[0], &w[0], &packed[0], blocks*16)
				testutil.CheckExact(t, k.name, blocks, got, want)
			}
		}
	})
}

func BenchmarkElementwise(b *testing.B) {
	const n = 1 << 22
	x, y, z := testutil.Normal(1, n), testutil.Normal(2, n), testutil.Normal(3, n)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for op, f := range map[string]func(){
			"copyrows": func() { k.copyRows(4, n/1024, &x[0], &y[0], 256, 4096, 64<<10) },
			"add":      func() { k.add(n/16, &x[0], &y[0]) },
			"addrows": func() { // of a matrix of n, in rows of 2^12
				for at := 0; at < n; at += atOnce << 12 {
					k.addRows[1](1<<8, &z[0], &x[0], &y[at], 1<<12)
				}
			},
			"adddots": func() {
				for at := 0; at < n; at += 16 << 12 {
					k.addDots(1<<8, &z[0], &x[0], &y[at], 1<<12)
				}
			},
			"relugrad":  func() { k.reluGrad(n/16, &x[0], &y[0]) },
			"sumpixels": func() { var s [16]float32; k.sumPixels(n/16, &s[0], &x[0]) },
			"sgd":       func() { k.sgd(n/16, &x[0], &y[0], &z[0], 1e-3, 0.9, 5e-4) },
			"dots": func() { // of a batch of 8 and a matrix of n/4, in rows of 2^14
				for at := 0; at+3<<14 <= n/4; at += 3 << 14 {
					k.dots(1<<10, &z[0], &x[at], &y[0], 1<<14)
				}
			},
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
