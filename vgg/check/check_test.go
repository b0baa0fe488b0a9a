package check

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

func requirePassed(t *testing.T, rows []Row, err error) {
	t.Helper()
	require.NoError(t, err)
	var table strings.Builder
	require.NoError(t, WriteTable(&table, rows))
	require.True(t, Passed(rows), table.String())
}

func TestNetworks(t *testing.T) {
	for _, name := range append(vgg.Names(), "RepVGG-A0") {
		rows, err := Networks(context.Background(), name, false)
		requirePassed(t, rows, err)
	}
}

func TestKernels(t *testing.T) {
	rows, err := Kernels(context.Background())
	requirePassed(t, rows, err)
	require.Greater(t, len(rows), 20)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Kernels(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// TestTinyGolden needs no file that the repository does not hold.
func TestTinyGolden(t *testing.T) {
	for _, name := range append(vgg.Names(), "RepVGG-A0") {
		rows, notes, err := Golden(context.Background(), testutil.Golden(t, name))
		requirePassed(t, rows, err)
		require.Empty(t, notes)
		require.Greater(t, len(rows), 100)
	}
}

// TestSeededRepVGG compares RepVGG-A0 and B1 of 224×224, with seeded weights, with PyTorch's
// float64: logits and a probe of every layer.
func TestSeededRepVGG(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, name := range []string{"RepVGG-A0", "RepVGG-B1"} {
		path := filepath.Join(filepath.Dir(testutil.Golden(t, name)), "full_"+name+".safetensors")
		rows, notes, err := Golden(context.Background(), path)
		requirePassed(t, rows, err)
		require.Len(t, notes, 1) // no gradients
		require.Greater(t, len(rows), 22)
	}
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testutil.Shared(t, "data", "golden"), "*.safetensors"))
	require.NoError(t, err)
	require.Len(t, files, 18)
	for _, f := range files {
		if testing.Short() && strings.Contains(f, "full_") {
			continue
		}
		rows, _, err := Golden(context.Background(), f)
		requirePassed(t, rows, err)
	}
}

func TestTraining(t *testing.T) {
	for _, name := range append(vgg.Names(), "RepVGG-A0") {
		rows, err := Training(context.Background(), name)
		requirePassed(t, rows, err)
	}
}

// TestKinds compares networks of every kind of layer with the reference, forward and
// in training.
func TestKinds(t *testing.T) {
	rows, err := Kinds(context.Background())
	requirePassed(t, rows, err)
	require.Greater(t, len(rows), 300)
}
