package level1f

import (
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

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
				w, x := testutil.Normal(1, (dotMR-1)*ldw+n*16), testutil.Normal(2, dotNR*n*16)
				packed := make([]float32, DotsLen(dotNR, n*16))
				PackDots(packed, x, dotNR, n*16, n*16)
				want, mag := dots64(dotMR, dotNR, n*16, w, ldw, x, n*16)
				for _, guarded := range testutil.Guards {
					got := guarded(t, make([]float32, dotMR*dotNR))
					k.dots(n, &got[0], &guarded(t, w)[0], &guarded(t, packed)[0], ldw)
					testutil.Check(t, "dots", []int{n, ldw}, got, want, ref.Bound(n*16, mag))
				}
			}
		}
	})
}

// TestDots goes through remainders of rows, vectors and columns, adds to what is
// there, and compares each product with the same one on its own, bit for bit.
func TestDots(t *testing.T) {
	for _, n := range []int{1, 15, 16, 37, dotKC*16 + 17} {
		for rows := 1; rows <= 5; rows++ {
			for _, vectors := range []int{1, 7, 8, 9, 16, 17} {
				ldw, ldx := n+3, n+1
				w, x := testutil.Normal(1, (rows-1)*ldw+n), testutil.Normal(2, (vectors-1)*ldx+n)
				packed := make([]float32, DotsLen(vectors, n))
				PackDots(packed, x, vectors, n, ldx)
				want, mag := dots64(rows, vectors, n, w, ldw, x, ldx)
				y := testutil.GuardedCopy(t, testutil.Normal(3, rows*vectors))
				for i, v := range y {
					want[i] += float64(v)
					mag[i] += math.Abs(float64(v))
				}
				before := append([]float32(nil), y...)
				Dots(y, rows, vectors, n, testutil.GuardedCopy(t, w), ldw, testutil.GuardedCopy(t, packed))
				testutil.Check(t, "dots", []int{n, rows, vectors}, y, want, ref.Bound(n+2, mag))

				i, p := rows-1, vectors-1
				one := make([]float32, DotsLen(1, n))
				PackDots(one, x[p*ldx:], 1, n, n)
				got := before[i*vectors+p:]
				Dots(got, 1, 1, n, w[i*ldw:], n, one)
				testutil.CheckBits(t, "alone", []int{n, rows, vectors}, got[:1], y[i*vectors+p:][:1])
				require.Zero(t, testutil.AllocsPerRun(10, func() { Dots(y[:1], 1, 1, n, w, ldw, packed) }))
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
		w, x = testutil.Ints(seed, dotMR*blocks*16, -4, 4), testutil.Ints(seed+1, dotNR*blocks*16, -4, 4)
		packed = make([]float32, len(x))
		PackDots(packed, x, dotNR, blocks*16, blocks*16)
		want, _ = dots64(dotMR, dotNR, blocks*16, w, blocks*16, x, blocks*16)
		for i := range kernels {
			if k := &kernels[i]; cpu.Has(k.isa) {
				got := testutil.NaNGuarded(t, dotMR*dotNR)
				k.dots(blocks, &got[0], &w[0], &packed[0], blocks*16)
				testutil.CheckExact(t, k.name, blocks, got, want)
			}
		}
	})
}

// TestDotsSpecials: a special value in a vector reaches that vector's sums, and one in a
// row that row's.
func TestDotsSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for _, v := range testutil.Specials() {
			var got [dotMR * dotNR]float32
			rows, xs := make([]float32, dotMR*32), make([]float32, dotNR*32)
			for i := range rows {
				rows[i] = 1
			}
			xs[5*16+3] = v
			k.dots(2, &got[0], &rows[0], &xs[0], 32)
			var want [dotMR * dotNR]float32
			for r := range dotMR {
				want[r*dotNR+5] = v
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
				if i/dotNR == 1 {
					want[i] = v
				}
			}
			testutil.CheckExact(t, "dots", v, got[:], want[:])
		}
	})
}
