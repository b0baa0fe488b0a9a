package train

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// photo is a 12×10 picture whose colour depends on its class, with a stripe that
// depends on its number.
func photo(t testing.TB, class, n int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 12, 10))
	for y := range 10 {
		for x := range 12 {
			c := color.RGBA{uint8(40 + 60*class), uint8(200 - 70*class), uint8(n * 11), 255}
			if x == n%12 {
				c = color.RGBA{255, 255, 255, 255}
			}
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// folder makes a directory of three classes with n pictures each.
func folder(t testing.TB, n int) string {
	dir := t.TempDir()
	for class, name := range []string{"ant", "bee", "cow"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		for i := range n {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, fmt.Sprintf("%02d.png", i)), photo(t, class, i), 0o600))
		}
	}
	return dir
}

func openFolder(t testing.TB, n int) *Dataset {
	d, err := Open(folder(t, n))
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// smallRun is a run of seconds that uses everything that is random.
func smallRun(t testing.TB, d *Dataset) Run {
	layers, err := vgg.ParseLayers("8 M 16 M F16 F3")
	require.NoError(t, err)
	return Run{
		Recipe: Recipe{
			Config: vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}, Picture: vgg.Picture{Side: 8, Preset: picture.Torch},
			Init: vgg.InitHe, Epochs: 4, Batch: 8, Micro: 4, Momentum: 0.9, Decay: 5e-4, Dropout: 0.3,
			Schedule: Schedule{Kind: "cosine", Rate: 0.02, Warmup: 1}, Augment: Augment{Min: 8, Max: 10, Colour: 0.1, Cutout: 2}, Validation: 0.2, Seed: 7,
		},
		Data: d, Workers: 1,
	}
}

func requireSame(t *testing.T, what string, a, b *vgg.Trainer) {
	t.Helper()
	for i, p := range a.Params() {
		testutil.CheckBits(t, what, p.Name, b.Weights()[i], a.Weights()[i])
		testutil.CheckBits(t, what, "momentum of "+p.Name, b.Momentum()[i], a.Momentum()[i])
	}
}

// TestWorkers: the number of workers does not change a bit.
func TestWorkers(t *testing.T) {
	d := openFolder(t, 12)
	run := smallRun(t, d)
	a, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	require.Len(t, history, 4)
	require.Less(t, history[3].Loss, history[0].Loss)
	run.Workers = 3
	b, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	requireSame(t, "3 workers", a, b)
}

