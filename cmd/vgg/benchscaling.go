package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/nonet-go/nonet/internal/chart"
	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"gonum.org/v1/plot/vg"
)

// scalePoint is the time of a network on a number of threads.
type scalePoint struct {
	Threads int       `json:"threads"`
	MS      []float64 `json:"ms"`
}

// scale times the network on 1, 2, 4 … threads up to Threads, which take turns, and draws it.
func (c *benchCmd) scale(ctx context.Context, m *vgg.Model, out, input []float32) (points []scalePoint, err error) {
	if c.Scaling == "" {
		return nil, nil
	}
	var sessions []*vgg.Session
	for _, n := range threadCounts(c.Threads) {
		s, err := m.NewSession(vgg.Batch(c.Batch), vgg.Workers(n))
		if err != nil {
			return nil, err
		}
		sessions, points = append(sessions, s), append(points, scalePoint{Threads: n})
	}
	for round := range c.Rounds + 1 {
		for i, s := range sessions {
			start := time.Now()
			if err := s.Run(ctx, out, input); err != nil {
				return nil, err
			}
			if round > 0 {
				points[i].MS = append(points[i].MS, time.Since(start).Seconds()*1e3)
			}
		}
	}
	return points, c.drawScaling(m.Config().Name, points)
}

// threadCounts lists the powers of two below most, and most.
func threadCounts(most int) (counts []int) {
	for n := 1; n < most; n *= 2 {
		counts = append(counts, n)
	}
	return append(counts, most)
}

// drawScaling draws the pictures a second of each number of threads. The line is what the
// last would reach at the speed of one thread each.
func (c *benchCmd) drawScaling(network string, points []scalePoint) error {
	var group chart.Group
	rate := func(p scalePoint) float64 { return 1e3 * float64(c.Batch) / median(p.MS) }
	for _, p := range points {
		group.Bars = append(group.Bars, chart.Bar{Name: fmt.Sprintf("%d threads", p.Threads), Value: rate(p), Color: chart.Orange})
	}
	group.Bars[0].Name = "1 thread"
	most := points[len(points)-1].Threads
	b := chart.Bars{
		Title: fmt.Sprintf("%s, batch of %d, on %s", network, c.Batch, isaName()), Unit: "pictures a second", Groups: []chart.Group{group},
		Limit: rate(points[0]) * float64(most), LimitName: fmt.Sprintf("%d × 1 thread", most),
	}
	return outfile.Write(c.Scaling, func(w io.Writer) error {
		return chart.Write(w, imageFormat(c.Scaling), 16*vg.Centimeter, b.Plot())
	})
}
