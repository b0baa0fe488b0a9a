package ref_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/internal/testutil"
)

// Table 1 of Simonyan and Zisserman (ICLR 2015): channels, M for a pool, N for
// normalisation, ' for a 1×1 filter.
var configs = map[string]string{
	"A":     "64 M 128 M 256 256 M 512 512 M 512 512 M",
	"A-LRN": "64 N M 128 M 256 256 M 512 512 M 512 512 M",
	"B":     "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
	"C":     "64 64 M 128 128 M 256 256 256' M 512 512 512' M 512 512 512' M",
	"D":     "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
	"E":     "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}

// network builds a configuration without weights.
func network[T ref.Float](config string, size, div, classes int) *ref.Net[T] {
	net := &ref.Net[T]{C: 3, H: size, W: size}
	block, conv := 1, 1
	for _, word := range strings.Fields(configs[config]) {
		switch word {
		case "N":
			net.Layers = append(net.Layers, ref.Layer[T]{Kind: ref.KindLRN, Name: fmt.Sprintf("lrn%d", block), LRN: ref.VGGLRN})
		case "M":
			net.Layers = append(net.Layers, ref.Layer[T]{Kind: ref.KindMaxPool, Name: fmt.Sprintf("pool%d", block)})
			block, conv = block+1, 1
		default:
			l := ref.Layer[T]{Kind: ref.KindConv, Name: fmt.Sprintf("conv%d_%d", block, conv), Kernel: 3, Pad: 1, ReLU: true}
			width, pointwise := strings.CutSuffix(word, "'")
			if pointwise {
				l.Kernel, l.Pad = 1, 0
			}
			channels, err := strconv.Atoi(width)
			if err != nil {
				panic(err)
			}
			l.Out = channels / div
			net.Layers = append(net.Layers, l)
			conv++
		}
	}
	for i, out := range []int{4096 / div, 4096 / div, classes} {
		l := ref.Layer[T]{Kind: ref.KindLinear, Name: fmt.Sprintf("fc%d", 6+i), Out: out, ReLU: i < 2}
		net.Layers = append(net.Layers, l)
	}
	return net
}

// near asserts that got is within tol of want, relative to the largest of want.
func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		if e := math.Abs(got[i] - v); !(e <= tol*largest) {
			t.Fatalf("%s: element %d: got %v, want %v, error %.3g of the largest %v", what, i, got[i], v, e/largest, largest)
		}
	}
}

// Tolerances relative to a tensor's largest element: both sides in float64, and
// one of them in float32.
const (
	tol64 = 1e-12
	tol32 = 2e-5
)

// TestSmallNets compares whole networks with PyTorch's: activations, gradients,
// and two steps of training. The weights come from the seed: those that the files
// hold without a prefix are the ones after the second step, and are compared as such.
func TestSmallNets(t *testing.T) {
	t.Parallel()
	for config := range configs {
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			small(t, testutil.Shared(t, "data", "golden", "small_"+config+".safetensors"), config, 16, 3, 1)
		})
		t.Run("tiny "+config, func(t *testing.T) {
			t.Parallel()
			small(t, testutil.Golden(t, config), config, 32, 2, 7)
		})
	}
}

