package ref_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
)

func uniform(seed uint64, n int) []float64 { return ref.Float64(testutil.Uniform(seed, n)) }

// convShapes has every kind of filter, stride, padding and remainder.
var convShapes = []ref.ConvShape{
	{N: 1, C: 1, H: 1, W: 1, K: 1, KH: 1, KW: 1},
	{N: 2, C: 3, H: 7, W: 5, K: 4, KH: 3, KW: 3, Pad: 1},
	{N: 1, C: 2, H: 3, W: 9, K: 3, KH: 3, KW: 3},
	{N: 2, C: 4, H: 4, W: 6, K: 2, KH: 1, KW: 1},
	{N: 1, C: 2, H: 6, W: 7, K: 3, KH: 3, KW: 2, Stride: 2},
	{N: 2, C: 1, H: 9, W: 8, K: 2, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 1, C: 2, H: 5, W: 11, K: 2, KH: 5, KW: 7, Stride: 3, Pad: 3},
	{N: 1, C: 1, H: 1, W: 1, K: 1, KH: 3, KW: 3, Pad: 1},
	{N: 1, C: 1, H: 2, W: 2, K: 1, KH: 3, KW: 3, Pad: 4},
}

// TestConv2D writes the definition out, element by element.
func TestConv2D(t *testing.T) {
	t.Parallel()
	for _, s := range convShapes {
		x, w, b := uniform(1, s.InputLen()), uniform(2, s.WeightLen()), uniform(3, s.K)
		y, mag := ref.Conv2D(s, x, w, b)
		require.Len(t, y, s.OutputLen())
		i := 0
		for n := range s.N {
			for k := range s.K {
				for oy := range s.OH() {
					for ox := range s.OW() {
						sum, abs := b[k], math.Abs(b[k])
						for c := range s.C {
							for r := range s.KH {
								for q := range s.KW {
									iy, ix := oy*max(s.Stride, 1)+r-s.Pad, ox*max(s.Stride, 1)+q-s.Pad
									if iy >= 0 && iy < s.H && ix >= 0 && ix < s.W {
										p := x[((n*s.C+c)*s.H+iy)*s.W+ix] * w[((k*s.C+c)*s.KH+r)*s.KW+q]
										sum, abs = sum+p, abs+math.Abs(p)
									}
								}
							}
						}
						require.InDelta(t, sum, y[i], 1e-13, "%v element %d", s, i)
						require.InDelta(t, abs, mag[i], 1e-13, "%v magnitude %d", s, i)
						i++
					}
				}
			}
		}
	}
}

// TestPaddingIsNotMultiplied: an infinite weight over the border gives no NaN.
func TestPaddingIsNotMultiplied(t *testing.T) {
	t.Parallel()
	s := ref.ConvShape{N: 1, C: 1, H: 1, W: 1, K: 1, KH: 3, KW: 3, Pad: 1}
	w := make([]float32, 9)
	w[0], w[4] = float32(math.Inf(1)), 2
	y, _ := ref.Conv2D(s, []float32{3}, w, nil)
	require.Equal(t, []float64{6}, y)
}

// TestConvAdjoint: ⟨conv(x, w), y⟩ = ⟨x, InputGrad(y, w)⟩ = ⟨w, WeightGrad(x, y)⟩.
func TestConvAdjoint(t *testing.T) {
	t.Parallel()
	for _, s := range convShapes {
		x, w, dy := uniform(4, s.InputLen()), uniform(5, s.WeightLen()), uniform(6, s.OutputLen())
		y, yMag := ref.Conv2D(s, x, w, nil)
		dx, xMag := ref.Conv2DInputGrad(s, dy, w)
		dw, wMag := ref.Conv2DWeightGrad(s, x, dy)
		want, wantMag := ref.Dot(y, dy), ref.Dot(yMag, ref.Abs(dy))
		require.InDelta(t, want, ref.Dot(x, dx), 1e-12, "%v input gradient", s)
		require.InDelta(t, want, ref.Dot(w, dw), 1e-12, "%v weight gradient", s)
		require.InDelta(t, wantMag, ref.Dot(ref.Abs(x), xMag), 1e-12, "%v", s)
		require.InDelta(t, wantMag, ref.Dot(ref.Abs(w), wMag), 1e-12, "%v", s)

		db, _ := ref.Conv2DBiasGrad(s, dy)
		b := uniform(7, s.K)
		withBias, _ := ref.Conv2D(s, x, w, b)
		require.InDelta(t, ref.Dot(withBias, dy)-want, ref.Dot(b, db), 1e-12, "%v bias gradient", s)
	}
}

