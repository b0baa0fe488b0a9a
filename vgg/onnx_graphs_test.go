package vgg_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

type (
	attrs = map[string]any
	graph = testutil.Graph
	node  = testutil.GraphNode
)

// graphs makes graphs of random elements. Each node is appended behind the last.
type graphs struct {
	graph
	rnd *rand.Rand
	at  string
}

func newGraph(dims ...int) *graphs {
	return &graphs{graph: graph{Opset: 13, Input: "x", Dims: dims, Outputs: []string{"x"}}, rnd: rand.New(rand.NewPCG(1, 2)), at: "x"}
}

// tensor adds an initializer of elements around a middle.
func (g *graphs) tensor(middle float64, dims ...int) string {
	n := 1
	for _, d := range dims {
		n *= d
	}
	t := testutil.GraphTensor{Name: fmt.Sprintf("t%d", len(g.Tensors)), Dims: dims}
	for range n {
		t.Data = append(t.Data, float64(float32(middle+g.rnd.Float64()-0.5)))
	}
	g.Tensors = append(g.Tensors, t)
	return t.Name
}

// numbers adds an initializer of given elements, stored as style says.
func (g *graphs) numbers(style string, dims []int, data ...float64) string {
	t := testutil.GraphTensor{Name: fmt.Sprintf("t%d", len(g.Tensors)), Dims: dims, Style: style, Data: data}
	g.Tensors = append(g.Tensors, t)
	return t.Name
}

func (g *graphs) list(data ...float64) string { return g.numbers("int64", []int{len(data)}, data...) }

// node appends a node that reads the last value, written "@" or first.
func (g *graphs) node(op string, a attrs, in ...string) *graphs {
	if i := slices.Index(in, "@"); i >= 0 {
		in[i] = g.at
	} else {
		in = append([]string{g.at}, in...)
	}
	return g.apart(op, a, in...)
}

// apart appends a node of inputs that are said.
func (g *graphs) apart(op string, a attrs, in ...string) *graphs {
	n := node{Op: op, Name: fmt.Sprintf("n%d", len(g.Nodes)), In: in, Out: []string{fmt.Sprintf("v%d", len(g.Nodes))}, Attrs: a}
	g.Nodes = append(g.Nodes, n)
	g.at = n.Out[0]
	g.Outputs = []string{g.at}
	return g
}

var (
	pads1 = attrs{"pads": []int{1, 1, 1, 1}, "kernel_shape": []int{3, 3}}
	two   = attrs{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}
)

func (g *graphs) conv(in, out int) *graphs {
	return g.node("Conv", pads1, g.tensor(0, out, in, 3, 3), g.tensor(0, out))
}
func (g *graphs) relu() *graphs { return g.node("Relu", nil) }
func (g *graphs) max() *graphs  { return g.node("MaxPool", two) }
func (g *graphs) dense(in, out int) *graphs {
	return g.node("Gemm", attrs{"transB": 1}, g.tensor(0, out, in), g.tensor(0, out))
}
func (g *graphs) norm(c int) *graphs {
	return g.node("BatchNormalization", attrs{"epsilon": 1e-3}, g.tensor(1, c), g.tensor(0, c), g.tensor(0, c), g.tensor(1, c))
}

// body is two blocks of a picture of 3×8×8, which leave 4×2×2.
func (g *graphs) body() *graphs { return g.conv(3, 3).relu().max().conv(3, 4).relu().max() }

// head is two fully connected layers.
func (g *graphs) head(in int) *graphs {
	return g.node("Flatten", nil).dense(in, 5).relu().dense(5, 6)
}

// openGraph opens a graph and computes its output for an input of NCHW.
func openGraph(t testing.TB, g *graph, input []float32) (*vgg.Model, []float32, error) {
	f, err := weights.FromBytes("graph", g.Encode())
	if err != nil {
		return nil, nil, err
	}
	m, err := vgg.FromFile(f)
	if err != nil {
		return nil, nil, err
	}
	cfg := m.Config()
	h, w := cfg.Input()
	shapes, err := cfg.Shapes(h, w)
	require.NoError(t, err)
	if len(input) != cfg.Channels*h*w {
		return m, nil, fmt.Errorf("the network takes %d×%d×%d, the test's input has %d elements", cfg.Channels, h, w, len(input))
	}
	s, err := m.NewSession()
	if err != nil {
		return m, nil, err
	}
	for c := range 3 {
		if p := m.Picture().Preset; p.Name == "" && cfg.Channels == 3 { // constants in front
			for i := range h * w {
				input[c*h*w+i] = (input[c*h*w+i] - p.Mean[c]) / p.Std[c]
			}
		}
	}
	out := make([]float32, shapes[len(shapes)-1].Len())
	return m, out, s.Run(context.Background(), out, input)
}

