package vgg_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// tiny is a network with random weights for pictures of 16×16 pixels. Real weights
// come by vgg.Open.
func tiny() *vgg.Model {
	layers, err := vgg.ParseLayers("16 M 32 M F64 F3")
	if err != nil {
		panic(err)
	}
	cfg := vgg.Config{Name: "tiny", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 4)
	if err != nil {
		panic(err)
	}
	m, err := vgg.New(cfg, src, vgg.Labels([]string{"apple", "sky", "grass"}), vgg.Pictures(vgg.Picture{Side: 16, Preset: picture.Unit}))
	if err != nil {
		panic(err)
	}
	return m
}

// plain is a picture of one colour.
func plain(c color.Color) image.Image {
	p := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for y := range 30 {
		for x := range 40 {
			p.Set(x, y, c)
		}
	}
	return p
}

func ExampleModel_Classify() {
	m := tiny()                                            // or: m, err := vgg.Open("vgg16.safetensors")
	img := plain(color.RGBA{R: 40, G: 90, B: 220, A: 255}) // or: img, err := picture.Open("photo.jpg")
	predictions, err := m.Classify(context.Background(), img, 2)
	if err != nil {
		panic(err)
	}
	for _, p := range predictions {
		fmt.Printf("%s %.2f\n", p.Label, p.Probability)
	}
	// Output:
	// sky 0.65
	// apple 0.21
}

func ExampleModel_Features() {
	m := tiny()
	f, err := m.Features(context.Background(), plain(color.White), "relu2_1")
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Shape, len(f.Data)) // channels, height, width; CHW
	fmt.Println(f.Shape.C == 32 && f.Data[0] >= 0)
	// Output:
	// 32×8×8 2048
	// true
}

// The activation before the last layer describes a picture. The cosine of two such
// vectors says how alike the network finds them.
func Example_embedding() {
	m := tiny()
	embed := func(img image.Image) []float32 {
		f, err := m.Features(context.Background(), img, "fc3")
		if err != nil {
			panic(err)
		}
		return f.Data
	}
	cosine := func(a, b []float32) float64 {
		var ab, aa, bb float64
		for i := range a {
			x, y := float64(a[i]), float64(b[i])
			ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		}
		return ab / math.Sqrt(aa*bb)
	}
	blue, azure, red := color.RGBA{B: 200, A: 255}, color.RGBA{G: 40, B: 220, A: 255}, color.RGBA{R: 220, A: 255}
	a := embed(plain(blue))
	fmt.Println(len(a))
	fmt.Println(cosine(a, embed(plain(azure))) > cosine(a, embed(plain(red))))
	// Output:
	// 64
	// true
}

// Many pictures at once, without allocating: a Session owns all memory.
func ExampleModel_NewSession() {
	m := tiny()
	const batch = 2
	s, err := m.NewSession(vgg.Batch(batch), vgg.Workers(2))
	if err != nil {
		panic(err)
	}
	size := 3 * 16 * 16
	input := make([]float32, batch*size)
	for i, c := range []color.Color{color.White, color.Black} {
		if err := m.Prepare(input[i*size:][:size], plain(c)); err != nil {
			panic(err)
		}
	}
	logits := make([]float32, batch*s.OutputShape().Len())
	if err := s.Run(context.Background(), logits, input); err != nil {
		panic(err)
	}
	fmt.Println(s.OutputShape(), len(logits), m.Top(logits[3:], 1)[0].Label)
	// Output:
	// 3×1×1 6 grass
}

// A network for new classes from one for others: all weights but the last layer's
// come from a file, and the convolutions stay as they are.
func Example_fineTune() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "pretrained.safetensors")
	old := tiny().Config()
	weights, err := vgg.Seeded(old, 4)
	if err != nil {
		panic(err)
	}
	if err := vgg.Save(file, old, weights, false); err != nil {
		panic(err)
	}

	cfg := old.WithClasses(2)
	fresh, err := vgg.Initial(cfg, vgg.InitHe, 1)
	if err != nil {
		panic(err)
	}
	start, err := vgg.StartFrom(cfg, file, -1, fresh)
	if err != nil {
		panic(err)
	}
	t, err := vgg.NewTrainer(cfg, start, 2, vgg.Freeze("pool2"))
	if err != nil {
		panic(err)
	}
	input := make([]float32, 2*3*16*16) // one black picture, one white
	for i := range input[len(input)/2:] {
		input[len(input)/2+i] = 1
	}
	var first, last vgg.Result
	for step := range 50 {
		if last, err = t.Gradients(context.Background(), input, []int{0, 1}); err != nil {
			panic(err)
		}
		if step == 0 {
			first = last
		}
		t.Update(vgg.SGD{Rate: 0.01, Momentum: 0.9})
	}
	fmt.Println("the loss fell:", last.Loss < first.Loss/2)
	fmt.Println("right:", last.Correct, "of 2")
	m, err := vgg.New(cfg, t.Source()) // to classify with; or vgg.Save it
	fmt.Println(m.Config().Classes(), err)
	// Output:
	// the loss fell: true
	// right: 2 of 2
	// 2 <nil>
}

// Saliency: how much each pixel matters for a class is the gradient of the loss
// with respect to it.
func Example_saliency() {
	m := tiny()
	weights, err := vgg.Seeded(m.Config(), 4)
	if err != nil {
		panic(err)
	}
	t, err := vgg.NewTrainer(m.Config(), weights, 1, vgg.InputGrad())
	if err != nil {
		panic(err)
	}
	input := make([]float32, 3*16*16)
	for y := 4; y < 8; y++ { // a bright square
		for x := 10; x < 14; x++ {
			input[y*16+x] = 1
		}
	}
	if _, err := t.Gradients(context.Background(), input, []int{1}); err != nil {
		panic(err)
	}
	saliency := make([]float64, 16*16) // the largest of the three channels
	for i, g := range t.InputGradient() {
		saliency[i%256] = max(saliency[i%256], math.Abs(float64(g)))
	}
	total := 0.0
	for _, v := range saliency {
		total += v
	}
	fmt.Println(len(saliency), total > 0)
	// Output:
	// 256 true
}

// A RepVGG from the file that its training left: each block's branches become one 3×3
// convolution, in float64. Files for inference, and timm's, open the same way.
func ExampleOpen_repVGG() {
	m, err := vgg.Open("testdata/repvgg/small_train.pth")
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Config().LayerString())
	s, err := m.NewSession(vgg.InputSize(96, 128)) // any size: the mean of all pixels is taken
	if err != nil {
		panic(err)
	}
	logits := make([]float32, m.Config().Classes())
	if err := s.Run(context.Background(), logits, make([]float32, 3*96*128)); err != nil {
		panic(err)
	}
	fmt.Println(len(logits), "logits")
	// Output:
	// 16/2 16/2 16 24/2 24 24 40/2 40 40 40 56/2 G F10
	// 10 logits
}
