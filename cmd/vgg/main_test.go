package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/check"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// asCommand makes the test program behave as the command: tests that kill it run
// it as a process of its own.
const asCommand = "NONET_TEST_AS_COMMAND"

// readyPipe makes it write a byte to its file 3 once signals stop it.
const readyPipe = "NONET_TEST_READY_PIPE"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		mainReady(func() {
			if os.Getenv(readyPipe) != "" {
				_, _ = os.NewFile(3, readyPipe).Write([]byte{1})
			}
		})
	}
	os.Exit(m.Run())
}

// vggCmd runs the command in this process.
func vggCmd(args ...string) (status int, out, err string) {
	var o, e bytes.Buffer
	status = run(context.Background(), args, streams{&o, &e})
	return status, o.String(), e.String()
}

func requireOK(t testing.TB, args ...string) string {
	t.Helper()
	status, out, err := vggCmd(args...)
	require.Zero(t, status, "%v: %s", args, err)
	return out
}

// requireFails wants status 1 and a message of one line that has all the words.
func requireFails(t testing.TB, words []string, args ...string) {
	t.Helper()
	status, _, err := vggCmd(args...)
	require.Equal(t, 1, status, "%v: %s", args, err)
	require.NotContains(t, err, "goroutine")
	for _, w := range words {
		require.Contains(t, err, w, "%v", args)
	}
}

// requireMisused wants status 2 and one line that has all the words and says where
// to read more.
func requireMisused(t testing.TB, words []string, args ...string) {
	t.Helper()
	status, out, err := vggCmd(args...)
	require.Equal(t, usageStatus, status, "%v: %s", args, err)
	require.Empty(t, out)
	require.Equal(t, 1, strings.Count(err, "\n"), err)
	require.Regexp(t, `: see vgg( [a-z]+)? --help\n$`, err)
	for _, w := range words {
		require.Contains(t, err, w, "%v", args)
	}
}

// writePhoto writes a picture of w×h pixels.
func writePhoto(t testing.TB, path string, w, h int, c color.Color) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, c)
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
}

