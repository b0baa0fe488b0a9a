package chart

import (
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bars is a picture of groups of horizontal bars. A bar has its name at the left and its
// value at the right end.
type Bars struct {
	Title, Unit string // the unit names the axis of values
	Groups      []Group
	Limit       float64 // a dashed line across all bars, 0: none
	LimitName   string
}

// A Group is bars below a heading.
type Group struct {
	Title string
	Bars  []Bar
}

// A Bar is a value of at least 0.
type Bar struct {
	Name  string
	Value float64
	Color color.Color
}

// rowHeight is the room of a bar, and of a heading.
const rowHeight = vg.Length(13)

// Plot returns the picture.
func (b Bars) Plot() Plot {
	p := empty(b.Title)
	p.X.Label.Text = b.Unit
	p.X.Min, p.X.Max = 0, b.most()*1.14 // room for the value beside the longest bar
	rows := &rows{bars: b}
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	p.Add(grid, rows)
	p.Y.Min, p.Y.Max = -float64(rows.count())+0.4, 0.4
	p.Y.Tick.Marker = plot.TickerFunc(func(_, _ float64) []plot.Tick { return rows.names() })
	p.Y.Tick.Length, p.Y.Padding = 0, 0
	p.Y.Tick.Label.XAlign = text.XRight
	return Plot{Plot: p, Height: rowHeight*vg.Length(rows.count()) + vg.Points(75) + 2*margin}
}

// most returns the largest value.
func (b Bars) most() float64 {
	most := b.Limit
	for _, g := range b.Groups {
		for _, bar := range g.Bars {
			most = max(most, bar.Value)
		}
	}
	return most
}

// rows draws the bars: a group is a heading, its bars, and half a row of room.
type rows struct {
	bars Bars
}

// each calls fn with the place of each heading (bar nil) and each bar, from the top down.
func (r *rows) each(fn func(y float64, g *Group, bar *Bar)) {
	y := 0.0
	for i := range r.bars.Groups {
		g := &r.bars.Groups[i]
		if g.Title != "" {
			fn(y, g, nil)
			y--
		}
		for j := range g.Bars {
			fn(y, g, &g.Bars[j])
			y--
		}
		y -= 0.5
	}
}

func (r *rows) count() int {
	last := 0.0
	r.each(func(y float64, _ *Group, _ *Bar) { last = y })
	return int(-last) + 2
}

// names returns the names beside the axis.
func (r *rows) names() (ticks []plot.Tick) {
	r.each(func(y float64, _ *Group, bar *Bar) {
		if bar != nil {
			ticks = append(ticks, plot.Tick{Value: y, Label: bar.Name})
		}
	})
	return ticks
}

// Plot implements plot.Plotter.
func (r *rows) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.TextStyle{Color: color.Black, Font: textFont(9), Handler: p.TextHandler, YAlign: text.YCenter}
	heading := style
	heading.Font = textFont(11)
	if r.bars.Limit > 0 {
		r.drawLimit(c, x(r.bars.Limit), style)
	}
	r.each(func(at float64, g *Group, bar *Bar) {
		if bar == nil {
			c.FillText(heading, vg.Point{X: c.Min.X + 2, Y: y(at)}, g.Title)
			return
		}
		half := 0.38 * (y(0) - y(-1))
		c.FillPolygon(bar.Color, c.ClipPolygonXY([]vg.Point{
			{X: x(0), Y: y(at) - half}, {X: x(bar.Value), Y: y(at) - half}, {X: x(bar.Value), Y: y(at) + half}, {X: x(0), Y: y(at) + half},
		}))
		c.FillText(style, vg.Point{X: x(bar.Value) + 4, Y: y(at)}, short(bar.Value))
	})
}

// drawLimit draws a dashed line with its name below the bars.
func (r *rows) drawLimit(c draw.Canvas, x vg.Length, style draw.TextStyle) {
	line := draw.LineStyle{Color: Grey, Width: 1, Dashes: []vg.Length{4, 3}}
	c.StrokeLine2(line, x, c.Min.Y, x, c.Max.Y)
	style.XAlign = text.XRight
	c.FillText(style, vg.Point{X: x - 4, Y: c.Min.Y + rowHeight/2}, r.bars.LimitName)
}

// short writes a value with three digits.
func short(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
