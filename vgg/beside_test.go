package vgg_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// oddWidths is configuration A with widths of no published network, and torchvision's
// names: the tensors do not tell where the pools are.
func oddWidths(t testing.TB) (cfg vgg.Config, out []weights.Out) {
	cfg = smallConfig(t, "A")
	for i := range cfg.Layers {
		if l := &cfg.Layers[i]; l.Kind == vgg.Conv {
			l.Out = 4 + i
		}
	}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	params, err := cfg.Params()
	require.NoError(t, err)
	index, n := 0, 0
	for _, l := range cfg.Layers {
		name := fmt.Sprintf("features.%d", index)
		switch l.Kind {
		case vgg.Conv:
			index += 2
		case vgg.Pool:
			index++
			continue
		case vgg.FC:
			name = fmt.Sprintf("classifier.%d", 3*(n-8))
		}
		for _, p := range params[2*n : 2*n+2] {
			w, err := src.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			out = append(out, weights.Out{Name: name + p.Name[strings.Index(p.Name, "."):], DType: weights.F32, Shape: p.Shape, Floats: w})
		}
		n++
	}
	return cfg, out
}

// snapshotOf writes a folder as Hugging Face's and timm's programs do.
func snapshotOf(t testing.TB, files map[string]string) (cfg vgg.Config, dir string) {
	cfg, out := oddWidths(t)
	dir = t.TempDir()
	require.NoError(t, weights.WriteFile(filepath.Join(dir, "model.safetensors"), out, map[string]string{"format": "pt"}))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	return cfg, dir
}

const names10 = `"label_names": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]`

func TestSnapshot(t *testing.T) {
	_, dir := snapshotOf(t, nil)
	_, err := vgg.Open(dir)
	require.ErrorIs(t, err, vgg.ErrConfig, "the tensors do not tell")

	cfg, dir := snapshotOf(t, map[string]string{"config.json": `{"architecture": "vgg11_bn.tv_in1k", "num_classes": 10, ` + names10 + `,
		"pretrained_cfg": {"mean": [0.5, 0.25, 0.125], "std": [0.1, 0.2, 0.3], "input_size": [3, 32, 32], "crop_pct": 0.8, "interpolation": "bilinear", "crop_mode": "center"}}`})
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	want, err := vgg.New(cfg, src)
	require.NoError(t, err)
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors")} {
		m, err := vgg.Open(path)
		require.NoError(t, err)
		require.Equal(t, strings.Split("abcdefghij", ""), m.Labels())
		require.Equal(t, vgg.Picture{Side: 40, Preset: picture.Preset{Unit: true, Mean: [3]float32{0.5, 0.25, 0.125}, Std: [3]float32{0.1, 0.2, 0.3}}}, m.Picture())
		require.Equal(t, cfg.LayerString(), m.Config().LayerString())
		testutil.CheckBits(t, "logits", path, logits(t, m), logits(t, want))
	}
	require.NoError(t, os.Rename(filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "other.safetensors")))
	_, err = vgg.Open(filepath.Join(dir, "other.safetensors"))
	require.ErrorIs(t, err, vgg.ErrConfig, "config.json is of model.safetensors alone")
	_, err = vgg.Open(dir)
	require.ErrorContains(t, err, "a folder with none of model.safetensors")

	_, dir = snapshotOf(t, map[string]string{
		"config.json":              `{"architectures": ["VGGForImageClassification"], "id2label": {"0": "LABEL_0"}, "architecture": "vgg11"}`,
		"preprocessor_config.json": `{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}`,
	})
	_, err = vgg.Open(dir)
	require.ErrorContains(t, err, "the metadata say 1 classes, and the tensors 10")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"architecture": "vgg11"}`), 0o666))
	m, err := vgg.Open(dir)
	require.NoError(t, err)
	require.Equal(t, vgg.Picture{Side: 36, Preset: picture.Preset{Unit: true, Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5}}}, m.Picture())
}

// TestSnapshotErrors: what contradicts the tensors, and what is not done here, is an
// error that names the file.
func TestSnapshotErrors(t *testing.T) {
	const vgg11 = `"architecture": "vgg11", `
	for text, want := range map[string]string{
		`{"architecture": "resnet50"}`:                                                   `the architecture is "resnet50", want vgg11`,
		`{"architecture": "repvgg_b1g4"}`:                                                `the architecture is "repvgg_b1g4"`,
		`{"architectures": ["ResNetForImageClassification"]}`:                            `the architecture is "ResNetForImageClassification", no VGG`,
		`{"architecture": "vgg16"}`:                                                      "vgg16 has 13 convolutions, and the file 8",
		`{` + vgg11 + `"num_classes": 1000}`:                                             "the metadata say 1000 classes, and the tensors 10",
		`{` + vgg11 + `"id2label": {"0": "a", "1": "b"}}`:                                "the metadata name 2 classes, and the tensors have 10",
		`{` + vgg11 + `"id2label": {"0": "a", "2": "b"}}`:                                "class 2 of 2",
		`{` + vgg11 + `"pretrained_cfg": {"input_size": [3, 224, 224]}}`:                 "the metadata say pictures of 224×224, and the tensors 32×32",
		`{` + vgg11 + `"pretrained_cfg": {"input_size": [3, 32, 64]}}`:                   "the metadata say pictures of 32×64",
		`{` + vgg11 + `"pretrained_cfg": {"input_size": [3, -1, 64]}}`:                   "input_size is",
		`{` + vgg11 + `"pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1e-9}}`: "crop_pct is",
		`{` + vgg11 + `"pretrained_cfg": {"input_size": [3, 32, 32], "mean": [1, 2]}}`:   "want 3",
		`{` + vgg11 + `"pretrained_cfg": {"interpolation": "bicubic"}}`:                  `resized by "bicubic"`,
		`{` + vgg11 + `"pretrained_cfg": {"crop_mode": "squash"}}`:                       "crop_mode",
		`{`: "config.json: unexpected end of JSON",
	} {
		_, dir := snapshotOf(t, map[string]string{"config.json": text})
		_, err := vgg.Open(dir)
		require.Error(t, err, text)
		require.ErrorContains(t, err, want)
	}
	for text, want := range map[string]string{
		`{"resample": 3}`:       "resample is 3",
		`{"do_rescale": false}`: "rescaled by 1/255",
		`{"rescale_factor": 1}`: "rescaled by 1/255",
		`{"size": 224}`:         "without regard to their shape",
		`{"size": {"height": 32, "width": 32}, "crop_size": 32}`:                    "without regard to their shape",
		`{"size": {"shortest_edge": 36}, "do_center_crop": false, "crop_size": 32}`: "without regard to their shape",
		`{"size": {"shortest_edge": 36}, "crop_size": -1}`:                          "crop_size: -1 pixels",
		`{"size": {"shortest_edge": 36}, "crop_size": 16}`:                          "the metadata say pictures of 16×16",
		`{"size": {"shortest_edge": 36}, "crop_size": "x"}`:                         "crop_size: want a number",
		`{"image_mean": [0.5, 0.5, 0.5], "image_std": [0, 1, 1]}`:                   "nonet.std",
	} {
		_, dir := snapshotOf(t, map[string]string{"config.json": `{"architecture": "vgg11"}`, "preprocessor_config.json": text})
		_, err := vgg.Open(dir)
		require.Error(t, err, text)
		require.ErrorContains(t, err, want)
	}
}