// smallWeights writes configuration D, a sixteenth as wide.
func smallWeights(t testing.TB, dir string) string {
	t.Helper()
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithClasses(10).WithSize(32)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	path := filepath.Join(dir, "d.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false))
	return path
}

func TestClassify(t *testing.T) {
	photo := filepath.Join(t.TempDir(), "sky.png")
	writePhoto(t, photo, 50, 40, color.RGBA{80, 130, 220, 255})
	out := requireOK(t, "classify", photo, "--json")
	var r struct {
		Picture string
		Classes []vgg.Prediction
	}
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Len(t, r.Classes, 5)
	require.NotEmpty(t, r.Classes[0].Label)
	require.Contains(t, requireOK(t, "classify", photo, "--top", "3"), "%")

	_, _, warning := vggCmd("classify", photo, "--config", "A", "--divide", "16", "--size", "32")
	require.Contains(t, warning, "random weights")
}

func TestFeaturesAndInfer(t *testing.T) {
	dir := t.TempDir()
	w, photo := smallWeights(t, dir), filepath.Join(dir, "p.png")
	writePhoto(t, photo, 40, 40, color.White)
	out := filepath.Join(dir, "f.safetensors")
	requireOK(t, "features", photo, "-w", w, "--layer", "relu5_1", "-o", out)
	f, err := weights.Open(out)
	require.NoError(t, err)
	tensor, err := f.Tensor("output")
	require.NoError(t, err)
	require.Equal(t, []int{1, 32, 2, 2}, tensor.Shape)
	require.NoError(t, f.Close())

	// Several layers in one pass, pooled and of length 1.
	requireOK(t, "features", photo, "-w", w, "--layer", "features.0,embedding", "--pool", "max", "--normalize", "-o", out)
	f, err = weights.Open(out)
	require.NoError(t, err)
	for name, width := range map[string]int{"features.0": 4, "embedding": 256} {
		tensor, err := f.Tensor(name)
		require.NoError(t, err)
		require.Equal(t, []int{1, width, 1, 1}, tensor.Shape)
		x, squares := make([]float32, width), 0.0
		require.NoError(t, tensor.Float32s(x))
		for _, v := range x {
			squares += float64(v) * float64(v)
		}
		require.InDelta(t, 1, squares, 1e-6)
	}
	require.NoError(t, f.Close())
	var several struct {
		Picture string
		Layers  []layerFeatures
	}
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "features", photo, "-w", w, "--layer", "conv1_1,fc8", "--pool", "avg", "--json")), &several))
	require.Len(t, several.Layers, 2)
	require.Equal(t, []int{1, 4, 1, 1}, several.Layers[0].Shape)
	require.Len(t, several.Layers[1].Data, 10)
	require.Equal(t, 2, strings.Count(requireOK(t, "features", photo, "-w", w, "--layer", "conv1_1,fc8"), "mean"))
	requireFails(t, []string{"conv1_1", "twice"}, "features", photo, "-w", w, "--layer", "conv1_1,features.1")

	in := filepath.Join(dir, "x.safetensors")
	x := testutil.Normal(1, 11*3*32*32)
	require.NoError(t, weights.WriteFile(in, []weights.Out{{Name: "input", DType: weights.F32, Shape: []int{11, 3, 32, 32}, Floats: x}}, nil))
	requireOK(t, "infer", "--weights", w, "--input", in, "--output", out, "--batch", "4")
	f, err = weights.Open(out)
	require.NoError(t, err)
	tensor, err = f.Tensor("output")
	require.NoError(t, err)
	require.Equal(t, []int{11, 10}, tensor.Shape)
	got := make([]float32, 110)
	require.NoError(t, tensor.Float32s(got))
	m, err := vgg.Open(w)
	require.NoError(t, err)
	s, err := m.NewSession(vgg.Batch(11))
	require.NoError(t, err)
	want := make([]float32, 110)
	require.NoError(t, s.Run(context.Background(), want, x))
	testutil.CheckBits(t, "infer", "11×10", got, want)

	for i := range x {
		x[i] = float32(i % 256) // as a picture that nobody has prepared
	}
	require.NoError(t, weights.WriteFile(in, []weights.Out{{Name: "input", DType: weights.F32, Shape: []int{11, 3, 32, 32}, Floats: x}}, nil))
	status, _, warning := vggCmd("infer", "--weights", w, "--input", in, "--output", out)
	require.Zero(t, status, "a warning is no reason to stop")
	require.Contains(t, warning, "looks wrong")
	require.Contains(t, warning, "out of range")
}

func TestCheck(t *testing.T) {
	var r struct {
		Passed bool
		Rows   []json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "check", "--config", "A", "--json")), &r))
	require.True(t, r.Passed)
	require.Greater(t, len(r.Rows), 50)
}

func TestSelftest(t *testing.T) {
	text := requireOK(t, "selftest")
	for _, word := range []string{"GOMAXPROCS", "features", "NONET_ISA", "blocked", "conv3_2", "F(4×4,3×3)", "fully connected", runtime.Version()} {
		require.Contains(t, text, word)
	}
	require.NotContains(t, text, "WRONG")
	var r selftest
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "selftest", "--json")), &r))
	require.True(t, r.Passed)
	require.Contains(t, r.Available, r.ISA)
	require.Greater(t, len(r.Families), 9)

	// One wrong comparison condemns its family and the whole.
	r.Families = nil
	r.judge([]check.Row{{Variant: "a", OK: true}, {Variant: "b", OK: true}, {Variant: "b", Max: 1}})
	require.False(t, r.Passed)
	require.Equal(t, []verdict{{"a", 1, 0, true}, {"b", 2, 1, false}}, r.Families)
	var out bytes.Buffer
	require.NoError(t, r.print(&out))
	require.Contains(t, out.String(), "WRONG: 2 comparisons")
}

