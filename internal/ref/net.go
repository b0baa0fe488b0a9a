package ref

import (
	"fmt"
	"slices"
)

// Kind says what a Layer computes.
type Kind uint8

const (
	KindConv       Kind = iota // Layer.Stride
	KindLRN                    // Layer.LRN
	KindMaxPool                // 2×2, stride 2
	KindLinear                 // flattens CHW, or HWC
	KindAvgPool                // 2×2, stride 2
	KindGlobalPool             // mean of each channel
	KindScale                  // y = Weight[c]·x + Bias[c]
)

// Layer is one layer of a Net.
type Layer[T Float] struct {
	Kind   Kind
	Name   string
	Out    int // KindConv: output channels; KindLinear: outputs
	Kernel int // KindConv: side of the filter
	Stride int // KindConv; 0 is 1
	Pad    int // KindConv
	ReLU   bool
	HWC    bool      // KindLinear: the columns of Weight are in HWC order
	Weight []T       // KindConv: Out×C×Kernel×Kernel; KindLinear: Out×in; KindScale: C
	Bias   []T       // Out or, for KindScale, C; or none
	LRN    LRNParams // KindLRN
}

// Net is a stack of layers for pictures of C×H×W.
type Net[T Float] struct {
	C, H, W int
	Layers  []Layer[T]
}

// Run is what a forward pass leaves.
type Run[T Float] struct {
	Act   map[string][]float64 // output of each layer by its name, after the ReLU; and "input"
	Shape map[string][4]int    // its N, C, H, W

	net    *Net[T]
	argmax map[string][]uint8
}

// Forward runs the network on n pictures, n×C×H×W.
func (net *Net[T]) Forward(n int, input []T) *Run[T] {
	r := &Run[T]{Act: map[string][]float64{}, Shape: map[string][4]int{}, net: net, argmax: map[string][]uint8{}}
	mustLen("input", len(input), n*net.C*net.H*net.W)
	x, in := Float64(input), [4]int{n, net.C, net.H, net.W}
	r.keep("input", x, in)
	for _, l := range net.Layers {
		c, h, w := in[1], in[2], in[3]
		switch l.Kind {
		case KindConv:
			s := l.convShape(in)
			x = conv(s, x, l.Weight, l.Bias)
			in = [4]int{n, s.K, s.OH(), s.OW()}
		case KindLRN:
			x = LRN(l.LRN, n, c, h*w, x)
		case KindMaxPool:
			x, r.argmax[l.Name] = MaxPool2x2(n*c, h, w, x)
			in = [4]int{n, c, h / 2, w / 2}
		case KindAvgPool:
			x, _ = AveragePool(n*c, h, w, 2, 2, 0, x)
			in = [4]int{n, c, h / 2, w / 2}
		case KindGlobalPool:
			x, _ = GlobalPool(n*c, h*w, x)
			in = [4]int{n, c, 1, 1}
		case KindScale:
			x = Scale(n, c, h*w, x, l.Weight, l.Bias)
		case KindLinear:
			x = linear(n, c*h*w, l.Out, l.flatten(in, x), l.Weight, l.Bias)
			in = [4]int{n, l.Out, 1, 1}
		}
		if l.ReLU {
			x = ReLU(x)
		}
		r.keep(l.Name, x, in)
	}
	return r
}

func (r *Run[T]) keep(name string, x []float64, shape [4]int) {
	if _, ok := r.Act[name]; ok {
		panic(fmt.Sprintf("ref: two layers are called %q", name))
	}
	r.Act[name], r.Shape[name] = x, shape
}

// flatten returns x, in CHW order, in the order of the columns of the weights.
func (l Layer[T]) flatten(in [4]int, x []float64) []float64 {
	if l.HWC {
		return transposeEach(in[0], in[1], in[2]*in[3], x)
	}
	return x
}

// unflatten is the inverse of flatten.
func (l Layer[T]) unflatten(in [4]int, x []float64) []float64 {
	if l.HWC {
		return transposeEach(in[0], in[2]*in[3], in[1], x)
	}
	return x
}

// transposeEach returns the transposes of n matrices of rows×cols.
func transposeEach(n, rows, cols int, x []float64) []float64 {
	mustLen("x", len(x), n*rows*cols)
	y := make([]float64, len(x))
	for i, v := range x {
		m, r, c := i/(rows*cols), i/cols%rows, i%cols
		y[m*rows*cols+c*rows+r] = v
	}
	return y
}

