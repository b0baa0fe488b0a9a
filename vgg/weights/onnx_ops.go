package weights

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// onnxOp is an operator that may stand on the way.
type onnxOp struct {
	do         func(*onnxGraph, *onnxNode) error
	inputs     int    // at most
	either     bool   // the activation may be the second of two inputs
	passes     bool   // changes no value: may stand anywhere
	attributes string // those that are known; some of them change nothing
}

var onnxOps map[string]onnxOp

func init() { // for they refer to each other
	const window = "auto_pad ceil_mode dilations kernel_shape pads strides count_include_pad storage_order"
	const broadcast = "axis broadcast consumed_inputs"
	onnxOps = map[string]onnxOp{
		"Conv":               {do: (*onnxGraph).conv, inputs: 3, attributes: "auto_pad dilations group kernel_shape pads strides"},
		"BatchNormalization": {do: (*onnxGraph).batchNorm, inputs: 5, attributes: "epsilon momentum training_mode spatial is_test consumed_inputs"},
		"Relu":               {do: (*onnxGraph).relu, inputs: 1, attributes: "consumed_inputs"},
		"Clip":               {do: (*onnxGraph).clip, inputs: 3, attributes: "min max consumed_inputs"},
		"Max":                {do: (*onnxGraph).atLeast, inputs: 2, either: true, attributes: "consumed_inputs"},
		"MaxPool":            {do: (*onnxGraph).maxPool, inputs: 1, attributes: window},
		"AveragePool":        {do: (*onnxGraph).averagePool, inputs: 1, attributes: window},
		"GlobalAveragePool":  {do: (*onnxGraph).globalPool, inputs: 1},
		"GlobalMaxPool":      {do: (*onnxGraph).globalMax, inputs: 1},
		"ReduceMean":         {do: (*onnxGraph).reduceMean, inputs: 2, attributes: "axes keepdims noop_with_empty_axes"},
		"LRN":                {do: (*onnxGraph).lrn, inputs: 1, attributes: "alpha beta bias size"},
		"Pad":                {do: (*onnxGraph).padding, inputs: 3, attributes: "mode pads paddings value"},
		"Gemm":               {do: (*onnxGraph).gemm, inputs: 3, either: true, attributes: "alpha beta transA transB broadcast"},
		"MatMul":             {do: (*onnxGraph).matMul, inputs: 2, either: true},
		"Add":                {do: (*onnxGraph).arithmetic, inputs: 2, either: true, attributes: broadcast},
		"Sub":                {do: (*onnxGraph).arithmetic, inputs: 2, either: true, attributes: broadcast},
		"Mul":                {do: (*onnxGraph).arithmetic, inputs: 2, either: true, attributes: broadcast},
		"Div":                {do: (*onnxGraph).arithmetic, inputs: 2, either: true, attributes: broadcast},
		"Flatten":            {do: (*onnxGraph).flatten, inputs: 1, passes: true, attributes: "axis"},
		"Reshape":            {do: (*onnxGraph).reshape, inputs: 2, passes: true, attributes: "shape allowzero consumed_inputs"},
		"Squeeze":            {do: (*onnxGraph).squeeze, inputs: 2, passes: true, attributes: "axes"},
		"Unsqueeze":          {do: (*onnxGraph).unsqueeze, inputs: 2, passes: true, attributes: "axes"},
		"Transpose":          {do: (*onnxGraph).transpose, inputs: 1, passes: true, attributes: "perm"},
		"Dropout":            {do: (*onnxGraph).dropout, inputs: 3, passes: true, attributes: "ratio seed is_test consumed_inputs"},
		"Identity":           {do: func(*onnxGraph, *onnxNode) error { return nil }, inputs: 1, passes: true},
		"Cast":               {do: (*onnxGraph).cast, inputs: 1, passes: true, attributes: "to saturate"},
		"Softmax":            {do: (*onnxGraph).softmax, inputs: 1, attributes: "axis"},
		"LogSoftmax":         {do: (*onnxGraph).softmax, inputs: 1, attributes: "axis"},
		"Sigmoid":            {do: (*onnxGraph).softmax, inputs: 1},
	}
}