func TestLinearAdjoint(t *testing.T) {
	t.Parallel()
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {2, 300, 11}, {1, 9, 260}} {
		n, in, out := s[0], s[1], s[2]
		x, w, b, dy := uniform(1, n*in), uniform(2, out*in), uniform(3, out), uniform(4, n*out)
		y, _ := ref.Linear(n, in, out, x, w, nil)
		product, _ := ref.Gemm(false, true, n, out, in, 1, x, in, w, in, 0, nil, 0)
		require.InDeltaSlice(t, product, y, 1e-12)
		dx, _ := ref.LinearInputGrad(n, in, out, dy, w)
		dw, _ := ref.LinearWeightGrad(n, in, out, x, dy)
		db, _ := ref.LinearBiasGrad(n, out, dy)
		withBias, _ := ref.Linear(n, in, out, x, w, b)
		require.InDelta(t, ref.Dot(y, dy), ref.Dot(x, dx), 1e-11, "%v", s)
		require.InDelta(t, ref.Dot(y, dy), ref.Dot(w, dw), 1e-11, "%v", s)
		require.InDelta(t, ref.Dot(withBias, dy)-ref.Dot(y, dy), ref.Dot(b, db), 1e-11, "%v", s)
	}
}

// TestGemm compares with listed products, transposed and with gaps between rows.
func TestGemm(t *testing.T) {
	t.Parallel()
	const gap = 99
	a := []float32{1, -2, 3, gap, 4, 5, 6, gap}            // 2×3
	at := []float32{1, 4, gap, -2, 5, gap, 3, 6, gap}      // 3×2
	b := []float32{1, 0, gap, -1, 2, gap, 3, 1, gap}       // 3×2
	bt := []float32{1, -1, 3, gap, gap, 0, 2, 1, gap, gap} // 2×3
	c := []float32{10, 20, gap, gap, 30, 40, gap, gap}     // 2×2
	ab, abMag := []float64{12, -1, 17, 16}, []float64{12, 7, 27, 16}
	for _, transA := range []bool{false, true} {
		for _, transB := range []bool{false, true} {
			x, lda, y, ldb := a, 4, b, 3
			if transA {
				x, lda = at, 3
			}
			if transB {
				y, ldb = bt, 5
			}
			out, mag := ref.Gemm(transA, transB, 2, 2, 3, 1, x, lda, y, ldb, 0, nil, 0)
			require.Equal(t, ab, out)
			require.Equal(t, abMag, mag)
			out, mag = ref.Gemm(transA, transB, 2, 2, 3, -2, x, lda, y, ldb, 0.5, c, 4)
			require.Equal(t, []float64{-19, 12, -19, -12}, out)
			require.Equal(t, []float64{29, 24, 69, 52}, mag)
		}
	}
	out, _ := ref.Gemm(false, false, 2, 2, 3, 0, []float32(nil), 0, nil, 0, 1, c, 4)
	require.Equal(t, []float64{10, 20, 30, 40}, out, "alpha 0 reads neither A nor B")

	out, mag := ref.Gemv(false, 2, 3, 1, a, 4, []float32{1, 1, -1}, 2, []float32{1, 2})
	require.Equal(t, []float64{-2, 7}, out)
	require.Equal(t, []float64{8, 19}, mag)
	out, _ = ref.Gemv(true, 2, 3, 1, a, 4, []float32{1, -1}, 0, nil)
	require.Equal(t, []float64{-3, -7, -3}, out)
}

