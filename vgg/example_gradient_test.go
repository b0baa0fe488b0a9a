package vgg_test

import (
	"context"
	"fmt"
	"image/color"

	"github.com/nonet-go/nonet/vgg"
)

// vgg16 is configuration D with a sixteenth of the channels, random weights, 10 classes
// and pictures of 64×64 pixels. The whole network comes by vgg.Open.
func vgg16() *vgg.Model {
	cfg, err := vgg.Lookup("D")
	if err != nil {
		panic(err)
	}
	cfg = cfg.Divide(16).WithClasses(10).WithSize(64)
	src, err := vgg.Seeded(cfg, 1)
	if err != nil {
		panic(err)
	}
	m, err := vgg.New(cfg, src)
	if err != nil {
		panic(err)
	}
	return m
}

// The features of three layers in one pass over the picture, for a perceptual distance
// or the loss of a style.
func ExampleSession_RunOutputs() {
	m := vgg16()
	s, err := m.NewSession(vgg.Outputs("relu1_2", "relu3_3", "relu5_3"))
	if err != nil {
		panic(err)
	}
	var features [][]float32
	for _, shape := range s.OutputShapes() {
		fmt.Println(shape)
		features = append(features, make([]float32, shape.Len()))
	}
	pictures := make([]float32, 3*64*64) // prepared, see Model.Prepare
	if err := s.RunOutputs(context.Background(), features, pictures); err != nil {
		panic(err)
	}
	// Output:
	// 4×64×64
	// 16×16×16
	// 32×4×4
}

// The gradient of a logit with respect to the last convolution says where in the picture
// the network sees the class: Grad-CAM weighs the channels of the activation by the mean
// of their gradients (Selvaraju et al., arXiv:1610.02391).
func ExampleGradient() {
	m := vgg16()
	g, err := m.NewGradient(vgg.Outputs("conv5_3", "fc8"), vgg.Wrt("conv5_3"))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	input := make([]float32, 3*64*64)
	if err := m.Prepare(input, plain(color.RGBA{R: 40, G: 90, B: 220, A: 255})); err != nil {
		panic(err)
	}
	s := g.GradShapes()[0]
	act, grad := make([]float32, s.Len()), make([]float32, s.Len())
	if err := g.Forward(ctx, [][]float32{act, nil}, input); err != nil {
		panic(err)
	}
	logit := make([]float32, 10) // the gradient of the logit of class 3 by all logits
	logit[3] = 1
	if err := g.Backward(ctx, [][]float32{grad}, [][]float32{nil, logit}); err != nil {
		panic(err)
	}
	plane := s.H * s.W
	cam := make([]float32, plane)
	for c := range s.C {
		weight := float32(0)
		for _, v := range grad[c*plane:][:plane] {
			weight += v / float32(plane)
		}
		for i := range cam {
			cam[i] += max(weight*act[c*plane+i], 0)
		}
	}
	fmt.Println(s, len(cam))
	// Output:
	// 32×4×4 16
}