// conv is a convolution of 3×3 or 1×1, or a fully connected layer written as one:
// as large as its input, or behind such a layer or a global pool.
func (g *onnxGraph) conv(n *onnxNode) error {
	if err := g.decide(n); err != nil {
		return err
	}
	c, err := g.need(n, 1)
	if err != nil {
		return err
	}
	if len(c.shape) != 4 {
		return &Error{Tensor: c.name, Detail: fmt.Sprintf("shape is %s of type %d, want 4 dimensions of floats", brief(c.shape), c.dataType), Err: ErrShape}
	}
	w := onnxWeight{from: c, shape: [4]int(c.shape), strides: [4]int(c.strides)}
	pads, err := g.convPads(n, w.shape[2:])
	if err != nil {
		return err
	}
	g.pad = [4]int64{}
	channels := g.view.dims['C']
	if channels == 0 {
		channels = int64(w.shape[1])
	}
	if int64(w.shape[1]) != channels || w.len() == 0 {
		return n.failf("its weights have shape %v, its input %d channels", w.shape, channels)
	}
	if len(g.layers) == 0 {
		if err := g.preset(n, int(channels)); err != nil {
			return err
		}
	}
	if err := g.convLayer(n, w, pads); err != nil {
		return err
	}
	return g.addInput(n, 2)
}

// convLayer appends the layer.
func (g *onnxGraph) convLayer(n *onnxNode, w onnxWeight, pads [4]int64) error {
	rows, columns := int64(w.shape[2]), int64(w.shape[3])
	v := &g.view
	whole := pads == [4]int64{} && v.dims['H'] == rows && v.dims['W'] == columns
	last := g.last()
	pooled := last != nil && last.kind == onnxGlobal
	if whole && (g.fc || pooled || rows > 3 || columns > 3) {
		v.dims['H'], v.dims['W'], v.dims['C'] = 1, 1, int64(w.shape[0])
		g.fc = true
		return g.add(n, &onnxLayer{kind: onnxFC, out: w.shape[0], weight: w})
	}
	padded := pads == [4]int64{1, 1, 1, 1}
	three, one := rows == 3 && columns == 3 && (padded || pads == [4]int64{}), rows == 1 && columns == 1 && pads == [4]int64{}
	switch {
	case g.fc:
		return n.failf("a convolution after the fully connected layers began")
	case !three && !one:
		return n.failf("a convolution of %d×%d, strides %s, dilations %s, group %d, pads %s; want 3×3 or 1×1, stride 1, pads 1 or 0", rows, columns,
			brief(n.attributes["strides"].ints), brief(n.attributes["dilations"].ints), n.int("group", 1), brief(pads[:]))
	case three:
		g.padded = append(g.padded, padded)
	}
	sides := v.sides()
	for _, letter := range []byte("HW") {
		if d := v.dims[letter]; d > 0 && three && !padded {
			if d < 3 {
				return n.failf("a convolution of 3×3 without padding of %s", sides)
			}
			v.dims[letter] = d - 2
		}
	}
	v.dims['C'] = int64(w.shape[0])
	return g.add(n, &onnxLayer{kind: onnxConv, kernel: w.shape[2], out: w.shape[0], weight: w})
}

// convPads returns the padding of a convolution, with that of a Pad before it.
func (g *onnxGraph) convPads(n *onnxNode, kernel []int) ([4]int64, error) {
	pads := g.pad
	own := n.attributes["pads"].ints
	auto := n.attributes["auto_pad"].s
	shape := n.attributes["kernel_shape"].ints
	same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	odd := kernel[0]%2 == 1 && kernel[1]%2 == 1
	strided := !n.all("strides", 1) || !n.all("dilations", 1) || n.int("group", 1) != 1
	switch {
	case strided || same && !odd,
		len(own) != 0 && len(own) != 4,
		!slices.Contains([]string{"", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}, auto),
		(same || auto == "VALID") && !n.all("pads", 0),
		len(shape) != 0 && (len(shape) != 2 || shape[0] != int64(kernel[0]) || shape[1] != int64(kernel[1])):
		return pads, n.failf("a convolution of %d×%d, kernel_shape %s, strides %s, dilations %s, group %d, pads %s, auto_pad %s; want 3×3 or 1×1, stride 1, pads 1 or 0", kernel[0], kernel[1],
			brief(shape), brief(n.attributes["strides"].ints), brief(n.attributes["dilations"].ints), n.int("group", 1), brief(own), quote(auto))
	}
	for i := range pads {
		if len(own) == 4 {
			pads[i] += own[i]
		}
		if same {
			pads[i] += int64(kernel[i%2] / 2)
		}
	}
	return pads, nil
}

