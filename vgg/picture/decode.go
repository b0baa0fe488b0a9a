package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"

	"github.com/nonet-go/nonet/internal/printable"
)

// DefaultMaxPixels is the largest number of pixels that [Decode] and [Open] accept. They
// refuse a larger picture before they spend memory on it. Decoding needs at most about 16
// bytes a pixel (a progressive JPEG without subsampling), so 1.6 GB at this limit; an
// ordinary 8-bit file needs 2 to 7. With this limit a file of less than 1 MB takes at most 2 s
// of a core (AMD Zen 3).
const DefaultMaxPixels = 100_000_000

// ErrFormat is the error of a file that is no picture in a known format.
var ErrFormat = image.ErrFormat

// Option changes how [Decode] and [Open] read a picture.
type Option func(*options)

type options struct {
	ctx       context.Context
	maxPixels int
	orient    bool
}

// Context ends the decoding with ctx's error soon after ctx is done. Lossless WebP can only
// be interrupted when its decoder reads more of the file.
func Context(ctx context.Context) Option { return func(o *options) { o.ctx = ctx } }

// MaxPixels replaces [DefaultMaxPixels].
func MaxPixels(n int) Option { return func(o *options) { o.maxPixels = n } }

// IgnoreOrientation keeps the picture as it is stored, whatever its EXIF data say. Pillow's
// Image.open, and so torchvision's data sets, do the same.
func IgnoreOrientation() Option { return func(o *options) { o.orient = false } }

// Open decodes the picture file at path; see [Decode]. It opens no pipes and devices.
func Open(path string, opts ...Option) (image.Image, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	defer f.Close()
	return Decode(path, f, opts...)
}

// Decode reads one picture from r, in any of the package's formats or of those registered
// with package image. It turns a picture with an EXIF orientation upright (JPEG, PNG, WebP
// and TIFF). Of an animation it takes the first frame. It returns a lossy WebP picture as an
// *RGB, without its alpha. Messages contain the name.
//
// It refuses a picture that is empty or has more pixels than the limit when it has read the
// header, with [ErrSize]. ErrSize is also the error of a small file that unfolds to more bytes
// than photographs do, 64 for each of its own and 400 MB, and of damaged PNG with more than a
// third of that. It refuses other data that are no picture with [ErrFormat], and
// names the format if it knows it. For a truncated or damaged file it returns the decoder's
// error. Decode reads r to its end, and at most 8 bytes for each pixel of the limit plus 64
// MiB.
func Decode(name string, r io.Reader, opts ...Option) (image.Image, error) {
	o := options{ctx: context.Background(), maxPixels: DefaultMaxPixels, orient: true}
	for _, opt := range opts {
		opt(&o)
	}
	data, err := o.read(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", printable.Name(name), err)
	}
	img, err := o.decode(data)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", printable.Name(name), err)
	}
	return img, nil
}

// read returns all of r. It stops after the first bytes if these are no picture, or announce
// a size over the limit.
func (o *options) read(r io.Reader) ([]byte, error) {
	const head = 4096
	limit := 8*int64(max(o.maxPixels, 0)) + 64<<20
	var buf bytes.Buffer
	if f, ok := r.(*os.File); ok { // spare the growing where the length is known
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() <= limit {
			buf.Grow(int(st.Size()) + bytes.MinRead)
		}
	}
	if _, err := buf.ReadFrom(io.LimitReader(r, head)); err != nil {
		return nil, err
	}
	w, h, err := formatOf(buf.Bytes()).size(buf.Bytes())
	if err == nil {
		err = checkSize(w, h, o.maxPixels)
	}
	if errors.Is(err, image.ErrFormat) || errors.Is(err, ErrSize) {
		return nil, explain(buf.Bytes(), err)
	}
	n, err := buf.ReadFrom(io.LimitReader(r, limit-head+1))
	if err == nil && head+n > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ErrSize)
	}
	return buf.Bytes(), err
}

func (o *options) decode(data []byte) (image.Image, error) {
	f := formatOf(data)
	w, h, err := f.size(data)
	if err != nil {
		return nil, explain(data, err)
	}
	if err := checkSize(w, h, o.maxPixels); err != nil {
		return nil, err
	}
	img, err := f.decode(o.ctx, data)
	if err != nil {
		return nil, explain(data, fmt.Errorf("%s, %d×%d: %w", f.name, w, h, err))
	}
	b := img.Bounds()
	if err := checkSize(b.Dx(), b.Dy(), o.maxPixels); err != nil {
		return nil, err
	}
	if n := Orientation(data); o.orient && n != Upright {
		img = &oriented{img, n}
	}
	return img, nil
}

// videoLevels returns a lossy WebP picture in full range, and others as they are.
func videoLevels(img image.Image) image.Image {
	p := new(RGB)
	switch m := img.(type) {
	case *image.YCbCr:
		p.setVP8(m)
	case *image.NYCbCrA:
		p.setVP8(&m.YCbCr)
	default:
		return img
	}
	return p
}

func checkSize(w, h, limit int) error {
	switch {
	case w <= 0 || h <= 0:
		return fmt.Errorf("picture of %d×%d pixels: %w", w, h, ErrSize)
	case w > limit/h:
		return fmt.Errorf("picture of %d×%d pixels, the limit is %d: %w", w, h, limit, ErrSize)
	}
	return nil
}

// explain adds to a decoder's error what can be seen from the data.
func explain(data []byte, err error) error {
	switch {
	case len(data) == 0:
		return fmt.Errorf("empty file: %w", ErrFormat)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("truncated after %d bytes: %w", len(data), err)
	case errors.Is(err, image.ErrFormat) && stray(data) != "":
		return fmt.Errorf("%s: %w", stray(data), err)
	case errors.Is(err, image.ErrFormat):
		return fmt.Errorf("no picture in a known format (it begins with %q): %w", data[:min(len(data), 16)], err)
	}
	return err
}
