package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Keys of the metadata of our own files. All are optional; their values are
// read by ParseMeta.
const (
	KeyConfig       = "nonet.config"       // A, A-LRN, B, C, D, E, or a free name
	KeyLayers       = "nonet.layers"       // the layers, as vgg.ParseLayers reads them
	KeyWidths       = "nonet.widths"       // output channels of each layer: 64,64,128
	KeyClasses      = "nonet.classes"      // number of classes
	KeyLabels       = "nonet.labels"       // their names: a JSON array of strings, or one a line
	KeyPreset       = "nonet.preset"       // how pictures are prepared: torch, caffe, unit or none
	KeySize         = "nonet.size"         // side of the crop, pixels; or its height and width: 96x64
	KeyResize       = "nonet.resize"       // shorter side before the crop, pixels
	KeyMean         = "nonet.mean"         // instead of the preset's: 0.485,0.456,0.406
	KeyStd          = "nonet.std"          // likewise
	KeyPad          = "nonet.pad"          // zero padding of the 3×3 convolutions: 1, or 0 for none
	KeyArchitecture = "nonet.architecture" // vgg11, vgg13, vgg16 or vgg19, with or without _bn, or repvgg_a0 …: the layers, whose widths are the tensors'
	KeyNorms        = "nonet.norms"        // layers that batch normalisation was folded into: conv1_1,conv2_1
	KeyFixed        = "nonet.fixed"        // layers whose weights are whole numbers, and their inputs: conv1_2 64:64,fc6 512x7x7,fc7 4096
	KeyFlatten      = "nonet.flatten"      // order of the columns of the first fully connected layer: chw, or hwc
)

// The values of Meta.Preset.
const (
	PresetTorch = "torch" // RGB in [0, 1], less the mean, divided by the deviation
	PresetCaffe = "caffe" // BGR in [0, 255], less the mean
	PresetUnit  = "unit"  // RGB in [0, 1]
	PresetNone  = "none"  // RGB in [0, 255]
)

// Meta is the metadata of nonet's own files: the network that the tensors belong to. A zero
// field stands for an absent key.
type Meta struct {
	Config       string
	Layers       string
	Widths       []int
	Classes      int
	Labels       []string // Classes many, if both are given
	Preset       string
	Size         int
	Width        int // of the crop; 0: as Size, a square
	Resize       int // of the picture's shorter side; not less than the shorter of Size and Width
	Mean         []float64
	Std          []float64 // positive
	Unpadded     bool      // nonet.pad is 0
	Flatten      string    // chw or hwc
	Norms        []string  // layers that batch normalisation was folded into
	Architecture string    // one of Architectures, with or without _bn
}

// The values of Meta.Flatten.
const (
	FlattenCHW = "chw"
	FlattenHWC = "hwc"
)

const (
	maxClasses  = 1 << 20
	maxPixels   = 1 << 15
	maxWidth    = 1 << 20
	maxLayers   = 1 << 12
	maxChannels = 1 << 10
)