// inputOf returns an input for a graph, and the same as NCHW.
func inputOf(g *graph) (testutil.Array, []float32) {
	dims := slices.Clone(g.Dims)
	dims[0] = 1
	for i := range dims {
		if dims[i] == 0 {
			dims[i] = 8
		}
	}
	x := testutil.Array{Dims: dims}
	for _, v := range testutil.Normal(3, dims[1]*dims[2]*dims[3]) {
		x.V = append(x.V, float64(v))
	}
	flat := make([]float32, len(x.V))
	h, w, c := dims[1], dims[2], dims[3]
	for i, v := range x.V {
		if c == 3 && h != 3 { // NHWC
			flat[i%c*h*w+i/c] = float32(v)
		} else {
			flat[i] = float32(v)
		}
	}
	return x, flat
}

// differs says how a result differs from what a graph computes, or "".
func differs(got []float32, want testutil.Array) string {
	if len(got) != len(want.V) {
		return fmt.Sprintf("%d elements, want %v", len(got), want.Dims)
	}
	largest, worst := 1e-3, 0.0
	for i, v := range want.V {
		largest, worst = max(largest, math.Abs(v)), max(worst, math.Abs(float64(got[i])-v))
	}
	if worst <= 2e-5*largest {
		return ""
	}
	return fmt.Sprintf("by %g of %g", worst, largest)
}

