package main

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/chart"
	"github.com/nonet-go/nonet/internal/outfile"
	"gonum.org/v1/plot/vg"
)

// chartData is a picture of bars: a group a row of values, a bar a subject.
type chartData struct {
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
func (rep *report) charts() (charts []*chartData) {
	find := func(file, title, unit string) *chartData {
		for _, c := range charts {
			if c.file == file {
				return c
			}
		}
		c := &chartData{file: file, title: title, unit: unit}
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
func (c *chartData) add(group string, results []result, value func(result) float64) {
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

// colours keeps one colour a library: nonet's stands out.
var colours = []struct {
	prefix string
	color  color.Color
}{
	{"nonet", chart.Orange}, {"oneDNN", chart.Blue}, {"ONNX Runtime", chart.Green}, {"OpenBLAS", chart.Green},
	{"BLIS", chart.Sky}, {"PyTorch", chart.Pink}, {"ncnn", chart.Yellow},
}

// colourOf returns the colour of a subject: those of one library share it.
func colourOf(subject string) color.Color {
	for _, c := range colours {
		if strings.HasPrefix(subject, c.prefix) {
			return c.color
		}
	}
	return chart.Grey
}

// bars is the picture of the chart. The best of a group stands first.
func (c *chartData) bars(machine string) chart.Bars {
	b := chart.Bars{Title: c.title + "\n" + machine, Unit: c.unit, Limit: c.limit, LimitName: "peak of fused multiply-add"}
	for g, row := range c.values {
		group := chart.Group{Title: c.groups[g]}
		for i, v := range row {
			if v > 0 {
				group.Bars = append(group.Bars, chart.Bar{Name: c.subjects[i], Value: v, Color: colourOf(c.subjects[i])})
			}
		}
		slices.SortStableFunc(group.Bars, func(a, b chart.Bar) int {
			order := cmp.Compare(a.Value, b.Value)
			if c.limit > 0 { // a rate
				return -order
			}
			return order
		})
		b.Groups = append(b.Groups, group)
	}
	return b
}

func (c *chartData) draw(file, machine string) error {
	return outfile.Write(file, func(w io.Writer) error {
		return chart.Write(w, "svg", 17*vg.Centimeter, c.bars(machine).Plot())
	})
}
