package weights

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConfigMeta reads what config.json and preprocessor_config.json say, field by field.
func TestConfigMeta(t *testing.T) {
	type reader = func([]byte) (Meta, error)
	mean, std := []float64{0.5, 0.25, 0.125}, []float64{0.1, 0.2, 0.3}
	for _, c := range []struct {
		read reader
		text string
		want Meta
	}{
		{configMeta, `{}`, Meta{}}, {configMeta, `{"architectures": []}`, Meta{}}, {configMeta, `{"architectures": ["VGGModel", "TimmWrapperForImageClassification"]}`, Meta{}},
		{configMeta, `{"architecture": "vgg16_bn.tv_in1k"}`, Meta{Architecture: "vgg16_bn"}}, {configMeta, `{"architecture": "timm/vgg11"}`, Meta{Architecture: "vgg11"}}, {configMeta, `{"architecture": "repvgg_a0"}`, Meta{Architecture: "repvgg_a0"}},
		{configMeta, `{"architecture": "vgg13", "architectures": ["ResNet"]}`, Meta{Architecture: "vgg13"}},
		{configMeta, `{"num_classes": 7}`, Meta{Classes: 7}}, {configMeta, `{"label_names": ["a", "b"]}`, Meta{Labels: []string{"a", "b"}}}, {configMeta, `{"id2label": {"1": "b", "0": "a"}}`, Meta{Labels: []string{"a", "b"}}},
		{configMeta, `{"label_names": [], "id2label": {}}`, Meta{}}, {configMeta, `{"label_names": null}`, Meta{}}, {configMeta, `{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}`, Meta{Classes: 2}}, {configMeta, `{"id2label": {"0": "LABEL_0", "1": "b"}}`, Meta{Labels: []string{"LABEL_0", "b"}}},
		{configMeta, `{"mean": [0.5, 0.25, 0.125], "std": [0.1, 0.2, 0.3]}`, Meta{Mean: mean, Std: std}},
		{configMeta, `{"mean": [1], "pretrained_cfg": {"mean": [0.5, 0.25, 0.125]}}`, Meta{Mean: mean}},
		{configMeta, `{"input_size": [3, 32, 32]}`, Meta{Size: 32}}, {configMeta, `{"input_size": [3, 32, 64]}`, Meta{Size: 32, Width: 64}}, {configMeta, `{"input_size": [3, 1, 32768]}`, Meta{Size: 1, Width: 32768}},
		{configMeta, `{"input_size": [3, 224, 224], "crop_pct": 0.875}`, Meta{Size: 224, Resize: 256}}, {configMeta, `{"input_size": [3, 224, 224], "crop_pct": 1}`, Meta{Size: 224, Resize: 224}}, {configMeta, `{"input_size": [3, 64, 32], "crop_pct": 0.9}`, Meta{Size: 64, Width: 32, Resize: 35}},
		{configMeta, `{"crop_pct": 0.5}`, Meta{}}, {configMeta, `{"interpolation": "bilinear", "crop_mode": "center"}`, Meta{}},
		{preprocessorMeta, `{}`, Meta{}}, {preprocessorMeta, `{"image_mean": [0.5, 0.25, 0.125], "image_std": [0.1, 0.2, 0.3], "do_normalize": true, "do_rescale": true, "resample": 2}`, Meta{Mean: mean, Std: std}},
		{preprocessorMeta, `{"do_normalize": false, "image_mean": [0.5, 0.25, 0.125]}`, Meta{Preset: PresetUnit}}, {preprocessorMeta, `{"rescale_factor": 0.00392156862745098}`, Meta{}}, {preprocessorMeta, `{"rescale_factor": 0.003921567}`, Meta{}},
		{preprocessorMeta, `{"size": 256, "crop_size": 224}`, Meta{Resize: 256, Size: 224}}, {preprocessorMeta, `{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 192}, "do_center_crop": true}`, Meta{Resize: 256, Size: 224, Width: 192}},
		{preprocessorMeta, `{"size": {"shortest_edge": 32768}, "crop_size": 32768}`, Meta{Resize: 32768, Size: 32768}}, {preprocessorMeta, `{"crop_size": 224}`, Meta{Size: 224}},
	} {
		got, err := c.read([]byte(c.text))
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
	for _, c := range []struct {
		read reader
		text string
		err  string
	}{
		{configMeta, `[]`, "json"}, {configMeta, `{"architectures": ["VGG", "ResNet"]}`, `"ResNet", no VGG`}, {configMeta, `{"architecture": "vgg12"}`, "want vgg11"}, {configMeta, `{"architecture": "vgg16_bn_bn"}`, "want vgg11"},
		{configMeta, `{"interpolation": "nearest"}`, "nearest"}, {configMeta, `{"crop_mode": "border"}`, "center alone"}, {configMeta, `{"id2label": {"0": "a", "2": "b"}}`, "class 2 of 2"},
		{configMeta, `{"input_size": [3, 32]}`, "input_size is [3 32]"}, {configMeta, `{"input_size": [3, 32, 32, 1]}`, "input_size"}, {configMeta, `{"input_size": [3, 0, 32]}`, "input_size"}, {configMeta, `{"input_size": [3, 32769, 32]}`, "input_size"},
		{configMeta, `{"input_size": [3, 32, 32], "crop_pct": 0.01}`, "crop_pct is 0.01"}, {configMeta, `{"input_size": [3, 32, 32], "crop_pct": 1.01}`, "crop_pct is 1.01"}, {configMeta, `{"input_size": [3, 32, 32], "crop_pct": -1}`, "crop_pct"},
		{preprocessorMeta, `[]`, "json"}, {preprocessorMeta, `{"resample": 1}`, "resample is 1"}, {preprocessorMeta, `{"do_rescale": false}`, "1/255"}, {preprocessorMeta, `{"rescale_factor": 0.0039}`, "1/255"}, {preprocessorMeta, `{"rescale_factor": 0.00393}`, "1/255"},
		{preprocessorMeta, `{"size": 256}`, "without regard"}, {preprocessorMeta, `{"size": {"height": 256, "width": 256}, "crop_size": 224}`, "without regard"}, {preprocessorMeta, `{"size": 256, "crop_size": 224, "do_center_crop": false}`, "without regard"},
		{preprocessorMeta, `{"size": 32769, "crop_size": 224}`, "size: 32769 pixels"}, {preprocessorMeta, `{"size": 256, "crop_size": {"height": -1}}`, "crop_size: -1 pixels"}, {preprocessorMeta, `{"size": {"shortest_edge": 32769}, "crop_size": 1}`, "size: 32769"},
		{preprocessorMeta, `{"size": "x", "crop_size": 224}`, "size: want a number"}, {preprocessorMeta, `{"size": 256, "crop_size": {"height": 224, "width": 32769}}`, "crop_size: 32769"},
	} {
		_, err := c.read([]byte(c.text))
		require.ErrorContains(t, err, c.err, c.text)
	}
}

// TestMergeMeta: what a file beside says is added to what the weights say, and does not
// contradict it.
func TestMergeMeta(t *testing.T) {
	f := &File{}
	require.NoError(t, f.mergeMeta(Meta{Architecture: "vgg11", Classes: 3}))
	require.NoError(t, f.mergeMeta(Meta{Classes: 3, Size: 32}))
	require.Equal(t, map[string]string{KeyArchitecture: "vgg11", KeyClasses: "3", KeySize: "32"}, f.metadata)
	require.ErrorContains(t, f.mergeMeta(Meta{Classes: 4}), `it says nonet.classes "4", and the weights, or the file before it, "3"`)
	require.ErrorIs(t, f.mergeMeta(Meta{Width: 3}), ErrFormat)
	for _, key := range []string{KeyLayers, KeyConfig} {
		f = &File{metadata: map[string]string{key: "A"}}
		require.NoError(t, f.mergeMeta(Meta{Architecture: "vgg11", Classes: 3}))
		require.Equal(t, map[string]string{key: "A", KeyClasses: "3"}, f.metadata, "the weights say more than an architecture")
	}
}
