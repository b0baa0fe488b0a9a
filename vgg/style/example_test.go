package style_test

import (
	"context"
	"fmt"
	"image/color"

	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/style"
)

func ExampleNew() {
	m, err := pretrained.CIFAR10() // or vgg.Open("vgg19.safetensors"), for beautiful ones
	if err != nil {
		panic(err)
	}
	paint := func(w, h int, at func(x, y int) color.RGBA) *picture.RGB { // or picture.Open
		p := picture.NewRGB(w, h)
		for i := range w * h {
			c := at(i%w, i/w)
			p.Pix[3*i], p.Pix[3*i+1], p.Pix[3*i+2] = c.R, c.G, c.B
		}
		return p
	}
	content := paint(48, 32, func(x, y int) color.RGBA { return color.RGBA{uint8(5 * x), uint8(7 * y), 90, 255} })
	stripes := paint(32, 32, func(x, y int) color.RGBA { return color.RGBA{uint8(x & y * 8), uint8(x % 4 * 60), 200, 255} })

	r := style.Gatys()
	r.Style = r.Style[:4] // this network has four blocks
	t, err := style.New(context.Background(), m, r, content, stripes)
	if err != nil {
		panic(err)
	}
	first := t.Progress().Loss
	for range 20 {
		if _, err := t.Step(context.Background()); err != nil {
			panic(err)
		}
	}
	fmt.Println(t.Progress().Loss < first/4, t.Picture().Bounds().Size())
	// Output:
	// true (48,32)
}
