package vgg_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// outs returns the tensors of a test file, as float32.
func outs(t testing.TB, name string) []weights.Out {
	t.Helper()
	f := open(t, filepath.Join("testdata", "formats", name))
	var list []weights.Out
	for _, n := range f.Names() {
		tensor, err := f.Tensor(n)
		require.NoError(t, err)
		o := weights.Out{Name: n, DType: tensor.DType, Shape: tensor.Shape, Data: bytes.Clone(tensor.Data)}
		if tensor.DType == weights.F32 {
			o.Data, o.Floats = nil, make([]float32, tensor.Len())
			require.NoError(t, tensor.Float32s(o.Floats))
		}
		list = append(list, o)
	}
	return list
}

// written is a file of tensors.
func written(t testing.TB, list []weights.Out, meta map[string]string) weights.Source {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, weights.Write(&b, list, meta))
	f, err := weights.FromBytes("written", b.Bytes())
	require.NoError(t, err)
	return f
}

// renamed changes every name.
func renamed(list []weights.Out, name func(string) string) []weights.Out {
	list = slices.Clone(list)
	for i := range list {
		list[i].Name = name(list[i].Name)
	}
	return list
}

// replaced puts others in the place of a tensor.
func replaced(list []weights.Out, name string, with func(w weights.Out) []weights.Out) (out []weights.Out) {
	for _, l := range list {
		if l.Name == name {
			out = append(out, with(l)...)
		} else {
			out = append(out, l)
		}
	}
	return out
}

func like(w weights.Out, end string, shape []int, value func(i int) float32) weights.Out {
	n := 1
	for _, d := range shape {
		n *= d
	}
	o := weights.Out{Name: strings.TrimSuffix(w.Name, "weight") + end, DType: weights.F32, Shape: shape, Floats: make([]float32, n)}
	for i := range o.Floats {
		o.Floats[i] = value(i)
	}
	return o
}

// pruned keeps all elements and adds one that the mask takes away.
func pruned(w weights.Out) []weights.Out {
	mask := like(w, "weight_mask", w.Shape, func(i int) float32 { return min(1, float32(math.Abs(float64(w.Floats[i]))*1e30)) })
	orig := like(w, "weight_orig", w.Shape, func(i int) float32 { return w.Floats[i] + (1-mask.Floats[i])*5 })
	return []weights.Out{orig, mask}
}

// weightNormed keeps rows of another length beside their lengths.
func weightNormed(g, v string) func(w weights.Out) []weights.Out {
	return func(w weights.Out) []weights.Out {
		ones := []int{w.Shape[0]}
		for range w.Shape[1:] {
			ones = append(ones, 1)
		}
		each := len(w.Floats) / w.Shape[0]
		return []weights.Out{
			like(w, g, ones, func(k int) float32 {
				sum := 0.0
				for _, x := range w.Floats[k*each:][:each] {
					sum += float64(x) * float64(x)
				}
				return float32(math.Sqrt(sum))
			}),
			like(w, v, w.Shape, func(i int) float32 { return w.Floats[i] * 4 }),
		}
	}
}

// weightNormedWhole keeps all weights of another length beside the one length.
func weightNormedWhole(w weights.Out) []weights.Out {
	sum := 0.0
	for _, x := range w.Floats {
		sum += float64(x) * float64(x)
	}
	return []weights.Out{
		like(w, "weight_g", []int{}, func(int) float32 { return float32(math.Sqrt(sum)) }),
		like(w, "weight_v", w.Shape, func(i int) float32 { return w.Floats[i] / 8 }),
	}
}

// spectralNormed keeps three times the weights, whose norm by u and v is 3.
func spectralNormed(orig, u, v string) func(w weights.Out) []weights.Out {
	return func(w weights.Out) []weights.Out {
		rows, each := w.Shape[0], len(w.Floats)/w.Shape[0]
		left := testutil.Normal(1, rows)
		right := testutil.Normal(2, each)
		sigma := 0.0
		for k := range rows {
			for i := range each {
				sigma += float64(left[k]) * float64(w.Floats[k*each+i]) * float64(right[i])
			}
		}
		return []weights.Out{
			like(w, orig, w.Shape, func(i int) float32 { return 3 * w.Floats[i] }),
			like(w, u, []int{rows}, func(i int) float32 { return left[i] }),
			like(w, v, []int{each}, func(i int) float32 { return float32(float64(right[i]) / sigma) }),
		}
	}
}

