package evaluate_test

import (
	"context"
	"fmt"
	"image"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/picture"
)

// network is a small one with random weights; vgg.Open reads real ones.
func network(seed uint64) *vgg.Model {
	layers, err := vgg.ParseLayers("8 M 16 M F32 F3")
	if err != nil {
		panic(err)
	}
	cfg := vgg.Config{Name: "small", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		panic(err)
	}
	m, err := vgg.New(cfg, src, vgg.Labels([]string{"cat", "dog", "owl"}))
	if err != nil {
		panic(err)
	}
	return m
}

// photographs are four pictures; evaluate.Open finds those of a directory.
func photographs() *evaluate.Data {
	draw := func(i int) (image.Image, error) {
		p := picture.NewRGB(30, 20+i)
		for at := range p.Pix {
			p.Pix[at] = uint8(at * (i + 3))
		}
		return p, nil
	}
	return &evaluate.Data{Name: "four", Classes: []string{"cat", "owl"}, N: 4, Each: func(yield func(evaluate.Example, error) bool) {
		for i := range 4 {
			x := evaluate.Example{Path: fmt.Sprint(i), Class: i % 2, Picture: func() (image.Image, error) { return draw(i) }}
			if !yield(x, nil) {
				return
			}
		}
	}}
}

// Dense evaluation at three scales of a network that was trained at one of 20
// pixels: table 4 of the paper.
func Example_dense() {
	m, err := evaluate.NewMember(network(1), "multi-scale", evaluate.Training{Min: 20, Max: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := evaluate.Run(context.Background(), photographs(), []evaluate.Member{m}, evaluate.Options{})
	fmt.Println("scales", m.Protocol.Scales)
	fmt.Printf("%d pictures, top-1 error %.2f, between %.2f and %.2f, %v\n", r.N, r.Top1Error, r.Top1Interval[0], r.Top1Interval[1], err)
	// Output:
	// scales [18 20 22]
	// 4 pictures, top-1 error 0.25, between 0.05 and 0.70, <nil>
}

// Two networks, each at its own scales, and their mean.
func Example_fusion() {
	a, err := evaluate.NewMember(network(1), "multi-crop", evaluate.Training{Min: 16, Max: 24})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := evaluate.NewMember(network(2), "center", evaluate.Training{Min: 16, Max: 16})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, members := range [][]evaluate.Member{{a}, {b}, {a, b}} {
		_, err := evaluate.Run(context.Background(), photographs(), members, evaluate.Options{OnPicture: func(o evaluate.Outcome) error {
			if o.Path == "0" {
				fmt.Printf("%.3f %s\n", o.Scores, o.Top[0].Label)
			}
			return nil
		}})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// [0.403 0.177 0.421] owl
	// [0.027 0.903 0.070] dog
	// [0.215 0.540 0.245] dog
}