func (l Layer[T]) convShape(in [4]int) ConvShape {
	return ConvShape{N: in[0], C: in[1], H: in[2], W: in[3], K: l.Out, KH: l.Kernel, KW: l.Kernel, Pad: l.Pad, Stride: l.Stride}
}

// Replace makes Backward take the gradient at other activations, of all layers by
// name: those of another computation of the same network, whose ReLUs and pools may
// have gone the other way where two values are equal but for rounding.
func (r *Run[T]) Replace(act map[string][]float64) {
	below := ""
	for _, l := range r.net.Layers {
		mustLen(l.Name, len(act[l.Name]), len(r.Act[l.Name]))
		r.Act[l.Name] = act[l.Name]
		if l.Kind == KindMaxPool && below != "" {
			s := r.Shape[below]
			_, r.argmax[l.Name] = MaxPool2x2(s[0]*s[1], s[2], s[3], r.Act[below])
		}
		below = l.Name
	}
}

// Output returns the output of the last layer: the logits.
func (r *Run[T]) Output() []float64 {
	return r.Act[r.net.Layers[len(r.net.Layers)-1].Name]
}

// Grads are gradients by name: of a parameter, "conv1_1.weight" or "fc8.bias",
// and of a layer's output or the input, "act.conv1_1" or "act.input".
type Grads map[string][]float64

// Backward runs the network backward from the gradient of a loss with respect to
// Output.
func (r *Run[T]) Backward(dOutput []float64) Grads {
	mustLen("dOutput", len(dOutput), len(r.Output()))
	last := r.net.Layers[len(r.net.Layers)-1].Name
	return r.BackwardFrom(map[string][]float64{last: dOutput}, ReLUGrad)
}

// BackwardFrom runs the network backward from the gradients of a function with respect
// to the outputs of some layers, by name, which are added to what comes from behind.
// relu takes a gradient through a ReLU, whose result is its first argument: ReLUGrad, or
// GuidedReLUGrad.
func (r *Run[T]) BackwardFrom(cotangents map[string][]float64, relu func(y, dy []float64) []float64) Grads {
	g, dy := Grads{}, make([]float64, len(r.Output()))
	for i := len(r.net.Layers) - 1; i >= 0; i-- {
		l, before := r.net.Layers[i], "input"
		if i > 0 {
			before = r.net.Layers[i-1].Name
		}
		if c := cotangents[l.Name]; c != nil {
			mustLen(l.Name, len(c), len(dy))
			dy = slices.Clone(dy)
			for j, v := range c {
				dy[j] += v
			}
		}
		g["act."+l.Name] = dy
		if l.ReLU {
			dy = relu(r.Act[l.Name], dy)
		}
		x, in := r.Act[before], r.Shape[before]
		n, c, h, w := in[0], in[1], in[2], in[3]
		switch l.Kind {
		case KindConv:
			s := l.convShape(in)
			g[l.Name+".weight"] = convWeightGrad(s, x, dy)
			g[l.Name+".bias"], _ = Conv2DBiasGrad(s, dy)
			dy = convInputGrad(s, dy, l.Weight)
		case KindLRN:
			dy, _ = LRNGrad(l.LRN, n, c, h*w, x, dy)
		case KindMaxPool:
			dy = MaxPool2x2Grad(n*c, h, w, r.argmax[l.Name], dy)
		case KindAvgPool:
			dy = AveragePool2x2Grad(n*c, h, w, dy)
		case KindGlobalPool:
			dy = GlobalPoolGrad(n*c, h*w, dy)
		case KindScale:
			dy, g[l.Name+".weight"], g[l.Name+".bias"] = ScaleGrad(n, c, h*w, x, dy, l.Weight)
		case KindLinear:
			g[l.Name+".weight"] = linearWeightGrad(n, c*h*w, l.Out, l.flatten(in, x), dy)
			g[l.Name+".bias"], _ = LinearBiasGrad(n, l.Out, dy)
			dy = l.unflatten(in, linearInputGrad(n, c*h*w, l.Out, dy, l.Weight))
		}
	}
	g["act.input"] = dy
	return g
}
