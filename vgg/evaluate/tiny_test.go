package evaluate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// tiny is a trained network with its twenty photographs of 64×64 pixels.
func tiny(t testing.TB) (*vgg.Model, *Data) {
	t.Helper()
	dir := testutil.Shared(t, "data", "nets")
	layers, err := vgg.ParseLayers("10 10 M 10 10 M F10")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "Tiny VGG", Channels: 3, Size: 64, Pad: 0, Layers: layers}
	m, err := vgg.Open(filepath.Join(dir, "tinyvgg_cnn-explainer.safetensors"), vgg.Configuration(cfg),
		vgg.Pictures(vgg.Picture{Side: 64, Preset: picture.Unit}),
		vgg.Labels([]string{"lifeboat", "ladybug", "pizza", "bell pepper", "school bus", "koala", "espresso", "red panda", "orange", "sport car"}))
	require.NoError(t, err)
	var list strings.Builder
	for _, files := range []struct {
		name, class string
		numbers     []int
	}{
		{"boat", "lifeboat", []int{1}}, {"bug", "ladybug", []int{1, 3}}, {"bus", "school bus", []int{1, 2}}, {"car", "sport car", []int{1}},
		{"espresso", "espresso", []int{1}}, {"koala", "koala", []int{1, 2, 3}}, {"orange", "orange", []int{1, 3}},
		{"panda", "red panda", []int{1, 2, 3, 5}}, {"pepper", "bell pepper", []int{1, 2}}, {"pizza", "pizza", []int{1, 2}},
	} {
		for _, i := range files.numbers {
			fmt.Fprintf(&list, "%s\t%s\n", filepath.Join(dir, "tinyvgg_images", fmt.Sprintf("%s_%d.jpeg", files.name, i)), files.class)
		}
	}
	path := filepath.Join(t.TempDir(), "photographs.txt")
	require.NoError(t, os.WriteFile(path, []byte(list.String()), 0o600))
	d, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, 20, d.N)
	return m, d
}

// TestTiny runs each protocol on the twenty photographs, of which the network's
// authors have 14 right by one view. More views are worth two more.
func TestTiny(t *testing.T) {
	m, d := tiny(t)
	for _, c := range []struct {
		protocol   string
		top1, top5 int     // wrong of 20
		boat       float64 // probability of the most probable class of the first photograph
	}{
		{"center", 6, 1, 0.8207827},
		{"single", 6, 2, 0.2939535},
		{"multi-scale", 4, 0, 0.3188853},
		{"dense", 4, 0, 0.3188853},
		{"multi-crop", 4, 0, 0.3259800},
		{"multi-crop+dense", 4, 0, 0.3224327},
	} {
		if testing.Short() && strings.HasPrefix(c.protocol, "multi-crop") {
			continue // thousands of crops
		}
		s := []int{64, 96}
		if c.protocol == "center" {
			s = []int{64}
		}
		r, list := run(t, d, Options{}, member(t, m, c.protocol, s...))
		require.Equal(t, 20, r.N)
		require.InDelta(t, float64(c.top1)/20, r.Top1Error, 1e-12, c.protocol)
		require.InDelta(t, float64(c.top5)/20, r.Top5Error, 1e-12, c.protocol)
		require.InDelta(t, c.boat, list[0].Top[0].Probability, 1e-5, c.protocol)
	}
}

// TestTinyFusion fuses the network with itself at other scales.
func TestTinyFusion(t *testing.T) {
	m, d := tiny(t)
	one, list := run(t, d, Options{}, member(t, m, "center", 64))
	same, list2 := run(t, d, Options{}, member(t, m, "center", 64), member(t, m, "center", 64))
	require.Equal(t, one, same)
	require.Equal(t, list, list2)
	r, _ := run(t, d, Options{}, member(t, m, "center", 64), member(t, m, "single", 72), member(t, m, "multi-scale", 64, 96))
	require.InDelta(t, 0.2, r.Top1Error, 1e-12)
	require.InDelta(t, 0.05, r.Top5Error, 1e-12)
}