// TestCheckFindsFaults changes single bits of a golden file: each must be seen.
func TestCheckFindsFaults(t *testing.T) {
	golden := testutil.Golden(t, "A")
	requireOK(t, "check", "--golden", golden)
	for _, name := range []string{"act.conv3_2", "conv2_1.weight", "fc7.bias", "logits64", "grad64.conv1_1.weight", "grad.fc6.bias", "step1.conv4_2.weight", "step2.fc8.weight", "loss64", "input"} {
		f, err := weights.Open(golden)
		require.NoError(t, err)
		var out []weights.Out
		for _, n := range f.Names() {
			tensor, err := f.Tensor(n)
			require.NoError(t, err)
			data := bytes.Clone(tensor.Data)
			if n == name {
				size := tensor.DType.Size()
				at := len(data)/size/2*size + size - 1 // the sign and exponent of an element in the middle
				data[at] ^= 0xc0
			}
			out = append(out, weights.Out{Name: n, DType: tensor.DType, Shape: tensor.Shape, Data: data})
		}
		path := filepath.Join(t.TempDir(), "flipped.safetensors")
		require.NoError(t, weights.WriteFile(path, out, f.Metadata()))
		require.NoError(t, f.Close())
		requireFails(t, []string{"out of bounds"}, "check", "--golden", path)
	}
}

func TestSummaryAndConvert(t *testing.T) {
	// Table 2 of the paper, in millions.
	for name, millions := range map[string]int64{"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144} {
		var sum vgg.Summary
		require.NoError(t, json.Unmarshal([]byte(requireOK(t, "summary", "--config", name, "--json")), &sum))
		require.Equal(t, millions, (sum.Params+500_000)/1_000_000, name)
	}
	require.Contains(t, requireOK(t, "summary"), "conv5_3")
	dir := t.TempDir()
	w, half := smallWeights(t, dir), filepath.Join(dir, "half.safetensors")
	requireOK(t, "convert", w, half, "--half", "--preset", "caffe")
	m, err := vgg.Open(half)
	require.NoError(t, err)
	require.Equal(t, "caffe", m.Picture().Preset.Name)
	a, err := os.Stat(w)
	require.NoError(t, err)
	b, err := os.Stat(half)
	require.NoError(t, err)
	require.Less(t, b.Size(), a.Size()*6/10)
}

func TestBench(t *testing.T) {
	for work, args := range map[string][]string{
		"vggA_b2":                {"--config", "A", "--divide", "16", "--size", "32", "--batch", "2", "--layers"},
		"train_vggA_b2":          {"--train", "--config", "A", "--divide", "16", "--size", "32", "--batch", "2"},
		"sgemm_20x30x40":         {"--gemm", "20x30x40"},
		"sgemm_8x9x10_x3_packed": {"--gemm", "8x9x10", "--batch", "3", "--packed"},

		"mb1ic20ih9oc18oh9kh3ph1": {"--shape", "ic20ih9oc18kh3ph1", "--algorithm", "winograd2"},
		"mb2ic20ih9oc18oh7kh3ph0": {"--shape", "mb2ic20ih9oc18kh3ph0", "--algorithm", "direct"},
		"mb3ic20ih9oc18oh9kh1ph0": {"--shape", "ic20ih9oc18kh1", "--batch", "3"},
	} {
		var r benchResult
		require.NoError(t, json.Unmarshal([]byte(requireOK(t, append([]string{"bench", "--json", "--rounds", "3", "--threads", "2"}, args...)...)), &r))
		require.Equal(t, work, r.Work)
		require.Len(t, r.MS, 3)
		require.Positive(t, r.PeakGFLOPS)
		require.Positive(t, r.GFLOPS)
		require.Zero(t, r.OpenMS)
		if _, err := os.Stat("/proc/self/status"); err == nil {
			require.Greater(t, r.PeakMiB, 4.0) // of a Go program with some slices
		}
	}
}

