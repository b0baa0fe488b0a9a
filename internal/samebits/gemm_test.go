package samebits

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/layout"
)

// A product is the size of one, and the distance of its rows beyond the least: of A and of
// B. Rows that are a multiple of 1024 elements apart take paths of their own.
type product struct{ m, n, k, padA, padB int }

// A few rows of every kind meet all remainders of columns and of sums.
func smallProducts() (list []product) {
	for _, m := range []int{1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15} {
		for _, n := range []int{1, 2, 15, 16, 17, 33, 66} {
			for _, k := range []int{1, 2, 5, 16, 33, 130} {
				i := len(list)
				list = append(list, product{m, n, k, 3 * (i % 2), 5 * (i / 2 % 2)})
			}
		}
	}
	return list
}

// largeProducts cross the limits at which another path or another block begins.
var largeProducts = []product{
	{26, 100, 40, 0, 28}, {27, 100, 40, 0, 28}, {27, 100, 40, 1, 1}, {48, 100, 40, 0, 3}, {49, 100, 40, 0, 3},
	{57, 130, 33, 0, 2}, {126, 65, 40, 0, 0}, {127, 65, 40, 1, 1}, {200, 49, 20, 0, 0}, {201, 49, 20, 0, 0}, {260, 49, 20, 0, 0},
	{1, 40, 513, 0, 0}, {2, 40, 1025, 0, 0}, {3, 20, 2049, 7, 5}, {9, 33, 1025, 0, 0}, {50, 17, 1100, 0, 0}, {130, 17, 600, 0, 0},
	{1, 4100, 9, 0, 0}, {9, 4112, 9, 0, 0}, {30, 4097, 9, 3, 3}, {130, 4100, 5, 0, 0}, // columns beyond NC
	{4, 260, 70, 954, 764}, {9, 260, 70, 954, 764}, {15, 260, 70, 954, 764}, {50, 260, 70, 954, 764}, {130, 260, 70, 954, 0}, {130, 70, 260, 0, 0},
	{2, 48, 100, 0, 60000}, {4, 40, 100, 0, 60000}, // B is beyond the last-level cache
}

// scalars are alpha and beta.
var scalars = [][2]float32{{1, 0}, {1, 1}, {-1, 0.5}, {0.75, -1.5}, {0.5, 0}, {0, 2}}

func letters(transA, transB bool) string {
	letter := map[bool]string{false: "N", true: "T"}
	return letter[transA] + letter[transB]
}