// addInput adds input i, a bias, if there is one.
func (g *onnxGraph) addInput(n *onnxNode, i int) error {
	if n.input(i) == "" {
		return nil
	}
	c, err := g.need(n, i)
	if err != nil {
		return err
	}
	l := g.last()
	if len(c.shape) != 1 || c.len() != l.out {
		return &Error{Tensor: c.name, Detail: fmt.Sprintf("shape is %s, want [%d], for node %s", brief(c.shape), l.out, quote(n.name)), Err: ErrShape}
	}
	b, err := g.floats(c)
	if err != nil {
		return err
	}
	l.affine = l.affine.then(onnxAffine{shift: b})
	return nil
}

// batchNorm is y = γ·(x-μ)/√(σ²+ε) + β for each channel.
func (g *onnxGraph) batchNorm(n *onnxNode) error {
	if !g.decided {
		if err := g.decide(n); err != nil {
			return err
		}
	}
	v := &g.view
	if len(v.axes) < 2 || v.axes[0] != 'N' || v.axes[1] != v.channels() {
		return n.failf("the axes of its input are %s, want channels second", v.order())
	}
	outputs := slices.DeleteFunc(slices.Clone(n.outputs), func(s string) bool { return s == "" })
	if n.int("training_mode", 0) != 0 || len(outputs) > 1 {
		return n.failf("training_mode %d with %d outputs, want 0 and 1: its results depend on the batch", n.int("training_mode", 0), len(outputs))
	}
	var p [4][]float64
	for i := range p {
		c, err := g.need(n, i+1)
		if err != nil {
			return err
		}
		if p[i], err = g.floats(c); err != nil {
			return err
		}
		if len(c.shape) != 1 || len(p[i]) != len(p[0]) {
			return &Error{Tensor: c.name, Detail: fmt.Sprintf("shape is %s, want [%d]", brief(c.shape), len(p[0])), Err: ErrShape}
		}
	}
	eps := decimal(n.float("epsilon", 1e-5))
	a := onnxAffine{make([]float64, len(p[0])), make([]float64, len(p[0]))}
	for i, variance := range p[3] {
		if !(variance >= 0) || !(variance+eps > 0) {
			return n.failf("element %d of %s is %v and epsilon %v, want a variance", i, quote(n.inputs[4]), variance, eps)
		}
		a.scale[i] = p[0][i] / math.Sqrt(variance+eps)
		a.shift[i] = p[1][i] - float64(p[2][i]*a.scale[i])
	}
	if len(g.layers) == 0 {
		if err := g.preset(n, len(p[0])); err != nil {
			return err
		}
	}
	return g.scale(n, a)
}

// scale folds products and sums into the layer before, or makes them a layer.
func (g *onnxGraph) scale(n *onnxNode, a onnxAffine) error {
	v := &g.view
	letter := v.channels()
	width := v.dims[letter]
	if width == 0 && letter == 'C' {
		width = int64(a.vector()) // of the input
		v.dims['C'] = width
	}
	if k := int64(a.vector()); k > 1 && k != width || width < 1 {
		return n.failf("%d constants for %d channels", a.vector(), width)
	}
	if err := g.take(n, 16*width); err != nil {
		return err
	}
	channels := v.dims['C']
	if letter == 'F' && !g.fc && channels != width { // flattened
		if a.vector() > 1 || !g.before.identity() {
			g.before = g.before.then(a)
			return nil
		}
		width = channels
	}
	if l := g.last(); l != nil && l.linear() {
		l.affine = l.affine.then(a)
		if l.kind == onnxScale {
			return l.affine.widen(n, l.out)
		}
		return nil
	}
	if err := a.widen(n, int(width)); err != nil {
		return err
	}
	return g.add(n, &onnxLayer{kind: onnxScale, out: int(width), affine: a})
}

