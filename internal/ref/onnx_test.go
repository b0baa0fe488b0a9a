package ref_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
)

// onnxCase is one of the ONNX project's operator cases: a single node.
type onnxCase struct {
	Name  string
	Nodes []struct {
		Op      string
		Inputs  []string
		Outputs []string
		Attrs   onnxAttrs
	}
	Inputs, Inits, Outputs map[string]onnxType

	values map[string][]float64
}

type onnxAttrs struct {
	AutoPad         string   `json:"auto_pad"`
	Kernel          []int    `json:"kernel_shape"`
	Strides         []int    `json:"strides"`
	Pads            []int    `json:"pads"`
	Dilations       []int    `json:"dilations"`
	Group           int      `json:"group"`
	CeilMode        int      `json:"ceil_mode"`
	CountIncludePad int      `json:"count_include_pad"`
	TransA          int      `json:"transA"`
	TransB          int      `json:"transB"`
	Alpha           *float64 `json:"alpha"`
	Beta            *float64 `json:"beta"`
	Bias            *float64 `json:"bias"`
	Size            int      `json:"size"`
	Axis            *int     `json:"axis"`
	Reduction       string   `json:"reduction"`
	IgnoreIndex     *int     `json:"ignore_index"`
	Mode            string   `json:"mode"`
	NormCoefficient float64  `json:"norm_coefficient"`
}

// onnxType is written as ["float32", [1, 3, 5, 5]].
type onnxType struct{ dims []int }

func (o *onnxType) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{new(string), &o.dims})
}

