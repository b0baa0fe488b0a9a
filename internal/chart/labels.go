package chart

import (
	"cmp"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Labels names points: a name stands right of its point, or as near below or above as
// no other name is, then with a line to the point.
type Labels struct {
	plotter.XYs
	Names []string
}

// The room of a name: a character's width is that of a wide font.
const (
	labelHeight = vg.Length(11)
	charWidth   = vg.Length(6)
	labelGap    = vg.Length(7) // from the point
)

// GlyphBoxes implements plot.GlyphBoxer: it keeps room for the names.
func (l *Labels) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	boxes := make([]plot.GlyphBox, len(l.XYs))
	for i, xy := range l.XYs {
		boxes[i] = plot.GlyphBox{X: p.X.Norm(xy.X), Y: p.Y.Norm(xy.Y), Rectangle: vg.Rectangle{Max: vg.Point{X: labelGap + width(l.Names[i])}}}
	}
	return boxes
}

func width(name string) vg.Length { return charWidth * vg.Length(len([]rune(name))) }

// Plot implements plot.Plotter.
func (l *Labels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	points := make([]vg.Point, len(l.XYs))
	for i, xy := range l.XYs {
		points[i] = vg.Point{X: x(xy.X), Y: y(xy.Y)}
	}
	style := draw.TextStyle{Color: color.Black, Font: textFont(9), Handler: p.TextHandler, YAlign: text.YCenter}
	line := draw.LineStyle{Color: Grey, Width: 0.5}
	for i, at := range l.place(points, c.Min.Y+labelHeight/2, c.Max.Y-labelHeight/2) {
		if at.Y != points[i].Y {
			c.StrokeLines(line, []vg.Point{points[i], {X: at.X - 1, Y: at.Y}})
		}
		c.FillText(style, at, l.Names[i])
	}
}

// place returns where the names begin, in the order of points. From the highest point
// down each name takes the nearest free height; low and high bound it.
func (l *Labels) place(points []vg.Point, low, high vg.Length) []vg.Point {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(points[j].Y, points[i].Y) })
	placed := make([]vg.Point, len(points))
	for k, i := range order {
		free := func(y vg.Length) bool {
			for j, p := range points {
				if j != i && p.X > points[i].X && p.X < points[i].X+labelGap+width(l.Names[i]) && max(y, p.Y)-min(y, p.Y) < labelHeight*0.7 {
					return false
				}
			}
			for _, j := range order[:k] {
				apart := placed[j].X-labelGap > points[i].X+labelGap+width(l.Names[i]) || placed[j].X+width(l.Names[j]) < points[i].X
				if !apart && max(y, placed[j].Y)-min(y, placed[j].Y) < labelHeight {
					return false
				}
			}
			return y >= low && y <= high
		}
		at := points[i].Y
		for step := vg.Length(0); step < high-low; step++ {
			if free(points[i].Y - step) {
				at = points[i].Y - step
				break
			}
			if free(points[i].Y + step) {
				at = points[i].Y + step
				break
			}
		}
		placed[i] = vg.Point{X: points[i].X + labelGap, Y: at}
	}
	return placed
}