// TestBenchOpen looks at the time that opening a file takes.
func TestBenchOpen(t *testing.T) {
	file := smallWeights(t, t.TempDir())
	var r benchResult
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, "bench", "--json", "--rounds", "3", "--weights", file)), &r))
	require.Greater(t, r.OpenMS, slices.Min(r.MS)) // it contains a run
}

// TestBenchFiles reads what bench draws and records.
func TestBenchFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	args := []string{"bench", "--config", "C", "--divide", "16", "--size", "32", "--rounds", "2", "--threads", "2"}
	requireOK(t, append(args, "--plot", file("p.svg"), "--trace", file("t.json"), "--cpuprofile", file("c.pprof"))...)
	requireOK(t, append(args, "--plot", file("p.png"), "--algorithm", "direct", "--half-fc")...)
	svg, err := os.ReadFile(file("p.svg"))
	require.NoError(t, err)
	for _, name := range []string{"conv1_1", "conv3_3", "fc8", "GB/s"} {
		require.Contains(t, string(svg), name)
	}
	var trace struct {
		TraceEvents []struct{ Name string }
	}
	b, err := os.ReadFile(file("t.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &trace))
	require.Greater(t, len(trace.TraceEvents), 2*16)
	profile, err := os.ReadFile(file("c.pprof"))
	require.NoError(t, err)
	require.NotEmpty(t, profile)
	text := requireOK(t, append(args, "--scaling", file("scaling.svg"))...)
	require.Regexp(t, `1 threads: median .* 1.00 times the speed of one\n2 threads: median`, text)
	scaling, err := os.ReadFile(file("scaling.svg"))
	require.NoError(t, err)
	for _, name := range []string{"1 thread", "2 threads", "2 × 1 thread", "pictures a second"} {
		require.Contains(t, string(scaling), name)
	}
	require.Equal(t, []int{1, 2, 4, 6}, threadCounts(6))
	require.Equal(t, []int{1}, threadCounts(1))
	requireFails(t, []string{"inference"}, append(args, "--gemm", "8x8x8", "--scaling", file("s.svg"))...)
	requireFails(t, []string{"p.bmp", ".svg"}, append(args, "--plot", file("p.bmp"))...)
	requireFails(t, []string{"exclude"}, append(args, "--train", "--gemm", "8x8x8")...)
	requireFails(t, []string{"inference"}, append(args, "--train", "--plot", file("p.svg"))...)
	requireOK(t, append(args, "--train", "--batch", "2", "--trace", file("s.json"), "--cpuprofile", file("s.pprof"))...)
	b, err = os.ReadFile(file("s.json"))
	require.NoError(t, err)
	require.Contains(t, string(b), "conv3_3 backward")
	require.FileExists(t, file("s.pprof"))
	requireFails(t, []string{"5×5"}, "bench", "--shape", "ic3ih8oc4kh5")
	requireFails(t, []string{"1×1"}, "bench", "--shape", "ic3ih8oc4kh1", "--algorithm", "direct")
	requireMisused(t, []string{"algorithm"}, "bench", "--shape", "ic3ih8oc4kh3", "--algorithm", "fft")
}

// TestBenchHuge: numbers that no machine can do are named, before anything is begun.
func TestBenchHuge(t *testing.T) {
	net := []string{"bench", "--config", "A", "--divide", "16", "--size", "32"}
	for _, args := range [][]string{
		{"--threads", "1099511627776"}, {"--batch", "4611686018427387904"}, {"--batch", "10000000"},
		{"--train", "--batch", "4611686018427387904"}, {"--rounds", "4611686018427387904"},
		{"--gemm", "8x8x8", "--batch", "4611686018427387904"}, {"--gemm", "1048576x1048576x1"},
		{"--shape", "ic16ih8oc16kh3ph1", "--batch", "4611686018427387904"},
	} {
		if _, err := strconv.Atoi(args[len(args)-1]); errors.Is(err, strconv.ErrRange) {
			continue // is no int where that has 32 bits
		}
		requireFails(t, args[len(args)-1:], append(net[:len(net):len(net)], args...)...)
	}
}

// TestMistakes: what a user may get wrong is one clear line and status 1.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	w, photo := smallWeights(t, dir), filepath.Join(dir, "p.png")
	writePhoto(t, photo, 8, 8, color.White)
	text := filepath.Join(dir, "text.jpg")
	require.NoError(t, os.WriteFile(text, []byte("these are words"), 0o600))
	whole, err := os.ReadFile(w)
	require.NoError(t, err)
	cut := filepath.Join(dir, "cut.safetensors")
	require.NoError(t, os.WriteFile(cut, whole[:len(whole)/2], 0o600))
	huge := filepath.Join(dir, "huge.png")
	require.NoError(t, os.WriteFile(huge, hugePNG(t, 30000, 30000), 0o600))

	requireFails(t, []string{"text.jpg"}, "classify", text)
	requireFails(t, []string{"huge.png", "30000"}, "classify", huge)
	requireFails(t, []string{"cut.safetensors"}, "classify", photo, "-w", cut)
	requireFails(t, []string{"text.jpg"}, "classify", photo, "-w", text)
	requireFails(t, []string{"conv7_7", "conv5_3"}, "features", photo, "-w", w, "--layer", "conv7_7")
	requireFails(t, []string{"input"}, "infer", "--weights", w, "--input", w, "--output", filepath.Join(dir, "y"))
	requireFails(t, []string{"A-LRN"}, "summary", "--config", "F")
	requireFails(t, []string{"d.safetensors", "[4 3 3 3]", "[64 3 3 3]"}, "classify", photo, "-w", w, "--config", "D")
	requireFails(t, []string{"absent"}, "eval", "--data", filepath.Join(dir, "absent"))
	requireFails(t, []string{"64x"}, "bench", "--gemm", "64x")

	writePhoto(t, filepath.Join(dir, "one.png"), 1, 1, color.White)
	requireOK(t, "classify", filepath.Join(dir, "one.png"))
}