// small compares a network of 1/div of the channels with a file.
func small(t *testing.T, path, config string, div, batch int, seed uint64) {
	want := testutil.Tensors(t, path)
	net := network[float64](config, 32, div, 10)
	seedWeights(net, seed)
	momentum := map[string][]float64{}
	for i := range net.Layers {
		l := &net.Layers[i]
		momentum[l.Name+".weight"] = make([]float64, len(l.Weight))
		momentum[l.Name+".bias"] = make([]float64, len(l.Bias))
	}
	target := make([]int, len(want["target"]))
	for i, v := range want["target"] {
		target[i] = int(v)
	}

	step := func() (*ref.Run[float64], float64, ref.Grads) {
		run := net.Forward(batch, want["input"])
		loss, dLogits := ref.SoftmaxCrossEntropy(batch, 10, run.Output(), target)
		return run, loss, run.Backward(dLogits)
	}
	run, loss, grads := step()
	near(t, "logits", run.Output(), want["logits64"], tol64)
	near(t, "loss", []float64{loss}, want["loss64"], tol64)
	compared := compare(t, "act.", tol32, want, run.Act)
	require.Equal(t, len(net.Layers), compared, "activations")
	parameters := compare(t, "grad64.", tol64, want, grads)
	require.Equal(t, parameters, compare(t, "grad.", tol32, want, grads))

	for n := 1; n <= 2; n++ {
		updated := map[string][]float64{}
		for i := range net.Layers {
			l := &net.Layers[i]
			for name, w := range map[string][]float64{l.Name + ".weight": l.Weight, l.Name + ".bias": l.Bias} {
				if len(w) > 0 {
					ref.SGD(w, momentum[name], grads[name], 0.01, 0.9, 5e-4)
					updated[name] = w
				}
			}
		}
		require.Equal(t, parameters, compare(t, fmt.Sprintf("step%d.", n), tol32, want, updated))
		if n == 2 {
			require.Equal(t, parameters, compare(t, "", tol32, want, updated))
		}
		_, loss, grads = step()
		near(t, fmt.Sprint("loss after step ", n), []float64{loss}, want[fmt.Sprint("loss_after", n)], tol32)
	}
}

// compare checks got[name] against want[prefix+name] for all such names and
// returns their number.
func compare(t *testing.T, prefix string, tol float64, want, got map[string][]float64) int {
	t.Helper()
	n := 0
	for key, w := range want {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			if prefix == "" && got[name] == nil {
				continue
			}
			require.Contains(t, got, name)
			near(t, key, got[name], w, tol)
			n++
		}
	}
	require.NotZero(t, n, prefix)
	return n
}

// TestFullNets runs networks of the paper's size, with weights from a seed.
func TestFullNets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds for each network: needs a run without -short")
	}
	for _, config := range []string{"A-LRN", "C"} { // between them, every kind of layer
		t.Run(config, func(t *testing.T) {
			want := testutil.Tensors(t, testutil.Shared(t, "data", "golden", "full_"+config+".safetensors"))
			net := network[float32](config, 224, 1, 1000)
			seedWeights(net, 1)
			picture := 3 * 224 * 224
			run := net.Forward(1, ref.Float32(want["input"][:picture]))
			near(t, "logits", run.Output(), want["logits64"][:1000], tol64)
			for _, l := range net.Layers {
				if l.Kind == ref.KindLRN {
					continue
				}
				probe := want["probe."+l.Name]
				require.Len(t, probe, 16, l.Name)
				near(t, "first values of "+l.Name, run.Act[l.Name][:14], probe[2:], tol32)
			}
		})
	}
}

// seedWeights fills a network as the listed results had it: He uniform weights,
// biases up to 0.05.
func seedWeights[T ref.Float](net *ref.Net[T], seed uint64) {
	tensor := uint64(0)
	c, side := net.C, net.H
	for i := range net.Layers {
		l := &net.Layers[i]
		fan := 0
		switch l.Kind {
		case ref.KindConv:
			fan = c * l.Kernel * l.Kernel
		case ref.KindLinear:
			fan = c * side * side
			side = 1
		case ref.KindMaxPool:
			side /= 2
			continue
		default:
			continue
		}
		l.Weight = seededTensor[T](l.Out*fan, seed, tensor, math.Sqrt(6/float64(fan)))
		l.Bias = seededTensor[T](l.Out, seed, tensor+1, 0.05)
		tensor += 2
		c = l.Out
	}
}

func seededTensor[T ref.Float](n int, seed, tensor uint64, bound float64) []T {
	x := make([]float32, n)
	seeded.Fill(x, seed, tensor, bound)
	if same, ok := any(x).([]T); ok {
		return same
	}
	y := make([]T, n)
	for i, v := range x {
		y[i] = T(v)
	}
	return y
}
