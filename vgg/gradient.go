package vgg

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Gradient computes the activations of some layers for a batch of pictures, and the
// gradients of any function of these activations with respect to the pictures or to the
// activations of any layers: of a logit for a class activation map, of a distance of
// features, of the loss of a style.
//
//	g, err := m.NewGradient(vgg.Outputs("relu1_2", "relu2_2"))
//	err = g.Forward(ctx, features, pictures)
//	… // the function of the features, and its gradients with respect to them: the cotangents
//	err = g.Backward(ctx, [][]float32{gradient}, cotangents)
//
// It computes with the weights of the Model, and owns the activations of all layers for
// the way back. It needs no gradients of weights, no momentum and no second copy of the
// weights; for the convolutions that gradients pass through, the Model packs its filters
// once more when the first Gradient asks for it. One goroutine at a time may use a
// Gradient; Gradients and sessions of one Model may run at the same time.
//
// All activations and gradients at the edge are [batch][C][H][W].
type Gradient struct {
	model    *Model
	batch    int
	in       Shape
	outputs  []output
	wrt      []output // layer −1 is the input
	ops      []gradOp
	input    gradNode  // the pictures
	blocked  []float32 // of the pictures; nil if the first layer reads them as NCHW
	add      *elementwiseOp
	transfer *transfer
	ready    bool // the activations are those of a Forward
	workspace
}

// gradOp is an op with its memory. The one before gives its input.
type gradOp struct {
	op
	run  forwardFunc
	back backwardFunc // nil: no gradient before it is wanted
	x, y []float32    // activations; x is nil for pictures that are read as NCHW
	node gradNode     // of y
}

// gradNode is the gradient's step at an activation on the way back.
type gradNode struct {
	shape       Shape
	rows        bool           // the activation is [batch][C], not blocked
	output, wrt int            // places in Gradient.outputs and Gradient.wrt, or −1
	relu        *elementwiseOp // through the activation's ReLU, unless the op behind does that
	dy, other   []float32      // where the gradient goes, and the buffer of the one behind
}

// Wrt chooses the layers with respect to whose activations a Gradient gives gradients, in
// this order and each once. "input" is the pictures. The names are those of Output. Without
// Wrt it is the input alone.
func Wrt(layers ...string) SessionOption {
	return func(o *sessionOptions) { o.wrt = append([]string{}, layers...) }
}

// GuidedReLU lets a gradient pass a ReLU only where the gradient and the ReLU's result are
// positive. That is guided backpropagation (Springenberg, Dosovitskiy, Brox & Riedmiller,
// Striving for Simplicity, arXiv:1412.6806). The result is no gradient of the network, but a
// picture of what speaks for a class.
func GuidedReLU() SessionOption { return func(o *sessionOptions) { o.guided = true } }

// NewGradient plans a Gradient and allocates its memory. Of the options, Batch, Workers,
// InputSize, Outputs, Wrt and GuidedReLU count. Outputs are the layers whose activations
// Forward gives and which the cotangents of Backward belong to; the last layer, if not
// given. Errors wrap ErrShape or ErrConfig.
func (m *Model) NewGradient(opts ...SessionOption) (*Gradient, error) {
	o := m.options(opts)
	if o.dense || o.profiled {
		return nil, fmt.Errorf("vgg: Dense and Profiled are options of a Session, not of a Gradient: %w", ErrConfig)
	}
	outputs, err := m.cfg.outputs(o.layers, false)
	if err != nil {
		return nil, err
	}
	wrt, err := m.cfg.wrt(o.wrt, lastLayer(outputs))
	if err != nil {
		return nil, err
	}
	if err := checkWorkers(o.batch, o.workers); err != nil {
		return nil, err
	}
	team := parallel.NewTeam(o.workers)
	g := &Gradient{
		model: m, batch: o.batch, in: Shape{m.cfg.Channels, o.h, o.w}, outputs: outputs, wrt: wrt,
		add: newElementwiseOp(activation.Add, team), transfer: newTransfer(team), workspace: workspace{team: team},
	}
	team.Begin()
	defer team.End()
	if err := g.plan(o.guided); err != nil {
		return nil, err
	}
	return g, nil
}