func scalar(name string) weights.Out {
	return weights.Out{Name: name, DType: weights.F32, Shape: []int{}, Floats: []float32{71.3}}
}

// TestDialects: the same network under the names that wrappers, tools and habits give
// it has the same logits.
func TestDialects(t *testing.T) {
	plain := outs(t, "torchvision.safetensors")
	m, err := vgg.Open("testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	want := logitsOf(t, m)
	prefix := func(p string) []weights.Out { return renamed(plain, func(s string) string { return p + s }) }
	swap := func(pairs ...string) []weights.Out {
		r := strings.NewReplacer(pairs...)
		return renamed(plain, r.Replace)
	}
	slice := 0
	for what, list := range map[string][]weights.Out{
		"a module":              prefix("module."),
		"several wrappers":      prefix("state_dict.model._orig_mod.module."),
		"of a list":             prefix("model.0."),
		"DataParallel inside":   swap("features.", "features.module."),
		"another backbone":      swap("features.", "backbone.body.", "classifier.", "head."),
		"Cadene's features":     swap("features.", "_features."),
		"a Sequential itself":   swap("features.", "vgg."),
		"numbers alone":         swap("features.", "", "classifier.", "classifier."),
		"a head of its own":     swap("classifier.6.", "last_linear."),
		"a head in a head":      swap("classifier.6.", "classifier.6.0."),
		"blocks and numbers":    swap("features.0.", "conv1_1.", "features.3.", "conv2_1.", "features.6.", "conv3_1.", "features.8.", "conv3_2.", "features.11.", "conv4_1.", "features.13.", "conv4_2.", "features.16.", "conv5_1.", "features.18.", "conv5_2.", "classifier.0.", "fc6.", "classifier.3.", "fc7.", "classifier.6.", "fc8."),
		"one module a layer":    swap("features.0.", "features.0.conv.", "features.3.", "features.2.conv.", "features.6.", "features.4.conv.", "features.8.", "features.5.conv.", "features.11.", "features.7.conv.", "features.13.", "features.8.conv.", "features.16.", "features.10.conv.", "features.18.", "features.11.conv."),
		"slices":                renamed(plain, func(s string) string { slice++; return sliced(s) }),
		"pruned":                replaced(replaced(plain, "classifier.3.weight", pruned), "features.6.weight", pruned),
		"weight norm":           replaced(replaced(plain, "classifier.3.weight", weightNormed("weight_g", "weight_v")), "features.6.weight", weightNormed("weight_g", "weight_v")),
		"weight norm, new":      replaced(plain, "features.0.weight", weightNormed("parametrizations.weight.original0", "parametrizations.weight.original1")),
		"spectral norm":         replaced(replaced(plain, "features.8.weight", spectralNormed("weight_orig", "weight_u", "weight_v")), "classifier.0.weight", spectralNormed("weight_orig", "weight_u", "weight_v")),
		"spectral norm, new":    replaced(plain, "features.8.weight", spectralNormed("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v")),
		"an optimizer's state":  append(slices.Clone(plain), renamed(plain, func(s string) string { return "optimizer.state." + s + ".exp_avg" })...),
		"numbers beside it":     append(slices.Clone(plain), scalar("best_acc1"), scalar("n_averaged"), scalar("features.0.total_ops")),
		"weight norm of all":    replaced(plain, "classifier.3.weight", weightNormedWhole),
		"counters beside it":    append(slices.Clone(plain), weights.Out{Name: "states.rng", DType: weights.U8, Shape: []int{2}, Data: []byte{1, 2}}, weights.Out{Name: "seen", DType: weights.I64, Shape: []int{1}, Data: make([]byte, 8)}),
		"a random generator":    append(slices.Clone(plain), weights.Out{Name: "rng_state", DType: weights.U8, Shape: []int{3}, Data: []byte{1, 2, 3}}),
		"the weights of a loss": append(slices.Clone(plain), weights.Out{Name: "criterion.weight", DType: weights.F32, Shape: []int{2}, Floats: []float32{1, 2}}),
	} {
		m, err := vgg.FromFile(written(t, list, nil))
		if !assertNoError(t, err, what) {
			continue
		}
		got := logitsOf(t, m)
		if strings.Contains(what, " norm") { // computed, and rounded
			largest, _ := testutil.RelErrors(got, float64s(want))
			require.Less(t, largest, 1e-5, what)
			continue
		}
		testutil.CheckBits(t, "logits", what, got, want)
	}
}

func assertNoError(t testing.TB, err error, what string) bool {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// sliced numbers the parts of the features, whose modules keep their numbers.
func sliced(name string) string {
	for i, part := range []string{"0.3.", "6.8.", "11.13.", "16.18."} {
		for n := range strings.SplitSeq(strings.TrimSuffix(part, "."), ".") {
			if rest, ok := strings.CutPrefix(name, "features."+n+"."); ok {
				return fmt.Sprintf("net.slice%d.%s.%s", i+1, n, rest)
			}
		}
	}
	return name
}

// TestUnclear: what could be one network or another is refused, and so is what is no
// part of one, by name.
func TestUnclear(t *testing.T) {
	plain := outs(t, "torchvision.safetensors")
	norm := outs(t, "bn_torchvision.safetensors")
	swap := func(list []weights.Out, pairs ...string) []weights.Out {
		return renamed(list, strings.NewReplacer(pairs...).Replace)
	}
	add := func(name string, shape ...int) []weights.Out {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return append(slices.Clone(plain), weights.Out{Name: name, DType: weights.F32, Shape: shape, Floats: make([]float32, n)})
	}
	only := func(prefix string) []weights.Out {
		return slices.DeleteFunc(slices.Clone(plain), func(o weights.Out) bool { return !strings.HasPrefix(o.Name, prefix) })
	}
	for what, c := range map[string]struct {
		list []weights.Out
		want []string
	}{
		"features alone":        {only("features."), []string{"no fully connected layers", "--net '2 M 4 M 8 8 M 16 16 M 16 16' (perhaps with a last M)"}},
		"a classifier alone":    {only("classifier."), []string{"fully connected layers alone"}},
		"a gap more":            {swap(plain, "features.18.", "features.19."), []string{"no network that is known", "--net '2 M 4 M 8 8 M 16 16 M 16 M 16 M F24 F20 F10' --size 128"}},
		"a pool or dropout":     {swap(plain, "classifier.3.", "classifier.2."), []string{"classifier.0 and classifier.2 may have a ReLU between"}},
		"two networks":          {append(swap(plain, "features.", "model.features.", "classifier.", "model.classifier."), swap(plain, "features.", "model_ema.features.", "classifier.", "model_ema.classifier.")...), []string{"--key model (", "--key model_ema ("}},
		"LoRA":                  {add("classifier.3.lora_A.weight", 4, 24), []string{"classifier.3.lora_A.weight"}},
		"an unknown tensor":     {add("features.0.alpha", 2), []string{"features.0.alpha (F32 [2]) is not understood"}},
		"a long name":           {add(strings.Repeat("a.", 600)+"weight", 2), []string{"has 1206 bytes, want at most 1024"}},
		"an input's mean":       {add("normalize.mean", 1, 3, 1, 1), []string{"normalize.mean (F32 [1 3 1 1]) is not understood"}},
		"layer norm":            {append(add("norm.weight", 16), add("norm.bias", 16)[len(plain)]), []string{"norm"}},
		"a bias is missing":     {slices.DeleteFunc(slices.Clone(plain), func(o weights.Out) bool { return o.Name == "features.8.bias" }), []string{"features.8.bias"}},
		"no norm behind a conv": {swap(norm, "features.1.", "features.2."), []string{"batch normalisation features.2", "--net '2 S M 4 M"}},
		"5×5": {replaced(plain, "features.8.weight", func(w weights.Out) []weights.Out {
			return []weights.Out{like(w, "weight", []int{8, 8, 5, 5}, func(int) float32 { return 0 })}
		}), []string{"features.8.weight", "5×5"}},
		"integers": {append(slices.Clone(plain), weights.Out{Name: "features.50.weight", DType: weights.I8, Shape: []int{1, 16, 3, 3}, Data: make([]byte, 144)}), []string{"features.50.weight has elements of type I8"}},
	} {
		_, err := vgg.FromFile(written(t, c.list, nil))
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v\nwant %q", what, err, w)
			}
		}
		if n := strings.Count(err.Error(), "written"); n != 1 {
			t.Errorf("%s: the file is named %d times: %v", what, n, err)
		}
	}
}

