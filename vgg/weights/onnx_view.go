package weights

import (
	"slices"
	"strings"
)

// onnxView says which axis of an activation is which, by a letter each:
//
//	N C H W   pictures, channels, rows, columns
//	F         what was flattened, or the outputs of a fully connected layer
//	P         rows and columns in one
//	1         of one element
//	a b c d   those of the input, until an operator wants one of the others
type onnxView struct {
	axes string
	dims map[byte]int64 // of each letter; 0: unknown
	hwc  bool           // F was flattened in the order HWC
}

// dim returns the size of axis i, 0 if it is unknown.
func (v *onnxView) dim(i int) int64 {
	if v.axes[i] == '1' {
		return 1
	}
	return v.dims[v.axes[i]]
}

// shape returns the sizes as integers computes with them.
func (v *onnxView) shape() []int64 {
	shape := make([]int64, len(v.axes))
	for i := range shape {
		shape[i] = v.dim(i)
		if shape[i] == 0 {
			shape[i] = anySize
			if v.axes[i] == 'N' || v.axes[i] == 'a' {
				shape[i] = anyBatch
			}
		}
	}
	return shape
}

// order returns the axes for messages: those of the input by their numbers.
func (v *onnxView) order() string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'd' {
			return r - 'a' + '0'
		}
		return r
	}, v.axes)
}

// want returns an error if the axes are others.
func (v *onnxView) want(n *onnxNode, axes string) error {
	if v.axes == axes {
		return nil
	}
	return n.failf("the axes of its input are %s, want %s", v.order(), axes)
}

// channels returns the letter of the axis that a layer's outputs lie along.
func (v *onnxView) channels() byte {
	if strings.Contains(v.axes, "F") {
		return 'F'
	}
	return 'C'
}

// sides prints rows and columns, which the file may leave open.
func (v *onnxView) sides() string {
	list := []int64{v.dims['H'], v.dims['W']}
	for i, d := range list {
		if d == 0 {
			list[i] = anySize
		}
	}
	return printed(list)
}

// pixel reports whether a picture has one row and one column.
func (v *onnxView) pixel() bool { return v.dims['H'] == 1 && v.dims['W'] == 1 }

// position returns where an axis of an attribute is, which may count from the end.
func (v *onnxView) position(n *onnxNode, axis int64) (int, error) {
	at, rank := axis, int64(len(v.axes))
	if at < 0 {
		at += rank
	}
	if at < 0 || at >= rank {
		return 0, n.failf("axis %d of %d", axis, rank)
	}
	return int(at), nil
}

func (g *onnxGraph) transpose(n *onnxNode) error {
	perm, err := n.permutation(len(g.view.axes))
	if err != nil {
		return err
	}
	axes := make([]byte, len(perm))
	for i, p := range perm {
		axes[i] = g.view.axes[p]
	}
	g.view.axes = string(axes)
	return nil
}

// flatten makes N and F of pictures, rows of an order that Kerases and others have.
func (g *onnxGraph) flatten(n *onnxNode) error {
	if !g.decided {
		return n.failf("stands before the first layer")
	}
	axis, err := g.view.position(n, n.int("axis", 1))
	if err != nil {
		return err
	}
	if axis != 1 {
		return n.failf("axis %d, want 1", n.int("axis", 1))
	}
	return g.setFlat(n, "NF")
}

// setFlat replaces the axes by N, F, and others of one element.
func (g *onnxGraph) setFlat(n *onnxNode, axes string) error {
	v := &g.view
	order := strings.Map(func(r rune) rune {
		if r == '1' || r != 'C' && r != 'F' && r != 'N' && v.dims[byte(r)] == 1 {
			return -1
		}
		return r
	}, v.axes)
	size := int64(1)
	for _, letter := range order[min(1, len(order)):] {
		size *= v.dims[byte(letter)]
	}
	switch order {
	case "NF":
	case "NC", "NCH", "NCW", "NCHW", "NCP":
		v.dims['F'], v.hwc = size, false
	case "NHC", "NWC", "NHWC":
		v.dims['F'], v.hwc = size, true
	default:
		return n.failf("flattens axes in the order %s, want CHW or HWC", v.order())
	}
	v.axes = axes
	return nil
}