// wrt finds the layers whose gradients are wanted, none of which stands behind end.
func (c Config) wrt(names []string, end int) ([]output, error) {
	if names == nil {
		names = []string{inputName}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("vgg: a gradient with respect to no layer: %w", ErrConfig)
	}
	var list []output
	for _, name := range names {
		i := -1
		if name != inputName {
			var err error
			if i, err = c.layerIndex(name); err != nil {
				return nil, err
			}
		}
		if i > end {
			return nil, fmt.Errorf("vgg: a gradient with respect to %s, which stands behind the last output, %s: %w", name, c.Layers[end].Name, ErrConfig)
		}
		if slices.ContainsFunc(list, func(o output) bool { return o.layer == i }) {
			return nil, fmt.Errorf("vgg: a gradient with respect to %s is wanted twice: %w", name, ErrConfig)
		}
		list = append(list, output{layer: i})
	}
	return list, nil
}

// inputName is the name of the pictures among layers.
const inputName = "input"

// place returns where layer i stands in a list, or −1.
func place(list []output, i int) int {
	return slices.IndexFunc(list, func(o output) bool { return o.layer == i })
}

// plan makes the ops.
func (g *Gradient) plan(guided bool) error {
	cfg := g.model.cfg
	end, first := lastLayer(g.outputs), len(cfg.Layers)
	cfg.Layers = cfg.Layers[:end+1] // what comes after the outputs does not matter
	shapes, err := cfg.Shapes(g.in.H, g.in.W)
	if err != nil {
		return err
	}
	for i := range g.outputs {
		g.outputs[i].shape = shapes[g.outputs[i].layer]
	}
	for i := range g.wrt {
		first = min(first, g.wrt[i].layer)
		g.wrt[i].shape = g.in
		if l := g.wrt[i].layer; l >= 0 {
			g.wrt[i].shape = shapes[l]
		}
	}
	last := g.in // the activation before the first fully connected layer
	if fc := cfg.firstFC(); fc > 0 {
		last = shapes[fc-1]
	}
	if _, err := cfg.window(end, last, g.in.H, g.in.W, false); err != nil {
		return err
	}
	if err := checkBatch(g.batch, append([]Shape{g.in}, shapes...)...); err != nil {
		return err
	}
	ops := cfg.walk(0, end, g.in, shapes, func(i int) bool { return i < first && g.fuses(i) })
	if conv := g.model.layers[0].conv; conv != nil {
		ops[0].planar = conv.ReadsPlanes()
	}
	g.nodes(ops, first, guided)
	return g.bind(first)
}

// fuses reports whether layer i is a convolution whose activation no one wants, so that it
// may take the pool behind it into its last step.
func (g *Gradient) fuses(i int) bool {
	conv := g.model.layers[i].conv
	return conv != nil && conv.Fuses() && g.model.cfg.Layers[i].ReLU && place(g.outputs, i) < 0
}

// nodes makes the ops, and says what happens at each activation on the way back to layer
// first. Where a gradient is given away or added to, it is taken through the ReLU
// afterwards, else by the op behind.
func (g *Gradient) nodes(ops []op, first int, guided bool) {
	through := activation.ReLUGrad
	if guided {
		through = guidedReLUGrad
	}
	g.input = gradNode{shape: g.in, output: -1, wrt: place(g.wrt, -1)}
	for i, o := range ops {
		n := gradNode{shape: o.out, rows: o.rows, output: place(g.outputs, o.last), wrt: place(g.wrt, o.last)}
		own := o.ReLU && (guided || n.output >= 0 || n.wrt >= 0)
		if own && o.index > first {
			n.relu = newElementwiseOp(through, g.team)
		}
		if own && i+1 < len(ops) {
			ops[i+1].relu = false
		}
		g.ops = append(g.ops, gradOp{op: o, node: n})
	}
	for i := range g.ops {
		g.ops[i].relu = ops[i].relu
	}
}

// guidedReLUGrad sets dx to 0 where dx or x, the result of the ReLU, is at most 0.
func guidedReLUGrad(dx, x []float32) {
	activation.ReLUGrad(dx, x)
	activation.ReLU(dx)
}

