package vgg_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/vgg"
)

// The class map of a picture that is larger than the network's own size: at each
// of its positions the logits of the classes for the part of the picture around it.
func ExampleDense() {
	cfg, err := vgg.Lookup("A")
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg = cfg.Divide(16)           // a narrow one, for the example
	src, err := vgg.Seeded(cfg, 1) // random weights; vgg.Open reads real ones
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := vgg.New(cfg, src)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := m.NewSession(vgg.Dense(), vgg.InputSize(256, 341))
	if err != nil {
		fmt.Println(err)
		return
	}
	input := make([]float32, 3*256*341) // see picture.Preset.Tensor
	classMap := make([]float32, s.OutputShape().Len())
	fmt.Println(s.OutputShape(), s.Run(context.Background(), classMap, input))
	// A picture of another size.
	fmt.Println(s.Resize(384, 512), s.OutputShape())
	// Output:
	// 1000×2×4 <nil>
	// <nil> 1000×6×10
}