// graphForms are graphs of the forms that exporters write, and their layers.
func graphForms() map[string]struct {
	layers string
	graph  *graphs
} {
	type form = struct {
		layers string
		graph  *graphs
	}
	const plain = "3 M 4 M F5 F6"
	forms := map[string]form{}
	add := func(name, layers string, g *graphs) { forms[name] = form{layers, g} }
	nchw := func() *graphs { return newGraph(0, 3, 8, 8) }
	flat := func() *graphs { return nchw().body().node("Flatten", nil) }

	add("plain", plain, nchw().body().head(16))
	add("softmax", plain, nchw().body().head(16).node("Softmax", nil))
	add("log softmax", plain, nchw().body().head(16).node("LogSoftmax", attrs{"axis": 1}))
	add("sigmoid", plain, nchw().body().head(16).node("Sigmoid", nil))
	add("last ReLU", "3 M 4 M F5 F6+", nchw().body().head(16).relu())
	add("linear middle", "3 M 4 M =F5 F6", flat().dense(16, 5).dense(5, 6))
	add("convolutions alone", "3 M 4 M", nchw().body())
	add("not square", plain, newGraph(0, 3, 8, 12).body().head(24))
	add("dropout", plain, func() *graphs {
		g := flat().dense(16, 5).relu()
		return g.node("Dropout", nil, g.numbers("", nil, 0.5)).node("Identity", nil).dense(5, 6)
	}())

	// Biases.
	for _, dims := range [][]int{{1, 3, 1, 1}, {3, 1, 1}} {
		g := nchw()
		g.node("Conv", pads1, g.tensor(0, 3, 3, 3, 3))
		add(fmt.Sprint("Conv and Add of ", dims), plain, g.node("Add", nil, g.tensor(0, dims...), "@").relu().max().conv(3, 4).relu().max().head(16))
	}
	g := nchw()
	g.node("Pad", nil, g.list(0, 0, 1, 1, 0, 0, 1, 1))
	add("Pad and Conv", "3 M", g.node("Conv", nil, g.tensor(0, 3, 3, 3, 3)).relu().max())
	g = nchw()
	add("pads of nodes", "3 M", func() *graphs {
		g := nchw()
		half := g.apart("Concat", attrs{"axis": 0}, g.list(0, 0), g.list(1, 1)).at
		pads := g.apart("Concat", attrs{"axis": 0}, half, half).at
		return g.apart("Pad", nil, "x", pads).node("Conv", nil, g.tensor(0, 3, 3, 3, 3)).relu().max()
	}())
	add("auto_pad", "3 M", g.node("Conv", attrs{"auto_pad": "SAME_UPPER"}, g.tensor(0, 3, 3, 3, 3)).relu().node("MaxPool", attrs{"auto_pad": "SAME_LOWER", "kernel_shape": []int{2, 2}, "strides": []int{2, 2}}))
	g = nchw()
	add("no padding", "3 M", g.node("Conv", attrs{"auto_pad": "VALID"}, g.tensor(0, 3, 3, 3, 3)).relu().max())
	add("ceil_mode", "3 M", nchw().conv(3, 3).relu().node("MaxPool", attrs{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}, "ceil_mode": 1}))
	add("1×1", "=3/1 4 M", func() *graphs {
		g := nchw()
		return g.node("Conv", nil, g.tensor(0, 3, 3, 1, 1), g.tensor(0, 3)).conv(3, 4).relu().max()
	}())

	add("weights of HWIO", "3 M", func() *graphs {
		g := nchw()
		w := g.apart("Transpose", attrs{"perm": []int{3, 2, 0, 1}}, g.tensor(0, 3, 3, 3, 3)).at
		return g.apart("Conv", pads1, "x", w).norm(3).relu().max()
	}())

	// Products in every order.
	for name, f := range map[string]func(g *graphs, in, out int){
		"Gemm without transB": func(g *graphs, in, out int) { g.node("Gemm", nil, g.tensor(0, in, out), g.tensor(0, out)) },
		"alpha and beta": func(g *graphs, in, out int) {
			g.node("Gemm", attrs{"alpha": 0.5, "beta": 2.0, "transB": 1}, g.tensor(0, out, in), g.tensor(0, 1, out))
		},
		"Gemm with a number": func(g *graphs, in, out int) {
			g.node("Gemm", attrs{"transB": 1}, g.tensor(0, out, in), g.tensor(0, 1))
		},
		"Gemm without a bias": func(g *graphs, in, out int) { g.node("Gemm", nil, g.tensor(0, in, out)) },
		"MatMul":              func(g *graphs, in, out int) { g.node("MatMul", nil, g.tensor(0, in, out)) },
		"MatMul and Add": func(g *graphs, in, out int) {
			g.node("MatMul", nil, g.tensor(0, in, out)).node("Add", nil, g.tensor(0, out))
		},
		"Add with the constant first": func(g *graphs, in, out int) {
			g.node("MatMul", nil, g.tensor(0, in, out)).node("Add", nil, g.tensor(0, out), "@")
		},
		"Transpose of the constant": func(g *graphs, in, out int) {
			at := g.at
			w := g.apart("Transpose", attrs{"perm": []int{1, 0}}, g.tensor(0, out, in)).at
			g.apart("MatMul", nil, at, w)
		},
		"Gemm with a transposed input": func(g *graphs, in, out int) {
			g.node("Transpose", nil).node("Gemm", attrs{"transA": 1, "transB": 1}, g.tensor(0, out, in), g.tensor(0, out))
		},
		"weights first": func(g *graphs, in, out int) {
			g.node("Gemm", attrs{"transB": 1}, g.tensor(0, out, in), "@", g.tensor(0, out, 1)).node("Transpose", attrs{"perm": []int{1, 0}})
		},
		"MatMul of weights first": func(g *graphs, in, out int) {
			g.node("Transpose", nil).node("MatMul", nil, g.tensor(0, out, in), "@").node("Add", nil, g.tensor(0, out, 1)).node("Transpose", nil)
		},
		"normalised": func(g *graphs, in, out int) { g.dense(in, out).norm(out) },
		"scaled": func(g *graphs, in, out int) {
			g.dense(in, out).node("Mul", nil, g.tensor(1, 1, out)).node("Sub", nil, g.numbers("", []int{1}, 0.25), "@")
		},
	} {
		g := flat()
		f(g, 16, 5)
		f(g.relu(), 5, 6)
		add(name, plain, g)
		g = nchw().body().node("Transpose", attrs{"perm": []int{0, 2, 3, 1}})
		g.node("Reshape", nil, g.list(-1, 16))
		f(g, 16, 5)
		f(g.relu(), 5, 6)
		add(name+" of HWC", plain, g)
	}
	add("normalised before the first F", "3 M 4 M F6", flat().norm(16).dense(16, 6))

	// Keras: channels last at the ends.
	for _, dims := range [][]int{{0, 8, 8, 3}, {1, 8, 12, 3}} {
		g = newGraph(dims...).node("Transpose", attrs{"perm": []int{0, 3, 1, 2}}).body().node("Transpose", attrs{"perm": []int{0, 2, 3, 1}})
		add(fmt.Sprint("NHWC ", dims), "3 M 4 M F6", g.node("Flatten", nil).dense(dims[1]/4*(dims[2]/4)*4, 6))
	}
	g = newGraph(0, 8, 8, 3)
	mean := g.tensor(0.5, 3)
	g.node("Sub", nil, mean).node("Mul", nil, g.numbers("", nil, 4)).node("Transpose", attrs{"perm": []int{0, 3, 1, 2}})
	add("constants in front of NHWC", "3 M 4 M G F6", g.body().node("Transpose", attrs{"perm": []int{0, 2, 3, 1}}).node("ReduceMean", attrs{"axes": []int{1, 2}, "keepdims": 0}).dense(4, 6))
	g = nchw()
	add("1×1 as a product", "3 4/1 F6", g.conv(3, 3).relu().node("Transpose", attrs{"perm": []int{0, 2, 3, 1}}).node("MatMul", nil, g.tensor(0, 3, 4)).relu().
		node("Transpose", attrs{"perm": []int{0, 3, 1, 2}}).node("Flatten", nil).dense(256, 6))

	// Means.
	average := attrs{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}}
	add("average", "3 A 4 A F5 F6", nchw().conv(3, 3).relu().node("AveragePool", average).conv(3, 4).relu().node("AveragePool", average).head(16))
	add("global average", "3 M 4 M G F5 F6", nchw().body().node("GlobalAveragePool", nil).head(4))
	add("average of all", "3 M 4 G F5 F6", nchw().conv(3, 3).relu().max().conv(3, 4).relu().node("AveragePool", attrs{"kernel_shape": []int{4, 4}}).head(4))
	add("mean", "3 M 4 M G F5 F6", nchw().body().node("ReduceMean", attrs{"axes": []int{-1, -2}}).head(4))
	add("mean of rows in one", "3 M 4 M G F6", func() *graphs {
		g := nchw().body()
		return g.node("Reshape", nil, g.list(0, 4, -1)).node("ReduceMean", attrs{"axes": []int{2}, "keepdims": 0}).dense(4, 6)
	}())
	add("mean of columns, then of rows", "3 M 4 M G F6", nchw().body().node("ReduceMean", attrs{"axes": []int{3}, "keepdims": 0}).node("ReduceMean", attrs{"axes": []int{2}, "keepdims": 0}).dense(4, 6))
	add("mean without axes", "3 M 4 M G F6", nchw().body().node("ReduceMean", attrs{"axes": []int{2, 3}, "keepdims": 0}).dense(4, 6))
	g = nchw().body()
	add("mean of an input", "3 M 4 M G F6", g.node("ReduceMean", attrs{"keepdims": 0}, g.list(2, 3)).dense(4, 6))
	g = nchw().body().node("GlobalAveragePool", nil)
	add("squeezed", "3 M 4 M G F6", g.node("Squeeze", nil, g.list(3, 2)).dense(4, 6))
	g = nchw().body().node("GlobalAveragePool", nil)
	add("head of 1×1", "3 M 4 M G F6", g.node("Conv", nil, g.tensor(0, 6, 4, 1, 1), g.tensor(0, 6)).node("Flatten", nil).node("Softmax", nil))
	g = newGraph(0, 3, 32, 32).conv(3, 3).relu().max().max().max()
	g.node("Conv", nil, g.tensor(0, 5, 3, 4, 4), g.tensor(0, 5)).relu()
	add("F as a convolution", "3 M M M F5 F6", g.node("Conv", nil, g.tensor(0, 6, 5, 1, 1)).node("GlobalAveragePool", nil).node("Flatten", nil))

	// Normalisation where it cannot be folded, and constants anywhere.
	add("normalised", "3 M 4 M F5 F6", nchw().conv(3, 3).norm(3).relu().max().conv(3, 4).norm(4).relu().max().head(16))
	add("normalised behind ReLU", "3 S M 4 S M F5 F6", nchw().conv(3, 3).relu().norm(3).max().conv(3, 4).relu().norm(4).max().head(16))
	add("normalised before", "S =3 S+ M", nchw().norm(3).conv(3, 3).max().norm(3).relu())
	forms["normalised before"] = form{"S =3 M S+", forms["normalised before"].graph}
	add("normalised F", "3 M 4 M F5 S F6", flat().dense(16, 5).relu().norm(5).dense(5, 6))
	g = nchw().body()
	add("scaled by a number", "3 M 4 M S F5 F6", g.node("Div", nil, g.numbers("", nil, 3)).head(16))
	g = nchw().conv(3, 3)
	add("subtracted", "3 M", g.node("Sub", nil, g.tensor(0, 3, 1, 1), "@").relu().max())
	add("ReLU behind the pool", "=3 M S+", nchw().conv(3, 3).max().relu())
	add("ReLU twice", "3 M", nchw().conv(3, 3).relu().relu().max())
	g = nchw()
	add("Clip", "3 M", g.conv(3, 3).node("Clip", attrs{"min": 0.0, "max": 3.5e38}).max())
	g = nchw()
	add("Max", "3 M", g.conv(3, 3).node("Max", nil, g.numbers("", nil, 0)).max())

	// Constants in front.
	g = nchw()
	g.node("Sub", nil, g.tensor(0.5, 1, 3, 1, 1))
	add("mean and deviation", plain, g.node("Div", nil, g.tensor(1, 3, 1, 1)).body().head(16))
	g = nchw()
	g.node("Mul", nil, g.numbers("", nil, 1.0/64))
	add("a number in front", plain, g.node("Add", nil, g.tensor(0, 1, 3, 1, 1)).body().head(16))
	g = nchw()
	add("a negative factor", "S 3 M 4 M F5 F6", g.node("Sub", nil, g.numbers("", nil, 1), "@").body().head(16))
	g = newGraph(0, 1, 8, 8)
	add("one channel", "S 3", g.node("Sub", nil, g.numbers("", nil, 0.5)).conv(1, 3).relu())

	// Shapes.
	for name, to := range map[string][]float64{"Reshape to -1": {0, -1}, "Reshape of pictures": {-1, 16}, "Reshape of one": {1, -1}} {
		g = nchw().body()
		add(name, "3 M 4 M F6", g.node("Reshape", nil, g.list(to...)).dense(16, 6))
	}
	g = nchw().body()
	at := g.at
	size := g.apart("Shape", nil, at).apart("Gather", nil, g.at, g.numbers("int64", nil, 0)).apart("Unsqueeze", nil, g.at, g.list(0)).at
	to := g.apart("Concat", attrs{"axis": 0}, size, g.list(-1)).at
	add("Reshape by its shape", "3 M 4 M F6", g.apart("Reshape", nil, at, to).dense(16, 6))
	g = flat().dense(16, 5).relu()
	g.node("Unsqueeze", nil, g.list(2, 3)).node("Cast", attrs{"to": 1})
	add("there and back", plain, g.node("Reshape", nil, g.list(0, 5)).dense(5, 6))
	g = nchw().body().node("Transpose", attrs{"perm": []int{0, 3, 2, 1}}).node("Transpose", attrs{"perm": []int{0, 3, 2, 1}})
	add("two Transposes", "3 M 4 M F6", g.node("Flatten", attrs{"axis": -3}).dense(16, 6))
	return forms
}