// stored returns the rows and columns of a matrix that is rows×cols after op.
func stored(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

func products(h *hashes) {
	g := gemm.NewMultiplier(h.team)
	one := func(name string, p product, transA, transB bool, alpha, beta float32) {
		ra, ca := stored(transA, p.m, p.k)
		rb, cb := stored(transB, p.k, p.n)
		lda, ldb, ldc := ca+p.padA, cb+p.padB, p.n+p.padA%4
		c := fresh(3, p.m*ldc)
		h.do(g.SGEMM(context.Background(), transA, transB, p.m, p.n, p.k, alpha, data(1, ra*lda), lda, data(2, rb*ldb), ldb, beta, c, ldc))
		h.add(name, c)
	}
	for t := range 4 {
		transA, transB := t&1 != 0, t&2 != 0
		for i, p := range smallProducts() {
			s := scalars[i%len(scalars)]
			one(fmt.Sprintf("SGEMM %s m=%d", letters(transA, transB), p.m), p, transA, transB, 1, float32(i%2))
			one(fmt.Sprintf("SGEMM %s m=%d, alpha and beta", letters(transA, transB), p.m), p, transA, transB, s[0], s[1])
		}
		for _, p := range largeProducts {
			if transB && p.padB > 10000 {
				continue
			}
			for _, s := range scalars[:4] {
				one(fmt.Sprintf("SGEMM %s %d×%d×%d", letters(transA, transB), p.m, p.n, p.k), p, transA, transB, s[0], s[1])
			}
		}
	}
}

func packedProducts(h *hashes) {
	g := gemm.NewMultiplier(h.team)
	for _, b := range []struct{ n, k int }{{1, 3}, {15, 9}, {49, 130}, {100, 40}, {33, 1100}, {4100, 7}} {
		for t := range 4 {
			transA, transB := t&1 != 0, t&2 != 0
			rb, cb := stored(transB, b.k, b.n)
			packed := g.Pack(transB, b.n, b.k, data(2, rb*cb), cb)
			for _, m := range []int{1, 2, 6, 7, 13, 50, 127} {
				_, lda := stored(transA, m, b.k)
				for beta := range 2 {
					c := fresh(3, m*b.n)
					h.do(g.Packed(context.Background(), transA, m, data(1, m*b.k), lda, packed, float32(beta), c, b.n))
					h.add(fmt.Sprintf("Packed %s %d×%d", letters(transA, transB), b.n, b.k), c)
				}
			}
		}
	}
}

func vectors(h *hashes) {
	g := gemm.NewMultiplier(h.team)
	for _, s := range []struct{ m, n, lda int }{{1, 20, 20}, {20, 1, 1}, {33, 40, 41}, {17, 1030, 1030}, {1030, 17, 17}, {40, 513, 1024}, {70, 4100, 4100}, {4100, 33, 64}} {
		for _, trans := range []bool{false, true} {
			rows, cols := stored(trans, s.m, s.n)
			for _, c := range scalars {
				y := fresh(3, rows)
				h.do(g.GEMV(context.Background(), trans, s.m, s.n, c[0], data(1, s.m*s.lda), s.lda, data(2, cols), c[1], y))
				h.add(fmt.Sprintf("GEMV %s %d×%d", letters(trans, false)[:1], s.m, s.n), y)
			}
		}
	}
}

func connected(h *hashes) {
	const most = 15
	for _, s := range []struct{ out, in int }{{1, 1}, {10, 33}, {65, 512}, {133, 1040}} {
		w, b, x := data(1, s.out*s.in), data(2, s.out), data(3, most*s.in)
		for _, storage := range []struct {
			name string
			opts []gemm.Option
		}{{"Linear", nil}, {"Linear, ReLU", []gemm.Option{gemm.ReLU()}}, {"Linear, half precision", []gemm.Option{gemm.Half()}}, {"Linear, fixed", []gemm.Option{gemm.Fixed()}}} {
			l, err := gemm.NewLinear(s.in, s.out, w, b, h.team, storage.opts...)
			h.do(err)
			e, err := l.NewExec(most, h.team)
			h.do(err)
			for n := 1; n <= most; n++ {
				y := make([]float32, n*s.out)
				h.do(e.Run(context.Background(), n, y, x[:n*s.in]))
				h.add(fmt.Sprintf("%s %d to %d", storage.name, s.in, s.out), y)
			}
		}
	}
}

func pointwise(h *hashes) {
	for _, s := range []struct{ n, c, h, w, k int }{{1, 1, 1, 1, 1}, {2, 37, 5, 7, 70}, {1, 130, 4, 4, 65}, {1, 16, 16, 15, 33}} {
		size := fmt.Sprintf("%d×%d×%d×%d to %d", s.n, s.c, s.h, s.w, s.k)
		w, b := data(1, s.k*s.c), data(2, s.k)
		x, dy := blocked(h, 3, s.n, s.c, s.h*s.w), blocked(h, 4, s.n, s.k, s.h*s.w)
		p, err := gemm.NewPointwise(s.c, s.k, w, b)
		h.do(err)
		back, err := gemm.NewPointwise(s.k, s.c, w, nil) // of the same length
		h.do(err)
		back.Repack(true, w, nil)
		for _, relu := range []bool{false, true} {
			e, err := p.NewExec(s.n, s.h, s.w, fuse.Epilogue{ReLU: relu}, h.team)
			h.do(err)
			y := make([]float32, len(dy))
			h.do(e.Run(context.Background(), y, x))
			h.add("Pointwise "+size, y)
		}
		e, err := back.NewExec(s.n, s.h, s.w, fuse.Epilogue{}, h.team)
		h.do(err)
		dx := make([]float32, len(x))
		h.do(e.Run(context.Background(), dx, dy))
		h.add("Pointwise, gradient of the input "+size, dx)
		g, err := gemm.NewPointwiseWeightGrad(s.n, s.c, s.h, s.w, s.k, h.team)
		h.do(err)
		dw, db := make([]float32, s.k*s.c), make([]float32, s.k)
		h.do(g.Run(context.Background(), dw, db, x, dy))
		h.add("Pointwise, gradient of the weights "+size, append(dw, db...))
	}
}

// blocked returns n blocked pictures of c channels of plane pixels.
func blocked(h *hashes, seed uint64, n, c, plane int) []float32 {
	x, each := data(seed, n*c*plane), layout.Len(c, 1, plane)
	b := make([]float32, n*each)
	for i := range n {
		layout.FromNCHW(c, 1, plane, b[i*each:][:each], x[i*c*plane:][:c*plane])
	}
	return b
}
