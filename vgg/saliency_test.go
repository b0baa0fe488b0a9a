package vgg_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/vgg"
)

// A saliency map (Simonyan, Vedaldi & Zisserman, 2014) shows which pixels a class
// depends on: the gradient of its score with respect to the picture.
func ExampleInputGrad() {
	cfg, err := vgg.Lookup("A")
	if err != nil {
		panic(err)
	}
	cfg = cfg.Divide(16).WithClasses(10).WithSize(32)
	src, err := vgg.Seeded(cfg, 1) // or the Source of a file
	if err != nil {
		panic(err)
	}
	// All layers are frozen: only the input's gradient is computed.
	t, err := vgg.NewTrainer(cfg, src, 1, vgg.Freeze("fc8"), vgg.InputGrad())
	if err != nil {
		panic(err)
	}
	picture := make([]float32, 3*32*32) // as package picture prepares it
	if _, err := t.Gradients(context.Background(), picture, []int{7}); err != nil {
		panic(err)
	}
	grad := t.InputGradient() // [1][3][32][32]
	saliency := make([]float32, 32*32)
	for i := range saliency {
		for c := range 3 {
			g := grad[c*32*32+i]
			saliency[i] = max(saliency[i], g, -g)
		}
	}
	fmt.Println(len(saliency), saliency[16*32+16] > 0)
	// Output: 1024 true
}
