package vgg

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/nonet-go/nonet/conv3x3"
)

// LayerSummary is one line of a Summary.
type LayerSummary struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Algorithm string `json:"algorithm,omitempty"` // empty where nothing is to be chosen
	Output    Shape  `json:"output"`
	Params    int64  `json:"params"`
	MACs      int64  `json:"macs"`             // multiply-adds of the direct algorithm, one picture
	Bytes     int64  `json:"activation_bytes"` // of the output, one picture, as float32
}

// Summary is the cost of a network.
type Summary struct {
	Config string         `json:"config"`
	Size   int            `json:"size"`            // side, or height, of the input
	Width  int            `json:"width,omitempty"` // where it is not a square
	Layers []LayerSummary `json:"layers"`
	Params int64          `json:"params"`
	MACs   int64          `json:"macs"`
	Bytes  int64          `json:"activation_bytes"`
}

// Summary counts the parameters, multiply-adds and activations of each layer
// for an input of the configuration's size.
func (c Config) Summary() (Summary, error) {
	sum := Summary{Config: c.Name, Size: c.Size, Width: c.Width}
	in, shapes, err := c.nominal()
	if err != nil {
		return sum, err
	}
	for i, l := range c.Layers {
		out := shapes[i]
		s := LayerSummary{Name: l.Name, Kind: l.Kind.String(), Output: out, Bytes: 4 * int64(out.Len())}
		switch l.Kind {
		case Conv:
			weights := int64(l.Out) * int64(in.C*l.Kernel*l.Kernel)
			s.Params, s.MACs = weights+int64(l.Out), weights*int64(out.H*out.W)
			s.Kind = fmt.Sprintf("conv%d×%d", l.Kernel, l.Kernel)
			if l.Kernel == 3 {
				s.Algorithm = conv3x3.Algorithm(in.C, l.Out, algorithm{}.options(l, in.C, out)...)
			}
			if l.Stride == 2 {
				s.Kind += "/2"
			}
		case FC:
			weights := int64(l.Out) * int64(in.Len())
			s.Params, s.MACs = weights+int64(l.Out), weights
		case Scale:
			s.Params, s.MACs = 2*int64(in.C), int64(out.Len())
		}
		sum.Layers = append(sum.Layers, s)
		sum.Params += s.Params
		sum.MACs += s.MACs
		sum.Bytes += s.Bytes
		in = out
	}
	return sum, nil
}

// String formats s as a table.
func (s Summary) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "layer\tkind\talgorithm\toutput\tparameters\tMMACs\tactivation KiB\t")
	for _, l := range s.Layers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%d\t%.1f\t%d\t\n", l.Name, l.Kind, l.Algorithm, l.Output, l.Params, float64(l.MACs)/1e6, l.Bytes>>10)
	}
	fmt.Fprintf(w, "%s\ttotal\t\t\t%d\t%.1f\t%d\t\n", s.Config, s.Params, float64(s.MACs)/1e6, s.Bytes>>10)
	w.Flush()
	return b.String()
}