// TestONNXForms: each graph gives what its operators say, computed in float64.
func TestONNXForms(t *testing.T) {
	for name, c := range graphForms() {
		t.Run(name, func(t *testing.T) {
			x, input := inputOf(&c.graph.graph)
			want, err := c.graph.Eval(x)
			require.NoError(t, err)
			m, got, err := openGraph(t, &c.graph.graph, input)
			require.NoError(t, err)
			require.Equal(t, c.layers, m.Config().LayerString())
			require.Empty(t, differs(got, want))
		})
	}
}

// TestONNXRefused: what is no network of VGG's shape is refused by its node.
func TestONNXRefused(t *testing.T) {
	nchw := func() *graphs { return newGraph(0, 3, 8, 8) }
	two := func(g *graphs) *graphs { g.Outputs = append(g.Outputs, "v0"); return g }
	residual := nchw().conv(3, 3).relu()
	from := residual.at
	residual.conv(3, 3).apart("Add", nil, residual.at, from)
	for want, g := range map[string]*graphs{
		`node "n3" (Add): "v1" goes to 2 nodes`:                             residual,
		"1 inputs and 2 outputs":                                            two(nchw().body()),
		`node "n1" (LeakyRelu): no network of VGG's shape`:                  nchw().conv(3, 3).node("LeakyRelu", attrs{"alpha": 0.1}),
		`node "n1" (Clip): from 0 to 6, want 0 to infinity`:                 nchw().conv(3, 3).node("Clip", attrs{"min": 0.0, "max": 6.0}),
		`node "n1" (MaxPool): a pool of [2 2]`:                              newGraph(0, 3, 9, 9).conv(3, 3).node("MaxPool", attrs{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}, "ceil_mode": 1}),
		`ceil_mode 1, of an input of ?×?; want 2×2`:                         newGraph(0, 3, 0, 0).conv(3, 3).node("MaxPool", attrs{"kernel_shape": []int{2, 2}, "strides": []int{2, 2}, "ceil_mode": 1}),
		`node "n1" (AveragePool): a pool of [3 3]`:                          nchw().conv(3, 3).node("AveragePool", attrs{"kernel_shape": []int{3, 3}}),
		`node "n1" (Conv): takes the input's axes in the order 0321`:        newGraph(0, 8, 8, 3).node("Transpose", attrs{"perm": []int{0, 3, 2, 1}}).conv(3, 3),
		`node "n7" (Flatten): flattens axes in the order NWHC`:              nchw().body().node("Transpose", attrs{"perm": []int{0, 3, 2, 1}}).node("Flatten", nil),
		`node "n1" (Add): its constant of shape [8] is not one for each`:    func() *graphs { g := nchw().conv(3, 3); return g.node("Add", nil, g.tensor(0, 8)) }(),
		`node "n1" (Div): divides a constant by its input`:                  func() *graphs { g := nchw().conv(3, 3); return g.node("Div", nil, g.numbers("", nil, 1), "@") }(),
		`node "n1" (Div): has a constant that is not finite, or divides by`: func() *graphs { g := nchw().conv(3, 3); return g.node("Div", nil, g.numbers("", nil, 0)) }(),
		`node "n1" (Pad): mode "reflect", value 0, pads [0 0 1 1 0 0 1 1]`:  nchw().conv(3, 3).node("Pad", attrs{"mode": "reflect", "pads": []int{0, 0, 1, 1, 0, 0, 1, 1}}),
		"the graph ends with a Pad":                                         nchw().conv(3, 3).node("Pad", attrs{"pads": []int{0, 0, 1, 1, 0, 0, 1, 1}}),
		`node "n2" (Relu): stands behind a Pad`:                             nchw().conv(3, 3).node("Pad", attrs{"pads": []int{0, 0, 1, 1, 0, 0, 1, 1}}).relu(),
		`node "n1" (Transpose): perm is [0 1], want an order of 4`:          nchw().conv(3, 3).node("Transpose", attrs{"perm": []int{0, 1}}),
		`node "n1" (Sigmoid): no network`: func() *graphs {
			g := nchw().conv(3, 3).node("Sigmoid", nil)
			g.Nodes[1].Domain = "com.example"
			return g
		}(),
		"the axes of the output \"v6\" are NHWC, want NCHW":                  nchw().body().node("Transpose", attrs{"perm": []int{0, 2, 3, 1}}),
		`node "n1" (ReduceMean): over axes [1] of NCHW, want rows`:           nchw().conv(3, 3).node("ReduceMean", attrs{"axes": []int{1}}),
		"ends with a mean of rows or columns alone":                          nchw().conv(3, 3).node("ReduceMean", attrs{"axes": []int{2}}),
		`node "n0" (Conv): a convolution of 5×5`:                             func() *graphs { g := nchw(); return g.node("Conv", nil, g.tensor(0, 3, 3, 5, 5)) }(),
		`node "n7" (Gemm): its weights have shape [5 17], its input 16 elem`: nchw().body().node("Flatten", nil).dense(17, 5),
	} {
		_, _, err := openGraph(t, &g.graph, nil)
		require.ErrorContains(t, err, want)
		require.ErrorIs(t, err, weights.ErrUnsupported)
		require.Less(t, len(err.Error()), 400)
	}
	// Names as long as a file.
	g := nchw().conv(3, 3).node(strings.Repeat("\xff", 1<<20), nil)
	g.Nodes[1].Name = strings.Repeat("n", 1<<20)
	_, _, err := openGraph(t, &g.graph, nil)
	require.Error(t, err)
	require.Less(t, len(err.Error()), 1000)
}

