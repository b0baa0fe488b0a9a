// Package pack copies rows of a matrix to where a kernel reads them front to back:
// beside each other, or as panels of 16 columns. It is the packing of A and B in package
// gemm. Memory bounds all of it.
package pack

// fetchBlocks is how many blocks of 16 CopyRows fetches ahead: where rows are short
// and far apart, the processor does not foresee the next one.
const fetchBlocks = 64

// Rows copies rows of n elements, which begin dstStride and srcStride elements apart.
// dst and src must not overlap. It panics on shorter slices and does not allocate.
func Rows(rows, n int, dst []float32, dstStride int, src []float32, srcStride int) {
	if rows == 0 || n == 0 {
		return
	}
	_, _ = dst[(rows-1)*dstStride+n-1], src[(rows-1)*srcStride+n-1]
	blocks := n / 16
	if blocks > 0 {
		ahead := 4 * srcStride * max(1, fetchBlocks/blocks)
		most := max(1, piece/blocks)
		for i := 0; i < rows; i += most {
			best.rows(blocks, min(most, rows-i), &dst[i*dstStride], &src[i*srcStride], 4*dstStride, 4*srcStride, ahead)
		}
	}
	if from := blocks * 16; from < n {
		for i := range rows {
			copy(dst[i*dstStride+from:][:n-from], src[i*srcStride+from:])
		}
	}
}

// Panels copies rows of some blocks of 16 elements, which begin srcStride elements
// apart, to panels one behind the other. Panel b holds block b of every row. dst and src
// must not overlap. It panics on shorter slices and does not allocate.
func Panels(rows, blocks int, dst, src []float32, srcStride int) {
	if rows == 0 || blocks == 0 {
		return
	}
	_, _ = dst[blocks*rows*16-1], src[(rows-1)*srcStride+blocks*16-1]
	for r, step := 0, 0; r < rows; r += step {
		f := best.panels[1]
		if step = rowsAtOnce; rows-r < step {
			f, step = best.panels[0], 1
		}
		for at := 0; at < blocks; at += piece / rowsAtOnce {
			f(min(piece/rowsAtOnce, blocks-at), &dst[(at*rows+r)*16], &src[r*srcStride+at*16], rows*16, srcStride)
		}
	}
}
