package check

import (
	"math"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/level1f"
	"github.com/nonet-go/nonet/internal/optimiser"
	"github.com/nonet-go/nonet/internal/pack"
	"github.com/nonet-go/nonet/internal/ref"
)

// vectors checks the packages of operations that memory bounds.
func (k *kernels) vectors() {
	k.activations()
	k.copies()
	k.fused()
	k.steps()
}

func (k *kernels) activations() {
	const n = 21 * 16
	x, dx := random(17, n), random(18, n)
	x[0] = float32(math.Inf(-1))
	relu := append([]float32(nil), x...)
	activation.ReLU(relu)
	k.exact("activation", "ReLU", nil, relu, ref.ReLU(x))
	through := append([]float32(nil), dx...)
	activation.ReLUGrad(through, x)
	k.exact("activation", "gradient of the ReLU", nil, through, ref.ReLUGrad(x, dx))
	x[0] = 1
	sum, want := append([]float32(nil), dx...), ref.Float64(dx)
	activation.Add(sum, x)
	for i, v := range x {
		want[i] += float64(v)
	}
	k.row("activation", "sum", nil, sum, want)
	var lanes [16]float32
	activation.SumPixels(&lanes, dx)
	want = make([]float64, 16)
	for i, v := range dx {
		want[i%16] += float64(v)
	}
	k.row("activation", "sums over pixels", nil, lanes[:], want)
	squares, want := append([]float32(nil), x...), ref.Float64(x)
	activation.AddSquares(squares, dx)
	distance := 0.0
	for i, v := range dx {
		want[i] += float64(v) * float64(v)
		d := float64(x[i])*float64(x[i]) - float64(v)*float64(v)
		distance += d * d
	}
	k.row("activation", "squares", nil, squares, want)
	k.row("activation", "squared distance", nil, []float32{float32(activation.SquaredDistance(x, x, dx, dx, &lanes))}, []float64{distance})
}

// copies checks packing: 19 rows of 3 blocks and some columns more.
func (k *kernels) copies() {
	const rows, blocks, ld = 19, 3, 3*16 + 5
	x := random(19, rows*ld)
	got, want := make([]float32, rows*ld), ref.Float64(x)
	pack.Rows(rows, ld, got, ld, x, ld)
	k.exact("pack", "rows", nil, got, want)
	got, want = make([]float32, rows*blocks*16), want[:0]
	pack.Panels(rows, blocks, got, x, ld)
	for b := range blocks {
		for r := range rows {
			want = append(want, ref.Float64(x[r*ld+b*16:][:16])...)
		}
	}
	k.exact("pack", "panels", nil, got, want)
}

func (k *kernels) fused() {
	const rows, n, ld, vectors = 21, 5 * 16, 5*16 + 3, 9
	a, x, xs := random(20, rows*ld), random(21, n), random(22, vectors*n)
	y := random(23, n)
	want, _ := ref.Gemv(true, rows, n, 1, a, ld, x[:rows], 1, y)
	level1f.Axpyf(y, x[:rows], a, ld)
	k.row("level 1 fused", "axpyf", nil, y, want)
	y = random(24, rows)
	want, _ = ref.Gemv(false, rows, n-3, 1, a, ld, x, 1, y)
	level1f.Dotxf(y, x[:n-3], a, ld, new(level1f.Edge))
	k.row("level 1 fused", "dotxf", nil, y, want)
	y = random(25, rows*vectors)
	want, _ = ref.Gemm(false, true, rows, vectors, n-3, 1, a, ld, xs, n, 1, y, vectors)
	packed := make([]float32, level1f.DotsLen(vectors, n-3))
	level1f.PackDots(packed, xs, vectors, n-3, n)
	level1f.Dots(y, rows, vectors, n-3, a, ld, packed)
	k.row("level 1 fused", "dots", nil, y, want)
}

func (k *kernels) steps() {
	const n, rows, taps, rate, momentum, decay = 37, 5, 7, 0.01, 0.9, 5e-4
	w, v, a, x := random(26, rows*n), random(27, rows*n), random(28, rows*taps), random(29, taps*n)
	g, _ := ref.Gemm(false, false, rows, n, taps, 1, a, taps, x, n, 0, make([]float32, rows*n), n)
	want, v64 := ref.Float64(w), ref.Float64(v)
	ref.SGD(want, v64, g, rate, momentum, decay)
	along, moment := append([]float32(nil), w...), append([]float32(nil), v...)
	rule := optimiser.Rule{Rate: rate, Momentum: momentum, Decay: decay}
	optimiser.SGDProduct(optimiser.Product{Rows: rows, N: n, Taps: taps, W: along, V: moment, LD: n, A: a, X: x, LDX: n}, rule)
	k.row("gradient descent", "along a product", nil, along, want)
	optimiser.SGD(w, v, ref.Float32(g), rule)
	k.row("gradient descent", "step", nil, w, want)
}
