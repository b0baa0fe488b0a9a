package vgg

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// moduleNames are torchvision's modules of VGG-16, and of VGG-16 with batch
// normalisation: indices of convolutions and pools as torchvision.models.vgg16 and
// vgg16_bn print them.
var moduleNames = map[bool]map[string][]int{
	false: {"conv": {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28}, "pool": {4, 9, 16, 23, 30}},
	true:  {"conv": {0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40}, "pool": {6, 13, 23, 33, 43}},
}

func TestModuleNames(t *testing.T) {
	for norm, indices := range moduleNames {
		cfg, err := Lookup("D")
		require.NoError(t, err)
		for i := range cfg.Layers {
			cfg.Layers[i].Norm = norm && cfg.Layers[i].Kind == Conv
		}
		conv, pool := 0, 0
		name := func(i int) string { return "features." + strconv.Itoa(i) }
		for i, l := range cfg.Layers {
			switch l.Kind {
			case Conv:
				at := indices["conv"][conv]
				first := at
				if norm {
					_, err := cfg.layerIndex(name(at))
					require.ErrorIs(t, err, ErrConfig)
					require.ErrorContains(t, err, l.Name+" before its batch normalisation")
					first++
				}
				for _, at := range []int{first, first + 1} {
					got, err := cfg.layerIndex(name(at))
					require.NoError(t, err)
					require.Equal(t, i, got, name(at))
				}
				conv++
			case Pool:
				got, err := cfg.layerIndex(name(indices["pool"][pool]))
				require.NoError(t, err)
				require.Equal(t, i, got)
				pool++
			}
		}
		for _, c := range []struct{ name, layer string }{
			{"classifier.0", "fc6"}, {"classifier.1", "fc6"}, {"classifier.2", "fc6"}, {"classifier.3", "fc7"}, {"classifier.5", "fc7"}, {"classifier.6", "fc8"},
			{"pre_logits", "fc7"}, {"pre_logits.fc1", "fc6"}, {"pre_logits.act2", "fc7"}, {"head.fc", "fc8"}, {"head", "fc8"}, {"embedding", "fc7"}, {"", "fc8"}, {"relu5_3", "conv5_3"},
		} {
			i, err := cfg.layerIndex(c.name)
			require.NoError(t, err)
			require.Equal(t, c.layer, cfg.Layers[i].Name, c.name)
		}
		last := map[bool]string{false: "features.30", true: "features.43"}[norm]
		for _, bad := range []string{"features.44", "features.00", "features.-1", "features", "classifier.7", "relu1_9", "avgpool"} {
			_, err := cfg.layerIndex(bad)
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, "fc8, embedding, features.0 to "+last+", classifier.0 to classifier.6, pre_logits, head")
		}
	}
}

// TestModuleNamesOfOthers: layers that no VGG of torchvision has end its names.
func TestModuleNamesOfOthers(t *testing.T) {
	for _, c := range []struct {
		layers string
		want   map[string]string // none is an error
	}{
		{"=64 S+ M F10", map[string]string{"features.0": "conv1_1", "features.1": "scale1", "features.2": "scale1", "features.3": "pool1", "classifier.0": "fc2", "pre_logits": "", "embedding": "pool1"}},
		{"64 N M F9 F10", map[string]string{"features.1": "conv1_1", "features.2": "", "classifier.2": "fc2", "classifier.3": "fc3", "embedding": "fc2"}},
		{"64 M 128 G", map[string]string{"features.2": "pool1", "features.4": "conv2_1", "features.5": "", "embedding": "gap"}},
		{"64 M =F9 S F10", map[string]string{"classifier.0": "", "embedding": "scale1"}},
		{"64 M 10/1 G", map[string]string{"embedding": "pool1"}},
	} {
		layers, err := ParseLayers(c.layers)
		require.NoError(t, err)
		cfg := Config{Channels: 3, Size: 16, Pad: 1, Layers: layers}
		for name, want := range c.want {
			i, err := cfg.layerIndex(name)
			if want == "" {
				require.ErrorIs(t, err, ErrConfig, "%s: %s", c.layers, name)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, cfg.Layers[i].Name, "%s: %s", c.layers, name)
		}
	}
}

// TestModuleNamesOfFile: what a file says of batch normalisation stays with the network
// when it is saved.
func TestModuleNamesOfFile(t *testing.T) {
	file, err := weights.Open("testdata/formats/bn_zip.pth")
	require.NoError(t, err)
	defer file.Close()
	n, err := Describe(file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "saved.safetensors")
	require.NoError(t, Save(path, n.Config, n.Source, false))
	saved, err := Open(path)
	require.NoError(t, err)
	plain, err := Open("testdata/formats/zip.pth")
	require.NoError(t, err)
	for _, c := range []struct {
		cfg  Config
		norm bool
	}{{n.Config, true}, {saved.Config(), true}, {plain.Config(), false}} {
		require.Equal(t, Conv, c.cfg.Layers[0].Kind)
		_, err := c.cfg.layerIndex("features.0")
		require.Equal(t, c.norm, err != nil)
		i, err := c.cfg.layerIndex("features.2")
		require.NoError(t, err)
		require.Equal(t, c.norm, i == 0, "the ReLU behind the normalisation, or the next module")
	}
}
