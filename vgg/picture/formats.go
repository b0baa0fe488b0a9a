package picture

import (
	"bytes"
	"context"
	"image"
	"io"

	"github.com/nonet-go/nonet/vgg/picture/internal/bmp"
	"github.com/nonet-go/nonet/vgg/picture/internal/gif"
	"github.com/nonet-go/nonet/vgg/picture/internal/jpeg"
)

// format is a kind of file.
type format struct {
	name   string
	is     func(head []byte) bool                                      // by the first bytes
	size   func(data []byte) (w, h int, err error)                     // of the picture; data may be the beginning of the file
	decode func(ctx context.Context, data []byte) (image.Image, error) // after a check of the size
}

// formats are those that this package reads itself.
var formats = []format{
	{"jpeg", isJPEG, jpeg.Size, decodeJPEG},
	{"png", begins(pngMagic), pngSize, decodePNG},
	{"gif", gif.Is, gif.Size, func(ctx context.Context, data []byte) (image.Image, error) { return gif.Decode(ctx, data) }},
	{"webp", begins("RIFF????WEBP"), webpSize, decodeWebP},
	{"bmp", begins("BM"), bmp.Size, bmp.Decode},
	{"tiff", isTIFF, tiffSize, decodeTIFF},
}

// Extensions lists the endings of the names of files that this package reads, in lower case.
func Extensions() []string {
	return []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
}

// formatOf returns the format of data, or one that asks package image.
func formatOf(data []byte) *format {
	if isRaw(data) {
		return &unread
	}
	for i := range formats {
		if formats[i].is(data) {
			return &formats[i]
		}
	}
	return &registered
}

// isRaw reports whether data are a camera's raw file that looks like TIFF.
func isRaw(data []byte) bool { return len(data) >= 10 && isTIFF(data) && string(data[8:10]) == "CR" }

// unread is the format of what would be mistaken for another.
var unread = format{size: func([]byte) (w, h int, err error) { return 0, 0, ErrFormat }}

// registered stands for the formats that a program registers with package image.
var registered = format{
	name: "picture",
	size: sizeOf(func(r io.Reader) (image.Config, error) {
		cfg, _, err := image.DecodeConfig(r)
		return cfg, err
	}),
	decode: func(ctx context.Context, data []byte) (image.Image, error) {
		img, _, err := image.Decode(stopping{ctx, bytes.NewReader(data)})
		return img, err
	},
}

// begins returns a test for one of some beginnings, in which '?' is any byte.
func begins(magics ...string) func(head []byte) bool {
	return func(head []byte) bool {
		for _, m := range magics {
			if len(head) >= len(m) && matches(m, head) {
				return true
			}
		}
		return false
	}
}

func matches(magic string, head []byte) bool {
	for i := range magic {
		if magic[i] != '?' && magic[i] != head[i] {
			return false
		}
	}
	return true
}

// sizeOf adapts a function of a decoder's package.
func sizeOf(config func(io.Reader) (image.Config, error)) func(data []byte) (w, h int, err error) {
	return func(data []byte) (w, h int, err error) {
		cfg, err := config(bytes.NewReader(data))
		return cfg.Width, cfg.Height, err
	}
}