// arithmetic is an Add, Sub, Mul or Div of a constant.
func (g *onnxGraph) arithmetic(n *onnxNode) error {
	if len(n.inputs) != 2 {
		return n.failf("has %d inputs, want 2", len(n.inputs))
	}
	side := 1
	c, err := g.constant(n.inputs[1])
	if err == nil && c == nil {
		side = 0
		c, err = g.constant(n.inputs[0])
	}
	switch {
	case err != nil:
		return err
	case c == nil:
		return n.failf("neither %s nor %s is a constant", quote(n.inputs[0]), quote(n.inputs[1]))
	}
	if c, err = g.need(n, side); err != nil {
		return err
	}
	letter, err := g.along(n, c)
	if err != nil {
		return err
	}
	values, err := g.floats(c)
	if err != nil {
		return err
	}
	a := onnxAffine{}
	switch {
	case n.op == "Add":
		a.shift = values
	case n.op == "Mul":
		a.scale = values
	case n.op == "Sub" && side == 1:
		a.shift = mapped(values, func(v float64) float64 { return -v })
	case n.op == "Sub":
		a.scale, a.shift = []float64{-1}, values
	case side == 1:
		a.scale = mapped(values, func(v float64) float64 { return 1 / v })
	default:
		return n.failf("divides a constant by its input")
	}
	return g.applied(n, a, letter)
}

func mapped(list []float64, f func(float64) float64) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// applied does a to the input, where only the way to the first layer has begun, or
// to the layers so far.
func (g *onnxGraph) applied(n *onnxNode, a onnxAffine, letter byte) error {
	for _, v := range slices.Concat(a.scale, a.shift) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return n.failf("has a constant that is not finite, or divides by 0")
		}
	}
	if g.decided {
		return g.scale(n, a)
	}
	if letter != 0 && g.axis != 0 && letter != g.axis {
		return n.failf("its constants lie along another axis than those before it")
	}
	if letter != 0 {
		g.axis = letter
	}
	if x, y := g.front.vector(), a.vector(); x > 1 && y > 1 && x != y {
		return n.failf("%d constants for %d channels", y, x)
	}
	if err := g.take(n, 16*int64(max(g.front.vector(), a.vector()))); err != nil {
		return err
	}
	g.front = g.front.then(a)
	return nil
}

// along returns the axis that a constant of more than one element lies along, or 0.
func (g *onnxGraph) along(n *onnxNode, c *onnxConstant) (byte, error) {
	v := &g.view
	// Version 6 and before: broadcast says so, and from which axis on.
	first := len(v.axes) - len(c.shape)
	if _, ok := n.attributes["axis"]; ok {
		first = int(min(max(n.int("axis", 0), -1), int64(len(v.axes))))
	}
	letter := byte(0)
	for i, d := range c.shape {
		at := first + i
		switch {
		case at < 0 || at >= len(v.axes):
			return 0, n.failf("its constant of shape %s has more axes than its input, %s", brief(c.shape), v.order())
		case d == 1:
		case letter != 0, g.decided && v.axes[at] != v.channels(), g.decided && v.dim(at) > 0 && v.dim(at) != int64(d),
			!g.decided && v.axes[at] == 'a', d == 0:
			return 0, n.failf("its constant of shape %s is not one for each channel of its input, %s of %s", brief(c.shape), v.order(), printed(v.shape()))
		default:
			letter = v.axes[at]
		}
	}
	if g.ended != nil {
		return 0, n.failf("stands behind the %s", g.ended.op)
	}
	return letter, nil
}

// relu belongs to the layer before, if that has one; else it is a layer.
func (g *onnxGraph) relu(n *onnxNode) error {
	l := g.last()
	switch {
	case l == nil:
		return n.failf("does not follow a layer with weights")
	case !g.before.identity():
		return n.failf("follows constants for each element of an activation")
	case l.relu:
		return nil
	case l.kind <= onnxScale:
		l.relu = true
		return nil
	}
	width := int(g.view.dims['C'])
	one := onnxAffine{}
	if err := one.widen(n, width); err != nil {
		return err
	}
	return g.add(n, &onnxLayer{kind: onnxScale, out: width, relu: true, affine: one})
}

