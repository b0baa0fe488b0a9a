package ref_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
)

// TestONNX runs the cases that these references cover. Each op has a function
// that returns the outputs of a case, or false for one beyond its reach (other
// dimensions than two, groups, dilation, weighted losses); how many were run is
// part of the test.
func TestONNX(t *testing.T) {
	t.Parallel()
	ran := map[string]int{}
	for _, c := range testutil.ONNXCases(t) {
		op := c.Nodes[0].Op
		run := onnxOps[op]
		if run == nil || len(c.Nodes) > 1 {
			continue
		}
		outputs, ok := run(&c)
		if !ok {
			continue
		}
		for i, got := range outputs {
			near(t, c.Name, got, c.Want[c.Nodes[0].Outputs[i]], 1e-6)
		}
		ran[op]++
	}
	require.Equal(t, map[string]int{
		"AveragePool": 7, "Conv": 8, "Gemm": 12, "GlobalAveragePool": 2, "LRN": 2, "LogSoftmax": 8,
		"MaxPool": 1, "Momentum": 1, "Relu": 2, "Softmax": 8, "SoftmaxCrossEntropyLoss": 2,
	}, ran)
}

var onnxOps = map[string]func(c *testutil.ONNXCase) ([][]float64, bool){
	"AveragePool":             onnxAveragePool,
	"Conv":                    onnxConv,
	"Gemm":                    onnxGemm,
	"GlobalAveragePool":       onnxGlobalAveragePool,
	"LRN":                     onnxLRN,
	"LogSoftmax":              onnxSoftmax,
	"MaxPool":                 onnxMaxPool,
	"Momentum":                onnxMomentum,
	"Relu":                    onnxReLU,
	"Softmax":                 onnxSoftmax,
	"SoftmaxCrossEntropyLoss": onnxCrossEntropy,
}

// window returns stride and padding if they are the same in both directions and
// nothing else is asked for.
func window(a testutil.ONNXAttrs) (stride, pad int, ok bool) {
	same := func(x []int, otherwise int) int {
		if len(x) == 0 {
			return otherwise
		}
		if slices.Min(x) != slices.Max(x) {
			return -1
		}
		return x[0]
	}
	stride, pad = same(a.Strides, 1), same(a.Pads, 0)
	ok = a.AutoPad == "" && a.CeilMode == 0 && a.Group <= 1 && same(a.Dilations, 1) == 1 && stride > 0 && pad >= 0 && len(a.Kernel) == 2
	return stride, pad, ok
}

func onnxConv(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := window(n.Attrs)
	if !ok {
		return nil, false
	}
	x, w := c.Dims(n.Inputs[0]), c.Dims(n.Inputs[1])
	s := ref.ConvShape{N: x[0], C: x[1], H: x[2], W: x[3], K: w[0], KH: w[2], KW: w[3], Stride: stride, Pad: pad}
	var bias []float64
	if len(n.Inputs) > 2 {
		bias = c.Values[n.Inputs[2]]
	}
	y, _ := ref.Conv2D(s, c.Values[n.Inputs[0]], c.Values[n.Inputs[1]], bias)
	return [][]float64{y}, true
}

func onnxAveragePool(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := window(n.Attrs)
	if !ok || pad > 0 && n.Attrs.CountIncludePad == 0 {
		return nil, false
	}
	x := c.Dims(n.Inputs[0])
	y, _ := ref.AveragePool(x[0]*x[1], x[2], x[3], n.Attrs.Kernel[0], stride, pad, c.Values[n.Inputs[0]])
	return [][]float64{y}, true
}

func onnxGlobalAveragePool(c *testutil.ONNXCase) ([][]float64, bool) {
	x := c.Dims(c.Nodes[0].Inputs[0])
	y, _ := ref.AveragePool(x[0]*x[1], x[2], x[3], x[2], 1, 0, c.Values[c.Nodes[0].Inputs[0]])
	return [][]float64{y}, true
}

