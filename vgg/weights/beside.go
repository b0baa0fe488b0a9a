package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg/labels"
)

// snapshotFiles are the weights in a folder of Hugging Face's or timm's programs, in order
// of preference.
var snapshotFiles = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}

// maxConfig bounds config.json and preprocessor_config.json, bytes.
const maxConfig = 16 << 20

// snapshot returns the file of weights in a folder, or path itself if it is no folder.
// configured says whether config.json in the same folder belongs to it.
func snapshot(path string) (file string, configured bool, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, slices.Contains(snapshotFiles, filepath.Base(path)), nil
	}
	for _, name := range snapshotFiles {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return filepath.Join(path, name), true, nil
		}
	}
	return "", false, formatf("", "a folder with none of %s", strings.Join(snapshotFiles, ", "))
}

// readBeside adds the content of config.json and preprocessor_config.json in the file's
// folder to the metadata. The file's own metadata must agree.
func (f *File) readBeside() error {
	root, err := os.OpenRoot(filepath.Dir(f.name))
	if err != nil {
		return plain(err)
	}
	defer root.Close()
	for _, c := range []struct {
		name string
		read func(text []byte) (Meta, error)
	}{{"config.json", configMeta}, {"preprocessor_config.json", preprocessorMeta}} {
		text, err := readSmall(root, c.name)
		if err != nil {
			return &Error{File: filepath.Join(filepath.Dir(f.name), c.name), Err: err}
		}
		if text == nil {
			continue
		}
		meta, err := c.read(text)
		if err == nil {
			err = f.mergeMeta(meta)
		}
		if err != nil {
			return &Error{File: filepath.Join(filepath.Dir(f.name), c.name), Detail: err.Error(), Err: ErrFormat}
		}
	}
	return nil
}

// readSmall reads a file of a folder, or nothing if there is none.
func readSmall(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, plain(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("more than %d bytes: %w", maxConfig, ErrFormat)
	}
	return text, err
}

// mergeMeta adds metadata to the file's own.
func (f *File) mergeMeta(meta Meta) error {
	more, err := meta.Encode()
	if err != nil {
		return err
	}
	if f.metadata == nil {
		f.metadata = map[string]string{}
	}
	for key, value := range more {
		if key == KeyArchitecture && (f.metadata[KeyLayers] != "" || f.metadata[KeyConfig] != "") {
			continue // the file says more
		}
		if have, ok := f.metadata[key]; ok && have != value {
			return fmt.Errorf("it says %s %s, and the weights, or the file before it, %s", key, quote(value), quote(have))
		}
		f.metadata[key] = value
	}
	return nil
}