// TestGuesses: the line for a network that is not known is the one of its habits.
func TestGuesses(t *testing.T) {
	conv := func(name string, out, in int) []weights.Out {
		return []weights.Out{{Name: name + ".weight", DType: weights.F32, Shape: []int{out, in, 3, 3}, Floats: make([]float32, out*in*9)},
			{Name: name + ".bias", DType: weights.F32, Shape: []int{out}, Floats: make([]float32, out)}}
	}
	norm := func(name string, n int) (list []weights.Out) {
		for _, end := range []string{"weight", "bias", "running_mean", "running_var"} {
			list = append(list, weights.Out{Name: name + "." + end, DType: weights.F32, Shape: []int{n}, Floats: make([]float32, n)})
		}
		return list
	}
	fc := func(name string, out, in int) []weights.Out {
		return []weights.Out{{Name: name + ".weight", DType: weights.F32, Shape: []int{out, in}, Floats: make([]float32, out*in)},
			{Name: name + ".bias", DType: weights.F32, Shape: []int{out}, Floats: make([]float32, out)}}
	}
	widths := []int{2, 2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16} // D, a thirty-second as wide
	const d = "2 2 M 4 4 M 8 8 8 M 16 16 16 M 16 16 16 M"
	deep := func(name func(i int) string, at func(i int) string) (list []weights.Out) {
		in := 3
		for i, w := range widths {
			list = append(list, conv(name(i), w, in)...)
			list = append(list, norm(at(i), w)...)
			in = w
		}
		return list
	}
	dropout := []int{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48} // conv, norm, ReLU, dropout or pool
	for what, c := range map[string]struct {
		list []weights.Out
		want string
	}{
		"dropout everywhere": {append(deep(func(i int) string { return fmt.Sprint("features.", dropout[i]) }, func(i int) string { return fmt.Sprint("features.", dropout[i]+1) }),
			fc("classifier.0", 10, 16)...), "--net '" + d + " F10' --size 32"},
		"layers with numbers": {slices.Concat(deep(func(i int) string { return fmt.Sprintf("layer%d.0", i+1) }, func(i int) string { return fmt.Sprintf("layer%d.1", i+1) }),
			fc("fc.1", 20, 16*49), fc("fc1.1", 20, 20), fc("fc2.0", 10, 20)), "--net '" + d + " F20 F20 F10' --size 224"},
		"a norm before all": {slices.Concat(norm("features.0", 3), conv("features.1", 4, 3), conv("features.4", 8, 4), fc("classifier", 3, 8*49)),
			"--net 'S 4 M 8 M F3' --size 28"},
		"a mean or 32×32": {slices.Concat(deepest(conv, widths), fc("classifier", 10, 16)),
			"--net '" + d + " F10' --size 32, or --net '" + d + " G F10' --size 224"},
		"conv1 to conv13": {slices.Concat(deep(func(i int) string { return fmt.Sprint("conv", i+1) }, func(i int) string { return fmt.Sprint("bn", i+1) }),
			fc("fc1", 20, 16*49), fc("fc2", 10, 20)), "--net '" + d + " F20 F10' --size 224"},
		"stages": {slices.Concat(conv("stage1.0", 4, 3), conv("stage1.2", 4, 4), conv("stage2.0", 8, 4), conv("stage2.2", 8, 8), fc("classifier.fc1", 6, 8*49), fc("classifier.fc2", 3, 6)),
			"--net '4 4 M 8 8 M F6 F3' --size 28"},
		"a norm of one dimension": {slices.Concat(conv("features.0", 4, 3), conv("features.3", 8, 4), fc("classifier.0", 6, 8*49), norm("classifier.1", 6), fc("classifier.4", 5, 6), norm("classifier.6", 5), fc("classifier.7", 3, 5)),
			"--net '4 M 8 M F6 F5 S F3' --size 28"},
		"without padding": {slices.Concat(conv("conv_1_1", 4, 3), conv("conv_1_2", 4, 4), conv("conv_2_1", 4, 4), conv("conv_2_2", 4, 4), fc("output", 3, 4*13*13)),
			"--net '4 4 M 4 4 M F3' --size 64 --no-pad"},
	} {
		f := written(t, c.list, nil)
		_, err := vgg.FromFile(f)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", what, err, c.want)
			continue
		}
		for _, cfg := range linesOf(t, err) {
			_, err := vgg.FromFile(f, vgg.Configuration(cfg))
			assertNoError(t, err, what)
		}
	}
}

