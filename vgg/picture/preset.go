package picture

import (
	"fmt"
	"math"
	"strings"
)

// Preset says how bytes become network inputs: channel c of the output is (v·Scale −
// Mean[c]) / Std[c], in float32 and in this order of operations, where v is the byte of that
// channel. The channels are R, G, B, or B, G, R.
//
// A preset belongs to the weights. A wrong one costs accuracy and gives no error;
// [CheckInput] finds it.
type Preset struct {
	Name string     // what String returns; empty for a preset of the user
	BGR  bool       // order of the output channels
	Unit bool       // bytes are divided by 255 first
	Mean [3]float32 // in the order of the output channels, after the division
	Std  [3]float32 // likewise; 0 means 1
}

// Presets by name.
var (
	// Torch is the input of torchvision's models: RGB/255 with the mean and
	// standard deviation of ImageNet.
	Torch = Preset{Name: "torch", Unit: true,
		Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
	// Caffe is the input of the weights that the authors of the paper published,
	// and of Keras': BGR, 0 to 255, less the mean pixel.
	Caffe = Preset{Name: "caffe", BGR: true, Mean: [3]float32{103.939, 116.779, 123.68}}
	// Unit is RGB/255, from 0 to 1.
	Unit = Preset{Name: "unit", Unit: true}
	// None is RGB, from 0 to 255.
	None = Preset{Name: "none"}
)

var presets = []*Preset{&Torch, &Caffe, &Unit, &None}

// ParsePreset returns the preset of that name: torch, caffe, unit or none.
func ParsePreset(name string) (Preset, error) {
	var names []string
	for _, p := range presets {
		if strings.EqualFold(p.Name, name) {
			return *p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("picture: no preset %q, have %s", name, strings.Join(names, ", "))
}

// String returns the name, or the numbers of a preset without one.
func (p Preset) String() string {
	if p.Name != "" {
		return p.Name
	}
	order, scale := "RGB", "1"
	if p.BGR {
		order = "BGR"
	}
	if p.Unit {
		scale = "1/255"
	}
	return fmt.Sprintf("%s·%s mean %v std %v", order, scale, p.Mean, p.std())
}

// MarshalText returns the name, for flags and JSON.
func (p Preset) MarshalText() ([]byte, error) {
	if p.Name == "" {
		return nil, fmt.Errorf("picture: preset %v has no name", p)
	}
	return []byte(p.Name), nil
}

// UnmarshalText is [ParsePreset].
func (p *Preset) UnmarshalText(text []byte) error {
	q, err := ParsePreset(string(text))
	if err == nil {
		*p = q
	}
	return err
}

func (p Preset) std() [3]float32 {
	s := p.Std
	for c := range s {
		if s[c] == 0 {
			s[c] = 1
		}
	}
	return s
}

// channel returns the byte in RGB that output channel c is made of.
func (p Preset) channel(c int) int {
	if p.BGR {
		return 2 - c
	}
	return c
}

// value returns the value of output channel c for v of [0, 255].
func (p Preset) value(v float32, c int) float32 {
	if p.Unit {
		v /= 255
	}
	return (v - p.Mean[c]) / p.std()[c]
}

// Tensor writes src to dst as planes [3][H][W]. It does not allocate. It panics
// if dst does not have 3·H·W elements.
func (p Preset) Tensor(dst []float32, src *RGB) { p.TensorShift(dst, src, [3]float32{}) }

// TensorShift is [Preset.Tensor] of a picture whose colours are first moved by
// shift: red, green and blue, in units of the full range 255, as
// [ColourPCA.Sample] returns it. Colours are not clipped to the range of a byte.
func (p Preset) TensorShift(dst []float32, src *RGB, shift [3]float32) {
	src.check()
	n := src.W * src.H
	if len(dst) != 3*n {
		panic("picture: length of the tensor is not 3·H·W")
	}
	var table [256]float32
	for c := range 3 {
		from := p.channel(c)
		for v := range table {
			table[v] = p.value(float32(v)+float32(255*shift[from]), c)
		}
		plane, pix := dst[c*n:][:n], src.Pix
		for i := range plane {
			plane[i] = table[pix[3*i+from]]
		}
	}
}

// Picture is the inverse of [Preset.Tensor]. It sets dst, whose size is set already, to the
// picture in the planes src [3][H][W], rounded to nearest and clipped to 0 to 255; NaN
// becomes 0. It panics if src does not have 3·H·W elements.
func (p Preset) Picture(dst *RGB, src []float32) {
	dst.check()
	n := dst.W * dst.H
	if len(src) != 3*n {
		panic("picture: length of the tensor is not 3·H·W")
	}
	std := p.std()
	for c := range 3 {
		scale, to := 1.0, p.channel(c)
		if p.Unit {
			scale = 255
		}
		for i, v := range src[c*n:][:n] {
			f := math.Round((float64(v)*float64(std[c]) + float64(p.Mean[c])) * scale)
			if !(f > 0) {
				f = 0
			}
			dst.Pix[3*i+to] = uint8(min(f, 255))
		}
	}
}
