// Package chart draws the pictures of measurements: bars with their names and values
// beside them, and plots one below the other in one file.
//
// Pictures have a white ground of their own, so that they can be read on a light and on a
// dark page. The colours are Okabe and Ito's, which colour-blind eyes tell apart. Widths
// leave room for a browser's font that is wider than the one that was measured with.
package chart

import (
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of lines and bars.
var (
	Orange = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	Blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Sky    = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	Green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Yellow = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Pink   = color.RGBA{0xcc, 0x79, 0xa7, 0xff}
	Grey   = color.RGBA{0x80, 0x80, 0x80, 0xff}
)

// A Plot is one picture of a file, with its height.
type Plot struct {
	*plot.Plot
	Height vg.Length
}

// Write draws plots below each other, all of one width. The format is svg, png or pdf.
// Its errors are those of w, or tell a format that is none of these.
func Write(w io.Writer, format string, width vg.Length, plots ...Plot) error {
	height := vg.Length(0)
	for _, p := range plots {
		height += p.Height
	}
	canvas, err := newCanvas(format, width, height)
	if err != nil {
		return err
	}
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	top := height
	for _, p := range plots {
		p.Draw(draw.Crop(dc, margin, -margin, top-p.Height+margin, top-height-margin))
		top -= p.Height
	}
	_, err = canvas.WriteTo(w)
	return err
}

// Formats are the formats that Write knows.
func Formats() []string { return []string{"svg", "png", "pdf"} }

func newCanvas(format string, w, h vg.Length) (vg.CanvasWriterTo, error) {
	switch strings.ToLower(format) {
	case "svg":
		return vgsvg.New(w, h), nil
	case "png":
		return vgimg.PngCanvas{Canvas: vgimg.New(w, h)}, nil
	case "pdf":
		return vgpdf.New(w, h), nil
	}
	return nil, fmt.Errorf("no picture of format %q: want %s", format, strings.Join(Formats(), ", "))
}

// New returns a plot with a title and a grid.
func New(title string) *plot.Plot {
	p := empty(title)
	p.Add(plotter.NewGrid())
	return p
}

// empty returns a plot with a title, and room at its edges.
func empty(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	p.Title.TextStyle.Font = textFont(11)
	p.Legend.TextStyle.Font = textFont(9)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = textFont(10)
		axis.Tick.Label.Font = textFont(9)
	}
	return p
}

// textFont returns the font of all texts, without serifs.
func textFont(points font.Length) font.Font {
	return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, points)
}

// margin is the white edge around each plot.
const margin = vg.Length(10)
