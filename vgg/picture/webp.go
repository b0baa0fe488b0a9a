package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// webpFrame is the still picture of a WebP file, or the first frame of an animation.
type webpFrame struct {
	canvas image.Point // its size if the file says, else zero
	at     image.Point // of the frame in it
	id     string      // of the chunk with the pixels: "VP8 " or "VP8L"
	data   []byte      // of that chunk
}

var errWebPTruncated = fmt.Errorf("webp: data end too early: %w", io.ErrUnexpectedEOF)

// parseWebP finds the pixels. Alpha is a chunk of its own in lossy files, and is left.
func parseWebP(file []byte) (f webpFrame, err error) {
	const riffHeader, frameHeader = 12, 16
	for b := file[min(riffHeader, len(file)):]; ; {
		if len(b) < 8 {
			return f, errWebPTruncated
		}
		id, n := string(b[:4]), uint64(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		body := b[:min(n, uint64(len(b)))]
		switch {
		case id == "VP8 " || id == "VP8L":
			f.id, f.data = id, body
			if n > uint64(len(b)) {
				err = errWebPTruncated
			}
			return f, err
		case id == "VP8X" && len(body) >= 10:
			f.canvas = image.Pt(1+uint24(body[4:]), 1+uint24(body[7:]))
		case id == "ANMF" && len(body) >= frameHeader: // goes on with the chunks in it
			f.at = image.Pt(2*uint24(body), 2*uint24(body[3:]))
			b = b[frameHeader:]
			continue
		}
		b = b[min(n+n%2, uint64(len(b))):]
	}
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// file returns a file of the frame alone.
func (f *webpFrame) file() []byte {
	n := len(f.data)
	b := make([]byte, 0, 20+n+1)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(12+n+n%2))
	b = append(b, "WEBP"+f.id...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = append(b, f.data...)
	return append(b, 0)[:20+n+n%2]
}

func webpSize(file []byte) (w, h int, err error) {
	f, err := parseWebP(file)
	if f.canvas != (image.Point{}) {
		return f.canvas.X, f.canvas.Y, nil
	}
	if f.id == "" {
		return 0, 0, err
	}
	cfg, err := webp.DecodeConfig(bytes.NewReader(f.file()))
	return cfg.Width, cfg.Height, err
}

// decodeWebP returns the picture of libwebp in full range. The canvas around the
// first frame of an animation is transparent black.
func decodeWebP(ctx context.Context, file []byte) (image.Image, error) {
	f, err := parseWebP(file)
	if err != nil {
		return nil, err
	}
	alone := f.file()
	cfg, err := webp.DecodeConfig(bytes.NewReader(alone))
	if err != nil {
		return nil, err
	}
	size := image.Pt(cfg.Width, cfg.Height)
	if n := size.X * size.Y; f.id == "VP8L" && n > freeLossless+pixelsPerByte*len(file) {
		return nil, fmt.Errorf("%d×%d lossless pixels in a file of %d bytes: %w", size.X, size.Y, len(file), ErrSize)
	}
	if f.canvas == (image.Point{}) {
		f.canvas = size
	}
	if frame := (image.Rectangle{Min: f.at, Max: f.at.Add(size)}); !frame.In(image.Rectangle{Max: f.canvas}) {
		return nil, errors.New("webp: frame beyond its canvas")
	}
	m, err := webp.Decode(stopping{ctx, bytes.NewReader(alone)})
	if err != nil {
		return nil, err
	}
	m = videoLevels(m)
	if size == f.canvas {
		return m, nil
	}
	part, whole := FromImage(m), NewRGB(f.canvas.X, f.canvas.Y)
	for y := range part.H {
		copy(whole.Row(f.at.Y + y)[3*f.at.X:], part.Row(y))
	}
	return whole, nil
}
