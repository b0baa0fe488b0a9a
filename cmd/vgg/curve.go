package main

import (
	"github.com/nonet-go/nonet/vgg/train"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

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
			xy = append(xy, plotter.XY{X: float64(e.Epoch), Y: f(e)})
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
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, path)
}