// reshape flattens, or adds and drops axes of one element.
func (g *onnxGraph) reshape(n *onnxNode) error {
	if !g.decided {
		return n.failf("stands before the first layer")
	}
	to, err := g.reshapedTo(n)
	if err != nil {
		return err
	}
	if len(to) < 2 || g.view.axes[0] != 'N' || !g.keepsBatch(to) {
		return n.failf("to %s, want the number of pictures and the rest", printed(to))
	}
	var rest []int // positions of more than one element
	for i, d := range to[1:] {
		if d != 1 {
			rest = append(rest, i+1)
		}
	}
	if len(rest) == 0 {
		rest = []int{len(to) - 1}
	}
	if len(rest) == 1 {
		return g.reshapeFlat(n, to, rest[0])
	}
	if v := &g.view; v.axes == "NCHW" && len(to) == 3 && to[1] == v.dims['C'] && (to[2] == v.dims['H']*v.dims['W'] || to[2] == -1 && to[0] != -1) {
		v.axes, v.dims['P'] = "NCP", v.dims['H']*v.dims['W']
		return nil
	}
	return g.reshapeSame(n, to, rest)
}

// printed is brief with sizes that are not known as they are written in graphs.
func printed(list []int64) string {
	var words []string
	for _, d := range list[:min(len(list), 16)] {
		switch d {
		case anyBatch:
			words = append(words, "N")
		case anySize:
			words = append(words, "?")
		default:
			words = append(words, brief([]int64{d}))
		}
	}
	return strings.NewReplacer("[", "", "]", "").Replace(strings.Join(words, "×"))
}

// reshapedTo returns the dimensions that a Reshape asks for.
func (g *onnxGraph) reshapedTo(n *onnxNode) ([]int64, error) {
	a, ok := n.attributes["shape"]
	to := a.ints
	if len(n.inputs) > 1 {
		var v onnxInts
		v, ok = g.integers(n.inputs[1])
		to, ok = v.list, ok && len(v.shape) == 1
	}
	if !ok {
		return nil, n.failf("its shape, %s, cannot be computed", quote(n.input(1)))
	}
	return to, nil
}

// keepsBatch reports whether the first dimension of a Reshape is the number of
// pictures: by its value, by leave to copy it, or because the rest is said.
func (g *onnxGraph) keepsBatch(to []int64) bool {
	pictures := g.view.dims['N']
	switch {
	case to[0] == anyBatch, to[0] == 0, to[0] == -1:
		return true
	case pictures == 0:
		return to[0] == 1 // a graph for one picture
	}
	return to[0] == pictures
}

// reshapeFlat flattens to the dimension at a position.
func (g *onnxGraph) reshapeFlat(n *onnxNode, to []int64, at int) error {
	axes := []byte(strings.Repeat("1", len(to)))
	axes[0], axes[at] = 'N', 'F'
	if err := g.setFlat(n, string(axes)); err != nil {
		return err
	}
	want, size := g.view.dims['F'], to[at]
	whole := to[0] == anyBatch && size == anySize || size == -1 && to[0] != -1
	switch {
	case whole, size > 0 && size == want:
	case size == 0 && want > 0: // copies an axis that has all elements
		return n.failf("to %s, want %d elements of a picture", printed(to), want)
	case size > 0 && want == 0 && g.view.dims['C'] > 0 && size%g.view.dims['C'] == 0:
		g.view.dims['F'] = size
	default:
		return n.failf("to %s, want %d elements of a picture", printed(to), want)
	}
	return nil
}

// reshapeSame checks that the axes of more than one element stay as they are.
func (g *onnxGraph) reshapeSame(n *onnxNode, to []int64, rest []int) error {
	v := &g.view
	var letters []byte
	for i := 1; i < len(v.axes); i++ {
		if v.axes[i] != '1' && v.dim(i) != 1 {
			letters = append(letters, v.axes[i])
		}
	}
	axes := []byte(strings.Repeat("1", len(to)))
	axes[0] = 'N'
	for i, at := range rest {
		if len(letters) != len(rest) || to[at] <= 0 || to[at] != v.dims[letters[i]] {
			return n.failf("to %s, where its input is %s of %s", printed(to), v.order(), printed(v.shape()))
		}
		axes[at] = letters[i]
	}
	v.axes = string(axes)
	return nil
}

