package train

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

// frozenRun begins with given weights and does not change those before the classifier.
func frozenRun(t *testing.T, d *Dataset) Run {
	r := smallRun(t, d)
	r.Epochs, r.Freeze = 1, "fc3"
	return r
}

// weightsOf trains and returns the weights by name.
func weightsOf(t *testing.T, r Run) map[string][]float32 {
	t.Helper()
	trained, _, err := Train(context.Background(), r)
	require.NoError(t, err)
	list := map[string][]float32{}
	for i, p := range trained.Params() {
		list[p.Name] = trained.Weights()[i]
	}
	return list
}

// TestSource: a run begins with the weights of a Source, and begins the classifier anew if
// that is wanted.
func TestSource(t *testing.T) {
	d := openFolder(t, 20)
	r := frozenRun(t, d)
	src, err := vgg.Seeded(r.Config, 5)
	require.NoError(t, err)
	params, err := r.Config.Params()
	require.NoError(t, err)
	given := map[string][]float32{}
	for _, p := range params {
		given[p.Name], err = src.Tensor(p.Name, p.Shape)
		require.NoError(t, err)
	}
	r.Source = src
	kept := weightsOf(t, r)
	r.FreshClassifier = true
	fresh := weightsOf(t, r)
	for _, name := range []string{"conv1_1.weight", "conv2_1.bias", "fc3.weight"} {
		testutil.CheckBits(t, "kept", name, kept[name], given[name])
		testutil.CheckBits(t, "fresh", name, fresh[name], given[name])
	}
	require.NotEqual(t, kept["fc4.weight"], fresh["fc4.weight"])

	// A file says the same.
	path := filepath.Join(t.TempDir(), "start.safetensors")
	require.NoError(t, vgg.Save(path, r.Config, src, false))
	r.Source, r.Start, r.StartConvs = nil, path, -1
	for name, w := range weightsOf(t, r) {
		testutil.CheckBits(t, "of the file", name, w, fresh[name])
	}
}

func TestSourceRefusals(t *testing.T) {
	ctx := context.Background()
	d := openFolder(t, 20)
	r := frozenRun(t, d)
	r.FreshClassifier = true
	_, _, err := Train(ctx, r)
	require.ErrorContains(t, err, "there are none")
	src, err := vgg.Seeded(r.Config.WithClasses(7), 5)
	require.NoError(t, err)
	r.Source, r.Start = src, "file"
	_, _, err = Train(ctx, r)
	require.ErrorContains(t, err, "want one of them")
	r.Start = ""
	_, _, err = Train(ctx, r)
	require.NoError(t, err)
	r.FreshClassifier = false
	_, _, err = Train(ctx, r)
	require.ErrorIs(t, err, vgg.ErrShape) // 7 classes
}

// TestSourceResumed: a checkpoint is of the Source that it began with.
func TestSourceResumed(t *testing.T) {
	ctx := context.Background()
	r := frozenRun(t, openFolder(t, 20))
	r.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	src, err := vgg.Seeded(r.Config, 5)
	require.NoError(t, err)
	r.Source = src
	_, _, err = Train(ctx, r)
	require.NoError(t, err)
	r.Epochs, r.Resume = 2, true
	_, _, err = Train(ctx, r)
	require.NoError(t, err)
	r.Epochs = 3
	if r.Source, err = vgg.Seeded(r.Config, 6); err != nil {
		t.Fatal(err)
	}
	_, _, err = Train(ctx, r)
	require.ErrorContains(t, err, "seed 5")
	require.ErrorContains(t, err, "seed 6")
}