// TestBound: a float32 sum is within its bound, and a sum that lacks a term is not.
func TestBound(t *testing.T) {
	t.Parallel()
	require.InEpsilon(t, 10*0x1p-24, ref.Gamma(10), 1e-6)
	require.True(t, ref.Gamma(10) > 10*0x1p-24)
	require.True(t, math.IsInf(ref.Gamma(1<<24), 1))
	for _, scale := range []float32{1, 0x1p-70} { // products of the second are subnormal
		for _, n := range []int{1, 10, 1000, 25088} {
			a, b := testutil.Uniform(uint64(n), n), testutil.Uniform(uint64(n)+1, n)
			var sum float32
			for i := range a {
				a[i], b[i] = a[i]*scale, b[i]*scale
				sum += float32(a[i] * b[i])
			}
			want, mag := ref.Gemv(false, 1, n, 1, a, n, b, 0, nil)
			bound := ref.Bound(n+1, mag)(0)
			require.LessOrEqual(t, math.Abs(float64(sum)-want[0]), bound, "n=%d", n)
			if scale == 1 && n < 10000 {
				missing := sum - a[0]*b[0]
				require.Greater(t, math.Abs(float64(missing)-want[0]), bound, "n=%d", n)
			}
		}
	}
}

func TestReLU(t *testing.T) {
	t.Parallel()
	nan, inf := math.NaN(), math.Inf(1)
	y := ref.ReLU([]float64{-1, 0, 2, -inf, inf, nan})
	require.Equal(t, []float64{0, 0, 2, 0, inf}, y[:5])
	require.True(t, math.IsNaN(y[5]))
	dy := []float64{10, 20, 30, 40, 50, 60}
	want := []float64{0, 0, 30, 0, 50, 60}
	require.Equal(t, want, ref.ReLUGrad([]float64{-1, 0, 2, -inf, inf, nan}, dy), "from the input")
	require.Equal(t, want, ref.ReLUGrad(y, dy), "from the output")
}

func TestMaxPool2x2(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	x := []float64{
		1, 2, 5, 5, 9, // an odd column and row are dropped
		3, 0, 5, 5, 9,
		-4, -3, nan, 7, 9,
		-2, -1, nan, 8, 9,
		9, 9, 9, 9, 9,
	}
	y, arg := ref.MaxPool2x2(1, 5, 5, x)
	require.Equal(t, []float64{3, 5, -1}, y[:3])
	require.True(t, math.IsNaN(y[3]))
	require.Equal(t, []uint8{2, 0, 3, 0}, arg, "the first largest, the first NaN")
	dx := ref.MaxPool2x2Grad(1, 5, 5, arg, []float64{10, 20, 30, 40})
	want := make([]float64, 25)
	want[5], want[2], want[16], want[12] = 10, 20, 30, 40
	require.Equal(t, want, dx)

	y, arg = ref.MaxPool2x2(1, 2, 2, []float64{5, 1, 2, nan})
	require.True(t, math.IsNaN(y[0]) && arg[0] == 3, "a NaN after the largest")
	y, _ = ref.MaxPool2x2(3, 1, 7, make([]float64, 21))
	require.Empty(t, y)
}

func TestAveragePool(t *testing.T) {
	t.Parallel()
	x := []float64{1, 2, -3, 4, 5, 6, 7, 8, 9}
	y, mag := ref.AveragePool(1, 3, 3, 2, 1, 0, x)
	require.Equal(t, []float64{3, 2.5, 6, 7}, y)
	require.Equal(t, []float64{3, 4, 6, 7}, mag)
	y, _ = ref.AveragePool(1, 3, 3, 3, 2, 1, x)
	require.InDeltaSlice(t, []float64{12. / 9, 10. / 9, 24. / 9, 28. / 9}, y, 1e-15)
}

// TestLRN lists one pixel by the paper's formula.
func TestLRN(t *testing.T) {
	t.Parallel()
	p := ref.LRNParams{Size: 3, Alpha: 0.5, Beta: 0.75, K: 2}
	y := ref.LRN(p, 1, 4, 1, []float64{1, -2, 3, 4})
	for c, squares := range []float64{1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16} {
		require.InDelta(t, []float64{1, -2, 3, 4}[c]/math.Pow(2+0.5*squares, 0.75), y[c], 1e-15)
	}
	one := ref.LRN(ref.VGGLRN, 1, 1, 1, []float64{100})
	require.InDelta(t, 100/math.Pow(2+1e-4*1e4, 0.75), one[0], 1e-12, "alpha is not divided by the size")
}