// reshaped returns the dimensions that a Reshape gives a constant.
func (g *onnxGraph) reshaped(n *onnxNode, shape []int64) ([]int64, error) {
	to, err := g.reshapedTo(n)
	if err != nil {
		return nil, err
	}
	to = slices.Clone(to)
	total, rest, open := int64(1), int64(1), -1
	for _, d := range shape {
		total *= d
	}
	for i, d := range to {
		if d == 0 && i < len(shape) && n.int("allowzero", 0) == 0 {
			to[i] = shape[i]
		}
		if d == -1 && open < 0 {
			open = i
		} else if to[i] < 1 || to[i] > total {
			return nil, n.failf("to %s, from %s", printed(to), printed(shape))
		} else {
			product, _ := multiply([]int64{rest}, []int64{to[i]})
			rest = product[0]
		}
	}
	if open >= 0 && rest > 0 {
		to[open] = total / rest
	}
	return to, nil
}

// axesOf returns an attribute or an input of axes.
func (g *onnxGraph) axesOf(n *onnxNode) ([]int64, error) {
	axes := n.attributes["axes"].ints
	if name := n.input(1); name != "" {
		v, ok := g.integers(name)
		if !ok {
			return nil, n.failf("its axes, %s, cannot be computed", quote(name))
		}
		axes = v.list
	}
	return axes, nil
}

// squeezed returns a shape without axes of one element, and which of them stay.
func (g *onnxGraph) squeezed(n *onnxNode, shape []int64) (to []int64, stay []int, err error) {
	axes, err := g.axesOf(n)
	if err != nil {
		return nil, nil, err
	}
	if len(axes) == 0 && slices.ContainsFunc(shape, func(d int64) bool { return d < 0 }) {
		return nil, nil, n.failf("drops all axes of one element of %s, of which not all are known", printed(shape))
	}
	drop := map[int]bool{}
	for _, a := range axes {
		if a < 0 {
			a += int64(len(shape))
		}
		if a < 0 || a >= int64(len(shape)) || shape[a] != 1 {
			return nil, nil, n.failf("drops axis %d of %s", a, printed(shape))
		}
		drop[int(a)] = true
	}
	for i, d := range shape {
		if !drop[i] && (len(axes) > 0 || d != 1) {
			to, stay = append(to, d), append(stay, i)
		}
	}
	return to, stay, nil
}

func (g *onnxGraph) squeeze(n *onnxNode) error {
	if !g.decided {
		return n.failf("stands before the first layer")
	}
	_, stay, err := g.squeezed(n, g.view.shape())
	if err != nil {
		return err
	}
	var axes []byte
	for _, i := range stay {
		axes = append(axes, g.view.axes[i])
	}
	if !slices.Contains(axes, 'N') || !slices.Contains(axes, g.view.channels()) {
		return n.failf("drops the axis of the pictures or the channels of %s", g.view.order())
	}
	g.view.axes = string(axes)
	return nil
}

// unsqueezed returns a shape with further axes of one element, and which they are.
func (g *onnxGraph) unsqueezed(n *onnxNode, shape []int64) (to []int64, added map[int]bool, err error) {
	axes, err := g.axesOf(n)
	if err != nil {
		return nil, nil, err
	}
	rank := len(shape) + len(axes)
	added = map[int]bool{}
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if a < 0 || a >= int64(rank) || added[int(a)] {
			return nil, nil, n.failf("adds axes %s to %s", brief(axes), printed(shape))
		}
		added[int(a)] = true
	}
	for i := range rank {
		if added[i] {
			to = append(to, 1)
		} else {
			to, shape = append(to, shape[0]), shape[1:]
		}
	}
	return to, added, nil
}

func (g *onnxGraph) unsqueeze(n *onnxNode) error {
	if !g.decided {
		return n.failf("stands before the first layer")
	}
	to, added, err := g.unsqueezed(n, g.view.shape())
	if err != nil {
		return err
	}
	var axes []byte
	old := g.view.axes
	for i := range to {
		if added[i] {
			axes = append(axes, '1')
		} else {
			axes, old = append(axes, old[0]), old[1:]
		}
	}
	g.view.axes = string(axes)
	return nil
}
