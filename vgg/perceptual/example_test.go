package perceptual_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// The weights are torchvision's vgg16 and the authors' lpips_vgg.pth.
func ExampleNewLPIPS() {
	distance := func(a, b string) (float64, error) {
		m, err := vgg.Open("vgg16.safetensors")
		if err != nil {
			return 0, err
		}
		linear, err := weights.Open("lpips_vgg.pth")
		if err != nil {
			return 0, err
		}
		defer linear.Close()
		metric, err := perceptual.NewLPIPS(m, linear)
		if err != nil {
			return 0, err
		}
		x, err := picture.Open(a)
		if err != nil {
			return 0, err
		}
		y, err := picture.Open(b)
		if err != nil {
			return 0, err
		}
		return metric.Distance(context.Background(), x, y)
	}
	if _, err := distance("photo.png", "photo.jpg"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// vgg: weights: vgg16.safetensors: no such file or directory
}
