package train

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// torchGiven is what PyTorch is given, by testdata/torch/given.json: what comes from
// random numbers of our own. testdata/torch/train.py computes all else by PyTorch's own means,
// in float64.
type torchGiven struct {
	Pixels   [][]int              `json:"pixels"` // of each example, [y][x][RGB]
	Classes  []int                `json:"classes"`
	Training []int                `json:"training"` // examples, in their order
	Validate []int                `json:"validate"`
	Orders   [][]int              `json:"orders"` // of the epochs, of positions in Training
	Weights  map[string][]float32 `json:"weights"`
}

const torchSide = 8

// torchPixel is a number of a picture that depends on its class, in part.
func torchPixel(class, n, y, x, c int) uint8 {
	return uint8(37*class*(c+1) + 53*n*n + 29*y*(n%3+1) + 31*x*(class+c) + 17*c)
}

// torchRun is a run with weight decay, momentum, a warm-up and a fall of the rate, dropout,
// steps of two parts, a rest of the data that fills no batch, and a validation whose last
// part is smaller.
func torchRun(t *testing.T) Run {
	dir := t.TempDir()
	for class, name := range []string{"ant", "bee", "cow"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		for n := range 7 {
			img := image.NewRGBA(image.Rect(0, 0, torchSide, torchSide))
			for i := range torchSide * torchSide {
				y, x := i/torchSide, i%torchSide
				img.Set(x, y, color.RGBA{torchPixel(class, n, y, x, 0), torchPixel(class, n, y, x, 1), torchPixel(class, n, y, x, 2), 255})
			}
			f, err := os.Create(filepath.Join(dir, name, fmt.Sprint(n, ".png")))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
		}
	}
	d, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	layers, err := vgg.ParseLayers("4 M 16 M F12 F10 F3")
	require.NoError(t, err)
	return Run{
		Recipe: Recipe{
			Config: vgg.Config{Name: "test", Channels: 3, Size: torchSide, Pad: 1, Layers: layers}, Picture: vgg.Picture{Side: torchSide, Preset: picture.Torch},
			Init: vgg.InitHe, Epochs: 3, Batch: 4, Micro: 2, Momentum: 0.9, Decay: 0.02, Dropout: 0.4,
			Schedule: Schedule{Kind: "step", Rate: 0.05, Factor: 4, Every: 2, Warmup: 1.5}, Validation: 0.3, Seed: 11,
		},
		Data: d, Workers: 1,
	}
}

// given returns what PyTorch is to be given of a run.
func given(t *testing.T, run Run) torchGiven {
	val, training := run.Data.Split(run.Validation)
	g := torchGiven{Weights: map[string][]float32{}}
	numbers := map[string]int{}
	for i, e := range run.Data.Examples {
		numbers[e.Path] = i
		pixels, err := run.Data.Picture(i)
		require.NoError(t, err)
		var list []int
		for y := range torchSide {
			for x := range torchSide {
				c := color.RGBAModel.Convert(pixels.At(x, y)).(color.RGBA)
				list = append(list, int(c.R), int(c.G), int(c.B))
			}
		}
		g.Pixels, g.Classes = append(g.Pixels, list), append(g.Classes, e.Class)
	}
	for _, e := range training.Examples {
		g.Training = append(g.Training, numbers[e.Path])
	}
	for _, e := range val.Examples {
		g.Validate = append(g.Validate, numbers[e.Path])
	}
	for epoch := range run.Epochs {
		g.Orders = append(g.Orders, shuffled(len(g.Training), run.Seed, epoch))
	}
	src, err := vgg.Initial(run.Config, run.Init, run.Seed)
	require.NoError(t, err)
	params, err := run.Config.Params()
	require.NoError(t, err)
	for _, p := range params {
		w, err := src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		g.Weights[p.Name] = w
	}
	return g
}

// torchGolden are PyTorch's numbers, rounded to float32.
type torchGolden struct {
	t *testing.T
	f *weights.File
}

func (g torchGolden) get(name string) []float64 {
	g.t.Helper()
	x, err := g.f.Tensor(name)
	require.NoError(g.t, err)
	out := make([]float64, x.Len())
	require.NoError(g.t, x.Float64s(out))
	return out
}

// torchBound is the largest error of a tensor in parts of its root mean square: float32
// beside float64, over six steps.
const torchBound = 2e-5

func (g torchGolden) check(name string, got []float32) {
	g.t.Helper()
	largest, _ := testutil.RelErrors(got, g.get(name))
	require.Less(g.t, largest, torchBound, name)
}

// TestTorchTraining stops a run after each step, compares weights and momentum in the
// checkpoint with those of PyTorch, and goes on. Losses, accuracies and rates of the epochs are
// PyTorch's as well.
func TestTorchTraining(t *testing.T) {
	run := torchRun(t)
	have, want := given(t, run), torchGiven{}
	path := filepath.Join("testdata", "torch", "given.json")
	if os.Getenv("NONET_WRITE_GIVEN") != "" {
		b, err := json.Marshal(have)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b, 0o666))
	}
	require.NoError(t, json.Unmarshal(read(t, path), &want))
	require.Equal(t, want, have)
	f, err := weights.Open(filepath.Join("testdata", "torch", "golden.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	golden := torchGolden{t, f}

	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c"), true
	steps := len(want.Training) / run.Batch
	for step := range run.Epochs*steps - 1 {
		stopAfter(t, run, 1)
		checkpoint, err := weights.Open(run.Checkpoint)
		require.NoError(t, err)
		for name := range want.Weights {
			for prefix, what := range map[string]string{"": "weight", momentumPrefix: "momentum"} {
				x, err := checkpoint.Tensor(prefix + name)
				require.NoError(t, err)
				got := make([]float32, x.Len())
				require.NoError(t, x.Float32s(got))
				golden.check(fmt.Sprintf("step%d.%s.%s", step, what, name), got)
			}
		}
		require.NoError(t, checkpoint.Close())
	}
	tr, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	for i, p := range tr.Params() {
		golden.check(fmt.Sprintf("step%d.weight.%s", run.Epochs*steps-1, p.Name), tr.Weights()[i])
	}
	for i, e := range history {
		for j, got := range []float64{e.Loss, e.Accuracy, e.ValLoss, e.Validation, e.Rate} {
			require.InEpsilon(t, golden.get(fmt.Sprint("epoch", i))[j], got, torchBound, "epoch %d, number %d", i, j)
		}
	}
	require.NotZero(t, len(want.Training)%run.Batch, "some pictures fill no batch")
	require.NotZero(t, len(want.Validate)%run.Micro, "the last part of the validation is smaller")
}