// ParseMeta reads the keys of Meta from the metadata of a file, and ignores others. The
// error names the key and wraps ErrFormat.
func ParseMeta(metadata map[string]string) (Meta, error) {
	var m Meta
	for _, key := range []struct {
		name string
		read func(value string) error
	}{
		{KeyConfig, func(v string) error { m.Config = v; return nil }},
		{KeyLayers, func(v string) error { m.Layers = v; return nil }},
		{KeyWidths, func(v string) (err error) { m.Widths, err = parseList(v, maxLayers, parseInt); return }},
		{KeyClasses, func(v string) (err error) { m.Classes, err = parseInt(v); return }},
		{KeyLabels, func(v string) (err error) { m.Labels, err = parseLabels(v); return }},
		{KeyPreset, func(v string) error { m.Preset = v; return nil }},
		{KeySize, func(v string) (err error) { m.Size, m.Width, err = ParseSize(v); return }},
		{KeyResize, func(v string) (err error) { m.Resize, err = parseInt(v); return }},
		{KeyMean, func(v string) (err error) { m.Mean, err = parseList(v, maxChannels, parseFloat); return }},
		{KeyStd, func(v string) (err error) { m.Std, err = parseList(v, maxChannels, parseFloat); return }},
		{KeyPad, func(v string) (err error) { m.Unpadded, err = parsePad(v); return }},
		{KeyNorms, func(v string) error { m.Norms = strings.Split(v, ","); return nil }},
		{KeyFlatten, func(v string) error { m.Flatten = v; return nil }},
		{KeyArchitecture, func(v string) (err error) { m.Architecture, err = architecture(v, nil); return }},
	} {
		value, ok := metadata[key.name]
		if !ok {
			continue
		}
		if value == "" {
			return Meta{}, metaErrorf(key.name, "is empty")
		}
		if err := key.read(value); err != nil {
			return Meta{}, metaErrorf(key.name, "%s: %v", quote(value), err)
		}
	}
	return m, m.Validate()
}

// Encode returns m as metadata to write: the keys of all fields that are not zero. The error
// names the key and wraps ErrFormat.
func (m Meta) Encode() (map[string]string, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	metadata := map[string]string{}
	for key, value := range map[string]string{
		KeyConfig: m.Config, KeyLayers: m.Layers, KeyPreset: m.Preset, KeyFlatten: m.Flatten, KeyArchitecture: m.Architecture,
		KeyNorms:  strings.Join(m.Norms, ","),
		KeyWidths: formatList(m.Widths), KeyMean: formatList(m.Mean), KeyStd: formatList(m.Std),
	} {
		if value != "" {
			metadata[key] = value
		}
	}
	for key, value := range map[string]int{KeyClasses: m.Classes, KeySize: m.Size, KeyResize: m.Resize} {
		if value != 0 {
			metadata[key] = strconv.Itoa(value)
		}
	}
	if m.Width != 0 {
		metadata[KeySize] += "x" + strconv.Itoa(m.Width)
	}
	if m.Labels != nil {
		labels, _ := json.Marshal(m.Labels) // strings always encode
		metadata[KeyLabels] = string(labels)
	}
	if m.Unpadded {
		metadata[KeyPad] = "0"
	}
	return metadata, nil
}

// Validate checks each field, and that fields fit each other. The error names the key and
// wraps ErrFormat.
func (m Meta) Validate() error {
	for _, text := range []struct{ key, value string }{{KeyConfig, m.Config}, {KeyLayers, m.Layers}} {
		if len(text.value) > 1<<16 || !utf8.ValidString(text.value) {
			return metaErrorf(text.key, "%s is no UTF-8, or longer than 64 KB", quote(text.value))
		}
	}
	for _, n := range []struct {
		key         string
		value, most int
	}{{KeyClasses, m.Classes, maxClasses}, {KeySize, m.Size, maxPixels}, {KeySize, m.Width, maxPixels}, {KeyResize, m.Resize, maxPixels}} {
		if n.value < 0 || n.value > n.most {
			return metaErrorf(n.key, "%d, want at most %d", n.value, n.most)
		}
	}
	for _, width := range m.Widths {
		if width < 1 || width > maxWidth {
			return metaErrorf(KeyWidths, "%d, want 1 to %d", width, maxWidth)
		}
	}
	for _, v := range slices.Concat(m.Mean, m.Std) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return metaErrorf(KeyMean+" or "+KeyStd, "%v is not finite", v)
		}
	}
	for _, v := range m.Std {
		if v <= 0 {
			return metaErrorf(KeyStd, "%v, want a positive number", v)
		}
	}
	for i, label := range m.Labels {
		if !utf8.ValidString(label) {
			return metaErrorf(KeyLabels, "label %d is not UTF-8", i)
		}
	}
	switch {
	case !slices.Contains([]string{"", PresetTorch, PresetCaffe, PresetUnit, PresetNone}, m.Preset):
		return metaErrorf(KeyPreset, "%s, want torch, caffe, unit or none", quote(m.Preset))
	case len(m.Norms) > maxLayers:
		return metaErrorf(KeyNorms, "%d layers, want at most %d", len(m.Norms), maxLayers)
	case len(m.Labels) > maxClasses:
		return metaErrorf(KeyLabels, "%d labels, want at most %d", len(m.Labels), maxClasses)
	case m.Labels != nil && m.Classes != 0 && len(m.Labels) != m.Classes:
		return metaErrorf(KeyLabels, "%d labels, but %s is %d", len(m.Labels), KeyClasses, m.Classes)
	case !slices.Contains([]string{"", FlattenCHW, FlattenHWC}, m.Flatten):
		return metaErrorf(KeyFlatten, "%s, want chw or hwc", quote(m.Flatten))
	case m.Width != 0 && m.Size == 0:
		return metaErrorf(KeySize, "a width of %d without a height", m.Width)
	case m.Size != 0 && m.Resize != 0 && m.Resize < m.shorter():
		return metaErrorf(KeyResize, "%d, less than %s, which is %d", m.Resize, KeySize, m.shorter())
	case len(m.Mean) > 0 && len(m.Std) > 0 && len(m.Mean) != len(m.Std):
		return metaErrorf(KeyStd, "%d numbers, but %s has %d", len(m.Std), KeyMean, len(m.Mean))
	}
	return nil
}