// clip is ReLU if it goes from 0 to what no float exceeds.
func (g *onnxGraph) clip(n *onnxNode) error {
	low, high := n.float("min", math.Inf(-1)), n.float("max", math.Inf(1))
	for i, p := range []*float64{&low, &high} {
		if n.input(i+1) == "" {
			continue
		}
		c, err := g.need(n, i+1)
		if err != nil {
			return err
		}
		v, err := g.floats(c)
		if err != nil {
			return err
		}
		if len(v) != 1 {
			return n.failf("input %d has %d elements, want 1", i+1, len(v))
		}
		*p = v[0]
	}
	if low != 0 || high < math.MaxFloat32 {
		return n.failf("from %g to %g, want 0 to infinity, which is ReLU", low, high)
	}
	return g.relu(n)
}

// atLeast is ReLU if it compares with 0.
func (g *onnxGraph) atLeast(n *onnxNode) error {
	for i, in := range n.inputs {
		if c, err := g.constant(in); err == nil && c != nil && c.len() == 1 && len(c.shape) <= len(g.view.axes) && len(n.inputs) == 2 {
			c, err := g.need(n, i)
			if err != nil {
				return err
			}
			if v, err := g.floats(c); err != nil || v[0] == 0 {
				if err != nil {
					return err
				}
				return g.relu(n)
			}
		}
	}
	return n.failf("is no maximum with 0, which is ReLU")
}

// pool returns whether a pool is 2×2 with stride 2 (two), or takes all of its
// input (whole), or changes nothing (none), and its sizes for messages.
func (g *onnxGraph) pool(n *onnxNode) (two, whole, none bool, about string, err error) {
	if err = g.decide(n); err != nil {
		return
	}
	k, s, pads, auto := n.attributes["kernel_shape"].ints, n.attributes["strides"].ints, n.attributes["pads"].ints, n.attributes["auto_pad"].s
	about = fmt.Sprintf("a pool of %s, strides %s, pads %s, auto_pad %s, ceil_mode %d, of an input of %s", brief(k), brief(s), brief(pads), quote(auto), n.int("ceil_mode", 0), g.view.sides())
	if len(s) == 0 {
		s = []int64{1, 1}
	}
	if len(k) != 2 || len(s) != 2 || !n.all("pads", 0) || !n.all("dilations", 1) {
		return
	}
	h, w := g.view.dims['H'], g.view.dims['W']
	none = k[0] == 1 && k[1] == 1 && s[0] == 1 && s[1] == 1
	// Where nothing is added at the edges: that of SAME, or of rounding up.
	open := strings.HasPrefix(auto, "SAME") || n.int("ceil_mode", 0) != 0
	two = n.all("kernel_shape", 2) && n.all("strides", 2) && len(n.attributes["strides"].ints) == 2 && (!open || h > 0 && w > 0 && h%2 == 0 && w%2 == 0)
	whole = k[0] == h && k[1] == w && h > 0 && w > 0 && (!strings.HasPrefix(auto, "SAME") || s[0] >= h && s[1] >= w)
	return
}

// halve makes the axes of a pool half as long.
func (g *onnxGraph) halve(n *onnxNode, kind byte) error {
	if g.fc || !g.before.identity() {
		return n.failf("a pool after the fully connected layers began")
	}
	sides := g.view.sides()
	for _, letter := range []byte("HW") {
		if d := g.view.dims[letter]; d == 1 {
			return n.failf("a pool of 2×2 of an input of %s", sides)
		} else if d > 1 {
			g.view.dims[letter] = d / 2
		}
	}
	return g.addPool(n, kind)
}

// addPool appends a layer without weights, which may be the first.
func (g *onnxGraph) addPool(n *onnxNode, kind byte) error {
	if len(g.layers) == 0 {
		channels := g.view.dims['C']
		if channels == 0 || channels > maxChannels {
			return n.failf("stands before the first convolution, of an input of %d channels", channels)
		}
		if err := g.preset(n, int(channels)); err != nil {
			return err
		}
	}
	return g.add(n, &onnxLayer{kind: kind, out: 1})
}