func TestSoftmax(t *testing.T) {
	t.Parallel()
	p := ref.Softmax(2, 3, []float64{0, math.Log(2), math.Log(5), 1e4, 1e4, -1e4})
	require.InDeltaSlice(t, []float64{1. / 8, 2. / 8, 5. / 8, 0.5, 0.5, 0}, p, 1e-15)
	loss, dx := ref.SoftmaxCrossEntropy(2, 3, []float64{0, math.Log(2), math.Log(5), 1e4, 1e4, -1e4}, []int{2, 0})
	require.InDelta(t, (math.Log(8./5)+math.Log(2))/2, loss, 1e-15)
	require.InDeltaSlice(t, []float64{1. / 16, 2. / 16, -3. / 16, -0.25, 0.25, 0}, dx, 1e-15)
}

func TestSGD(t *testing.T) {
	t.Parallel()
	w, v := []float64{2}, []float64{0}
	ref.SGD(w, v, []float32{3}, 0.1, 0.5, 0.25) // v = 3.5, w = 1.65
	ref.SGD(w, v, []float32{1}, 0.1, 0.5, 0.25) // v = 1.75 + 1.4125, w = 1.65 − 0.31625
	require.InDelta(t, 3.1625, v[0], 1e-15)
	require.InDelta(t, 1.33375, w[0], 1e-15)
}

// checkGradient compares gradient, that of f at x, with central differences along
// some of the coordinates. f reads x itself.
func checkGradient(t *testing.T, what string, x, gradient []float64, f func() float64) {
	t.Helper()
	require.Len(t, gradient, len(x), what)
	const h = 1e-5
	r := rand.New(rand.NewPCG(1, 2))
	for range min(len(x), 40) {
		i := r.IntN(len(x))
		was := x[i]
		x[i] = was + h
		up := f()
		x[i] = was - h
		down := f()
		x[i] = was
		require.InDelta(t, (up-down)/(2*h), gradient[i], 1e-7*(1+math.Abs(gradient[i])), "%s: element %d", what, i)
	}
}

func TestGradientsOfOps(t *testing.T) {
	t.Parallel()
	for _, s := range convShapes {
		x, w, b, dy := uniform(1, s.InputLen()), uniform(2, s.WeightLen()), uniform(3, s.K), uniform(4, s.OutputLen())
		loss := func() float64 { y, _ := ref.Conv2D(s, x, w, b); return ref.Dot(y, dy) }
		dx, _ := ref.Conv2DInputGrad(s, dy, w)
		dw, _ := ref.Conv2DWeightGrad(s, x, dy)
		db, _ := ref.Conv2DBiasGrad(s, dy)
		checkGradient(t, fmt.Sprint("input of ", s), x, dx, loss)
		checkGradient(t, fmt.Sprint("weight of ", s), w, dw, loss)
		checkGradient(t, fmt.Sprint("bias of ", s), b, db, loss)
	}

	for _, p := range []ref.LRNParams{ref.VGGLRN, {Size: 3, Alpha: 0.7, Beta: 0.6, K: 1.5}, {Size: 1, Alpha: 1, Beta: 1, K: 1}} {
		n, c, plane := 2, 7, 3
		x, dy := uniform(5, n*c*plane), uniform(6, n*c*plane)
		da, mag := ref.LRNGrad(p, n, c, plane, x, dy)
		for i := range da {
			require.LessOrEqual(t, math.Abs(da[i]), mag[i])
		}
		checkGradient(t, fmt.Sprintf("LRN %+v", p), x, da, func() float64 { return ref.Dot(ref.LRN(p, n, c, plane, x), dy) })
	}

	x, dy := uniform(7, 2*5*7), uniform(8, 2*2*3)
	_, arg := ref.MaxPool2x2(2, 5, 7, x)
	checkGradient(t, "pool", x, ref.MaxPool2x2Grad(2, 5, 7, arg, dy), func() float64 {
		y, _ := ref.MaxPool2x2(2, 5, 7, x)
		return ref.Dot(y, dy)
	})
	checkGradient(t, "ReLU", x, ref.ReLUGrad(x, x), func() float64 { y := ref.ReLU(x); return ref.Dot(y, y) / 2 })

	target := []int{1, 4, 0}
	logits := uniform(9, 3*5)
	_, dLogits := ref.SoftmaxCrossEntropy(3, 5, logits, target)
	checkGradient(t, "cross entropy", logits, dLogits, func() float64 {
		loss, _ := ref.SoftmaxCrossEntropy(3, 5, logits, target)
		return loss
	})
}

