package picture

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

var custom = Preset{Unit: true, Mean: [3]float32{0.1, 0.2, 0.3}, Std: [3]float32{0.5, 0.25, 2}}

func TestTensor(t *testing.T) {
	src := noise(1, 13, 9)
	n := src.W * src.H
	std := map[string][3]float64{"torch": {0.229, 0.224, 0.225}, "caffe": {1, 1, 1}, "unit": {1, 1, 1}, "none": {1, 1, 1}}
	mean := map[string][3]float64{"torch": {0.485, 0.456, 0.406}, "caffe": {103.939, 116.779, 123.68}}
	for _, p := range presets {
		dst := make([]float32, 3*n)
		p.Tensor(dst, src)
		for c := range 3 {
			from, scale := c, 1.0
			if p.Name == "caffe" {
				from = 2 - c
			}
			if p.Name == "torch" || p.Name == "unit" {
				scale = 255
			}
			for i := range n {
				want := (float64(src.Pix[3*i+from])/scale - mean[p.Name][c]) / std[p.Name][c]
				// three roundings, of values up to 1/std and mean/std before cancellation
				bound := 4 * 0x1p-24 * (math.Abs(want) + 2*(mean[p.Name][c]+1)/std[p.Name][c])
				require.InDelta(t, want, float64(dst[c*n+i]), bound, "%v channel %d", p, c)
			}
		}
		back := NewRGB(src.W, src.H)
		p.Picture(back, dst)
		require.Equal(t, src, back, p.Name)
	}
}

// The float32 operations of torchvision, one by one.
func TestTensorTorchBits(t *testing.T) {
	src := NewRGB(256, 1)
	for i := range src.Pix {
		src.Pix[i] = uint8(i / 3)
	}
	dst := make([]float32, 3*256)
	Torch.Tensor(dst, src)
	mean, std := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	for i, got := range dst {
		unit := float32(i%256) / 255
		diff := unit - mean[i/256]
		require.Equal(t, diff/std[i/256], got)
	}
}

func TestTensorShift(t *testing.T) {
	src := noise(2, 5, 4)
	a, b := make([]float32, 60), make([]float32, 60)
	shift := [3]float32{0.1, -0.2, 0.05} // red, green, blue
	for _, p := range []Preset{Torch, Caffe, custom} {
		p.Tensor(a, src)
		p.TensorShift(b, src, shift)
		for i := range a {
			c := i / 20
			d := float64(shift[p.channel(c)]) / float64(p.std()[c])
			if !p.Unit {
				d *= 255
			}
			require.InDelta(t, d, float64(b[i]-a[i]), 1e-4)
		}
	}
}

func TestPictureClips(t *testing.T) {
	p := NewRGB(1, 1)
	Unit.Picture(p, []float32{2, -1, float32(math.NaN())})
	require.Equal(t, []uint8{255, 0, 0}, p.Pix)
	Unit.Picture(p, []float32{float32(math.Inf(1)), 0.5 / 255, 254.4 / 255})
	require.Equal(t, []uint8{255, 1, 254}, p.Pix)
	require.PanicsWithValue(t, "picture: length of the tensor is not 3·H·W", func() { Unit.Picture(p, nil) })
	require.PanicsWithValue(t, "picture: length of the tensor is not 3·H·W", func() { Unit.Tensor(nil, p) })
}

func TestPresetNames(t *testing.T) {
	for _, p := range presets {
		got, err := ParsePreset(p.String())
		require.NoError(t, err)
		require.Equal(t, *p, got)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, *p, got)
	}
	_, err := ParsePreset("imagenet")
	require.ErrorContains(t, err, "torch, caffe, unit, none")
	_, err = custom.MarshalText()
	require.Error(t, err)
	require.Contains(t, custom.String(), "RGB·1/255")
	require.Error(t, new(Preset).UnmarshalText([]byte("x")))
}

func TestTensorDoesNotAllocate(t *testing.T) {
	src, dst := noise(1, 20, 20), make([]float32, 1200)
	require.Zero(t, testutil.AllocsPerRun(10, func() { Torch.Tensor(dst, src) }))
}

