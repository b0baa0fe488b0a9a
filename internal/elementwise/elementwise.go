// Package elementwise holds the loops that touch each element once: of training, the
// gradient of the ReLU, the sums of a bias gradient, and the step of gradient descent; of
// products, copies and sums of rows. All are bound by memory.
//
// On every instruction set subnormals are numbers like any other, and a NaN or an
// infinity touches the results of its own element alone: −0 and what is below it
// become 0 by the ReLU, a NaN stays one and lets no gradient pass.
package elementwise

import (
	"sync"
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
)

// kernel holds the loops of one instruction set. n, positive, counts blocks of
// 16 floats.
type kernel struct {
	name string
	isa  cpu.ISA
	// relu sets x[i] = max(x[i], 0), where NaN stays NaN.
	relu func(n int, x *float32)
	// copyRows copies rows of n blocks, which begin dstStride and srcStride bytes
	// apart, and fetches what lies ahead bytes after what it reads.
	copyRows func(n, rows int, dst, src *float32, dstStride, srcStride, ahead int)
	// copyPanels sets dst[b*panel+r*16+l] = src[r*ld+b*16+l] for n blocks of 1 row and of
	// atOnce rows.
	copyPanels [2]func(n int, dst, src *float32, panel, ld int)
	// add sets dst[i] += x[i].
	add func(n int, dst, x *float32)
	// addRows adds Σ_r x[r]·b[r*ldb+j] to y[j] for 1 row and for atOnce rows, one
	// chain of fused multiply-adds in the order of r.
	addRows [2]addRowsFunc
	// addDots adds Σ_k x[k]·b[j*ldb+k] to y[j] for 16 rows of n blocks, one chain of fused
	// multiply-adds in the order of k.
	addDots addRowsFunc
	// reluGrad sets dx[i] to 0 where x[i] ≤ 0, which no NaN is.
	reluGrad func(n int, dx, x *float32)
	// sumPixels sets sum[l] = Σ_p x[p*16+l] for 16 lanes, in the order of p.
	sumPixels func(n int, sum, x *float32)
	// sgd sets v = momentum·v + (g + decay·w), then w −= rate·v.
	sgd func(n int, w, v, g *float32, rate, momentum, decay float32)
	// sgdProduct is sgd for 1 row and for sgdRows rows, ld apart, with the gradient
	// g[r][j] = Σ_t a[r*taps+t]·x[t*row+j], one chain of fused multiply-adds in the
	// order of t.
	sgdProduct [2]sgdProductFunc
	// dots sets sums[r*8+p] = Σ_j w[r*ldw+j]·x[(j/16*8+p)*16+j%16] for 3 rows and 8
	// vectors. Each sum is of several chains of fused multiply-adds.
	dots func(n int, sums, w, x *float32, ldw int)
}

type addRowsFunc func(n int, y, x, b *float32, ldb int)

type sgdProductFunc func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32)

var best = func() *kernel {
	for i := range kernels {
		if cpu.Has(kernels[i].isa) {
			return &kernels[i]
		}
	}
	panic("elementwise: no kernel") // the generic one runs everywhere
}()

// piece bounds the blocks of one call, which cannot be interrupted: three streams
// of them take some 50 µs from memory.
const piece = 4096

// pieces calls f for every piece of n blocks: the first float and the blocks.
func pieces(n int, f func(at, n int)) {
	for b := 0; b < n; b += piece {
		f(b*16, min(piece, n-b))
	}
}