// TestMeanAndStd: the numbers of a preset, given as flags, are that preset.
func TestMeanAndStd(t *testing.T) {
	dir := t.TempDir()
	photo, w, out := filepath.Join(dir, "p.png"), smallWeights(t, dir), filepath.Join(dir, "out.safetensors")
	writePhoto(t, photo, 40, 40, color.RGBA{200, 100, 50, 255})
	const mean, std = "--mean=0.485,0.456,0.406", "--std=0.229,0.224,0.225"
	for _, from := range [][]string{{"--weights", w}, {"--config", "A", "--divide", "16", "--size", "32"}, nil} {
		result := func(flags ...string) string {
			return requireOK(t, append(append([]string{"classify", "--json", photo}, from...), flags...)...)
		}
		require.Equal(t, result("--preset", "torch"), result("--preset", "unit", mean, std))
		require.NotEqual(t, result("--preset", "unit"), result("--preset", "unit", "--mean", "0.5"))
	}
	requireOK(t, "convert", w, out, "--preset", "none", "--mean", "1,2,3", "--std", "4")
	m, err := vgg.Open(out)
	require.NoError(t, err)
	require.Equal(t, picture.Preset{Mean: [3]float32{1, 2, 3}, Std: [3]float32{4, 4, 4}}, m.Picture().Preset)
	requireFails(t, []string{"--mean", "2 numbers"}, "classify", photo, "--mean", "1,2")
	requireFails(t, []string{"--std 0"}, "classify", photo, "--std", "1,0,1")
	requireFails(t, []string{"--std -1"}, "classify", photo, "--std=-1")
}

// hugePNG is a PNG file that promises w×h pixels.
func hugePNG(t testing.TB, w, h int) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))))
	p := b.Bytes()
	copy(p[16:], []byte{byte(w >> 24), byte(w >> 16), byte(w >> 8), byte(w), byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)})
	copy(p[29:], crc(p[12:29]))
	return p
}