// TestONNXPreset: constants before the first layer say how pictures are prepared,
// and so do bytes as input, and Keras's names.
func TestONNXPreset(t *testing.T) {
	for name, c := range map[string]struct {
		front func(g *graphs)
		want  picture.Preset
	}{
		"nothing": {func(*graphs) {}, picture.Torch},
		"unit": {func(g *graphs) {
			g.node("Sub", nil, g.numbers("", []int{1, 3, 1, 1}, 0.485, 0.456, 0.406)).node("Div", nil, g.numbers("", []int{3, 1, 1}, 0.229, 0.224, 0.225))
		}, picture.Preset{Unit: true, Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}},
		"255": {func(g *graphs) { g.node("Div", nil, g.numbers("", nil, 255)) },
			picture.Preset{Std: [3]float32{255, 255, 255}}},
		"255, then unit": {func(g *graphs) {
			g.node("Div", nil, g.numbers("", nil, 255)).node("Sub", nil, g.numbers("", nil, 0.5)).node("Div", nil, g.numbers("", nil, 0.5))
		}, picture.Preset{Mean: [3]float32{127.5, 127.5, 127.5}, Std: [3]float32{127.5, 127.5, 127.5}}},
		"bytes": {func(g *graphs) { g.Type = 2; g.node("Cast", attrs{"to": 1}) }, picture.None},
		"Keras": {func(*graphs) {}, picture.Caffe},
	} {
		g := newGraph(0, 3, 8, 8)
		c.front(g)
		g.body().head(16)
		if name == "Keras" {
			g.Nodes[0].Name = "vgg16/block1_conv1/BiasAdd"
		}
		m, _, err := openGraph(t, &g.graph, make([]float32, 3*64))
		require.NoError(t, err, name)
		require.Equal(t, c.want, m.Picture().Preset, name)
	}
}

