// Package gif decodes the first frame of a GIF file as Pillow shows it: on its
// canvas, whose other pixels have the transparent colour, or else colour 0.
//
// Package image/gif returns a frame without the canvas, and refuses frames that
// reach beyond the screen and files without a table of colours.
package gif

import (
	"bytes"
	"compress/lzw"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
)

var errTruncated = fmt.Errorf("gif: data end too early: %w", io.ErrUnexpectedEOF)

// Bits of the flags of a screen and of a frame.
const (
	hasTable   = 0x80
	interlaced = 0x40
	tableBits  = 0x07
)

// frame is what stands in front of the pixels of the first frame.
type frame struct {
	w, h    int             // of the canvas
	rect    image.Rectangle // of the frame
	table   []byte          // colours, 3 bytes each; nil for shades of grey
	fill    uint8           // of the canvas
	lace    bool            // rows are stored in four passes
	literal int             // bits of a literal code
	pixels  []byte          // the compressed pixels, in blocks, and what follows
}

// Size returns the size of the canvas. Where the first frame lies beyond the end
// of data, it is the size of the screen.
func Size(data []byte) (w, h int, err error) {
	f, err := parse(data)
	if len(data) < headerSize || !errors.Is(err, errTruncated) && err != nil {
		return 0, 0, err
	}
	return f.w, f.h, nil
}

const headerSize = 13

// parse reads data up to the first frame's pixels. The size of the screen is
// valid with any error but those of a short header.
func parse(data []byte) (f frame, err error) {
	if len(data) < headerSize {
		return f, errTruncated
	}
	f.w, f.h = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	flags, data := data[10], data[headerSize:]
	if flags&hasTable != 0 {
		if f.table, data, err = table(data, flags); err != nil {
			return f, err
		}
	}
	for len(data) > 0 {
		introducer := data[0]
		data = data[1:]
		switch introducer {
		case '!':
			data, err = f.extension(data)
		case ',':
			return f, f.descriptor(data)
		case ';':
			return f, errors.New("gif: no picture in the file")
		} // bytes between blocks are skipped
		if err != nil {
			return f, err
		}
	}
	return f, errTruncated
}

// table cuts a table of colours off the data.
func table(data []byte, flags byte) (t, rest []byte, err error) {
	n := 3 << (1 + flags&tableBits)
	if len(data) < n {
		return nil, nil, errTruncated
	}
	return data[:n], data[n:], nil
}

// extension reads an extension after its introducer and returns what follows.
func (f *frame) extension(data []byte) (rest []byte, err error) {
	const graphicControl, transparent = 0xf9, 1
	if len(data) < 2 {
		return nil, errTruncated
	}
	label := data[0]
	if size := int(data[1]); label == graphicControl && size >= 4 && len(data) >= 2+size && data[2]&transparent != 0 {
		f.fill = data[5]
	}
	for data = data[1:]; len(data) > 0; {
		n := int(data[0])
		if n == 0 {
			return data[1:], nil
		}
		data = data[min(1+n, len(data)):]
	}
	return nil, errTruncated
}

// descriptor reads the description of a frame.
func (f *frame) descriptor(data []byte) (err error) {
	if len(data) < 10 {
		return errTruncated
	}
	at := func(i int) int { return int(binary.LittleEndian.Uint16(data[i:])) }
	f.rect = image.Rect(at(0), at(2), at(0)+at(4), at(2)+at(6))
	f.w, f.h = max(f.w, f.rect.Max.X), max(f.h, f.rect.Max.Y)
	flags, data := data[8], data[9:]
	f.lace = flags&interlaced != 0
	if flags&hasTable != 0 {
		if f.table, data, err = table(data, flags); err != nil {
			return err
		}
	}
	if len(data) == 0 {
		return errTruncated
	}
	f.literal, f.pixels = int(data[0]), data[1:]
	return nil
}

// Decode returns the canvas with the first frame. It takes one byte for each
// pixel of the canvas, whose size the caller has to check first. It ends with ctx's error
// when ctx is done.
func Decode(ctx context.Context, data []byte) (*image.Paletted, error) {
	f, err := parse(data)
	if err != nil {
		return nil, err
	}
	switch {
	case f.rect.Empty():
		return nil, errors.New("gif: frame without pixels")
	case f.literal < 2 || f.literal > 8:
		return nil, fmt.Errorf("gif: codes of %d bits", f.literal)
	}
	m := image.NewPaletted(image.Rect(0, 0, f.w, f.h), palette(f.table))
	if f.fill != 0 && f.rect != m.Rect {
		for i := range m.Pix {
			m.Pix[i] = f.fill
		}
	}
	r := lzw.NewReader(&blocks{data: f.pixels}, lzw.LSB, f.literal)
	defer r.Close()
	for y := range f.rows() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := m.Pix[m.PixOffset(f.rect.Min.X, f.rect.Min.Y+y):][:f.rect.Dx()]
		if _, err := io.ReadFull(r, row); err != nil {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errTruncated
			}
			return nil, err
		}
	}
	return m, nil
}

// rows yields the rows of the frame in the order of the file.
func (f *frame) rows() func(yield func(int) bool) {
	passes := [][2]int{{0, 1}} // first row and step
	if f.lace {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	return func(yield func(int) bool) {
		for _, p := range passes {
			for y := p[0]; y < f.rect.Dy(); y += p[1] {
				if !yield(y) {
					return
				}
			}
		}
	}
}

// palette returns the colours of a table. Indices beyond it are shades of grey.
func palette(table []byte) color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		c := color.RGBA{uint8(i), uint8(i), uint8(i), 255}
		if 3*i < len(table) {
			c.R, c.G, c.B = table[3*i], table[3*i+1], table[3*i+2]
		}
		p[i] = c
	}
	return p
}

// blocks reads the contents of the blocks of data. Each begins with its length;
// one of length 0 ends them.
type blocks struct {
	data  []byte // from the next block on
	block []byte // rest of the current one
	err   error
}

// ReadByte is part of [io.ByteReader]: with it, lzw.Reader does not buffer.
func (b *blocks) ReadByte() (byte, error) {
	if len(b.block) == 0 {
		b.next()
	}
	if b.err != nil {
		return 0, b.err
	}
	c := b.block[0]
	b.block = b.block[1:]
	return c, nil
}

// Read is part of [io.Reader].
func (b *blocks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// next goes to the next block.
func (b *blocks) next() {
	switch {
	case len(b.data) == 0:
		b.err = errTruncated
	case b.data[0] == 0:
		b.err = io.EOF
	default:
		n := min(1+int(b.data[0]), len(b.data))
		b.block, b.data = b.data[1:n], b.data[n:]
		if len(b.block) == 0 {
			b.err = errTruncated
		}
	}
}

// Is reports whether data begin as a GIF file.
func Is(data []byte) bool {
	return bytes.HasPrefix(data, []byte("GIF87a")) || bytes.HasPrefix(data, []byte("GIF89a"))
}