// dataFolder makes a directory of labelled pictures.
func dataFolder(t testing.TB, n int) string {
	dir := t.TempDir()
	for class, name := range []string{"red", "green"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		for i := range n {
			c := color.RGBA{uint8(200 - 150*class), uint8(50 + 150*class), uint8(9 * i), 255}
			writePhoto(t, filepath.Join(dir, name, fmt.Sprintf("%02d.png", i)), 10, 9, c)
		}
	}
	return dir
}

func trainArgs(data, out, epochs string) []string {
	return []string{"train", "--data", data, "--out", out, "--net", "8 M 8 M F16 F2", "--size", "8", "--side", "8", "--epochs", epochs, "--batch", "8",
		"--rate", "0.02", "--schedule", "cosine", "--pad", "1", "--seed", "3", "--resume", "--save", "1ns", "--threads", "1", "--json"}
}

// TestTrainAndEval trains, draws the curve, and evaluates what came of it.
func TestTrainAndEval(t *testing.T) {
	data, dir := dataFolder(t, 24), t.TempDir()
	out := filepath.Join(dir, "w.safetensors")
	lines := requireOK(t, append(trainArgs(data, out, "6"), "--curve", filepath.Join(dir, "curve.svg"), "--log", filepath.Join(dir, "log"))...)
	require.Equal(t, 6, strings.Count(lines, "validation_accuracy"))
	for _, f := range []string{"curve.svg", "log"} {
		info, err := os.Stat(filepath.Join(dir, f))
		require.NoError(t, err)
		require.Positive(t, info.Size())
	}
	table := filepath.Join(dir, "log.csv")
	requireOK(t, append(trainArgs(data, filepath.Join(dir, "other.safetensors"), "2"), "--log", table, "--cutout", "2")...)
	text, err := os.ReadFile(table)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.Equal(t, "validation_accuracy", rows[0][5])

	require.NoError(t, os.WriteFile(filepath.Join(data, "red", "bad.png"), []byte("x"), 0o600))
	result := strings.Split(strings.TrimSpace(requireOK(t, "eval", "--data", data, "-w", out, "--json", "--max-unreadable", "3")), "\n")
	var r struct {
		N          int
		Unreadable int
		Top1Error  *float64 `json:"top1_error"`
		Top5Error  *float64 `json:"top5_error"`
	}
	require.NoError(t, json.Unmarshal([]byte(result[len(result)-1]), &r))
	require.Equal(t, 48, r.N)
	require.Equal(t, 1, r.Unreadable)
	require.Less(t, *r.Top1Error, 0.1)
	require.Zero(t, *r.Top5Error)
}