// bind allocates the memory of the ops, and binds them to the kernels; backward, those
// behind layer first.
func (g *Gradient) bind(first int) error {
	packed, err := g.pack(first)
	if err != nil {
		return err
	}
	var x []float32
	if !g.ops[0].planar {
		g.blocked = layout.Alloc(g.batch * layout.Len(g.in.C, g.in.H, g.in.W))
		x = g.blocked
	}
	for i := range g.ops {
		o := &g.ops[i]
		o.x, o.y = x, layout.Alloc(g.batch*o.outLen())
		x = o.y
		if o.run, err = g.forward(o.op, g.model.layers[o.index], g.batch); err != nil {
			return err
		}
		if o.index <= first {
			continue
		}
		if o.back, err = g.backward(o.op, packed[i], g.batch); err != nil {
			return err
		}
	}
	g.buffers(first)
	return nil
}

// pack packs what the gradients of the ops behind layer first need, and reserves the
// scratch of all convolutions.
func (g *Gradient) pack(first int) ([]packedGrad, error) {
	packed := make([]packedGrad, len(g.ops))
	for i, o := range g.ops {
		err := g.need(g.model.layers[o.index].conv, o.spec(g.batch))
		if err == nil && o.index > first {
			if packed[i], err = g.model.packedGrad(o.op, g.team); err == nil {
				err = g.need(packed[i].conv, o.gradSpec(g.batch))
			}
		}
		if err != nil {
			return nil, o.named(err)
		}
	}
	return packed, nil
}

// buffers allocates the two buffers of the gradients of activations, from the last one
// to that of layer first.
func (g *Gradient) buffers(first int) {
	var nodes []*gradNode
	var lengths []int
	for i := len(g.ops) - 1; i >= 0 && g.ops[i].last >= first; i-- {
		nodes, lengths = append(nodes, &g.ops[i].node), append(lengths, g.batch*g.ops[i].outLen())
	}
	if first < 0 {
		nodes, lengths = append(nodes, &g.input), append(lengths, g.batch*layout.Len(g.in.C, g.in.H, g.in.W))
	}
	turn := newInTurn(slices.Max(lengths))
	for i, n := range nodes {
		n.dy, n.other = turn.next(lengths[i])
	}
}

// Workers returns how many goroutines compute.
func (g *Gradient) Workers() int { return g.team.Workers() }

// OutputShapes returns the shapes of one picture's activations of the outputs, which
// their cotangents have as well.
func (g *Gradient) OutputShapes() []Shape { return shapesOf(g.outputs) }

// GradShapes returns the shapes of one picture's gradients.
func (g *Gradient) GradShapes() []Shape { return shapesOf(g.wrt) }

func shapesOf(list []output) []Shape {
	var shapes []Shape
	for _, o := range list {
		shapes = append(shapes, o.shape)
	}
	return shapes
}

// Forward computes the network up to the last output for a batch of prepared pictures,
// src [batch][channels][h][w], and keeps the activations for Backward. It sets dst[i],
// [batch] of OutputShapes()[i], to those of output i, unless it is nil; dst as a whole may
// be nil. The activations are the bits of a Session's.
//
// It returns an error that wraps ErrShape if a length is wrong, or ctx's error, within
// milliseconds, when ctx ends; Backward then needs another Forward. Forward allocates
// nothing. The results for a picture depend on neither the others nor the number of
// workers, bit for bit.
func (g *Gradient) Forward(ctx context.Context, dst [][]float32, src []float32) error {
	if n := g.batch * g.in.Len(); len(src) != n {
		return shape.Errorf("vgg: input of %d elements, want %d×%v = %d", len(src), g.batch, g.in, n)
	}
	if dst != nil {
		if err := g.check("output", "results", g.outputs, dst); err != nil {
			return err
		}
	}
	g.team.Begin()
	defer g.team.End()
	g.ready = false
	if g.blocked != nil {
		if err := g.transfer.load(ctx, g.batch, g.in, g.blocked, src); err != nil {
			return err
		}
	}
	for i := range g.ops {
		o, x := &g.ops[i], src
		if o.x != nil {
			x = o.x
		}
		if err := o.run(ctx, o.y, x); err != nil {
			return err
		}
		if dst != nil && o.node.output >= 0 && dst[o.node.output] != nil {
			if err := g.give(ctx, &o.node, dst[o.node.output], o.y); err != nil {
				return err
			}
		}
	}
	g.ready = true
	return ctx.Err()
}