// pictureConfig is the part of timm's config.json about pictures.
type pictureConfig struct {
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	InputSize     []int     `json:"input_size"`
	CropPct       float64   `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Interpolation string    `json:"interpolation"`
}

// configMeta reads config.json of timm and of Hugging Face.
func configMeta(text []byte) (Meta, error) {
	var c struct {
		Architecture  string          `json:"architecture"`
		Architectures []string        `json:"architectures"`
		Classes       int             `json:"num_classes"`
		Pretrained    *pictureConfig  `json:"pretrained_cfg"`
		Names         json.RawMessage `json:"label_names"`
		ByID          json.RawMessage `json:"id2label"`
		pictureConfig
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return Meta{}, err
	}
	meta := Meta{Classes: c.Classes}
	var err error
	if meta.Architecture, err = architecture(c.Architecture, c.Architectures); err != nil {
		return meta, err
	}
	if hasItems(c.Names) || hasItems(c.ByID) {
		if meta.Labels, err = labels.Read("labels", bytes.NewReader(text)); err != nil {
			return meta, err
		}
		if placeholders(meta.Labels) {
			meta.Classes, meta.Labels = len(meta.Labels), nil
		}
	}
	pic := c.pictureConfig
	if c.Pretrained != nil {
		pic = *c.Pretrained
	}
	return meta, pic.addTo(&meta)
}

func hasItems(list json.RawMessage) bool { return len(list) > len("[]") && string(list) != "null" }

// placeholders reports whether labels are placeholders, which no one has given.
func placeholders(list []string) bool {
	for i, l := range list {
		if l != "LABEL_"+strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// Architectures maps timm's and torchvision's names to configurations.
var Architectures = map[string]string{
	"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E",
	"repvgg_a0": "RepVGG-A0", "repvgg_a1": "RepVGG-A1", "repvgg_a2": "RepVGG-A2",
	"repvgg_b0": "RepVGG-B0", "repvgg_b1": "RepVGG-B1", "repvgg_b2": "RepVGG-B2", "repvgg_b3": "RepVGG-B3",
}

// architecture returns the VGG or RepVGG of a config.json, or nothing.
func architecture(name string, classes []string) (string, error) {
	if name == "" {
		for _, class := range classes {
			if !strings.Contains(strings.ToLower(class), "vgg") && !strings.HasPrefix(class, "TimmWrapper") {
				return "", fmt.Errorf("the architecture is %s, no VGG", quote(class))
			}
		}
		return "", nil
	}
	base, _, _ := strings.Cut(name, ".") // vgg16.tv_in1k: the weights' origin
	base = strings.TrimPrefix(base, "timm/")
	if _, ok := Architectures[strings.TrimSuffix(base, "_bn")]; !ok {
		return "", fmt.Errorf("the architecture is %s, want vgg11, vgg13, vgg16 or vgg19, with or without _bn, or repvgg_a0 to a2 or b0 to b3", quote(name))
	}
	return base, nil
}

// addTo checks timm's values for pictures and adds them to meta.
func (c pictureConfig) addTo(meta *Meta) error {
	if c.Interpolation != "" && c.Interpolation != "bilinear" {
		return fmt.Errorf("pictures are resized by %s interpolation, and here by bilinear alone; under another name the file of weights is read without this one", quote(c.Interpolation))
	}
	if c.CropMode != "" && c.CropMode != "center" {
		return fmt.Errorf("crop_mode is %s, and here center alone", quote(c.CropMode))
	}
	meta.Mean, meta.Std = c.Mean, c.Std
	if len(c.InputSize) == 0 {
		return nil
	}
	if len(c.InputSize) != 3 || slices.Min(c.InputSize) < 1 || slices.Max(c.InputSize) > maxPixels {
		return fmt.Errorf("input_size is %v, want channels, height and width", c.InputSize)
	}
	meta.setSize(c.InputSize[1], c.InputSize[2])
	if c.CropPct != 0 {
		if !(c.CropPct > 0.01 && c.CropPct <= 1) {
			return fmt.Errorf("crop_pct is %v, want more than 0 and at most 1", c.CropPct)
		}
		meta.Resize = int(math.Floor(float64(meta.shorter()) / c.CropPct))
	}
	return nil
}

func (m *Meta) setSize(height, width int) {
	m.Size, m.Width = height, width
	if width == height {
		m.Width = 0
	}
}

// preprocessorMeta reads preprocessor_config.json of Hugging Face.
func preprocessorMeta(text []byte) (Meta, error) {
	c := struct {
		Mean      []float64       `json:"image_mean"`
		Std       []float64       `json:"image_std"`
		Normalize *bool           `json:"do_normalize"`
		Rescale   *bool           `json:"do_rescale"`
		Factor    float64         `json:"rescale_factor"`
		Crops     *bool           `json:"do_center_crop"`
		Resample  *int            `json:"resample"`
		Size      json.RawMessage `json:"size"`
		Crop      json.RawMessage `json:"crop_size"`
	}{}
	if err := json.Unmarshal(text, &c); err != nil {
		return Meta{}, err
	}
	off := func(b *bool) bool { return b != nil && !*b }
	var meta Meta
	switch {
	case c.Resample != nil && *c.Resample != 2: // PIL.Image.BILINEAR
		return meta, fmt.Errorf("resample is %d, and here 2, bilinear, alone; under another name the file of weights is read without this one", *c.Resample)
	case off(c.Rescale) || c.Factor != 0 && math.Abs(c.Factor*255-1) > 1e-6:
		return meta, fmt.Errorf("pictures are not rescaled by 1/255 (do_rescale, rescale_factor), and here they are")
	case off(c.Normalize):
		meta.Preset = PresetUnit
	default:
		meta.Mean, meta.Std = c.Mean, c.Std
	}
	if len(c.Size) == 0 && len(c.Crop) == 0 {
		return meta, nil
	}
	side, height, _, err := sizeOf(c.Size)
	if err != nil {
		return meta, fmt.Errorf("size: %v", err)
	}
	square, cropHeight, cropWidth, err := sizeOf(c.Crop)
	if square != 0 {
		cropHeight, cropWidth = square, square
	}
	switch {
	case err != nil:
		return meta, fmt.Errorf("crop_size: %v", err)
	case height != 0 || off(c.Crops) || cropHeight == 0:
		return meta, fmt.Errorf("pictures are resized without regard to their shape, or not cropped; here their shorter side is resized (size: shortest_edge) and the centre cut out (crop_size)")
	}
	meta.Resize = side
	meta.setSize(cropHeight, cropWidth)
	return meta, nil
}

// sizeOf reads 224, {"shortest_edge": 256} or {"height": 224, "width": 224}. A number
// is both: a side, or a square.
func sizeOf(text json.RawMessage) (side, height, width int, err error) {
	if len(text) == 0 {
		return 0, 0, 0, nil
	}
	var s struct {
		Shortest int `json:"shortest_edge"`
		Height   int `json:"height"`
		Width    int `json:"width"`
	}
	if json.Unmarshal(text, &side) == nil {
		return side, 0, 0, checkPixels(side)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return 0, 0, 0, fmt.Errorf("want a number, shortest_edge, or height and width")
	}
	return s.Shortest, s.Height, s.Width, checkPixels(s.Shortest, s.Height, s.Width)
}

func checkPixels(sizes ...int) error {
	for _, n := range sizes {
		if n < 0 || n > maxPixels {
			return fmt.Errorf("%d pixels, want at most %d", n, maxPixels)
		}
	}
	return nil
}
