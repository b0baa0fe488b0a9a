package vgg

import (
	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/layout"
)

// An op computes one layer of a network, or a 3×3 convolution together with the pool
// behind it. Sessions, trainers and gradients list the ops of their layers by walk, and
// bind them to kernels and memory by the methods of workspace.
//
// To add a kind of layer: its shape in Config.Shapes, its word in ParseLayers, its
// kernels in workspace.forward and workspace.backward and, if it has weights,
// Model.pack and workspace.weightGrad.
type op struct {
	Layer
	index   int   // in Config.Layers
	last    int   // the layer whose activation the op gives: index, or the pool behind it
	in, out Shape // of one picture
	pad     int
	param   int  // its weight in Config.Params, which its bias follows
	planar  bool // in is NCHW: the first convolution may read the pictures without conversion
	rowsIn  bool // in is [pictures][C], as behind a fully connected layer; else blocked, see package layout
	rows    bool // out is [pictures][C]
	relu    bool // in is the result of a ReLU, which the op's gradient is taken through
}

// walk lists the ops of the layers first to end for the input in of the first one, with
// the shapes of all layers. fuses says whether a convolution takes the pool behind it
// into its last step; if it is nil, none does.
func (c Config) walk(first, end int, in Shape, shapes []Shape, fuses func(i int) bool) []op {
	var ops []op
	fc, param, next := c.firstFC(), 0, first
	for i, l := range c.Layers[:end+1] {
		if i == next {
			o := op{Layer: l, index: i, last: i, in: in, pad: c.Pad, param: param, rowsIn: i > fc, rows: i >= fc, relu: i > first && c.Layers[i-1].ReLU}
			if i < end && c.Layers[i+1].Kind == Pool && fuses != nil && fuses(i) {
				o.last++
			}
			o.out = shapes[o.last]
			in, next = o.out, o.last+1
			ops = append(ops, o)
		}
		if l.weighted() {
			param += 2
		}
	}
	return ops
}

// An algorithm says how the 3×3 convolutions of a network are computed: by their shapes, if
// it is zero.
type algorithm struct {
	direct bool
	tile   int // m of Winograd's F(m×m,3×3)
	fixed  bool
}

// options are those of a layer's filters, for c input channels and results of the size of
// out. Winograd is for layers that nonet computes by Winograd of its own accord.
func (a algorithm) options(l Layer, c int, out Shape) []conv3x3.Option {
	opts := []conv3x3.Option{conv3x3.Stride(max(l.Stride, 1)), conv3x3.Map(out.H, out.W)}
	if a.fixed {
		opts = append(opts, conv3x3.Fixed())
	}
	switch {
	case a.direct:
		return append(opts, conv3x3.Direct())
	case a.tile != 0 && conv3x3.Algorithm(c, l.Out, opts...) != conv3x3.Algorithm(c, l.Out, conv3x3.Direct()):
		return append(opts, conv3x3.Winograd(a.tile))
	}
	return opts
}

// fused reports whether the op is a convolution with the pool behind it.
func (o op) fused() bool { return o.last > o.index }

// inLen returns the floats of a picture's input.
func (o op) inLen() int {
	if o.planar || o.rowsIn {
		return o.in.Len()
	}
	return layout.Len(o.in.C, o.in.H, o.in.W)
}

// outLen returns the floats of a picture's activation.
func (o op) outLen() int {
	if o.rows {
		return o.out.Len()
	}
	return layout.Len(o.out.C, o.out.H, o.out.W)
}

// inTurn are two buffers for the gradients of activations: the one of an op's result
// and the one of its input.
type inTurn struct {
	buffers [2][]float32
	turn    int
}

// newInTurn allocates buffers for gradients of up to n floats.
func newInTurn(n int) *inTurn {
	b := &inTurn{}
	for i := range b.buffers {
		b.buffers[i] = layout.Alloc(n)
	}
	return b
}

// next returns n floats of the other buffer, and of the one that was returned before.
func (b *inTurn) next(n int) (next, before []float32) {
	b.turn = 1 - b.turn
	return b.buffers[b.turn][:n], b.buffers[1-b.turn][:n]
}

// widest returns the most floats of a picture's activation.
func widest(ops []op) int {
	most := 0
	for _, o := range ops {
		most = max(most, o.outLen())
	}
	return most
}