func (g *onnxGraph) maxPool(n *onnxNode) error {
	two, whole, none, about, err := g.pool(n)
	switch {
	case err != nil:
		return err
	case none || whole && g.view.pixel():
		return nil
	case two:
		return g.halve(n, onnxMax)
	}
	return n.failf("%s; want 2×2, stride 2", about)
}

func (g *onnxGraph) averagePool(n *onnxNode) error {
	two, whole, none, about, err := g.pool(n)
	switch {
	case err != nil:
		return err
	case none || whole && g.view.pixel():
		return nil
	case two:
		return g.halve(n, onnxAverage)
	case whole:
		return g.global(n)
	}
	return n.failf("%s; want 2×2, stride 2, or all of the input", about)
}

func (g *onnxGraph) globalPool(n *onnxNode) error {
	if err := g.decide(n); err != nil {
		return err
	}
	return g.global(n)
}

func (g *onnxGraph) globalMax(n *onnxNode) error {
	if err := g.decide(n); err != nil {
		return err
	}
	if !g.view.pixel() {
		return n.failf("of an input of %s, want 1×1", g.view.sides())
	}
	return nil
}

// global averages all pixels of each channel.
func (g *onnxGraph) global(n *onnxNode) error {
	if g.view.pixel() {
		return nil
	}
	g.view.dims['H'], g.view.dims['W'] = 1, 1
	return g.addPool(n, onnxGlobal)
}

// reduceMean is a global pool if it goes over rows and columns.
func (g *onnxGraph) reduceMean(n *onnxNode) error {
	if !g.decided {
		return n.failf("stands before the first layer")
	}
	axes, err := g.axesOf(n)
	if err != nil {
		return err
	}
	drop := map[byte]bool{}
	for _, a := range axes {
		at, err := g.view.position(n, a)
		if err != nil {
			return err
		}
		drop[g.view.axes[at]] = true
	}
	both := len(drop) == 2 && drop['H'] && drop['W'] || len(drop) == 1 && drop['P']
	second := len(drop) == 1 && (drop['H'] && g.meaned == 'W' || drop['W'] && g.meaned == 'H')
	first := len(drop) == 1 && (drop['H'] || drop['W']) && g.meaned == 0
	if !both && !second && !first {
		return n.failf("over axes %s of %s, want rows and columns", brief(axes), g.view.order())
	}
	if n.int("keepdims", 1) == 0 {
		g.view.axes = strings.Map(func(r rune) rune {
			if drop[byte(r)] {
				return -1
			}
			return r
		}, g.view.axes)
	}
	if first {
		for letter := range drop {
			g.meaned = letter
		}
		return nil
	}
	g.meaned, g.view.dims['P'] = 0, 1
	return g.global(n)
}

// lrn accepts Krizhevsky's constants: ONNX divides alpha by the size, VGG's
// paper does not.
func (g *onnxGraph) lrn(n *onnxNode) error {
	if err := g.decide(n); err != nil {
		return err
	}
	near := func(v, want float64) bool { return math.Abs(v-want) <= 1e-5*want }
	if size, alpha, beta, bias := n.int("size", 0), n.float("alpha", 1e-4), n.float("beta", 0.75), n.float("bias", 1); g.fc ||
		size != 5 || !near(alpha, 5e-4) || !near(beta, 0.75) || !near(bias, 2) {
		return n.failf("size %d, alpha %g, beta %g, bias %g; want 5, 5e-4, 0.75, 2", size, alpha, beta, bias)
	}
	return g.addPool(n, onnxLRN)
}