// deepest has the indices of torchvision's configuration D.
func deepest(conv func(name string, out, in int) []weights.Out, widths []int) (list []weights.Out) {
	in := 3
	for i, at := range []int{0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28} {
		list = append(list, conv(fmt.Sprint("features.", at), widths[i], in)...)
		in = widths[i]
	}
	return list
}

// TestKey chooses one of two networks in a file; the other is listed as not used.
func TestKey(t *testing.T) {
	plain := outs(t, "torchvision.safetensors")
	other := renamed(plain, func(s string) string { return "model_ema.module." + s })
	for i := range other {
		other[i].Floats = make([]float32, len(other[i].Floats))
	}
	both := append(renamed(plain, func(s string) string { return "model." + s }), other...)
	want, err := vgg.Open("testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	f := written(t, both, nil)
	n, err := vgg.Describe(f, vgg.Key("model"))
	require.NoError(t, err)
	require.Len(t, n.Ignored, len(plain))
	require.Contains(t, n.Ignored[0].Name, "model_ema.module.")
	m, err := n.Model()
	require.NoError(t, err)
	testutil.CheckBits(t, "logits", "model", logitsOf(t, m), logitsOf(t, want))
	m, err = vgg.FromFile(f, vgg.Key("model_ema"))
	require.NoError(t, err)
	require.Zero(t, logitsOf(t, m)[0])
	_, err = vgg.FromFile(f, vgg.Key("mod"))
	require.ErrorContains(t, err, "no tensor has a name that begins with mod")
}

// TestMutations takes each file of each tool and removes, renames or adds one tensor:
// what opens is the same network, or it does not open.
func TestMutations(t *testing.T) {
	for _, name := range []string{"torchvision.safetensors", "bn_torchvision.safetensors", "zip.pth", "bn_zip.pth", "legacy.pth", "v1.caffemodel", "v2.caffemodel", "gemm.onnx", "matmul.onnx", "exported.onnx", "bn_gemm.onnx", "keras.safetensors", "timm.safetensors"} {
		t.Run(name, func(t *testing.T) {
			f := open(t, filepath.Join("testdata", "formats", name))
			m, err := vgg.FromFile(f)
			require.NoError(t, err)
			want, meta := logitsOf(t, m), f.Metadata()
			list := outs(t, name)
			same := 0
			check := func(what string, list []weights.Out) {
				m, err := vgg.FromFile(written(t, list, meta))
				if err != nil {
					return
				}
				same++
				testutil.CheckBits(t, "logits", what, logitsOf(t, m), want)
			}
			check("nothing", list)
			require.Equal(t, 1, same)
			for i, l := range list {
				check("without "+l.Name, slices.Delete(slices.Clone(list), i, i+1))
				end := l.Name[strings.LastIndexAny(l.Name, "./")+1:]
				base := strings.TrimSuffix(l.Name, end)
				others := []string{"x", "x." + end, l.Name + "2", "features.99." + end, "features.1." + end, "classifier.1." + end, "classifier.9." + end, "conv1_9." + end, "conv9_9." + end, "fc9." + end, "module." + l.Name, "a." + l.Name, base + "bias_mask", base + "weight_g"}
				if testing.Short() {
					others = others[i%3 : i%3+3]
				}
				for _, to := range others {
					if slices.ContainsFunc(list, func(o weights.Out) bool { return o.Name == to }) {
						continue
					}
					moved := slices.Clone(list)
					moved[i].Name = to
					check(l.Name+" is called "+to, moved)
					if to != "module."+l.Name {
						more := append(slices.Clone(list), moved[i])
						check("a second "+l.Name+" called "+to, more)
					}
				}
			}
			t.Logf("%d of the changes leave the network as it is", same)
		})
	}
}

// A pickled value of torch.save: a string, an int, a tensor, a pairs, a list, or raw
// instructions.
type (
	pairs  []any // key, value, key, value, …
	pickle string
)

// pth writes a file as torch.save does since version 1.6.
func pth(t testing.TB, root any) []byte {
	t.Helper()
	var program, archive bytes.Buffer
	z := zip.NewWriter(&archive)
	member := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
	}
	count := 0
	text := func(s string) {
		program.WriteByte('X')
		program.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		program.WriteString(s)
	}
	number := func(n int) {
		program.WriteByte('J')
		program.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	}
	var dump func(v any)
	dump = func(v any) {
		switch v := v.(type) {
		case string:
			text(v)
		case int:
			number(v)
		case pickle:
			program.WriteString(string(v))
		case []any:
			program.WriteString("](")
			for _, x := range v {
				dump(x)
			}
			program.WriteString("e")
		case pairs:
			program.WriteString("ccollections\nOrderedDict\n)R(")
			for _, x := range v {
				dump(x)
			}
			program.WriteString("u")
		case weights.Out:
			key := fmt.Sprint(count)
			count++
			data := v.Data
			for _, x := range v.Floats {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
			member("data/"+key, data)
			program.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
			text("storage")
			program.WriteString("ctorch\n" + map[weights.DType]string{weights.F32: "Float", weights.I64: "Long"}[v.DType] + "Storage\n")
			text(key)
			text("cpu")
			number(len(data) / v.DType.Size())
			program.WriteString("tQK\x00(")
			step := len(data) / v.DType.Size()
			for _, d := range v.Shape {
				number(d)
			}
			program.WriteString("t(")
			for _, d := range v.Shape {
				step /= max(d, 1)
				number(step)
			}
			program.WriteString("t\x89ccollections\nOrderedDict\n)RtR")
		default:
			t.Fatalf("%T", v)
		}
	}
	program.WriteString("\x80\x02")
	dump(root)
	program.WriteString(".")
	member("data.pkl", program.Bytes())
	require.NoError(t, z.Close())
	return archive.Bytes()
}

// Values that torch.load does not make with weights_only, or only with leave.
var strangers = map[string]pickle{
	"a number of numpy's":     "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbC\x08\x00\x00\x00\x00\x00\x00\xf0?\x86R",
	"arguments":               "cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrK\x01sb",
	"a size":                  "ctorch\nSize\n(K\x1cK\x1ct\x85R",
	"a device":                "ctorch\ndevice\nX\x03\x00\x00\x00cpu\x85R",
	"a set":                   "c__builtin__\nset\n](K\x01K\x02e\x85R",
	"a loss":                  "ctorch.nn.modules.loss\nCrossEntropyLoss\n)\x81}(X\x08\x00\x00\x00_modules}X\x0b\x00\x00\x00_parameters}ub",
	"a counter of a class":    "cmine\nMeter\n)\x81}X\x03\x00\x00\x00avgG\x3f\xf0\x00\x00\x00\x00\x00\x00sb",
	"a default dictionary":    "ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RX\x01\x00\x00\x00aK\x01s",
	"a function":              "cos\nsystem\nX\x04\x00\x00\x00true\x85R",
	"a type":                  "c__builtin__\nfloat\n",
	"a partial with keywords": "cfunctools\npartial\n)}\x92",
}

// TestPickledStrangers: what a checkpoint holds beside the network is never called,
// and does not keep it from being read. Dictionaries and lists become prefixes.
func TestPickledStrangers(t *testing.T) {
	plain := outs(t, "torchvision.safetensors")
	m, err := vgg.Open("testdata/formats/torchvision.safetensors")
	require.NoError(t, err)
	want := logitsOf(t, m)
	var dict pairs
	for _, o := range plain {
		dict = append(dict, o.Name, o)
	}
	moments := pairs{"state", pairs{0, pairs{"momentum_buffer", plain[1]}}, "param_groups", []any{pairs{"lr", 1}}}
	roots := map[string]any{
		"net":          pairs{"net", dict, "epoch", 3, "optimizer", moments},
		"a list":       pairs{"model", []any{dict, 7}},
		"a bare list":  []any{3, dict},
		"Lightning":    pairs{"state_dict", dict, "optimizer_states", []any{moments}, "callbacks", pairs{"best", plain[0]}},
		"nested":       pairs{"checkpoint", pairs{"params_ema", dict}},
		"its own dict": pairs{"weights", pickle("cmine\nConfigDict\n)R"), "state_dict", dict},
	}
	for what, p := range strangers {
		roots[what] = pairs{"state_dict", dict, "other", p}
	}
	for what, root := range roots {
		f, err := weights.FromBytes("checkpoint", pth(t, root))
		if !assertNoError(t, err, what) {
			continue
		}
		m, err := vgg.FromFile(f)
		if assertNoError(t, err, what) {
			testutil.CheckBits(t, "logits", what, logitsOf(t, m), want)
		}
	}
	for what, root := range map[string]any{
		`"torchvision.models.vgg.VGG", whose code is not run`:          pickle("ctorchvision.models.vgg\nVGG\n)\x81}(X\x08\x00\x00\x00_modules}X\x0b\x00\x00\x00_parameters}ub"),
		`torch.load(OLD, weights_only=False)["model"][0].state_dict()`: pairs{"model", []any{pickle("ctorchvision.models.vgg\nVGG\n)\x81}(X\x08\x00\x00\x00_modules}X\x0b\x00\x00\x00_parameters}ub")}},
		"torch.jit.load(OLD).state_dict()":                             pickle("c__torch__.net\nNet\n)\x81}X\x08\x00\x00\x00training\x89sb"),
		"no dictionary of tensors":                                     pairs{"epoch", 3},
		"more than 64 deep":                                            pickle(strings.Repeat("}K\x00", 100) + "K\x01" + strings.Repeat("s", 100)),
		"classifier.3._packed (torch._utils._rebuild_qtensor":          append(slices.Clone(dict), "classifier.3._packed", pickle("ctorch._utils\n_rebuild_qtensor\n)R")),
	} {
		f, err := weights.FromBytes("checkpoint", pth(t, root))
		if err == nil {
			_, err = vgg.FromFile(f)
		}
		if err == nil || !strings.Contains(err.Error(), what) || len(err.Error()) > 1000 {
			t.Errorf("%v\nwant %s", err, what)
		}
	}
}

// TestVGGish opens the names and shapes of torchvggish: one channel of 96×64.
func TestVGGish(t *testing.T) {
	layers, err := vgg.ParseLayers("4 M 8 M 16 16 M 32 32 M F24 F20 F8+")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "custom", Channels: 1, Size: 96, Width: 64, Pad: 1, HWC: true, Layers: layers}
	src, err := vgg.Seeded(cfg, 5)
	require.NoError(t, err)
	list := torchvision(t, cfg, src)
	list = renamed(list, strings.NewReplacer("classifier.3", "embeddings.2", "classifier.6", "embeddings.4", "classifier.0", "embeddings.0").Replace)
	m, err := vgg.FromFile(written(t, list, nil))
	require.NoError(t, err)
	require.Equal(t, cfg, m.Config())
}