// TestGradientsOfNet differentiates a network with every kind of layer, odd
// sizes among them, with respect to its input and every parameter.
func TestGradientsOfNet(t *testing.T) {
	t.Parallel()
	lrn := ref.LRNParams{Size: 5, Alpha: 0.3, Beta: 0.75, K: 2}
	net := &ref.Net[float64]{C: 2, H: 11, W: 10, Layers: []ref.Layer[float64]{
		{Kind: ref.KindConv, Name: "conv1_1", Out: 6, Kernel: 3, Pad: 1, ReLU: true, Weight: uniform(1, 6*2*9), Bias: uniform(2, 6)},
		{Kind: ref.KindLRN, Name: "lrn1", LRN: lrn},
		{Kind: ref.KindMaxPool, Name: "pool1"},
		{Kind: ref.KindConv, Name: "conv2_1", Out: 4, Kernel: 3, Weight: uniform(3, 4*6*9), Bias: uniform(4, 4)},
		{Kind: ref.KindConv, Name: "conv2_2", Out: 5, Kernel: 1, ReLU: true, Weight: uniform(5, 5*4), Bias: uniform(6, 5)},
		{Kind: ref.KindLinear, Name: "fc3", Out: 7, ReLU: true, Weight: uniform(7, 7*5*9), Bias: uniform(8, 7)},
		{Kind: ref.KindLinear, Name: "fc4", Out: 3, Weight: uniform(9, 3*7), Bias: uniform(10, 3)},
	}}
	input, target := uniform(11, 2*2*11*10), []int{2, 0}
	loss := func() float64 {
		l, _ := ref.SoftmaxCrossEntropy(2, 3, net.Forward(2, input).Output(), target)
		return l
	}
	run := net.Forward(2, input)
	require.Equal(t, [4]int{2, 4, 3, 3}, run.Shape["conv2_1"])
	_, dLogits := ref.SoftmaxCrossEntropy(2, 3, run.Output(), target)
	grads := run.Backward(dLogits)
	checkGradient(t, "input", input, grads["act.input"], loss)
	for _, l := range net.Layers {
		require.Len(t, grads["act."+l.Name], len(run.Act[l.Name]))
		if l.Weight != nil {
			checkGradient(t, l.Name+".weight", l.Weight, grads[l.Name+".weight"], loss)
			checkGradient(t, l.Name+".bias", l.Bias, grads[l.Name+".bias"], loss)
		}
	}
}

func TestWrongLengthsPanic(t *testing.T) {
	t.Parallel()
	s := ref.ConvShape{N: 1, C: 2, H: 3, W: 3, K: 4, KH: 3, KW: 3, Pad: 1}
	require.PanicsWithValue(t, "ref: x has 17 elements, want 18", func() { ref.Conv2D(s, make([]float32, 17), make([]float32, 72), nil) })
	require.PanicsWithValue(t, "ref: w has 71 elements, want 72", func() { ref.Conv2D(s, make([]float32, 18), make([]float32, 71), nil) })
	require.PanicsWithValue(t, "ref: dy has 35 elements, want 36", func() { ref.Conv2DWeightGrad(s, make([]float32, 18), make([]float32, 35)) })
	require.PanicsWithValue(t, `ref: two layers are called "a"`, func() {
		net := ref.Net[float32]{C: 1, H: 4, W: 4, Layers: []ref.Layer[float32]{{Kind: ref.KindMaxPool, Name: "a"}, {Kind: ref.KindMaxPool, Name: "a"}}}
		net.Forward(1, make([]float32, 16))
	})
}

