package main

import (
	"context"
	"fmt"
	"io"
	"runtime/pprof"
	"strings"

	"github.com/nonet-go/nonet/internal/chart"
	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/peak"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/vgg"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// profile runs the network again with a profiler, so that the times of the benchmark are
// without one.
func (c *benchCmd) profile(ctx context.Context, m *vgg.Model, out, input []float32) error {
	if !c.profiled() {
		return nil
	}
	s, err := m.NewSession(vgg.Batch(c.Batch), vgg.Workers(c.Threads), vgg.Profiled())
	if err != nil {
		return err
	}
	return c.writeProfiles(func() error { return s.Run(ctx, out, input) }, s.WriteTrace)
}

func (c *benchCmd) profiled() bool { return c.Trace != "" || c.CPUProfile != "" }

// writeProfiles writes the trace of one run, after a first one, and the profile of further
// runs.
func (c *benchCmd) writeProfiles(run func() error, trace func(io.Writer) error) error {
	if !c.profiled() {
		return nil
	}
	for range 2 {
		if err := run(); err != nil {
			return err
		}
	}
	if c.Trace != "" {
		if err := outfile.Write(c.Trace, trace); err != nil {
			return err
		}
	}
	if c.CPUProfile == "" {
		return nil
	}
	return outfile.Write(c.CPUProfile, func(f io.Writer) error {
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		for range c.Rounds {
			if err := run(); err != nil {
				return err
			}
		}
		return nil
	})
}

// cost is the least work and memory traffic of a layer, for all pictures of a run.
type cost struct {
	flop  float64 // of the products of the algorithm in use
	bytes float64 // activations in and out, and packed weights, each once
}

// costOf counts a layer with input in and output l. A Winograd layer multiplies alpha²
// elements of each tile, not 9·m², and its weights are alpha²/9 of the filters. fc are
// the bytes of a weight of a fully connected layer.
func costOf(l vgg.LayerSummary, in vgg.Shape, batch int, fc float64) cost {
	n := float64(batch)
	c := cost{2 * n * float64(l.MACs), 4*float64(l.Params) + 4*n*float64(in.Len()+l.Output.Len())}
	if l.Kind == vgg.FC.String() {
		c.bytes -= (4 - fc) * float64(l.Params)
	}
	var m int
	if _, err := fmt.Sscanf(l.Algorithm, "F(%d", &m); err != nil {
		return c
	}
	tiles := float64((l.Output.H + m - 1) / m * ((l.Output.W + m - 1) / m))
	elements := float64((m + 2) * (m + 2))
	filters := float64(in.C * l.Output.C)
	c.flop = 2 * n * elements * tiles * filters
	size := 4.0
	if strings.HasSuffix(l.Algorithm, "int16") {
		size = 2
	}
	c.bytes += filters * (size*elements - 4*9)
	return c
}

// bound is the shortest time in ms that the peaks allow.
func (c cost) bound(gflops, gbytes float64) float64 {
	return max(c.flop/gflops, c.bytes/gbytes) / 1e6
}

// draw writes two pictures in one file: the roofline, and a bar for each layer beside its
// bound by the machine's peaks.
func (c *benchCmd) draw(r *benchResult) error {
	r.ReadGBytes = peak.ReadGBytes(c.Threads, layout.Alloc(64<<20))
	roof, err := roofline(r)
	if err != nil {
		return err
	}
	return outfile.Write(c.Plot, func(f io.Writer) error {
		return chart.Write(f, imageFormat(c.Plot), 24*vg.Centimeter, chart.Plot{Plot: roof, Height: 12 * vg.Centimeter}, layerBars(r).Plot())
	})
}

// imageFormat is the ending of a file's name.
func imageFormat(path string) string {
	for i := len(path) - 1; i >= 0 && path[i] != '/'; i-- {
		if path[i] == '.' {
			return path[i+1:]
		}
	}
	return ""
}

// roofline draws each layer's rate against its operations per byte of memory, below the roof
// of the two peaks.
func roofline(r *benchResult) (*plot.Plot, error) {
	p := chart.New(fmt.Sprintf("%s, %s, %d threads: rate of the products\nbelow the roof of %.0f GFLOP/s of multiply-adds and %.1f GB/s of memory",
		r.Work, r.ISA, r.Threads, r.PeakGFLOPS, r.ReadGBytes))
	p.X.Label.Text = "operations per byte of activations and weights"
	p.Y.Label.Text = "GFLOP/s"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	var points plotter.XYs
	labels := &chart.Labels{}
	low, high := r.PeakGFLOPS/r.ReadGBytes, 0.0
	for _, l := range r.Layers {
		if l.cost.flop == 0 {
			continue
		}
		xy := plotter.XY{X: l.cost.flop / l.cost.bytes, Y: l.cost.flop / l.MS / 1e6}
		points = append(points, xy)
		labels.XYs, labels.Names = append(labels.XYs, xy), append(labels.Names, l.Name)
		low, high = min(low, xy.X), max(high, xy.X)
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("--plot: the network has no layer with weights")
	}
	ridge := r.PeakGFLOPS / r.ReadGBytes
	low, high = low/2, max(high, ridge)*3
	roof, err := plotter.NewLine(plotter.XYs{{X: low, Y: low * r.ReadGBytes}, {X: ridge, Y: r.PeakGFLOPS}, {X: high, Y: r.PeakGFLOPS}})
	if err != nil {
		return nil, err
	}
	roof.Color, roof.Width = chart.Grey, vg.Points(1.5)
	s, err := plotter.NewScatter(points)
	if err != nil {
		return nil, err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: chart.Orange, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
	p.Add(roof, s, labels)
	return p, nil
}

// layerBars are the time of each layer beside its bound.
func layerBars(r *benchResult) chart.Bars {
	b := chart.Bars{Title: r.Work + ": median time of each layer,\nand its bound by the peaks of multiply-adds and of memory", Unit: "ms"}
	for _, l := range r.Layers {
		b.Groups = append(b.Groups, chart.Group{Bars: []chart.Bar{
			{Name: l.Name, Value: l.MS, Color: chart.Orange},
			{Name: "bound", Value: l.cost.bound(r.PeakGFLOPS, r.ReadGBytes), Color: chart.Blue},
		}})
	}
	return b
}