// TestResume stops a run after every single step, and goes on from the checkpoint
// each time.
func TestResume(t *testing.T) {
	d := openFolder(t, 12)
	run := smallRun(t, d)
	want, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c.safetensors"), true
	for stops := 0; ; stops++ {
		ctx, cancel := context.WithCancel(context.Background())
		run.OnProgress = func(Progress) { cancel() }
		got, again, err := Train(ctx, run)
		cancel()
		if err == nil {
			require.Greater(t, stops, 10)
			requireSame(t, "resumed", want, got)
			for i := range history {
				require.Equal(t, history[i].Loss, again[i].Loss)
				require.Equal(t, history[i].Validation, again[i].Validation)
			}
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	run.Seed++
	_, _, err = Train(context.Background(), run)
	require.ErrorContains(t, err, "another recipe")
	m, err := vgg.Open(run.Checkpoint)
	require.NoError(t, err, "a checkpoint is a file of weights as well")
	require.Equal(t, []string{"ant", "bee", "cow"}, m.Labels())
}

// TestBrokenSteps stops a run at any moment, also between the parts of a step. A life is
// longer than the one before, so that one comes to the end on a machine of any speed.
func TestBrokenSteps(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Batch, run.Micro = 16, 2
	want, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c.safetensors"), true
	rng := rand.New(rand.NewPCG(1, 2))
	for life := 10 * time.Millisecond; ; life += life / 32 {
		ctx, cancel := context.WithTimeout(context.Background(), life/4+time.Duration(rng.Int64N(int64(life))))
		got, again, err := Train(ctx, run)
		cancel()
		if err == nil {
			requireSame(t, "broken off", want, got)
			for i, e := range again {
				require.Equal(t, history[i].Loss, e.Loss)
				require.Equal(t, history[i].Accuracy, e.Accuracy)
				require.Equal(t, history[i].Rate, e.Rate)
			}
			return
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

// TestUnreadable ends a run with the name of a picture that is none. When it has
// been mended the run goes on where it was.
func TestUnreadable(t *testing.T) {
	dir := folder(t, 12)
	d, err := Open(dir)
	require.NoError(t, err)
	run := smallRun(t, d)
	want, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	bad := filepath.Join(dir, "bee", "03.png")
	good, err := os.ReadFile(bad)
	require.NoError(t, err)
	run.Checkpoint, run.Resume = filepath.Join(t.TempDir(), "c.safetensors"), true
	run.OnEpoch = func(e Epoch) error { // the next epoch meets it
		if e.Epoch == 2 {
			return os.WriteFile(bad, []byte("no picture"), 0o600)
		}
		return nil
	}
	_, history, err := Train(context.Background(), run)
	require.ErrorContains(t, err, "bee/03.png")
	require.Len(t, history, 2)
	require.NoError(t, os.WriteFile(bad, good, 0o600))
	run.OnEpoch = nil
	got, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	requireSame(t, "mended", want, got)
}

func TestDataset(t *testing.T) {
	dir := folder(t, 3)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ant", "notes.txt"), []byte("x"), 0o600))
	folder, err := Open(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"ant", "bee", "cow"}, folder.Classes)
	require.Len(t, folder.Examples, 9)

	// The same in a tar file, in another order and below another directory.
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for class := 2; class >= 0; class-- {
		for i := range 3 {
			p := photo(t, class, i)
			require.NoError(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("./some/%s/%02d.png", folder.Classes[class], i), Size: int64(len(p)), Mode: 0o600}))
			_, err := w.Write(p)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "x.tar")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	archive, err := Open(path)
	require.NoError(t, err)
	defer archive.Close()
	require.Equal(t, folder.Classes, archive.Classes)
	for i := range folder.Examples {
		require.Equal(t, folder.Examples[i].Class, archive.Examples[i].Class)
		a, err := folder.Picture(i)
		require.NoError(t, err)
		c, err := archive.Picture(i)
		require.NoError(t, err)
		require.Equal(t, a, c)
	}
	part, rest := folder.Split(0.5)
	require.Equal(t, 9, len(part.Examples)+len(rest.Examples))

	_, err = Open(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(t.TempDir())
	require.ErrorIs(t, err, ErrData)
	_, err = Open(filepath.Join(dir, "ant", "notes.txt"))
	require.ErrorIs(t, err, ErrData)
	_, err = Open(filepath.Join(dir, "ant"))
	require.ErrorIs(t, err, ErrData, "pictures without a directory of a class")
}

func TestRecipeErrors(t *testing.T) {
	d := openFolder(t, 12)
	for name, change := range map[string]func(r *Run){
		"schedule":  func(r *Run) { r.Schedule.Kind = "never" },
		"rate":      func(r *Run) { r.Schedule.Rate = -1 },
		"parts":     func(r *Run) { r.Micro = 3 },
		"epochs":    func(r *Run) { r.Epochs = 0 },
		"classes":   func(r *Run) { r.Config = r.Config.WithClasses(4) },
		"augment":   func(r *Run) { r.Augment.Min = 4 },
		"too large": func(r *Run) { r.Batch, r.Micro = 64, 64 },
		"dropout":   func(r *Run) { r.Dropout = 1 },
		"init":      func(r *Run) { r.Init = "zero" },
		"freeze":    func(r *Run) { r.Freeze = "conv7_7" },
		"start":     func(r *Run) { r.Start = "/absent" },
	} {
		run := smallRun(t, d)
		change(&run)
		_, _, err := Train(context.Background(), run)
		require.Error(t, err, name)
	}
}

// TestDeeperFromShallower starts configuration D from A, as the paper does.
func TestDeeperFromShallower(t *testing.T) {
	small := func(name string) vgg.Config {
		cfg, err := vgg.Lookup(name)
		require.NoError(t, err)
		return cfg.Divide(16).WithClasses(3).WithSize(32)
	}
	srcA, err := vgg.Seeded(small("A"), 1)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	require.NoError(t, vgg.Save(path, small("A"), srcA, false))
	rest, err := vgg.Initial(small("D"), vgg.InitHe, 2)
	require.NoError(t, err)
	src, err := vgg.StartFrom(small("D"), path, 4, rest)
	require.NoError(t, err)
	params, err := small("D").Params()
	require.NoError(t, err)
	fromA := map[string]bool{}
	for _, p := range params {
		got, err := src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		if a, err := srcA.Tensor(p.Name, p.Shape); err == nil && len(p.Shape) > 1 {
			fromA[p.Name] = fmt.Sprint(a) == fmt.Sprint(got)
		}
	}
	require.Equal(t, map[string]bool{"conv1_1.weight": true, "conv2_1.weight": true, "conv3_1.weight": true, "conv3_2.weight": true,
		"conv4_1.weight": false, "conv4_2.weight": false, "conv5_1.weight": false, "conv5_2.weight": false,
		"fc6.weight": true, "fc7.weight": true, "fc8.weight": true}, fromA)
}

// TestFreeze keeps what is frozen, and trains what is not.
func TestFreeze(t *testing.T) {
	d := openFolder(t, 12)
	run := smallRun(t, d)
	run.Freeze, run.Epochs = "pool2", 1
	got, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	src, err := vgg.Initial(run.Config, run.Init, run.Seed)
	require.NoError(t, err)
	for i, p := range got.Params() {
		w, err := src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
		require.Equal(t, p.Name[:4] == "conv", fmt.Sprint(w) == fmt.Sprint(got.Weights()[i]), p.Name)
	}
}

// TestFullDisk: a checkpoint that cannot be written ends the run with its name.
func TestFullDisk(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Checkpoint = filepath.Join(t.TempDir(), "absent", "c.safetensors")
	_, _, err := Train(context.Background(), run)
	require.ErrorContains(t, err, run.Checkpoint)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestNoSquare trains on pictures that are cut to 8×12, by the network's own preparation
// and moved; random scales are refused. The head is a global pool, with a scale.
func TestNoSquare(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	layers, err := vgg.ParseLayers("8 S+ A 3/1 G")
	require.NoError(t, err)
	run.Config = vgg.Config{Name: "custom", Channels: 3, Pad: 1, Layers: layers}.WithInput(8, 12)
	run.Picture = run.Config.DefaultPicture()
	for _, a := range []Augment{{}, {Pad: 2, Flip: true, Cutout: 3}} {
		run.Augment = a
		tr, history, err := Train(context.Background(), run)
		require.NoError(t, err)
		require.Len(t, history, run.Epochs)
		require.Less(t, history[len(history)-1].Loss, history[0].Loss)
		require.NotEqual(t, float32(1), tr.Weights()[2][0], "the scale is trained")
	}
	run.Augment = Augment{Min: 8, Max: 12}
	_, _, err = Train(context.Background(), run)
	require.ErrorIs(t, err, vgg.ErrShape)
	require.ErrorContains(t, err, "8×12")
}

// TestInfiniteValidation: a validation whose loss is not finite is an error that says
// why, and not part of a checkpoint or a log.
func TestInfiniteValidation(t *testing.T) {
	r := smallRun(t, openFolder(t, 10))
	r.Schedule = Schedule{Kind: "constant", Rate: 1e30}
	r.Batch, r.Micro = 22, 22 // an epoch is one step, whose loss is that of the initial weights
	_, _, err := Train(context.Background(), r)
	require.ErrorContains(t, err, "loss of the validation")
	require.ErrorContains(t, err, "learning rate of 1e+30 is too high")
}

// TestInfiniteLoss: a step whose loss is no number ends the run with an error that says why.
func TestInfiniteLoss(t *testing.T) {
	for _, rate := range []float64{1e12, 1e30} {
		r := smallRun(t, openFolder(t, 10))
		r.Schedule = Schedule{Kind: "constant", Rate: rate}
		r.Validation = 0
		_, _, err := Train(context.Background(), r)
		require.ErrorContains(t, err, "train: the loss is NaN in step")
		require.ErrorContains(t, err, "is too high")
	}
}

// TestStuck warns of the loss of guessing, and of no other.
func TestStuck(t *testing.T) {
	for _, classes := range []int{2, 10, 1000} {
		chance := math.Log(float64(classes))
		for part, want := range map[float64]bool{1: true, 0.996: true, 1.004: true, 0.994: false, 1.006: false, 0.1: false, 3: false} {
			warning := Stuck(Epoch{Epoch: 3, Loss: part * chance}, classes)
			require.Equal(t, want, warning != "", "%v of %d classes: %s", part, classes, warning)
			if want {
				require.Contains(t, warning, fmt.Sprintf("after epoch 3 the loss of %.3f is ln(%d)", part*chance, classes))
			}
		}
	}
}

// TestProgress: each step is told once, with the means so far and an estimate of what is left.
func TestProgress(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Epochs = 2
	var all []Progress
	run.OnProgress = func(p Progress) { all = append(all, p) }
	_, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	steps := len(all) / 2
	for i, p := range all {
		require.Equal(t, i/steps+1, p.Epoch)
		require.Equal(t, i%steps+1, p.Step)
		require.Equal(t, 2, p.Epochs)
		require.Equal(t, steps, p.Steps)
		left := float64(len(all)-1-i) * float64(run.Batch) / p.PerSecond
		require.InDelta(t, left, p.Remaining.Seconds(), 1e-6+left*1e-6)
	}
	for i, e := range history {
		require.Equal(t, e.Loss, all[(i+1)*steps-1].Loss)
		require.Equal(t, e.Accuracy, all[(i+1)*steps-1].Accuracy)
	}
	require.EqualValues(t, 2, all[0].ValidationError)
	require.InDelta(t, 1-history[0].Validation, all[steps].ValidationError, 1e-12)
}

// TestRecipeLimits: each number of a recipe may be its limit, and what is beyond is refused with
// a text about it.
func TestRecipeLimits(t *testing.T) {
	d := openFolder(t, 12)
	for _, c := range []struct {
		change  func(r *Run)
		refused string
	}{
		{func(*Run) {}, ""},
		{func(r *Run) { r.Epochs, r.Batch, r.Micro = 1, 1, 1 }, ""},
		{func(r *Run) { r.Epochs = 0 }, "0 epochs"},
		{func(r *Run) { r.Batch, r.Micro = 0, 1 }, "batches of 0"},
		{func(r *Run) { r.Batch, r.Micro = -8, -4 }, "in parts of -4"},
		{func(r *Run) { r.Batch, r.Micro = 8, -4 }, "in parts of -4"},
		{func(r *Run) { r.Batch, r.Micro = 8, 3 }, "the parts of one size"},
		{func(r *Run) { r.Momentum = 0 }, ""},
		{func(r *Run) { r.Momentum = math.Nextafter(1, 0) }, ""},
		{func(r *Run) { r.Momentum = 1 }, "momentum 1"},
		{func(r *Run) { r.Momentum = -1e-300 }, "momentum -1e-300"},
		{func(r *Run) { r.Decay = 0 }, ""},
		{func(r *Run) { r.Decay = math.MaxFloat32 }, ""},
		{func(r *Run) { r.Decay = 2 * math.MaxFloat32 }, "weight decay 6.8"},
		{func(r *Run) { r.Decay = -1e-300 }, "weight decay -1e-300"},
		{func(r *Run) { r.Dropout = 0 }, ""},
		{func(r *Run) { r.Dropout = 0.9 }, ""},
		{func(r *Run) { r.Dropout = 1 }, "dropout 1"},
		{func(r *Run) { r.Dropout = -1e-300 }, "dropout -1e-300"},
		{func(r *Run) { r.Validation = 0 }, ""},
		{func(r *Run) { r.Validation = 0.99 }, ""},
		{func(r *Run) { r.Validation = 1 }, "1 of the pictures set apart"},
		{func(r *Run) { r.Validation = -1e-300 }, "-1e-300 of the pictures set apart"},
		{func(r *Run) { r.Augment.Colour = 0 }, ""},
		{func(r *Run) { r.Augment.Colour = math.MaxFloat32 }, ""},
		{func(r *Run) { r.Augment.Colour = 2 * math.MaxFloat32 }, "shift of colours 6.8"},
		{func(r *Run) { r.Augment.Colour = -1e-300 }, "shift of colours -1e-300"},
		{func(r *Run) { r.Config = r.Config.WithClasses(4) }, "the network has 4 classes"},
		{func(r *Run) { r.Augment = Augment{Min: 8, Max: 8} }, ""},
		{func(r *Run) { r.Augment = Augment{Min: 7, Max: 8} }, "augmentation {Min:7"},
		{func(r *Run) { r.Augment = Augment{Min: 10, Max: 9} }, "augmentation {Min:10"},
		{func(r *Run) { r.Augment = Augment{Min: 1} }, "augmentation {Min:1"},
		{func(r *Run) { r.Augment = Augment{Min: 8} }, "augmentation {Min:8"},
		{func(r *Run) { r.Augment = Augment{} }, ""},
		{func(r *Run) { r.Augment = Augment{Pad: -1} }, "Pad:-1"},
		{func(r *Run) { r.Augment = Augment{Cutout: -1} }, "Cutout:-1"},
		{func(r *Run) { r.Config, r.Augment = r.Config.WithInput(8, 12), Augment{Pad: 1} }, ""},
		{func(r *Run) { r.Config, r.Augment = r.Config.WithInput(8, 12), Augment{Min: 8, Max: 8} }, "the network takes 8×12"},
		{func(r *Run) { r.FreshClassifier = true }, "there are none"},
		{func(r *Run) { r.FreshClassifier, r.Start = true, "file" }, ""},
	} {
		r := &trainer{Run: smallRun(t, d)}
		c.change(&r.Run)
		err := r.validateRecipe()
		if c.refused == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.refused)
		}
	}
	whole := &trainer{Run: smallRun(t, d)}
	whole.Micro = 0
	require.NoError(t, whole.validateRecipe())
	require.Equal(t, whole.Batch, whole.Micro)
}

// TestSplitData: one batch is enough; other data validate only if their classes are the same.
func TestSplitData(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	val, training := run.Data.Split(run.Validation)
	require.NotEmpty(t, val.Examples)
	for batch, refused := range map[int]bool{len(training.Examples): false, len(training.Examples) + 1: true} {
		r := &trainer{Run: run}
		r.Batch = batch
		err := r.splitData()
		require.Equal(t, refused, err != nil, "%v", err)
		require.Equal(t, training.Examples, r.train.Examples)
		require.Equal(t, val.Examples, r.val.Examples)
		if refused {
			require.ErrorIs(t, err, ErrData)
			require.ErrorContains(t, err, "fill no batch")
		}
	}
	r := &trainer{Run: run}
	r.Validate = openFolder(t, 1)
	require.NoError(t, r.splitData())
	require.Len(t, r.train.Examples, 36)
	require.Len(t, r.val.Examples, 3)
	require.NoError(t, os.RemoveAll(filepath.Join(r.Validate.Name, "cow")))
	two, err := Open(r.Validate.Name)
	require.NoError(t, err)
	defer two.Close()
	r.Validate = two
	require.ErrorIs(t, r.splitData(), ErrData)
	require.ErrorContains(t, r.splitData(), "different classes")
	r.Validate, r.Validation, r.Schedule.Kind = nil, 0, "plateau"
	require.ErrorContains(t, r.splitData(), "plateau")
	r.Schedule.Kind = "step"
	require.NoError(t, r.splitData())
}

// TestColours: the shift is along the components of all training pictures' colours.
func TestColours(t *testing.T) {
	dir := folder(t, 6)
	d, err := Open(dir)
	require.NoError(t, err)
	defer d.Close()
	r := &trainer{Run: smallRun(t, d)}
	r.Batch, r.Micro = 2, 2
	require.NoError(t, r.prepare(context.Background()))
	var stats picture.ColourStats
	for i := range r.train.Examples {
		img, err := r.train.Picture(i)
		require.NoError(t, err)
		var rgb picture.RGB
		rgb.SetImage(img)
		stats.Add(&rgb)
	}
	require.Equal(t, stats.PCA(), *r.colours)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.colour(ended), context.Canceled)
	require.NoError(t, os.Remove(filepath.Join(dir, filepath.FromSlash(r.train.Examples[3].Path))))
	_, _, err = Train(context.Background(), r.Run)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, filepath.FromSlash(r.train.Examples[3].Path))
}

// TestCallersErrors: an error of OnBegin or OnEpoch ends the run.
func TestCallersErrors(t *testing.T) {
	no := errors.New("no")
	run := smallRun(t, openFolder(t, 12))
	run.OnProgress = func(Progress) { t.Error("a step") }
	run.OnBegin = func([]Epoch) error { return no }
	_, history, err := Train(context.Background(), run)
	require.Equal(t, no, err)
	require.Empty(t, history)
	run.OnBegin, run.OnProgress = nil, nil
	run.OnEpoch = func(Epoch) error { return no }
	_, history, err = Train(context.Background(), run)
	require.Equal(t, no, err)
	require.Len(t, history, 1)
}

// TestWorkersRefused: as many workers as no team has are refused.
func TestWorkersRefused(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Workers = parallel.MaxWorkers + 1
	_, _, err := Train(context.Background(), run)
	require.ErrorIs(t, err, vgg.ErrShape)
	require.ErrorContains(t, err, "workers")
	run.Workers, run.Epochs = 0, 1
	_, _, err = Train(context.Background(), run)
	require.NoError(t, err)
}

// TestPerSecond: the speed of an epoch is that of the pictures since the run began or went on.
func TestPerSecond(t *testing.T) {
	run := checkpointed(t)
	run.Resume, run.Epochs = true, 4
	var first, last time.Time
	run.OnProgress = func(p Progress) {
		last = time.Now()
		if first.IsZero() {
			first = last
		}
		require.Positive(t, p.PerSecond)
		time.Sleep(20 * time.Millisecond) // so that little is left beside it
	}
	begin := time.Now()
	run.OnEpoch = func(e Epoch) error {
		pictures := 24.
		if e.Epoch == 2 { // of which one step was done
			pictures = 16
		}
		require.GreaterOrEqual(t, e.PerSecond*time.Since(begin).Seconds(), pictures*(1-1e-9))
		require.LessOrEqual(t, e.PerSecond*last.Sub(first).Seconds(), pictures*(1+1e-9))
		begin, first = time.Now(), time.Time{}
		return nil
	}
	_, _, err := Train(context.Background(), run)
	require.NoError(t, err)
}

// TestValidateErrors: an error of the network, or of a picture, is one of the validation.
func TestValidateErrors(t *testing.T) {
	r := &trainer{Run: smallRun(t, openFolder(t, 12))}
	require.NoError(t, r.prepare(context.Background()))
	_, _, err := r.validate(context.Background())
	require.NoError(t, err)
	r.Micro = 2 // not what the network was made for
	_, _, err = r.validate(context.Background())
	require.ErrorIs(t, err, vgg.ErrShape)
	r.Micro = 4
	require.NoError(t, os.RemoveAll(r.Data.Name))
	_, _, err = r.validate(context.Background())
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestSurePrediction: a class that gets no probability at all has a finite loss.
func TestSurePrediction(t *testing.T) {
	r := &trainer{Run: smallRun(t, openFolder(t, 12))}
	require.NoError(t, r.prepare(context.Background()))
	w := r.t.Weights()
	clear(w[len(w)-2])
	copy(w[len(w)-1], []float32{0, 2000, 0})
	r.t.Changed()
	loss, accuracy, err := r.validate(context.Background())
	require.NoError(t, err)
	bees := 0.
	for _, e := range r.val.Examples {
		if e.Class == 1 {
			bees++
		}
	}
	n := float64(len(r.val.Examples))
	require.Equal(t, bees/n, accuracy)
	require.InEpsilon(t, -math.Log(math.SmallestNonzeroFloat64)*(n-bees)/n, loss, 1e-12)
}

// TestSplit: the parts have about their share, and a picture's part depends on its path alone.
func TestSplit(t *testing.T) {
	d := openFolder(t, 100)
	for _, fraction := range []float64{0, 0.1, 0.5, 1} {
		part, rest := d.Split(fraction)
		require.InDelta(t, 300*fraction, len(part.Examples), 30)
		require.Len(t, rest.Examples, 300-len(part.Examples))
	}
	part, _ := d.Split(0.3)
	smaller, _ := d.Split(0.2)
	require.Subset(t, part.Examples, smaller.Examples)
}
