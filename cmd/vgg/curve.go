package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/chart"
	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/train"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// checkPicture returns an error for a name whose ending is no format of pictures. An empty
// name is no file.
func checkPicture(flag, path string) error {
	if path != "" && !slices.Contains(chart.Formats(), strings.ToLower(imageFormat(path))) {
		return fmt.Errorf("%s %s: want a file that ends in .svg, .png or .pdf", flag, path)
	}
	return nil
}

// drawCurve draws accuracy and loss over the epochs, below each other.
func drawCurve(path string, history []train.Epoch) error {
	accuracy, err := curve("accuracy", history, func(e train.Epoch) (float64, float64) { return e.Accuracy, e.Validation })
	if err != nil {
		return err
	}
	accuracy.Y.Max = 1
	loss, err := curve("loss", history, func(e train.Epoch) (float64, float64) { return e.Loss, e.ValLoss })
	if err != nil {
		return err
	}
	loss.X.Label.Text = "epoch"
	return outfile.Write(path, func(w io.Writer) error {
		const height = 7 * vg.Centimeter
		return chart.Write(w, imageFormat(path), 16*vg.Centimeter, chart.Plot{Plot: accuracy, Height: height}, chart.Plot{Plot: loss, Height: height})
	})
}

// curve plots one measure of training and of validation. Each line has its name at its end.
func curve(name string, history []train.Epoch, values func(train.Epoch) (training, validation float64)) (*plot.Plot, error) {
	p := chart.New(name)
	p.Y.Min = 0
	ends := &chart.Labels{}
	for i, line := range []struct {
		name  string
		color color.Color
	}{{"training", chart.Blue}, {"validation", chart.Orange}} {
		var xy plotter.XYs
		for _, e := range history {
			both := [2]float64{}
			both[0], both[1] = values(e)
			if y := both[i]; !math.IsNaN(y) && !math.IsInf(y, 0) {
				xy = append(xy, plotter.XY{X: float64(e.Epoch), Y: y})
			}
		}
		if len(xy) == 0 {
			continue
		}
		l, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, err
		}
		l.Color, l.Width = line.color, vg.Points(1.2)
		points.Color, points.Shape, points.Radius = line.color, draw.CircleGlyph{}, vg.Points(1.2)
		p.Add(l, points)
		ends.XYs, ends.Names = append(ends.XYs, xy[len(xy)-1]), append(ends.Names, line.name)
	}
	p.Add(ends)
	return p, nil
}