// shorter returns the shorter side of the crop.
func (m Meta) shorter() int {
	if m.Width != 0 {
		return min(m.Size, m.Width)
	}
	return m.Size
}

// ParseSize reads the size of a network's input: the side of a square, 224, or height
// and width, 96x64. width is 0 for a square.
func ParseSize(s string) (size, width int, err error) {
	height, rest, found := strings.Cut(strings.ToLower(s), "x")
	if size, err = parseInt(height); err == nil && found {
		width, err = parseInt(rest)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("want the side of a square, 224, or height and width, 96x64")
	}
	if width == size {
		width = 0
	}
	return size, width, nil
}

func metaErrorf(key, format string, args ...any) error {
	return &Error{Detail: "metadata " + key + ": " + fmt.Sprintf(format, args...), Err: ErrFormat}
}

func parseInt(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("want a positive number")
	}
	return int(n), nil
}

func parseFloat(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("want a number")
	}
	return x, nil
}

func parsePad(s string) (unpadded bool, err error) {
	if s != "0" && s != "1" {
		return false, fmt.Errorf("want 0 or 1")
	}
	return s == "0", nil
}

// parseList reads numbers that are separated by commas, with or without the
// brackets of JSON.
func parseList[T any](s string, most int, parse func(string) (T, error)) ([]T, error) {
	inner, ok := strings.CutPrefix(strings.TrimSpace(s), "[")
	if ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return nil, fmt.Errorf("the closing bracket is missing")
		}
	}
	if strings.Count(inner, ",") >= most {
		return nil, fmt.Errorf("more than %d numbers", most)
	}
	var list []T
	for item := range strings.SplitSeq(inner, ",") {
		x, err := parse(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// formatList is the inverse of parseList; floats keep their exact value.
func formatList[T int | float64](list []T) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = strconv.FormatFloat(float64(x), 'f', -1, 64)
	}
	return strings.Join(words, ",")
}

// parseLabels reads a JSON array of strings, or lines; the last line may end
// with a newline or not.
func parseLabels(s string) ([]string, error) {
	if strings.HasPrefix(strings.TrimSpace(s), "[") {
		var labels []*string
		if err := json.Unmarshal([]byte(s), &labels); err != nil {
			return nil, fmt.Errorf("want a JSON array of strings: %v", err)
		}
		list := make([]string, len(labels))
		for i, label := range labels {
			if label == nil {
				return nil, fmt.Errorf("label %d is null", i)
			}
			list[i] = *label
		}
		return list, nil
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines, nil
}