// padding is kept until the convolution that follows.
func (g *onnxGraph) padding(n *onnxNode) error {
	if err := g.decide(n); err != nil {
		return err
	}
	mode, ok := n.attributes["mode"]
	pads := append(slices.Clone(n.attributes["pads"].ints), n.attributes["paddings"].ints...)
	if name := n.input(1); name != "" {
		v, ok := g.integers(name)
		if !ok {
			return n.failf("its pads, %s, cannot be computed", quote(name))
		}
		pads = v.list
	}
	value := n.float("value", 0)
	if n.input(2) != "" {
		c, err := g.need(n, 2)
		if err != nil {
			return err
		}
		v, err := g.floats(c)
		if err != nil {
			return err
		}
		if value = math.NaN(); len(v) == 1 {
			value = v[0]
		}
	}
	if ok && mode.s != "constant" || value != 0 || len(pads) != 8 || pads[0] != 0 || pads[1] != 0 || pads[4] != 0 || pads[5] != 0 || slices.Min(pads) < 0 || slices.Max(pads) > 1<<10 {
		return n.failf("mode %s, value %g, pads %s; want zeros around rows and columns", quote(mode.s), value, brief(pads))
	}
	for i, p := range []int64{pads[2], pads[3], pads[6], pads[7]} {
		g.pad[i] += p
	}
	return nil
}

func (g *onnxGraph) gemm(n *onnxNode) error {
	side, c, err := g.matrix(n)
	if err != nil {
		return err
	}
	trans := [2]bool{n.int("transA", 0) != 0, n.int("transB", 0) != 0}
	if err := g.dense(n, c, side, trans[1-side], trans[side]); err != nil {
		return err
	}
	if alpha := n.float("alpha", 1); alpha != 1 {
		l := g.last()
		l.affine = l.affine.then(onnxAffine{scale: []float64{decimal(alpha)}})
	}
	if n.input(2) == "" {
		return nil
	}
	if c, err = g.need(n, 2); err != nil {
		return err
	}
	letter, err := g.along(n, c)
	if err != nil {
		return err
	}
	b, err := g.floats(c)
	if err != nil {
		return err
	}
	if beta := n.float("beta", 1); beta != 1 {
		b = mapped(b, func(v float64) float64 { return v * decimal(beta) })
	}
	return g.applied(n, onnxAffine{shift: b}, letter)
}

func (g *onnxGraph) matMul(n *onnxNode) error {
	side, c, err := g.matrix(n)
	if err != nil {
		return err
	}
	if side == 1 && g.view.axes == "NHWC" && !g.view.pixel() {
		return g.matMulConv(n, c)
	}
	return g.dense(n, c, side, false, false)
}

// matrix returns which input of a product is the constant, and that.
func (g *onnxGraph) matrix(n *onnxNode) (int, *onnxConstant, error) {
	if len(n.inputs) < 2 {
		return 0, nil, n.failf("has %d inputs, want 2", len(n.inputs))
	}
	side := 1
	if c, err := g.constant(n.inputs[0]); err == nil && c != nil {
		side = 0
	}
	c, err := g.need(n, side)
	if err != nil {
		return 0, nil, err
	}
	if len(c.shape) != 2 {
		return 0, nil, &Error{Tensor: c.name, Detail: fmt.Sprintf("shape is %s of type %d, want 2 dimensions of floats", brief(c.shape), c.dataType), Err: ErrShape}
	}
	return side, c, nil
}

// matMulConv is a 1×1 convolution of pictures whose channels are last.
func (g *onnxGraph) matMulConv(n *onnxNode, c *onnxConstant) error {
	w := onnxWeight{from: c, shape: [4]int{c.shape[1], c.shape[0], 1, 1}, strides: [4]int{c.strides[1], c.strides[0], 1, 1}}
	if int64(w.shape[1]) != g.view.dims['C'] || w.len() == 0 || g.fc {
		return n.failf("its weights have shape %s, its input %d channels", brief(c.shape), g.view.dims['C'])
	}
	if err := g.convLayer(n, w, [4]int64{}); err != nil {
		return err
	}
	return nil
}

