package main

import (
	"fmt"
	"image/color"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// A chart is a picture of bars: a group a row of values, a bar a subject.
type chart struct {
	file, title, unit string
	groups, subjects  []string
	values            [][]float64 // by group, then subject; 0: no bar
	limit             float64     // a line across, 0: none
}

// plotFile draws the charts of a JSON result beside it.
func plotFile(path string) error {
	rep, err := readReport(path)
	if err != nil {
		return err
	}
	for _, c := range rep.charts() {
		file := strings.TrimSuffix(path, ".json") + "-" + c.file + ".svg"
		if err := c.draw(file, rep.Machine.CPU); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Println(file)
	}
	return nil
}

// charts makes one chart for the networks, one for the products and one for
// the training steps of each thread count, and one for each list of layers.
func (rep *report) charts() (charts []*chart) {
	find := func(file, title, unit string) *chart {
		for _, c := range charts {
			if c.file == file {
				return c
			}
		}
		c := &chart{file: file, title: title, unit: unit}
		charts = append(charts, c)
		return c
	}
	for _, w := range rep.works() {
		first := w[0]
		threads := itoa(first.Threads)
		on := ", " + plural(first.Threads, "thread")
		switch {
		case len(first.Layers) > 0:
			c := find(first.Work+"-t"+threads, first.Work+on, "ms")
			for _, name := range layerNames(first) {
				c.add(name, w, func(r result) float64 { return r.layer(name) })
			}
		case first.GFLOPS > 0:
			c := find("sgemm-t"+threads, "SGEMM"+on, "GFLOP/s")
			c.limit = best(rep.Peak, first.Threads)
			c.add(strings.TrimPrefix(first.Work, "sgemm_"), w, func(r result) float64 { return r.GFLOPS })
		case strings.HasSuffix(first.Work, "_train"):
			find("train-t"+threads, "training step"+on, "ms").add(first.Work, w, func(r result) float64 { return r.Median })
		default:
			find("vgg-t"+threads, "forward"+on, "ms a picture").add(first.Work, w, func(r result) float64 { return r.Median / batchOf(r.Work) })
		}
	}
	return charts
}

// batchOf reads the batch size in a work's name.
func batchOf(work string) float64 {
	m := regexp.MustCompile(`_b(\d+)`).FindStringSubmatch(work)
	if m == nil {
		return 1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 1
	}
	return float64(n)
}

// add appends a group; subjects that take part for the first time get a bar
// of height 0 in the groups before.
func (c *chart) add(group string, results []result, value func(result) float64) {
	c.groups = append(c.groups, group)
	row := make([]float64, len(c.subjects))
	for _, r := range results {
		i := slices.Index(c.subjects, r.Subject)
		if i < 0 {
			i = len(c.subjects)
			c.subjects = append(c.subjects, r.Subject)
			row = append(row, 0)
		}
		row[i] = value(r)
	}
	c.values = append(c.values, row)
}

// The colours of the bars (Okabe and Ito's, told apart by colour-blind eyes).
var palette = []color.Color{
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff},
}

func (c *chart) draw(file, machine string) error {
	p := plot.New()
	p.Title.Text = c.title + "\n" + machine
	p.Y.Label.Text = c.unit
	p.Y.Min = 0
	p.Legend.Top = true
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	bar := vg.Points(9)
	for i, s := range c.subjects {
		heights := make(plotter.Values, len(c.groups))
		for g, row := range c.values {
			if i < len(row) {
				heights[g] = row[i]
			}
		}
		b, err := plotter.NewBarChart(heights, bar)
		if err != nil {
			return err
		}
		b.LineStyle.Width = 0
		b.Color = palette[i%len(palette)]
		b.Offset = bar * vg.Length(float64(i)-float64(len(c.subjects)-1)/2)
		p.Add(b)
		p.Legend.Add(s, b)
	}
	if c.limit > 0 {
		line := plotter.NewFunction(func(float64) float64 { return c.limit })
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(line)
		p.Legend.Add("peak of fused multiply-add", line)
		p.Y.Max = max(p.Y.Max, c.limit)
	}
	p.Y.Max *= 1.1 + 0.07*float64(len(c.subjects)) // room for the legend
	p.NominalX(c.groups...)
	p.X.Min, p.X.Max = -0.6, float64(len(c.groups))-0.4
	if len(c.groups) > 4 {
		p.X.Tick.Label.Rotation = 0.5
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = -1, -0.5
	}
	width := vg.Length(len(c.groups))*(bar*vg.Length(len(c.subjects))+vg.Points(18)) + vg.Points(90)
	return p.Save(max(width, 12*vg.Centimeter), 10*vg.Centimeter, file)
}