// TestKill kills training at random moments; the weights in the end are
// those of a run that nobody disturbed, bit for bit. A run that ends before it has
// been killed often enough counts as well, and another one begins.
func TestKill(t *testing.T) {
	wanted := killCount(t)
	data, dir := dataFolder(t, 24), t.TempDir()
	calm, killed := filepath.Join(dir, "calm.safetensors"), filepath.Join(dir, "killed.safetensors")
	checkpoint := killed + ".checkpoint"
	requireOK(t, trainArgs(data, calm, "150")...)
	want, err := os.ReadFile(calm)
	require.NoError(t, err)
	requireSame := func() {
		got, err := os.ReadFile(killed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
	k, under, ended := newKiller(t), 0, 0
	for k.watch = checkpoint; k.kills < wanted; {
		if k.run(trainArgs(data, killed, "150")...) {
			requireSame()
			require.NoError(t, os.Remove(killed))
			require.NoError(t, os.Remove(checkpoint))
			ended++
			require.Less(t, ended, 10+20*wanted, "runs end before they are killed")
			continue
		}
		if _, err := os.Stat(checkpoint); err == nil {
			under++
		}
	}
	t.Logf("killed %d times, %d of them with a checkpoint there; %d runs ended between", k.kills, under, ended)
	require.Positive(t, under, "killed while it trained")
	requireOK(t, trainArgs(data, killed, "150")...)
	requireSame()
}

// crc is the checksum at the end of a PNG chunk.
func crc(chunk []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(chunk))
}

// TestConvertFormats converts a file of PyTorch and one of Caffe: what is written says
// how pictures are prepared, and flags that describe the network count for that too.
func TestConvertFormats(t *testing.T) {
	dir := t.TempDir()
	formats := filepath.Join("..", "..", "vgg", "testdata", "formats")
	for in, preset := range map[string]string{"zip.pth": "torch", "legacy.pth": "torch", "v1.caffemodel": "caffe", "exported.onnx": "torch", "keras.safetensors": "caffe"} {
		out := filepath.Join(dir, "out.safetensors")
		text := requireOK(t, "convert", filepath.Join(formats, in), out)
		require.Contains(t, text, "configuration A: 2 M 4 M 8 8 M 16 16 M 16 16 M F24 F20 F10")
		m, err := vgg.Open(out)
		require.NoError(t, err)
		require.Equal(t, preset, m.Picture().Preset.Name, in)
		requireOK(t, "convert", filepath.Join(formats, in), out, "--preset", "unit")
		m, err = vgg.Open(out)
		require.NoError(t, err)
		require.Equal(t, "unit", m.Picture().Preset.Name, in)
	}
	requireFails(t, []string{"keras.h5", "h5py"}, "convert", filepath.Join(formats, "keras.h5"), filepath.Join(dir, "none"))

	// Without padding, which a file of weights alone does not show.
	cfg := vgg.Config{Name: "custom", Channels: 3, Size: 16, Pad: 0}
	var err error
	cfg.Layers, err = vgg.ParseLayers("4 4 M 4 F3")
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	params, err := cfg.Params()
	require.NoError(t, err)
	var list []weights.Out
	for _, p := range params {
		w, err := src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		list = append(list, weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: w})
	}
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	require.NoError(t, weights.WriteFile(in, list, nil))
	requireOK(t, "convert", in, out, "--net", cfg.LayerString(), "--size", "16", "--no-pad", "--preset", "unit")
	m, err := vgg.Open(out)
	require.NoError(t, err)
	require.Equal(t, cfg, m.Config())
}

// TestOtherNetworks describes and converts a network with means, scales, pictures that
// are no squares and columns in HWC order.
func TestOtherNetworks(t *testing.T) {
	net := []string{"--net", "S 8 A 12 S+ M F24 S F10", "--size", "32x48", "--channels", "1", "--flatten", "hwc"}
	var sum vgg.Summary
	require.NoError(t, json.Unmarshal([]byte(requireOK(t, append([]string{"summary", "--json"}, net...)...)), &sum))
	require.Equal(t, [2]int{32, 48}, [2]int{sum.Size, sum.Width})
	require.Equal(t, vgg.Shape{C: 12, H: 8, W: 12}, sum.Layers[5].Output)
	require.Equal(t, "scale", sum.Layers[0].Kind)
	require.Contains(t, requireOK(t, append([]string{"bench", "--rounds", "1"}, net...)...), "ms")

	flags := networkFlags{Net: net[1], Size: inputSize{32, 48}, Channels: 1, Flatten: "hwc", Divide: 1}
	cfg, err := flags.network()
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	require.NoError(t, vgg.Save(in, cfg, src, false))
	requireOK(t, "convert", in, out)
	m, err := vgg.Open(out)
	require.NoError(t, err)
	require.Equal(t, cfg, m.Config())
	for _, flag := range []string{"--size=32", "--channels=3", "--flatten=chw", "--classes=10", "--no-pad", "--divide=2"} {
		requireFails(t, []string{"--net", flag[:6]}, "summary", "-w", out, flag)
	}
}