// check checks the lengths of operands for the layers of a list; nil is none.
func (g *Gradient) check(one, all string, list []output, operands [][]float32) error {
	if len(operands) != len(list) {
		return shape.Errorf("vgg: %d %s, want %d", len(operands), all, len(list))
	}
	for i, o := range list {
		if n := g.batch * o.shape.Len(); operands[i] != nil && len(operands[i]) != n {
			return shape.Errorf("vgg: %s %d has %d elements, want %d×%v = %d", one, i, len(operands[i]), g.batch, o.shape, n)
		}
	}
	return nil
}

// errNoForward is the error of a Backward that has no activations.
var errNoForward = errors.New("vgg: Backward needs the activations of a Forward that came to its end")

// Backward computes the gradients of a function of the outputs at the pictures of the
// last Forward. cotangents[i], [batch] of OutputShapes()[i], is the gradient of the
// function with respect to output i, and nil stands for zeros; where gradients meet at an
// activation, they are added. Backward sets grads[i], [batch] of GradShapes()[i], to the
// gradient with respect to layer i of Wrt, unless it is nil. That of an activation is
// taken after its ReLU, as the activation itself.
//
// The gradient of a ReLU is 0 where its result is 0, and that of a maximum goes to the
// first of the largest, in the order of rows, as in the Trainer. Backward may be called
// several times after one Forward. Its errors are Forward's, or say that there was none.
// It allocates nothing, and its results for a picture depend on neither the others nor the
// number of workers, bit for bit.
func (g *Gradient) Backward(ctx context.Context, grads, cotangents [][]float32) error {
	if err := g.check("gradient", "gradients", g.wrt, grads); err != nil {
		return err
	}
	if err := g.check("cotangent", "cotangents", g.outputs, cotangents); err != nil {
		return err
	}
	if !g.ready {
		return errNoForward
	}
	g.team.Begin()
	defer g.team.End()
	var dy []float32 // nil: zeros
	var err error
	for i := len(g.ops) - 1; i >= 0; i-- {
		o := &g.ops[i]
		if dy, err = g.visit(ctx, &o.node, o.y, dy, grads, cotangents); err != nil || o.back == nil {
			return err
		}
		if dy == nil {
			continue
		}
		before := &g.input
		if i > 0 {
			before = &g.ops[i-1].node
		}
		if err = o.back(ctx, before.dy, dy, o.x, o.y); err != nil {
			return err
		}
		dy = before.dy
	}
	_, err = g.visit(ctx, &g.input, nil, dy, grads, cotangents)
	return err
}

// visit adds the cotangent of an activation y to the gradient dy that comes from behind,
// gives the sum away if it is wanted, and takes it through the activation's ReLU.
func (g *Gradient) visit(ctx context.Context, n *gradNode, y, dy []float32, grads, cotangents [][]float32) ([]float32, error) {
	if n.output >= 0 && cotangents[n.output] != nil {
		to := n.dy
		if dy != nil {
			to = n.other
		}
		if err := g.take(ctx, n, to, cotangents[n.output]); err != nil {
			return nil, err
		}
		if dy != nil {
			if err := g.add.run(ctx, dy, to); err != nil {
				return nil, err
			}
		}
		dy = n.dy
	}
	if n.wrt >= 0 && grads[n.wrt] != nil {
		if dy == nil {
			clear(grads[n.wrt])
		} else if err := g.give(ctx, n, grads[n.wrt], dy); err != nil {
			return nil, err
		}
	}
	if dy != nil && n.relu != nil {
		return dy, n.relu.run(ctx, dy, y)
	}
	return dy, ctx.Err()
}

// give copies from the form of an activation to dst, [batch][C][H][W].
func (g *Gradient) give(ctx context.Context, n *gradNode, dst, src []float32) error {
	if n.rows {
		copy(dst, src)
		return ctx.Err()
	}
	return g.transfer.store(ctx, g.batch, n.shape, dst, src)
}

// take is the inverse of give.
func (g *Gradient) take(ctx context.Context, n *gradNode, dst, src []float32) error {
	if n.rows {
		copy(dst, src)
		return ctx.Err()
	}
	return g.transfer.load(ctx, g.batch, n.shape, dst, src)
}