func onnxMaxPool(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := window(n.Attrs)
	if !ok || stride != 2 || pad != 0 || !slices.Equal(n.Attrs.Kernel, []int{2, 2}) || len(n.Outputs) > 1 {
		return nil, false
	}
	x := c.Dims(n.Inputs[0])
	y, _ := ref.MaxPool2x2(x[0]*x[1], x[2], x[3], c.Values[n.Inputs[0]])
	return [][]float64{y}, true
}

func onnxGemm(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	a, b := c.Dims(n.Inputs[0]), c.Dims(n.Inputs[1])
	m, k, cols := a[0], a[1], b[1]
	if n.Attrs.TransA == 1 {
		m, k = k, m
	}
	if n.Attrs.TransB == 1 {
		cols = b[0]
	}
	sum := make([]float64, m*cols) // C, broadcast
	if len(n.Inputs) > 2 {
		bias := c.Values[n.Inputs[2]]
		for i := range sum {
			sum[i] = bias[i%len(bias)]
		}
	}
	y, _ := ref.Gemm(n.Attrs.TransA == 1, n.Attrs.TransB == 1, m, cols, k, testutil.Or(n.Attrs.Alpha, 1),
		c.Values[n.Inputs[0]], a[1], c.Values[n.Inputs[1]], b[1], testutil.Or(n.Attrs.Beta, 1), sum, cols)
	return [][]float64{y}, true
}

// onnxLRN: ONNX divides alpha by the size.
func onnxLRN(c *testutil.ONNXCase) ([][]float64, bool) {
	a, x := c.Nodes[0].Attrs, c.Dims(c.Nodes[0].Inputs[0])
	p := ref.LRNParams{Size: a.Size, Alpha: testutil.Or(a.Alpha, 1e-4) / float64(a.Size), Beta: testutil.Or(a.Beta, 0.75), K: testutil.Or(a.Bias, 1)}
	return [][]float64{ref.LRN(p, x[0], x[1], x[2]*x[3], c.Values[c.Nodes[0].Inputs[0]])}, true
}

// onnxSoftmax does the cases along the last axis.
func onnxSoftmax(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	dims, x := c.Dims(n.Inputs[0]), c.Values[n.Inputs[0]]
	if axis := testutil.Or(n.Attrs.Axis, -1); axis != -1 && axis != len(dims)-1 {
		return nil, false
	}
	last := dims[len(dims)-1]
	if n.Op == "Softmax" {
		return [][]float64{ref.Softmax(len(x)/last, last, x)}, true
	}
	return [][]float64{ref.LogSoftmax(len(x)/last, last, x)}, true
}

func onnxReLU(c *testutil.ONNXCase) ([][]float64, bool) {
	return [][]float64{ref.ReLU(c.Values[c.Nodes[0].Inputs[0]])}, true
}

// onnxCrossEntropy does the mean of unweighted rows.
func onnxCrossEntropy(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	dims := c.Dims(n.Inputs[0])
	if len(n.Inputs) > 2 || len(dims) != 2 || n.Attrs.IgnoreIndex != nil || n.Attrs.Reduction != "mean" {
		return nil, false
	}
	x, target := c.Values[n.Inputs[0]], make([]int, dims[0])
	for i, v := range c.Values[n.Inputs[1]] {
		target[i] = int(v)
	}
	loss, _ := ref.SoftmaxCrossEntropy(dims[0], dims[1], x, target)
	return [][]float64{{loss}, ref.LogSoftmax(dims[0], dims[1], x)}[:len(n.Outputs)], true
}

// onnxMomentum does the case with one tensor: rate R, first step T = 0 or later,
// weights X, gradient G, momentum V. Where ONNX damps the gradient by beta, the
// first step excepted, SGD does not.
func onnxMomentum(c *testutil.ONNXCase) ([][]float64, bool) {
	n := c.Nodes[0]
	if n.Attrs.Mode != "standard" || len(n.Inputs) != 5 || c.Values["T"][0] != 0 {
		return nil, false
	}
	w, v := c.Values["X"], c.Values["V"]
	ref.SGD(w, v, c.Values["G"], c.Values["R"][0], testutil.Or(n.Attrs.Alpha, 0), n.Attrs.NormCoefficient)
	return [][]float64{w, v}, true
}
