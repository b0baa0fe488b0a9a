package testutil

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// ONNXCase is one of the ONNX project's operator cases.
type ONNXCase struct {
	Name                   string
	Nodes                  []ONNXNode
	Inputs, Inits, Outputs map[string]onnxType

	Values map[string][]float64 // inputs and initialisers, by name
	Want   map[string][]float64 // outputs
}

// ONNXNode is one operator.
type ONNXNode struct {
	Op      string
	Inputs  []string
	Outputs []string
	Attrs   ONNXAttrs
}

// ONNXAttrs holds the attributes that the cases have.
type ONNXAttrs struct {
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

// Dims returns the shape of an input or initialiser.
func (c *ONNXCase) Dims(name string) []int {
	if d, ok := c.Inputs[name]; ok {
		return d.dims
	}
	return c.Inits[name].dims
}

// Or returns *p, or otherwise for an attribute that is not given.
func Or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// ONNXCases reads all cases. The test is skipped where they are absent.
func ONNXCases(t testing.TB) []ONNXCase {
	t.Helper()
	raw, err := os.ReadFile(Shared(t, "data", "onnx", "cases.json"))
	must(t, err)
	var cases []ONNXCase
	must(t, json.Unmarshal(raw, &cases))
	for i := range cases {
		c := &cases[i]
		c.Values, c.Want = map[string][]float64{}, map[string][]float64{}
		for name, x := range Tensors(t, Shared(t, "data", "onnx", "cases", c.Name+".safetensors")) {
			kind, name, _ := strings.Cut(name, ":")
			if kind == "out" {
				c.Want[name] = x
			} else {
				c.Values[name] = x
			}
		}
	}
	return cases
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
}
