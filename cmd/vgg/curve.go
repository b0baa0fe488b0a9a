package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/train"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// checkCurve refuses a name whose ending is no format of pictures.
func checkCurve(path string) error {
	if !slices.Contains([]string{"svg", "png", "pdf"}, strings.ToLower(imageFormat(path))) {
		return fmt.Errorf("--curve %s: want a file that ends in .svg, .png or .pdf", path)
	}
	return nil
}

// drawCurve draws accuracy and loss over the epochs.
func drawCurve(path string, history []train.Epoch) error {
	p := plot.New()
	p.Title.Text = "training"
	p.X.Label.Text = "epoch"
	p.Y.Min = 0
	p.Legend.Top = false
	line := func(f func(train.Epoch) float64) plotter.XYs {
		var xy plotter.XYs
		for _, e := range history {
			if y := f(e); !math.IsNaN(y) && !math.IsInf(y, 0) {
				xy = append(xy, plotter.XY{X: float64(e.Epoch), Y: y})
			}
		}
		return xy
	}
	err := plotutil.AddLines(p,
		"accuracy, training", line(func(e train.Epoch) float64 { return e.Accuracy }),
		"accuracy, validation", line(func(e train.Epoch) float64 { return e.Validation }),
		"loss, training", line(func(e train.Epoch) float64 { return e.Loss }),
		"loss, validation", line(func(e train.Epoch) float64 { return e.ValLoss }))
	if err != nil {
		return err
	}
	picture, err := p.WriterTo(16*vg.Centimeter, 10*vg.Centimeter, strings.ToLower(imageFormat(path)))
	if err != nil {
		return err
	}
	return outfile.Write(path, func(w io.Writer) error {
		_, err := picture.WriteTo(w)
		return err
	})
}
