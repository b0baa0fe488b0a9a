package picture_test

import (
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"

	"github.com/nonet-go/nonet/vgg/picture"
)

// From a picture to the input of torchvision's VGG-16.
func Example() {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480)) // or picture.Open("cat.jpg")
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	t := picture.Transform{Side: 256, Size: 224, Preset: picture.Torch}
	input := make([]float32, 3*224*224)
	if err := t.Apply(input, img); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%.4f %.4f %.4f\n", input[0], input[224*224], input[2*224*224])
	// Output: 2.2489 2.4286 2.6400
}

func ExampleGrid() {
	w, h := picture.ShortSize(500, 375, 256)
	views := picture.Grid(nil, w, h, 224, 5)
	fmt.Println(w, h, len(views))
	fmt.Printf("%+v\n", views[3])
	// Output:
	// 341 256 50
	// {RW:341 RH:256 X:29 Y:0 W:224 H:224 Flip:true}
}

// One training sample: scale jitter, crop, flip, colour shift.
func ExampleJitter() {
	src := picture.NewRGB(500, 375)
	rng := rand.New(rand.NewPCG(1, 2))
	pca := picture.ColourPCA{Values: [3]float64{0.22, 0.019, 0.0045}, Vectors: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}

	var z picture.Resizer
	var crop picture.RGB
	z.View(&crop, src, picture.Jitter{Min: 256, Max: 512, Size: 224}.Sample(rng, src.W, src.H))
	input := make([]float32, 3*224*224)
	picture.Caffe.TensorShift(input, &crop, pca.Sample(rng, 0.1))
	fmt.Println(crop.W, crop.H)
	// Output: 224 224
}

func ExampleCheckInput() {
	input := make([]float32, 3*32*32)
	for i := range input {
		input[i] = float32(i % 256) // 0 to 255, nothing subtracted
	}
	if w := picture.CheckInput(input, 1, 32, 32, picture.Torch); w != nil {
		fmt.Println(w.Problem)
		fmt.Println(w.Advice)
	}
	// Output:
	// out of range
	// the preset gives -2.118 to 2.64; preset "none" would fit
}

func ExampleFromImage() {
	img := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	img.Set(0, 0, color.NRGBA{200, 100, 50, 10}) // nearly transparent
	fmt.Println(picture.FromImage(img).Pix)
	// Output: [200 100 50]
}