func BenchmarkConv2D(b *testing.B) {
	for _, s := range []ref.ConvShape{
		{N: 1, C: 64, H: 112, W: 112, K: 64, KH: 3, KW: 3, Pad: 1},
		{N: 1, C: 256, H: 14, W: 14, K: 256, KH: 3, KW: 3, Pad: 1},
	} {
		x, w, dy := testutil.Uniform(1, s.InputLen()), testutil.Uniform(2, s.WeightLen()), testutil.Uniform(3, s.OutputLen())
		run := func(pass string, fn func()) {
			b.Run(fmt.Sprintf("c=%d/h=%d/pass=%s", s.C, s.H, pass), func(b *testing.B) {
				for b.Loop() {
					fn()
				}
				flops := 4 * float64(s.OutputLen()) * float64(s.C*s.KH*s.KW) // value and magnitude
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
		run("forward", func() { ref.Conv2D(s, x, w, nil) })
		run("input", func() { ref.Conv2DInputGrad(s, dy, w) })
		run("weight", func() { ref.Conv2DWeightGrad(s, x, dy) })
	}
}

// TestGradientsOfMeansAndScales differentiates a network with means, scales and columns
// in HWC order, odd sizes among them.
func TestGradientsOfMeansAndScales(t *testing.T) {
	t.Parallel()
	layers := []ref.Layer[float64]{
		{Kind: ref.KindScale, Name: "scale1", Weight: uniform(1, 2), Bias: uniform(2, 2)},
		{Kind: ref.KindConv, Name: "conv1_1", Out: 4, Kernel: 3, Pad: 1, ReLU: true, Weight: uniform(3, 4*2*9), Bias: uniform(4, 4)},
		{Kind: ref.KindScale, Name: "scale2", ReLU: true, Weight: uniform(5, 4), Bias: uniform(6, 4)},
		{Kind: ref.KindAvgPool, Name: "pool1"},
		{Kind: ref.KindLinear, Name: "fc2", Out: 5, HWC: true, Weight: uniform(7, 5*4*4*3), Bias: uniform(8, 5)},
		{Kind: ref.KindScale, Name: "scale3", ReLU: true, Weight: uniform(9, 5), Bias: uniform(10, 5)},
		{Kind: ref.KindLinear, Name: "fc3", Out: 3, Weight: uniform(11, 3*5), Bias: uniform(12, 3)},
	}
	mean := append(layers[:4:4], ref.Layer[float64]{Kind: ref.KindGlobalPool, Name: "gap"},
		ref.Layer[float64]{Kind: ref.KindLinear, Name: "fc2", Out: 3, Weight: uniform(13, 3*4), Bias: uniform(14, 3)})
	for _, layers := range [][]ref.Layer[float64]{layers, mean} {
		net := &ref.Net[float64]{C: 2, H: 9, W: 7, Layers: layers}
		input, target := uniform(15, 2*2*9*7), []int{2, 0}
		loss := func() float64 {
			l, _ := ref.SoftmaxCrossEntropy(2, 3, net.Forward(2, input).Output(), target)
			return l
		}
		run := net.Forward(2, input)
		require.Equal(t, [4]int{2, 4, 4, 3}, run.Shape["pool1"])
		_, dLogits := ref.SoftmaxCrossEntropy(2, 3, run.Output(), target)
		grads := run.Backward(dLogits)
		checkGradient(t, "input", input, grads["act.input"], loss)
		for _, l := range net.Layers {
			if l.Weight != nil {
				checkGradient(t, l.Name+".weight", l.Weight, grads[l.Name+".weight"], loss)
				checkGradient(t, l.Name+".bias", l.Bias, grads[l.Name+".bias"], loss)
			}
		}
	}
}

// TestHWC lists one activation of 2 channels and 2×3 pixels.
func TestHWC(t *testing.T) {
	t.Parallel()
	columns := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	net := &ref.Net[float64]{C: 2, H: 2, W: 3, Layers: []ref.Layer[float64]{{Kind: ref.KindLinear, Name: "fc1", Out: 1, HWC: true, Weight: columns, Bias: []float64{0}}}}
	for i, want := range []float64{1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12} { // channel 0 has the odd columns
		x := make([]float64, 12)
		x[i] = 1
		require.Equal(t, []float64{want}, net.Forward(1, x).Output())
	}
}
