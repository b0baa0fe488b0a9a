package chart

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// TestBars holds that each bar has its name and its value in the picture, in all formats.
func TestBars(t *testing.T) {
	bars := Bars{Title: "title", Unit: "ms", Limit: 12, LimitName: "limit", Groups: []Group{
		{Title: "group", Bars: []Bar{{"first", 0.123456, Orange}, {"second", 10, Blue}, {"third", 123.4, Grey}}},
		{Bars: []Bar{{"nothing", 0, Sky}}},
	}}
	for _, format := range Formats() {
		var b bytes.Buffer
		require.NoError(t, Write(&b, format, 10*vg.Centimeter, bars.Plot()))
		require.NotEmpty(t, b.Bytes(), format)
		if format == "svg" {
			for _, text := range []string{"title", "ms", "limit", "group", "first", "0.123", "second", "10.0", "third", "123", "nothing"} {
				assert.Contains(t, b.String(), ">"+text+"<")
			}
		}
	}
	assert.ErrorContains(t, Write(&bytes.Buffer{}, "gif", 10, bars.Plot()), `"gif"`)
}

// TestLabels holds that names of points in any place lie apart, near their points.
func TestLabels(t *testing.T) {
	l := &Labels{}
	var points []vg.Point
	for i := range 24 {
		l.XYs = append(l.XYs, plotter.XY{})
		l.Names = append(l.Names, fmt.Sprintf("conv%d_%s", i, strings.Repeat("x", i%3)))
		points = append(points, vg.Point{X: vg.Length(i * 7 % 40), Y: 150 + vg.Length(i%5)})
	}
	placed := l.place(points, 6, 294)
	for i, a := range placed {
		assert.Equal(t, points[i].X+labelGap, a.X)
		for j, b := range placed[:i] {
			overlap := a.X < b.X+width(l.Names[j]) && b.X < a.X+width(l.Names[i]) && max(a.Y, b.Y)-min(a.Y, b.Y) < labelHeight
			assert.False(t, overlap, "%s at %v, %s at %v", l.Names[i], a, l.Names[j], b)
		}
	}
}
