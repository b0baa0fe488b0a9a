// Package level1f holds fused vector operations, which products with few rows or
// columns are made of. BLIS calls them level-1f:
//
//	Axpyf   y[j] += Σ_r x[r]·a[r][j]           some axpy, which read and write y once
//	Dotxf   y[j] += Σ_k x[k]·a[j][k]           some dot products with one x
//	Dots    y[i][p] += Σ_j w[i][j]·x[p][j]     dot products of rows and packed vectors
//
// Memory bounds all of them.
package level1f

// Axpyf adds Σ_r x[r]·a[r*lda+j] to y[j] for rows of a that begin lda elements apart, one
// for each x. Each sum is one chain of fused multiply-adds in the order of r. The length
// of y is a multiple of 16. It panics on shorter slices and does not allocate.
func Axpyf(y, x, a []float32, lda int) {
	rows, blocks := len(x), len(y)/16
	if rows == 0 {
		return
	}
	if len(y)%16 != 0 || len(a) < (rows-1)*lda+len(y) {
		panic("level1f: lengths differ")
	}
	for r, step := 0, 0; r < rows; r += step {
		f := best.axpyf[1]
		if step = fuseFactor; rows-r < step {
			f, step = best.axpyf[0], 1
		}
		for at := 0; at < blocks; at += piece / fuseFactor {
			f(min(piece/fuseFactor, blocks-at), &y[at*16], &x[r], &a[r*lda+at*16], lda)
		}
	}
}

// Dotxf adds Σ_k x[k]·a[j*lda+k] to y[j] for rows of a that begin lda elements apart, one
// for each y. Each sum is one chain of fused multiply-adds in the order of k. Rows and
// columns that are no whole block of 16 are copied to e first. It panics on shorter slices
// and does not allocate.
func Dotxf(y, x, a []float32, lda int, e *Edge) {
	if len(x) == 0 || len(y) == 0 {
		return
	}
	_ = a[(len(y)-1)*lda+len(x)-1]
	for j := 0; j < len(y); j += 16 {
		rows, done := min(16, len(y)-j), 0
		if rows == 16 {
			for done+16 <= len(x) {
				n := min(piece/16, (len(x)-done)/16)
				best.dotxf(n, &y[j], &x[done], &a[j*lda+done], lda)
				done += n * 16
			}
		}
		if done < len(x) {
			e.dotxf(y[j:][:rows], x[done:], a[j*lda+done:], lda)
		}
	}
}

// Edge is scratch of Dotxf: copies of up to 16 rows and columns, with zeros behind them.
type Edge struct {
	y, x [16]float32
	a    [16 * 16]float32
}

// dotxf is Dotxf for at most 16 rows.
func (e *Edge) dotxf(y, x, a []float32, lda int) {
	clear(e.a[len(y)*16:])
	copy(e.y[:], y)
	for k := 0; k < len(x); k += 16 {
		columns := min(16, len(x)-k)
		clear(e.x[copy(e.x[:], x[k:]):])
		for j := range y {
			clear(e.a[j*16:][copy(e.a[j*16:][:16], a[j*lda+k:][:columns]):16])
		}
		best.dotxf(1, &e.y[0], &e.x[0], &e.a[0], 16)
	}
	copy(y, e.y[:])
}