func (c *onnxCase) dims(name string) []int {
	if d, ok := c.Inputs[name]; ok {
		return d.dims
	}
	return c.Inits[name].dims
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// TestONNX runs the cases that these references cover. Each op has a function
// that returns the outputs of a case, or false for one beyond its reach (other
// dimensions than two, groups, dilation, weighted losses); how many were run is
// part of the test.
func TestONNX(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(testutil.Shared(t, "data", "onnx", "cases.json"))
	require.NoError(t, err)
	var cases []onnxCase
	require.NoError(t, json.Unmarshal(raw, &cases))
	ran := map[string]int{}
	for _, c := range cases {
		op := c.Nodes[0].Op
		run := onnxOps[op]
		if run == nil || len(c.Nodes) > 1 {
			continue
		}
		c.values = map[string][]float64{}
		all := tensors(t, testutil.Shared(t, "data", "onnx", "cases", c.Name+".safetensors"))
		for _, prefix := range []string{"in:", "init:"} {
			for name, x := range all {
				if len(name) > len(prefix) && name[:len(prefix)] == prefix {
					c.values[name[len(prefix):]] = x
				}
			}
		}
		outputs, ok := run(&c)
		if !ok {
			continue
		}
		for i, got := range outputs {
			near(t, c.Name, got, all["out:"+c.Nodes[0].Outputs[i]], 1e-6)
		}
		ran[op]++
	}
	require.Equal(t, map[string]int{
		"AveragePool": 7, "Conv": 8, "Gemm": 12, "GlobalAveragePool": 2, "LRN": 2, "LogSoftmax": 8,
		"MaxPool": 1, "Momentum": 1, "Relu": 2, "Softmax": 8, "SoftmaxCrossEntropyLoss": 2,
	}, ran)
}

var onnxOps = map[string]func(c *onnxCase) ([][]float64, bool){
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
func (a onnxAttrs) window() (stride, pad int, ok bool) {
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

func onnxConv(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := n.Attrs.window()
	if !ok {
		return nil, false
	}
	x, w := c.dims(n.Inputs[0]), c.dims(n.Inputs[1])
	s := ref.ConvShape{N: x[0], C: x[1], H: x[2], W: x[3], K: w[0], KH: w[2], KW: w[3], Stride: stride, Pad: pad}
	var bias []float64
	if len(n.Inputs) > 2 {
		bias = c.values[n.Inputs[2]]
	}
	y, _ := ref.Conv2D(s, c.values[n.Inputs[0]], c.values[n.Inputs[1]], bias)
	return [][]float64{y}, true
}

func onnxAveragePool(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := n.Attrs.window()
	if !ok || pad > 0 && n.Attrs.CountIncludePad == 0 {
		return nil, false
	}
	x := c.dims(n.Inputs[0])
	y, _ := ref.AveragePool(x[0]*x[1], x[2], x[3], n.Attrs.Kernel[0], stride, pad, c.values[n.Inputs[0]])
	return [][]float64{y}, true
}

func onnxGlobalAveragePool(c *onnxCase) ([][]float64, bool) {
	x := c.dims(c.Nodes[0].Inputs[0])
	y, _ := ref.AveragePool(x[0]*x[1], x[2], x[3], x[2], 1, 0, c.values[c.Nodes[0].Inputs[0]])
	return [][]float64{y}, true
}

func onnxMaxPool(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	stride, pad, ok := n.Attrs.window()
	if !ok || stride != 2 || pad != 0 || !slices.Equal(n.Attrs.Kernel, []int{2, 2}) || len(n.Outputs) > 1 {
		return nil, false
	}
	x := c.dims(n.Inputs[0])
	y, _ := ref.MaxPool2x2(x[0]*x[1], x[2], x[3], c.values[n.Inputs[0]])
	return [][]float64{y}, true
}

func onnxGemm(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	a, b := c.dims(n.Inputs[0]), c.dims(n.Inputs[1])
	m, k, cols := a[0], a[1], b[1]
	if n.Attrs.TransA == 1 {
		m, k = k, m
	}
	if n.Attrs.TransB == 1 {
		cols = b[0]
	}
	sum := make([]float64, m*cols) // C, broadcast
	if len(n.Inputs) > 2 {
		bias := c.values[n.Inputs[2]]
		for i := range sum {
			sum[i] = bias[i%len(bias)]
		}
	}
	y, _ := ref.Gemm(n.Attrs.TransA == 1, n.Attrs.TransB == 1, m, cols, k, or(n.Attrs.Alpha, 1),
		c.values[n.Inputs[0]], a[1], c.values[n.Inputs[1]], b[1], or(n.Attrs.Beta, 1), sum, cols)
	return [][]float64{y}, true
}

// onnxLRN: ONNX divides alpha by the size.
func onnxLRN(c *onnxCase) ([][]float64, bool) {
	a, x := c.Nodes[0].Attrs, c.dims(c.Nodes[0].Inputs[0])
	p := ref.LRNParams{Size: a.Size, Alpha: or(a.Alpha, 1e-4) / float64(a.Size), Beta: or(a.Beta, 0.75), K: or(a.Bias, 1)}
	return [][]float64{ref.LRN(p, x[0], x[1], x[2]*x[3], c.values[c.Nodes[0].Inputs[0]])}, true
}

// onnxSoftmax does the cases along the last axis.
func onnxSoftmax(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	dims, x := c.dims(n.Inputs[0]), c.values[n.Inputs[0]]
	if axis := or(n.Attrs.Axis, -1); axis != -1 && axis != len(dims)-1 {
		return nil, false
	}
	last := dims[len(dims)-1]
	if n.Op == "Softmax" {
		return [][]float64{ref.Softmax(len(x)/last, last, x)}, true
	}
	return [][]float64{ref.LogSoftmax(len(x)/last, last, x)}, true
}

func onnxReLU(c *onnxCase) ([][]float64, bool) {
	return [][]float64{ref.ReLU(c.values[c.Nodes[0].Inputs[0]])}, true
}

// onnxCrossEntropy does the mean of unweighted rows.
func onnxCrossEntropy(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	dims := c.dims(n.Inputs[0])
	if len(n.Inputs) > 2 || len(dims) != 2 || n.Attrs.IgnoreIndex != nil || n.Attrs.Reduction != "mean" {
		return nil, false
	}
	x, target := c.values[n.Inputs[0]], make([]int, dims[0])
	for i, v := range c.values[n.Inputs[1]] {
		target[i] = int(v)
	}
	loss, _ := ref.SoftmaxCrossEntropy(dims[0], dims[1], x, target)
	return [][]float64{{loss}, ref.LogSoftmax(dims[0], dims[1], x)}[:len(n.Outputs)], true
}

// onnxMomentum does the case with one tensor: rate R, first step T = 0 or later,
// weights X, gradient G, momentum V. Where ONNX damps the gradient by beta, the
// first step excepted, SGD does not.
func onnxMomentum(c *onnxCase) ([][]float64, bool) {
	n := c.Nodes[0]
	if n.Attrs.Mode != "standard" || len(n.Inputs) != 5 || c.values["T"][0] != 0 {
		return nil, false
	}
	w, v := c.values["X"], c.values["V"]
	ref.SGD(w, v, c.values["G"], c.values["R"][0], or(n.Attrs.Alpha, 0), n.Attrs.NormCoefficient)
	return [][]float64{w, v}, true
}
