package similar_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/similar"
)

// The index is one that Build, or the command vgg similar, has written.
func ExampleIndex() {
	nearest := func(index, photo string) error {
		x, err := similar.Open(index, 2)
		if err != nil {
			return err
		}
		defer x.Close()
		m, err := pretrained.CIFAR10() // the network that it was built with
		if err != nil {
			return err
		}
		img, err := picture.Open(photo)
		if err != nil {
			return err
		}
		f, err := m.Features(context.Background(), img, x.Layer)
		if err != nil {
			return err
		}
		similar.Normalize(f.Data)
		s, err := x.NewSearcher(1, 2)
		if err != nil {
			return err
		}
		hits, err := s.Nearest(context.Background(), f.Data, 5)
		for _, h := range hits {
			fmt.Println(h.Cosine, x.Paths[h.Picture])
		}
		return err
	}
	fmt.Println(nearest("photos.index", "photo.jpg"))
	// Output:
	// weights: photos.index: no such file or directory
}
