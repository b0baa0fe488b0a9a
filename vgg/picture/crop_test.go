package picture

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCenterOffset(t *testing.T) {
	for _, c := range [][3]int{ // Python: round((n−size)/2)
		{256, 224, 16}, {385, 224, 80}, {387, 224, 82}, {225, 224, 0}, {227, 224, 2}, {229, 224, 2}, {231, 224, 4}, {224, 224, 0},
	} {
		require.Equal(t, c[2], CenterOffset(c[0], c[1]), "%d of %d", c[1], c[0])
	}
}

// numbered returns a picture whose pixel (x, y) is {x, y, 100}.
func numbered(w, h int) *RGB {
	p := NewRGB(w, h)
	for y := range h {
		for x := range w {
			copy(p.Row(y)[3*x:], []uint8{uint8(x), uint8(y), 100})
		}
	}
	return p
}

func at(p *RGB, x, y int) [3]uint8 { return [3]uint8(p.Pix[3*(y*p.W+x):]) }

func TestCrop(t *testing.T) {
	p := numbered(7, 5)
	c := Crop(p, 2, 1, 4, 3)
	require.Equal(t, [2]int{4, 3}, [2]int{c.W, c.H})
	require.Equal(t, [3]uint8{2, 1, 100}, at(c, 0, 0))
	require.Equal(t, [3]uint8{5, 3, 100}, at(c, 3, 2))
	CropInto(c, p, 2, 1, 4, 3, true)
	require.Equal(t, [3]uint8{5, 1, 100}, at(c, 0, 0))
	require.Zero(t, len(Crop(p, 7, 5, 0, 0).Pix))
	require.PanicsWithValue(t, "picture: crop outside the picture", func() { Crop(p, 4, 0, 4, 1) })
	require.PanicsWithValue(t, "picture: crop onto itself", func() { CropInto(p, p, 0, 0, 1, 1, false) })
}

func TestCenterCropPads(t *testing.T) {
	p := numbered(3, 8)
	c := CenterCrop(p, 6, 4) // 3 columns of padding: 1 left, 2 right
	require.Equal(t, [3]uint8{}, at(c, 0, 0))
	require.Equal(t, [3]uint8{0, 2, 100}, at(c, 1, 0))
	require.Equal(t, [3]uint8{2, 5, 100}, at(c, 3, 3))
	require.Equal(t, [3]uint8{}, at(c, 4, 3))
}

func TestFlipHorizontal(t *testing.T) {
	for _, w := range []int{0, 1, 2, 5} {
		p := numbered(w, 3)
		FlipHorizontal(p)
		for y := range 3 {
			for x := range w {
				require.Equal(t, [3]uint8{uint8(w - 1 - x), uint8(y), 100}, at(p, x, y))
			}
		}
	}
}