// scene is a smooth picture with dark and bright parts, as photographs have.
func scene(w, h int) *RGB {
	p := NewRGB(w, h)
	for y := range h {
		for x := range w {
			f := 0.5 + 0.5*math.Sin(float64(x)/9)*math.Cos(float64(y)/7)
			copy(p.Row(y)[3*x:], []uint8{uint8(250 * f), uint8(20 + 200*f*f), uint8(60 + 150*(1-f))})
		}
	}
	return p
}

func TestCheckInput(t *testing.T) {
	const w, h = 40, 30
	src := scene(w, h)
	input := func(p Preset) []float32 {
		x := make([]float32, 3*w*h)
		p.Tensor(x, src)
		return x
	}
	for _, p := range []Preset{Torch, Caffe, Unit, None, custom} {
		require.Nil(t, CheckInput(input(p), 1, h, w, p), "%v", p)
		require.Zero(t, testutil.AllocsPerRun(3, func() { CheckInput(nil, 0, h, w, p) }))
	}
	// Every preset's data under every other preset is found, and the right one named.
	want := map[[2]string]Problem{
		{"torch", "caffe"}: TooNarrow, {"torch", "unit"}: OutOfRange, {"torch", "none"}: TooNarrow,
		{"caffe", "torch"}: OutOfRange, {"caffe", "unit"}: OutOfRange, {"caffe", "none"}: OutOfRange,
		{"unit", "torch"}: NotCentered, {"unit", "caffe"}: TooNarrow, {"unit", "none"}: TooNarrow,
		{"none", "torch"}: OutOfRange, {"none", "caffe"}: OutOfRange, {"none", "unit"}: OutOfRange,
	}
	for data, p := range want {
		is, err := ParsePreset(data[0])
		require.NoError(t, err)
		said, err := ParsePreset(data[1])
		require.NoError(t, err)
		warn := CheckInput(input(is), 1, h, w, said)
		require.NotNil(t, warn, "%v", data)
		require.Equal(t, p, warn.Problem, "%v: %v", data, warn)
		require.ErrorContains(t, warn, data[0], "the advice")
	}
	x := input(Torch)
	batch := append(append([]float32(nil), x...), x...)
	require.Nil(t, CheckInput(batch, 2, h, w, Torch))

	batch[3*w*h+5] = float32(math.NaN())
	warn := CheckInput(batch, 2, h, w, Torch)
	require.Equal(t, NotFinite, warn.Problem)
	require.Equal(t, 1, warn.Picture)
	require.ErrorContains(t, warn, "picture 1 not finite")

	clear(batch[3*w*h:])
	require.Equal(t, Constant, CheckInput(batch, 2, h, w, Torch).Problem)

	hwc := make([]float32, len(x))
	for i := range w * h {
		for c := range 3 {
			hwc[3*i+c] = x[c*w*h+i]
		}
	}
	require.Equal(t, Interleaved, CheckInput(hwc, 1, h, w, Torch).Problem)

	red := append([]float32(nil), x...)
	for i := range w * h {
		red[i] = Torch.value(float32(2+i%2), 0)
	}
	require.Equal(t, UnlikelyColor, CheckInput(red, 1, h, w, Torch).Problem)
	require.Panics(t, func() { CheckInput(x, 2, h, w, Torch) })
	require.Equal(t, "interleaved", Interleaved.String())
	require.Equal(t, "Problem(77)", Problem(77).String())
}

func TestCheckInputPhotos(t *testing.T) {
	for _, name := range []string{"astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg"} {
		img, err := Open(shared(t, "photos", name))
		require.NoError(t, err)
		tr := Transform{Side: 256, Size: 224}
		x := make([]float32, 3*224*224)
		for _, p := range presets {
			tr.Preset = *p
			require.NoError(t, tr.Apply(x, img))
			if warn := CheckInput(x, 1, 224, 224, *p); warn != nil {
				t.Errorf("%s: %v", name, warn)
			}
		}
	}
}

func BenchmarkTensor(b *testing.B) {
	src, dst := noise(1, 224, 224), make([]float32, 3*224*224)
	b.SetBytes(int64(len(src.Pix)))
	for b.Loop() {
		Torch.Tensor(dst, src)
	}
}

func BenchmarkCheckInput(b *testing.B) {
	src, dst := scene(224, 224), make([]float32, 3*224*224)
	Torch.Tensor(dst, src)
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		if w := CheckInput(dst, 1, 224, 224, Torch); w != nil {
			b.Fatal(w)
		}
	}
}
