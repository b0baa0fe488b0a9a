package level1f

import (
	"sync"

	"github.com/nonet-go/nonet/internal/pack"
)

// A call of dots multiplies a tile of dotMR rows and dotNR vectors, which lie in packed
// form, for at most dotKC blocks of 16 elements: some 20 µs. The bits of a sum depend on
// dotKC. Longer calls read memory faster.
const (
	dotMR = 3
	dotNR = 8
	dotKC = 2048
)

// DotsLen returns the length of the vectors that Dots takes.
func DotsLen(vectors, n int) int { return (vectors + dotNR - 1) / dotNR * dotNR * n }

// PackDots packs vectors of n elements, ldx apart, for Dots: groups of 8, whose blocks of
// 16 elements stand side by side, so that they do not share cache sets whatever ldx is.
// dst has DotsLen elements. Those of the vectors that a last group lacks stay as they
// are and must be finite; a new slice has zeros there.
func PackDots(dst, x []float32, vectors, n, ldx int) {
	whole := n &^ 15
	for p := range vectors {
		group := dst[p/dotNR*dotNR*n:]
		from := x[p*ldx:][:n]
		if whole > 0 {
			pack.Rows(whole/16, 16, group[p%dotNR*16:], dotNR*16, from, 16)
		}
		for j := whole; j < n; j++ {
			group[whole*dotNR+p%dotNR*(n-whole)+j-whole] = from[j]
		}
	}
}

// Dots adds the products of rows of a matrix and vectors to y:
//
//	y[i*vectors+p] += Σ_j w[i*ldw+j]·x[p][j]
//
// The rows have n elements. PackDots packs the vectors. The bits of a product depend on
// its own operands alone. Dots panics on shorter slices and does not allocate.
func Dots(y []float32, rows, vectors, n int, w []float32, ldw int, x []float32) {
	if rows < 1 || vectors < 1 || n < 1 {
		return
	}
	if len(y) < rows*vectors || len(w) < (rows-1)*ldw+n || len(x) < DotsLen(vectors, n) || ldw < n {
		panic("level1f: wrong lengths")
	}
	sums := dotSums.Get().(*[dotMR * dotNR]float32)
	whole := n &^ 15
	for i, m := 0, 0; i < rows; i += m {
		ld := ldw
		if m = dotMR; m > rows-i { // the last ones one by one: each is all of a call's
			m, ld = 1, 0
		}
		for j := 0; j < whole; j += dotKC * 16 {
			blocks := min(dotKC, (whole-j)/16)
			for p := 0; p < vectors; p += dotNR {
				best.dots(blocks, &sums[0], &w[i*ldw+j], &x[p*n+j*dotNR], ld)
				k := min(dotNR, vectors-p)
				for r := range m {
					out := y[(i+r)*vectors+p:][:k]
					for q, s := range sums[r*dotNR:][:k] {
						out[q] += s
					}
				}
			}
		}
	}
	dotSums.Put(sums)
	for i := range rows {
		for p := range vectors {
			rest := x[p/dotNR*dotNR*n+whole*dotNR+p%dotNR*(n-whole):]
			for j := whole; j < n; j++ {
				y[i*vectors+p] += w[i*ldw+j] * rest[j-whole]
			}
		}
	}
}

var dotSums = sync.Pool{New: func() any { return new([dotMR * dotNR]float32) }}
