package explain_test

import (
	"context"
	"fmt"
	"image"
	"image/color"

	"github.com/nonet-go/nonet/vgg/explain"
	"github.com/nonet-go/nonet/vgg/pretrained"
)

func ExampleExplainer_Explain() {
	m, err := pretrained.CIFAR10() // or vgg.Open
	if err != nil {
		panic(err)
	}
	photo := image.NewRGBA(image.Rect(0, 0, 64, 64)) // or picture.Open
	for i := range 64 * 64 {
		photo.Set(i%64, i/64, color.RGBA{70, 130, uint8(255 - i/64), 255})
	}
	h, w := m.Config().Input()
	input := make([]float32, 3*h*w)
	if err := m.Prepare(input, photo); err != nil {
		panic(err)
	}
	e, err := explain.New(m, explain.GradCAM)
	if err != nil {
		panic(err)
	}
	r, err := e.Explain(context.Background(), input, -1)
	if err != nil {
		panic(err)
	}
	frame, err := explain.Frame(m, photo)
	if err != nil {
		panic(err)
	}
	overlay := r.Draw(frame, m.Picture().Preset) // for png.Encode
	fmt.Println(m.Label(r.Class), len(r.Heat), overlay.Bounds().Size())
	// Output:
	// airplane 1024 (224,224)
}