// TestONNXStorage: elements of every type and kind of field.
func TestONNXStorage(t *testing.T) {
	for _, style := range []string{"float", "half", "half32", "double", "doubles", "bfloat"} {
		g := graphForms()["MatMul and Add of HWC"].graph
		for i, tensor := range g.Tensors {
			if tensor.Style == "" {
				for k, v := range tensor.Data { // to what all types hold
					g.Tensors[i].Data[k] = math.Round(v*16) / 16
				}
				g.Tensors[i].Style = style
			}
		}
		x, input := inputOf(&g.graph)
		want, err := g.Eval(x)
		require.NoError(t, err)
		_, got, err := openGraph(t, &g.graph, input)
		require.NoError(t, err)
		require.Empty(t, differs(got, want), style)
	}
}

// changed returns graphs with one change each.
func changed(g *graph) map[string]*graph {
	all := map[string]*graph{}
	change := func(name string, f func(c *graph)) {
		c := g.Clone()
		f(c)
		all[name] = c
	}
	for i, n := range g.Nodes {
		change(fmt.Sprint("without node ", i), func(c *graph) { c.Nodes = slices.Delete(c.Nodes, i, i+1) })
		change(fmt.Sprint("past node ", i), func(c *graph) {
			c.Nodes = slices.Delete(c.Nodes, i, i+1)
			for _, m := range c.Nodes {
				for k, in := range m.In {
					if in == n.Out[0] {
						m.In[k] = n.In[0]
					}
				}
			}
			if c.Outputs[0] == n.Out[0] {
				c.Outputs[0] = n.In[0]
			}
		})
		change(fmt.Sprint("node twice ", i), func(c *graph) {
			more := c.Clone().Nodes[i]
			more.In[0], more.Out = n.Out[0], []string{"more"}
			for _, m := range c.Nodes {
				for k, in := range m.In {
					if in == n.Out[0] {
						m.In[k] = "more"
					}
				}
			}
			if c.Outputs[0] == n.Out[0] {
				c.Outputs[0] = "more"
			}
			c.Nodes = append(c.Nodes, more)
		})
		change(fmt.Sprint("node beside ", i), func(c *graph) {
			more := c.Clone().Nodes[i]
			more.Out = []string{"more"}
			c.Nodes = append(c.Nodes, more)
		})
		change(fmt.Sprint("output is that of node ", i), func(c *graph) { c.Outputs[0] = n.Out[0] })
		change(fmt.Sprint("second output is that of node ", i), func(c *graph) { c.Outputs = append(c.Outputs, n.Out[0]) })
		change(fmt.Sprint("node renamed ", i), func(c *graph) { c.Nodes[i].Name = "features.0" })
		change(fmt.Sprint("output renamed ", i), func(c *graph) { c.Nodes[i].Out[0] = "other" })
		change(fmt.Sprint("another domain ", i), func(c *graph) { c.Nodes[i].Domain = "com.example" })
		change(fmt.Sprint("node first ", i), func(c *graph) {
			c.Nodes = append([]node{c.Nodes[i]}, slices.Delete(slices.Clone(c.Nodes), i, i+1)...)
		})
		if i+1 < len(g.Nodes) {
			change(fmt.Sprint("operators exchanged ", i), func(c *graph) {
				a, b := &c.Nodes[i], &c.Nodes[i+1]
				a.Op, b.Op, a.Attrs, b.Attrs = b.Op, a.Op, b.Attrs, a.Attrs
				restA, restB := slices.Clone(a.In[1:]), slices.Clone(b.In[1:])
				a.In, b.In = append(a.In[:1:1], restB...), append(b.In[:1:1], restA...)
			})
		}
		for k := range n.In {
			change(fmt.Sprintf("input %d of node %d is none", k, i), func(c *graph) { c.Nodes[i].In = slices.Delete(c.Nodes[i].In, k, k+1) })
			change(fmt.Sprintf("input %d of node %d is the graph's", k, i), func(c *graph) { c.Nodes[i].In[k] = c.Input })
			for _, tensor := range g.Tensors {
				change(fmt.Sprintf("input %d of node %d is %s", k, i, tensor.Name), func(c *graph) { c.Nodes[i].In[k] = tensor.Name })
			}
		}
		for name, v := range n.Attrs {
			change(fmt.Sprintf("node %d without %s", i, name), func(c *graph) { delete(c.Nodes[i].Attrs, name) })
			for _, step := range []int{-1, 1} {
				switch v := v.(type) {
				case int:
					change(fmt.Sprintf("%d more in %s of node %d", step, name, i), func(c *graph) { c.Nodes[i].Attrs[name] = v + step })
				case float64:
					change(fmt.Sprintf("%d more in %s of node %d", step, name, i), func(c *graph) { c.Nodes[i].Attrs[name] = v + float64(step) })
				}
			}
			if list, ok := v.([]int); ok {
				for k := range list {
					for _, step := range []int{-1, 1} {
						change(fmt.Sprintf("%d more in %s %d of node %d", step, name, k, i), func(c *graph) {
							other := slices.Clone(list)
							other[k] += step
							c.Nodes[i].Attrs[name] = other
						})
					}
				}
			}
		}
	}
	for i, tensor := range g.Tensors {
		change("without tensor "+tensor.Name, func(c *graph) { c.Tensors = slices.Delete(c.Tensors, i, i+1) })
		change("renamed tensor "+tensor.Name, func(c *graph) { c.Tensors[i].Name = "other" })
		change("tensor first "+tensor.Name, func(c *graph) {
			c.Tensors = append(slices.Clone(c.Tensors[i:i+1]), slices.Delete(slices.Clone(c.Tensors), i, i+1)...)
		})
		change("tensor twice "+tensor.Name, func(c *graph) { c.Tensors = append(c.Tensors, c.Tensors[i]) })
		change("tensor beside "+tensor.Name, func(c *graph) {
			more := c.Tensors[i]
			more.Name = "more"
			c.Tensors = append(c.Tensors, more)
		})
		for k := range g.Tensors[:i] {
			change(fmt.Sprintf("names of tensors %d and %d exchanged", k, i), func(c *graph) {
				c.Tensors[k].Name, c.Tensors[i].Name = c.Tensors[i].Name, c.Tensors[k].Name
			})
		}
		if tensor.Style == "int64" {
			for k := range tensor.Data {
				for _, step := range []float64{-1, 1} {
					change(fmt.Sprintf("%g more in element %d of %s", step, k, tensor.Name), func(c *graph) {
						c.Tensors[i].Data = slices.Clone(tensor.Data)
						c.Tensors[i].Data[k] += step
					})
				}
			}
		}
		if len(tensor.Dims) == 2 {
			change("dimensions exchanged of "+tensor.Name, func(c *graph) {
				c.Tensors[i].Dims = []int{tensor.Dims[1], tensor.Dims[0]}
			})
		}
	}
	return all
}

// TestONNXChanges: a graph with one change is read as what it is then, or refused;
// it never gives another network's results.
func TestONNXChanges(t *testing.T) {
	read, seen, refused := 0, 0, map[string]int{}
	forms := graphForms()
	for _, form := range slices.Sorted(maps.Keys(forms)) {
		all := changed(&forms[form].graph.graph)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			g := all[name]
			if seen++; testing.Short() && seen%8 > 0 {
				continue
			}
			x, input := inputOf(g)
			_, got, err := openGraph(t, g, input)
			if err != nil {
				require.Less(t, len(err.Error()), 600)
				if first := strings.Fields(err.Error())[0]; first != "weights:" {
					t.Logf("%s, %s: %v", form, name, err)
				}
				refused[strings.Fields(err.Error())[0]]++
				continue
			}
			want, wrong := g.Eval(x)
			if wrong != nil {
				t.Errorf("%s, %s: was read, but is no graph: %v", form, name, wrong)
			} else if d := differs(got, want); d != "" {
				t.Errorf("%s, %s: differs %s", form, name, d)
			}
			read++
		}
	}
	require.Greater(t, read, seen/100)
	t.Logf("%d graphs read, refused: %v", read, refused)
}