// ReLU sets x[i] = max(x[i], 0), where NaN stays NaN.
func ReLU(x []float32) {
	pieces(len(x)/16, func(at, n int) { best.relu(n, &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		x[i] = max(x[i], 0)
	}
}

// Add sets dst[i] += x[i]. The slices have the same length.
func Add(dst, x []float32) {
	if len(x) != len(dst) {
		panic("elementwise: wrong lengths")
	}
	pieces(len(x)/16, func(at, n int) { best.add(n, &dst[at], &x[at]) })
	for i := len(x) &^ 15; i < len(x); i++ {
		dst[i] += x[i]
	}
}

// atOnce is how many rows are read side by side where memory is the limit: by
// instructions of their own, so that the processor sees streams and fetches them itself.
// Fewer rows go over y more often; more than the ways of a first-level cache drive each
// other out where they share its sets.
const atOnce = 8

// AddRows adds Σ_r x[r]·b[r*ldb+j] to y[j] for rows of b that begin ldb elements apart,
// one for each x. Each sum is one chain of fused multiply-adds in the order of r. The
// length of y is a multiple of 16.
func AddRows(y, x, b []float32, ldb int) {
	rows, blocks := len(x), len(y)/16
	if rows == 0 {
		return
	}
	if len(y)%16 != 0 || len(b) < (rows-1)*ldb+len(y) {
		panic("elementwise: lengths differ")
	}
	for r, step := 0, 0; r < rows; r += step {
		f := best.addRows[1]
		if step = atOnce; rows-r < step {
			f, step = best.addRows[0], 1
		}
		for at := 0; at < blocks; at += piece / atOnce {
			f(min(piece/atOnce, blocks-at), &y[at*16], &x[r], &b[r*ldb+at*16], ldb)
		}
	}
}

// AddDots adds Σ_k x[k]·b[j*ldb+k] to y[j] for rows of b that begin ldb elements apart, one
// for each y. Each sum is one chain of fused multiply-adds in the order of k. Rows and
// taps that are not whole blocks of 16 are copied to e first.
func AddDots(y, x, b []float32, ldb int, e *DotsEdge) {
	if len(x) == 0 || len(y) == 0 {
		return
	}
	_ = b[(len(y)-1)*ldb+len(x)-1]
	for j := 0; j < len(y); j += 16 {
		rows, done := min(16, len(y)-j), 0
		if rows == 16 {
			for done+16 <= len(x) {
				n := min(piece/16, (len(x)-done)/16)
				best.addDots(n, &y[j], &x[done], &b[j*ldb+done], ldb)
				done += n * 16
			}
		}
		if done < len(x) {
			e.addDots(y[j:][:rows], x[done:], b[j*ldb+done:], ldb)
		}
	}
}

// DotsEdge holds copies of up to 16 rows and taps of AddDots, with zeros behind them.
type DotsEdge struct {
	y, x [16]float32
	b    [16 * 16]float32
}

// addDots is AddDots for at most 16 rows.
func (e *DotsEdge) addDots(y, x, b []float32, ldb int) {
	clear(e.b[len(y)*16:])
	copy(e.y[:], y)
	for k := 0; k < len(x); k += 16 {
		taps := min(16, len(x)-k)
		clear(e.x[copy(e.x[:], x[k:]):])
		for j := range y {
			clear(e.b[j*16:][copy(e.b[j*16:][:16], b[j*ldb+k:][:taps]):16])
		}
		best.addDots(1, &e.y[0], &e.x[0], &e.b[0], 16)
	}
	copy(y, e.y[:])
}

// fetchBlocks is how many blocks of 16 CopyRows fetches ahead: where rows are short
// and far apart, the processor does not foresee the next one.
const fetchBlocks = 64

// CopyRows copies rows of n elements, which begin dstStride and srcStride elements
// apart. dst and src must not overlap.
func CopyRows(rows, n int, dst []float32, dstStride int, src []float32, srcStride int) {
	if rows == 0 || n == 0 {
		return
	}
	_, _ = dst[(rows-1)*dstStride+n-1], src[(rows-1)*srcStride+n-1]
	blocks := n / 16
	if blocks > 0 {
		ahead := 4 * srcStride * max(1, fetchBlocks/blocks)
		most := max(1, piece/blocks)
		for i := 0; i < rows; i += most {
			best.copyRows(blocks, min(most, rows-i), &dst[i*dstStride], &src[i*srcStride], 4*dstStride, 4*srcStride, ahead)
		}
	}
	if from := blocks * 16; from < n {
		for i := range rows {
			copy(dst[i*dstStride+from:][:n-from], src[i*srcStride+from:])
		}
	}
}

// CopyPanels copies rows of some blocks of 16, which begin srcStride elements apart, to
// panels one behind the other, each of which has a block of every row. dst and src must
// not overlap.
func CopyPanels(rows, blocks int, dst, src []float32, srcStride int) {
	if rows == 0 || blocks == 0 {
		return
	}
	_, _ = dst[blocks*rows*16-1], src[(rows-1)*srcStride+blocks*16-1]
	for r, step := 0, 0; r < rows; r += step {
		f := best.copyPanels[1]
		if step = atOnce; rows-r < step {
			f, step = best.copyPanels[0], 1
		}
		for at := 0; at < blocks; at += piece / atOnce {
			f(min(piece/atOnce, blocks-at), &dst[(at*rows+r)*16], &src[r*srcStride+at*16], rows*16, srcStride)
		}
	}
}

// ReLUGrad sets dx[i] to 0 where x[i] ≤ 0, which no NaN is. The slices have the same
// length, a multiple of 16.
func ReLUGrad(dx, x []float32) {
	if len(x) < len(dx) || len(dx)%16 != 0 {
		panic("elementwise: wrong lengths")
	}
	pieces(len(dx)/16, func(at, n int) { best.reluGrad(n, &dx[at], &x[at]) })
}

// SumPixels sets sum[l] = Σ_p x[16p+l]. The length of x is a multiple of 16.
func SumPixels(sum *[16]float32, x []float32) {
	if len(x)%16 != 0 {
		panic("elementwise: wrong length")
	}
	*sum = [16]float32{}
	if len(x) > 0 {
		best.sumPixels(len(x)/16, &sum[0], unsafe.SliceData(x))
	}
}

// SGD takes one step of gradient descent with momentum and weight decay, by
// PyTorch's rule: v = momentum·v + (g + decay·w), w −= rate·v. The slices have
// the same length. What becomes of an element does not depend on its place.
func SGD(w, v, g []float32, rate, momentum, decay float32) {
	if len(v) != len(w) || len(g) != len(w) {
		panic("elementwise: wrong lengths")
	}
	pieces(len(w)/16, func(at, n int) { best.sgd(n, &w[at], &v[at], &g[at], rate, momentum, decay) })
	if i := len(w) &^ 15; i < len(w) {
		rest := rests.Get().(*[3][16]float32)
		copy(rest[0][:], w[i:])
		copy(rest[1][:], v[i:])
		copy(rest[2][:], g[i:])
		best.sgd(1, &rest[0][0], &rest[1][0], &rest[2][0], rate, momentum, decay)
		copy(w[i:], rest[0][:])
		copy(v[i:], rest[1][:])
		rests.Put(rest)
	}
}

// rests hold the elements behind the last whole block: the kernels take pointers,
// which would move variables of a function to the heap.
var rests = sync.Pool{New: func() any { return new([3][16]float32) }}

// SGDProduct is SGD for rows of n weights, whose gradient is a product:
//
//	g[i][j] = Σ_t a[i*taps+t]·x[t*ldx+j]
//
// The rows of w and v are ld elements apart. The gradient's bits are those of
// package gemm, as long as it does not split the sum, and it is not written to
// memory.
func SGDProduct(w, v []float32, ld, rows, n int, a []float32, taps int, x []float32, ldx int, rate, momentum, decay float32) {
	if rows < 1 || n < 1 || taps < 1 {
		return
	}
	last := (rows-1)*ld + n
	if len(w) < last || len(v) < last || len(a) < rows*taps || len(x) < (taps-1)*ldx+n || ld < n || ldx < n {
		panic("elementwise: wrong lengths")
	}
	whole := n &^ 15
	for i := 0; i < rows; {
		f, m := best.sgdProduct[0], 1
		if i+sgdRows <= rows {
			f, m = best.sgdProduct[1], sgdRows
		}
		for j := 0; j < whole; {
			blocks := min((whole-j)/16, max(1, productPiece/taps))
			at := i*ld + j
			f(blocks, taps, &w[at], &v[at], &a[i*taps], &x[j], ld, ldx, rate, momentum, decay)
			j += blocks * 16
		}
		i += m
	}
	if whole == n {
		return
	}
	rest := productRests.Get().(*productRest)
	if len(rest.x) < taps*16 {
		rest.x = make([]float32, taps*16)
	}
	for t := range taps {
		copy(rest.x[t*16:][:16], x[t*ldx+whole:t*ldx+n])
	}
	for i := range rows {
		rw, rv := w[i*ld+whole:i*ld+n], v[i*ld+whole:i*ld+n]
		copy(rest.w[:], rw)
		copy(rest.v[:], rv)
		best.sgdProduct[0](1, taps, &rest.w[0], &rest.v[0], &a[i*taps], &rest.x[0], 0, 16, rate, momentum, decay)
		copy(rw, rest.w[:])
		copy(rv, rest.v[:])
	}
	productRests.Put(rest)
}

// A call takes sgdRows rows, and productPiece bounds its blocks times taps: some
// 100 µs from memory.
const (
	sgdRows      = 4
	productPiece = 1 << 14
)

// productRest holds the elements behind the last whole block.
type productRest struct {
	w, v [16]float32
	x    []float32
}

var productRests = sync.Pool{New: func() any { return new(productRest) }}

// A call of dots multiplies dotRows rows and dotVectors vectors, which lie in
// packed form, for at most dotBlocks blocks of 16 elements: some 20 µs. The bits of
// a sum depend on dotBlocks. Longer calls read memory faster.
const (
	dotRows    = 3
	dotVectors = 8
	dotBlocks  = 2048
)

// DotsLen returns the length of the vectors that Dots takes.
func DotsLen(vectors, n int) int { return (vectors + dotVectors - 1) / dotVectors * dotVectors * n }

// PackDots lays vectors of n elements, ldx apart, out for Dots: groups of 8, whose
// blocks of 16 elements stand side by side, so that the cache has room for all of
// them whatever ldx is. dst, of DotsLen, holds zeros for the vectors that a last
// group lacks.
func PackDots(dst, x []float32, vectors, n, ldx int) {
	whole := n &^ 15
	for p := range vectors {
		group := dst[p/dotVectors*dotVectors*n:]
		from := x[p*ldx:][:n]
		if whole > 0 {
			CopyRows(whole/16, 16, group[p%dotVectors*16:], dotVectors*16, from, 16)
		}
		for j := whole; j < n; j++ {
			group[whole*dotVectors+p%dotVectors*(n-whole)+j-whole] = from[j]
		}
	}
}

// Dots adds the products of rows of a matrix and vectors, see PackDots, to y:
//
//	y[i*vectors+p] += Σ_j w[i*ldw+j]·x[p][j]
//
// for rows of n elements. The bits of a product depend on its own operands alone.
func Dots(y []float32, rows, vectors, n int, w []float32, ldw int, x []float32) {
	if rows < 1 || vectors < 1 || n < 1 {
		return
	}
	if len(y) < rows*vectors || len(w) < (rows-1)*ldw+n || len(x) < DotsLen(vectors, n) || ldw < n {
		panic("elementwise: wrong lengths")
	}
	sums := dotSums.Get().(*[dotRows * dotVectors]float32)
	whole := n &^ 15
	for i, m := 0, 0; i < rows; i += m {
		ld := ldw
		if m = dotRows; m > rows-i { // the last ones one by one: each is all of a call's
			m, ld = 1, 0
		}
		for j := 0; j < whole; j += dotBlocks * 16 {
			blocks := min(dotBlocks, (whole-j)/16)
			for p := 0; p < vectors; p += dotVectors {
				best.dots(blocks, &sums[0], &w[i*ldw+j], &x[p*n+j*dotVectors], ld)
				k := min(dotVectors, vectors-p)
				for r := range m {
					out := y[(i+r)*vectors+p:][:k]
					for q, s := range sums[r*dotVectors:][:k] {
						out[q] += s
					}
				}
			}
		}
	}
	dotSums.Put(sums)
	for i := range rows {
		for p := range vectors {
			rest := x[p/dotVectors*dotVectors*n+whole*dotVectors+p%dotVectors*(n-whole):]
			for j := whole; j < n; j++ {
				y[i*vectors+p] += w[i*ldw+j] * rest[j-whole]
			}
		}
	}
}

var dotSums = sync.Pool{New: func() any { return new([dotRows * dotVectors]float32) }}

var generic = kernel{"generic", cpu.Generic, reluGeneric, copyRowsGeneric, [2]func(int, *float32, *float32, int, int){copyPanelsGeneric(1), copyPanelsGeneric(atOnce)}, addGeneric, [2]addRowsFunc{addRowsGeneric(1), addRowsGeneric(atOnce)}, addDotsGeneric, reluGradGeneric, sumPixelsGeneric, sgdGeneric, [2]sgdProductFunc{sgdProductGeneric(1), sgdProductGeneric(sgdRows)}, dotsGeneric}

func reluGeneric(n int, x *float32) {
	for i, v := range unsafe.Slice(x, n*16) {
		unsafe.Slice(x, n*16)[i] = max(v, 0)
	}
}

func copyRowsGeneric(n, rows int, dst, src *float32, dstStride, srcStride, _ int) {
	d, s := unsafe.Slice(dst, (rows-1)*dstStride/4+n*16), unsafe.Slice(src, (rows-1)*srcStride/4+n*16)
	for i := range rows {
		copy(d[i*dstStride/4:][:n*16], s[i*srcStride/4:])
	}
}

func copyPanelsGeneric(rows int) func(n int, dst, src *float32, panel, ld int) {
	return func(n int, dst, src *float32, panel, ld int) {
		d, s := unsafe.Slice(dst, (n-1)*panel+rows*16), unsafe.Slice(src, (rows-1)*ld+n*16)
		for b := range n {
			for r := range rows {
				copy(d[b*panel+r*16:][:16], s[r*ld+b*16:])
			}
		}
	}
}

func addGeneric(n int, dst, x *float32) {
	d := unsafe.Slice(dst, n*16)
	for i, v := range unsafe.Slice(x, n*16) {
		d[i] += v
	}
}

// addRowsGeneric computes in float64, where products of float32 are exact: without fused
// multiply-adds float32 would lose twice as much.
func addRowsGeneric(rows int) addRowsFunc {
	return func(n int, y, x, b *float32, ldb int) {
		to, xs, bs := unsafe.Slice(y, n*16), unsafe.Slice(x, rows), unsafe.Slice(b, (rows-1)*ldb+n*16)
		for j, v := range to {
			sum := float64(v)
			for r, x := range xs {
				sum += float64(x) * float64(bs[r*ldb+j])
			}
			to[j] = float32(sum)
		}
	}
}

// addDotsGeneric computes in float64 as well.
func addDotsGeneric(n int, y, x, b *float32, ldb int) {
	to, xs, bs := unsafe.Slice(y, 16), unsafe.Slice(x, n*16), unsafe.Slice(b, 15*ldb+n*16)
	for j, v := range to {
		sum := float64(v)
		for k, v := range bs[j*ldb:][:n*16] {
			sum += float64(xs[k]) * float64(v)
		}
		to[j] = float32(sum)
	}
}

func reluGradGeneric(n int, dx, x *float32) {
	d, s := unsafe.Slice(dx, n*16), unsafe.Slice(x, n*16)
	for i, v := range s {
		if v <= 0 {
			d[i] = 0
		}
	}
}

func sumPixelsGeneric(n int, sum, x *float32) {
	s := unsafe.Slice(sum, 16)
	clear(s)
	for i, v := range unsafe.Slice(x, n*16) {
		s[i%16] += v
	}
}

func sgdGeneric(n int, w, v, g *float32, rate, momentum, decay float32) {
	ws, vs, gs := unsafe.Slice(w, n*16), unsafe.Slice(v, n*16), unsafe.Slice(g, n*16)
	for i := range ws {
		vs[i] = momentum*vs[i] + (gs[i] + decay*ws[i])
		ws[i] -= rate * vs[i]
	}
}

func sgdProductGeneric(rows int) sgdProductFunc {
	return func(n, taps int, w, v, a, x *float32, ld, row int, rate, momentum, decay float32) {
		ws, vs := unsafe.Slice(w, (rows-1)*ld+n*16), unsafe.Slice(v, (rows-1)*ld+n*16)
		as, xs := unsafe.Slice(a, rows*taps), unsafe.Slice(x, (taps-1)*row+n*16)
		for i := range rows {
			for j := 0; j < n*16; j += 16 {
				var sum [16]float64 // as in package direct
				for t, f := range as[i*taps:][:taps] {
					for l, y := range xs[t*row+j:][:16] {
						sum[l] += float64(f) * float64(y)
					}
				}
				at := i*ld + j
				for l, g := range sum {
					vs[at+l] = momentum*vs[at+l] + (float32(g) + decay*ws[at+l])
					ws[at+l] -= rate * vs[at+l]
				}
			}
		}
	}
}

func dotsGeneric(n int, sums, w, x *float32, ldw int) {
	xs := unsafe.Slice(x, n*16*dotVectors)
	for i := range unsafe.Slice(sums, dotRows*dotVectors) {
		p, row := i%dotVectors, unsafe.Slice(w, i/dotVectors*ldw+n*16)[i/dotVectors*ldw:]
		sum := 0.0 // as in package direct
		for j, v := range row {
			sum += float64(v) * float64(xs[(j/16*dotVectors+p)*16+j%16])
		}
		unsafe.Slice(sums, dotRows*dotVectors)[i] = float32(sum)
	}
}
