package similar

import (
	"bytes"
	"image/jpeg"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Thumbnails returns small JPEG files of some pictures of a collection, by their paths: with
// sides of at most side pixels. What cannot be read any more is left out.
func Thumbnails(name string, paths []string, side int, opts ...picture.Option) (map[string][]byte, error) {
	c, err := collection.OpenUnlabelled(name, opts...)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	wanted := map[string]bool{}
	for _, p := range paths {
		wanted[p] = true
	}
	list := map[string][]byte{}
	for it, err := range c.Items() {
		if err != nil {
			return nil, err
		}
		if !wanted[it.Path] {
			continue
		}
		if img, err := c.Decode(it); err == nil {
			if list[it.Path], err = Thumbnail(picture.FromImage(img), side); err != nil {
				return nil, err
			}
		}
		if len(list) == len(wanted) {
			break
		}
	}
	return list, nil
}

// Thumbnail returns a small JPEG file of a picture.
func Thumbnail(p *picture.RGB, side int) ([]byte, error) {
	if longer := max(p.W, p.H); longer > side {
		p = picture.Resize(p, max(1, p.W*side/longer), max(1, p.H*side/longer))
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, p, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}
