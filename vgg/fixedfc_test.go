package vgg_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// fewerBits are the models whose arithmetic or weights have fewer bits than float32, with the
// largest errors of the logits of VGG-16 with random weights: the root mean square and the
// maximum, both divided by the root mean square of the logits.
var fewerBits = []struct {
	name     string
	opt      vgg.Option
	rms, max float64
}{
	{"float32", vgg.Winograd(4), 1e-5, 1e-4},
	{"HalfFC", vgg.HalfFC(), 1e-3, 4e-3},
	{"FixedFC", vgg.FixedFC(), 1e-2, 4e-2},
	{"Fixed", vgg.Fixed(), 1e-2, 4e-2},
}

// TestFewerBitsSeeded compares VGG-16 of 224×224, with seeded weights, with PyTorch's float64.
func TestFewerBitsSeeded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	golden := open(t, testutil.Shared(t, "data", "golden", "full_D.safetensors"))
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	x := ref.Float32(floats(t, golden, "input"))
	want := floats(t, golden, "logits64")
	for _, mode := range fewerBits {
		m, err := vgg.New(cfg, src, mode.opt)
		require.NoError(t, err)
		s, err := m.NewSession(vgg.Batch(2))
		require.NoError(t, err)
		got := make([]float32, len(want))
		require.NoError(t, s.Run(context.Background(), got, x))
		largest, rms := testutil.RelErrors(got, want)
		t.Logf("%s: rms %.2g, largest %.2g of the logits' root mean square; %.1f MB", mode.name, rms, largest, float64(m.Bytes())/1e6)
		require.LessOrEqual(t, rms, mode.rms, mode.name)
		require.LessOrEqual(t, largest, mode.max, mode.name)
	}
}

var every = flag.Bool("every", false, "compare the answers of all pictures and not of some")

// TestFewerBitsTrained compares the answers of the network that comes with nonet, on pictures
// that were set apart in its training, with those in float32.
func TestFewerBitsTrained(t *testing.T) {
	data, err := train.Open(testutil.Shared(t, "data", "cifar10-train.tar"))
	require.NoError(t, err)
	defer data.Close()
	val, _ := data.Split(0.1)
	pictures := len(val.Examples)
	switch {
	case *every:
	case testing.Short(): // emulated processors
		pictures = 32
	default:
		pictures = 256
	}
	full, err := pretrained.CIFAR10()
	require.NoError(t, err)
	wants, hits := answers(t, full, val, pictures)
	for _, mode := range fewerBits {
		m, err := pretrained.CIFAR10(mode.opt)
		require.NoError(t, err)
		got, right := answers(t, m, val, pictures)
		same := 0
		for i := range got {
			if got[i] == wants[i] {
				same++
			}
		}
		t.Logf("%s: %d of %d answers are those of float32; %d right, %d in float32", mode.name, same, pictures, right, hits)
		require.GreaterOrEqual(t, float64(same), 0.998*float64(pictures), mode.name)
		require.InDelta(t, hits, right, 0.002*float64(pictures)+1, mode.name)
	}
}

// answers classifies the first n pictures, and counts the right ones.
func answers(t *testing.T, m *vgg.Model, data *train.Dataset, n int) (classes []int, right int) {
	t.Helper()
	for i := range n {
		img, err := data.Picture(i)
		require.NoError(t, err)
		top, err := m.Classify(context.Background(), img, 1)
		require.NoError(t, err)
		classes = append(classes, top[0].Class)
		if top[0].Class == data.Examples[i].Class {
			right++
		}
	}
	return classes, right
}

// TestFixedFileVGG16: the file of VGG-16 in fixed point, the memory of its weights, and how long
// the first answer takes from the cache of the system.
func TestFixedFileVGG16(t *testing.T) {
	if testing.Short() {
		t.Skip("packs and writes 242 MB")
	}
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "vgg16.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false, vgg.Fixed()))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(250e6))
	x := testutil.Uniform(1, 3*224*224)
	var want []float32
	for range 3 {
		start := time.Now()
		m, err := vgg.Open(path)
		require.NoError(t, err)
		opened := time.Since(start)
		s, err := m.NewSession()
		require.NoError(t, err)
		y := make([]float32, cfg.Classes())
		require.NoError(t, s.Run(context.Background(), y, x))
		t.Logf("%.1f MB of file, %.1f MB of memory; open %v, with the first answer %v", float64(info.Size())/1e6, float64(m.Bytes())/1e6, opened, time.Since(start))
		require.Less(t, m.Bytes(), int64(250e6))
		if want == nil {
			want = fixedLogits(t, m, x)
		}
		testutil.CheckBits(t, "answer", "VGG-16", y, want)
	}
	m, err := vgg.New(cfg, src, vgg.Fixed())
	require.NoError(t, err)
	testutil.CheckBits(t, "packed", "VGG-16", fixedLogits(t, m, x), want)
}