// dense appends a fully connected layer: the product of an activation and the
// constant on a side. Either may be transposed first.
func (g *onnxGraph) dense(n *onnxNode, c *onnxConstant, side int, flipInput, flipWeight bool) error {
	v := &g.view
	if !g.decided || len(g.layers) == 0 {
		return n.failf("stands before the first convolution")
	}
	in, out := 0, 1 // axes of the constant
	if (side == 0) != flipWeight {
		in, out = out, in
	}
	axes := v.axes
	if flipInput {
		axes = string([]byte{axes[len(axes)-1]}) + axes[:len(axes)-1]
	}
	if err := g.setVector(n, axes, side); err != nil {
		return err
	}
	columns, outputs := c.shape[in], c.shape[out]
	w := onnxWeight{from: c, shape: [4]int{outputs, columns, 1, 1}, strides: [4]int{c.strides[out], c.strides[in], 1, 1}, column: [2]int{1, 0}}
	if want := v.dims['F']; columns < 1 || outputs < 1 || want > 0 && int64(columns) != want || !g.fc && int64(columns)%v.dims['C'] != 0 {
		return n.failf("its weights have shape %s, its input %d elements of %d channels", brief(c.shape), want, v.dims['C'])
	}
	if !g.fc && v.hwc {
		channels := int(v.dims['C'])
		w.shape[1], w.shape[2] = channels, columns/channels
		w.strides[2] = channels * w.strides[1]
		w.column = [2]int{1, channels}
	}
	g.fc = true
	v.dims['F'], v.dims['C'], v.dims['H'], v.dims['W'] = int64(outputs), int64(outputs), 1, 1
	before := g.before
	g.before = onnxAffine{}
	return g.add(n, &onnxLayer{kind: onnxFC, out: outputs, weight: w, before: before})
}

// setVector makes the axes those of a product's result: the vectors of the input
// must lie along the last axis, or the one before where the constant is the first
// operand.
func (g *onnxGraph) setVector(n *onnxNode, axes string, side int) error {
	v := &g.view
	flat := strings.ReplaceAll(axes, "1", "")
	if v.pixel() && !strings.Contains(flat, "F") {
		flat = strings.NewReplacer("H", "", "W", "").Replace(flat)
	}
	want := "NF"
	if side == 0 {
		want = "FN"
	}
	lies := axes[len(axes)-1]
	if side == 0 && len(axes) > 1 {
		lies = axes[len(axes)-2]
	}
	if strings.ReplaceAll(flat, "C", "F") != want || lies != 'C' && lies != 'F' {
		return n.failf("the axes of its input are %s, want %s", v.order(), want)
	}
	if !strings.Contains(axes, "F") {
		v.dims['F'], v.hwc = v.dims['C'], false
		axes = strings.ReplaceAll(axes, "C", "F")
	}
	v.axes = axes
	return nil
}

// softmax ends the chain: what a network of ours gives are the logits.
func (g *onnxGraph) softmax(n *onnxNode) error {
	if len(g.layers) == 0 {
		return n.failf("stands before the first layer")
	}
	g.ended = n
	if n.op == "Sigmoid" {
		return nil
	}
	// Before version 13 it goes over all axes from one on.
	legacy := g.opset > 0 && g.opset < 13
	otherwise := int64(-1)
	if legacy {
		otherwise = 1
	}
	at, err := g.view.position(n, n.int("axis", otherwise))
	if err != nil {
		return err
	}
	axes := g.view.axes[at : at+1]
	if legacy {
		axes = g.view.axes[at:]
	}
	for i := range axes {
		if axes[i] != g.view.channels() && g.view.dim(at+i) != 1 || axes[i] == 'N' {
			return n.failf("over axis %d of %s, want the classes", at, g.view.order())
		}
	}
	if !strings.Contains(axes, string(g.view.channels())) {
		return n.failf("over axis %d of %s, want the classes", at, g.view.order())
	}
	return nil
}

// dropout changes nothing where the network is not trained.
func (g *onnxGraph) dropout(n *onnxNode) error {
	if name := n.input(2); name != "" {
		t := g.tensors[name]
		var b []byte
		if t != nil {
			e, err := t.place()
			if err == nil && e.length <= 1 {
				b, err = g.file.entryData(e)
			}
			if err != nil {
				return err
			}
		}
		if len(b) != 1 || b[0] != 0 {
			return n.failf("training_mode %s is not known to be false", quote(name))
		}
	}
	if n.int("is_test", 1) == 0 {
		return n.failf("is_test 0, want 1: its results are random")
	}
	return nil
}

// cast changes nothing between types of floats. Activations are float32 here,
// whatever the graph's are.
func (g *onnxGraph) cast(n *onnxNode) error {
	to := onnxTypes[n.int("to", 0)]
	if !to.IsFloat() {
		return n.failf("to type %d, want floats", n.int("to", 0))
	}
	return nil
}
