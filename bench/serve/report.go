package main

import (
	"fmt"
	"image/color"
	"io"
	"os"
	"runtime"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/nonet-go/nonet/internal/chart"
	"github.com/nonet-go/nonet/internal/outfile"
)

// report is what the JSON file holds.
type report struct {
	Machine        string                   `json:"machine"`
	Command        string                   `json:"command"`
	Config         string                   `json:"config"`
	Size           int                      `json:"size"`
	Seconds        float64                  `json:"seconds"`
	RunMillis      float64                  `json:"run_ms"`      // of Session.Run for one picture, without a server
	BatchMillis    float64                  `json:"run_8_ms"`    // of Session.Run for eight
	OverheadMillis float64                  `json:"overhead_ms"` // of a lone client's requests to the batched server, beyond computing
	Servers        map[string]*serverResult `json:"servers"`
}

// serverResult is what came of a server.
type serverResult struct {
	Closed []point `json:"closed"`
	Open   []point `json:"open"`
	PeakMB float64 `json:"peak_mb"`
}

// machine names the processor, the number of threads, the Go version and how busy the
// machine was.
func machine() string {
	name := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if _, model, ok := strings.Cut(line, "model name\t: "); ok {
				name = strings.TrimSpace(model)
				break
			}
		}
	}
	load := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load average before " + strings.Fields(string(text))[0]
	}
	return fmt.Sprintf("%s, %d threads, %s%s", name, runtime.GOMAXPROCS(0), runtime.Version(), load)
}

// String is the table.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nconfiguration %s, %d×%d; Session.Run %.1f ms", r.Machine, r.Config, r.Size, r.Size, r.RunMillis)
	if r.BatchMillis > 0 {
		fmt.Fprintf(&b, ", for eight pictures %.1f ms, which are %.1f/s", r.BatchMillis, 8e3/r.BatchMillis)
	}
	fmt.Fprintf(&b, "; a lone client waits %.2f ms longer than its request is computed\n", r.OverheadMillis)
	for _, kind := range kinds {
		s := r.Servers[kind]
		if s == nil {
			continue
		}
		fmt.Fprintf(&b, "%s: peak of memory %.0f MB\n", kind, s.PeakMB)
		for _, p := range s.Closed {
			fmt.Fprintf(&b, "  %2d clients      %6.1f/s   p50 %6.0f   p90 %6.0f   p99 %6.0f ms   %v\n", p.Clients, p.PerSecond, p.P50, p.P90, p.P99, p.Statuses)
		}
		for _, p := range s.Open {
			fmt.Fprintf(&b, "  %6.1f/s offered %6.1f/s   p50 %6.0f   p90 %6.0f   p99 %6.0f ms   %v\n", p.Rate, p.PerSecond, p.P50, p.P90, p.P99, p.Statuses)
		}
	}
	return b.String()
}

// quantiles are the curves of a server.
var quantiles = []struct {
	name   string
	value  func(point) float64
	dashes []vg.Length
}{
	{"p50", func(p point) float64 { return p.P50 }, []vg.Length{vg.Points(4), vg.Points(3)}},
	{"p99", func(p point) float64 { return p.P99 }, nil},
}

// draw writes the picture: latency by load, of the open and of the closed loop.
func (r *report) draw(path string) error {
	open := chart.New("Requests at random times")
	open.X.Label.Text, open.Y.Label.Text = "requests/s offered", "ms"
	closed := chart.New("Clients that wait for their answers")
	closed.X.Label.Text, closed.Y.Label.Text = "clients", "ms"
	for i, kind := range kinds {
		s := r.Servers[kind]
		if s == nil {
			continue
		}
		colour := []color.Color{chart.Blue, chart.Orange}[i]
		if err := addCurves(open, kind, colour, s.Open, func(p point) float64 { return p.Rate }); err != nil {
			return err
		}
		if err := addCurves(closed, kind, colour, s.Closed, func(p point) float64 { return float64(p.Clients) }); err != nil {
			return err
		}
	}
	return outfile.Write(path, func(w io.Writer) error {
		return chart.Write(w, "svg", 18*vg.Centimeter, chart.Plot{Plot: open, Height: 9 * vg.Centimeter}, chart.Plot{Plot: closed, Height: 9 * vg.Centimeter})
	})
}

// addCurves adds a server's latencies to a plot. Points without answers have none.
func addCurves(p *plot.Plot, kind string, colour color.Color, points []point, x func(point) float64) error {
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top, p.Legend.Left = true, true
	for _, q := range quantiles {
		var xy plotter.XYs
		for _, pt := range points {
			if pt.PerSecond > 0 {
				xy = append(xy, plotter.XY{X: x(pt), Y: q.value(pt)})
			}
		}
		if len(xy) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(xy)
		if err != nil {
			return err
		}
		line.Color, marks.Color, line.Dashes = colour, colour, q.dashes
		p.Add(line, marks)
		p.Legend.Add(kind+", "+q.name, line)
	}
	return nil
}
