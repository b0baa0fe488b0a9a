package picture

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCropLimits: a crop may end with the picture, and not one pixel beyond it.
func TestCropLimits(t *testing.T) {
	src := numbered(6, 5)
	var z Resizer
	for _, c := range []struct {
		x, y, w, h int
		ok         bool
	}{
		{0, 0, 6, 5, true}, {5, 4, 1, 1, true}, {2, 1, 4, 4, true}, {-1, 0, 1, 1, false}, {0, -1, 1, 1, false}, {0, 0, 7, 1, false}, {0, 0, 1, 6, false}, {5, 0, 2, 1, false}, {0, 4, 1, 2, false}, {6, 0, 1, 1, false}, {0, 5, 1, 1, false},
	} {
		crop := func() { CropInto(new(RGB), src, c.x, c.y, c.w, c.h, false) }
		same := func() { z.ResizeCrop(new(RGB), src, 6, 5, c.x, c.y, c.w, c.h) }
		larger := func() { z.ResizeCrop(new(RGB), NewRGB(3, 2), 6, 5, c.x, c.y, c.w, c.h) }
		for _, f := range []func(){crop, same, larger} {
			if c.ok {
				require.NotPanics(t, f, "%+v", c)
			} else {
				require.PanicsWithValue(t, "picture: crop outside the picture", f, "%+v", c)
			}
		}
	}
	require.Panics(t, func() { CropInto(new(RGB), src, 0, 0, -1, 1, false) })
	require.Panics(t, func() { CropInto(new(RGB), src, 0, 0, 1, -1, false) })
	require.NotPanics(t, func() { CropInto(new(RGB), src, 6, 5, 0, 0, false) }, "of nothing")
	require.PanicsWithValue(t, "picture: crop onto itself", func() { CropInto(src, src, 0, 0, 1, 1, false) })
	for _, size := range [][4]int{{0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}, {-1, 1, 1, 1}} {
		require.PanicsWithValue(t, "picture: resize to a size that is not positive", func() { z.ResizeCrop(new(RGB), src, size[0], size[1], 0, 0, size[2], size[3]) }, "%v", size)
	}
	for _, empty := range []*RGB{{W: 0, H: 3}, {W: 3, H: 0}} {
		require.Panics(t, func() { z.Resize(new(RGB), empty, 1, 1) })
		require.Panics(t, func() { _, _ = ResizeShort(empty, 1) })
		require.Panics(t, func() { z.ResizeShortCrop(new(RGB), empty, 1, 1) })
		require.Panics(t, func() { _ = z.CoverCrop(new(RGB), empty, 1, 1, 2) })
	}
	for _, bad := range [][3]int{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}, {-1, 1, 2}} {
		require.PanicsWithValue(t, "picture: resize to a size that is not positive", func() { _ = z.CoverCrop(new(RGB), src, bad[0], bad[1], bad[2]) }, "%v", bad)
	}
	require.Panics(t, func() { _, _ = ResizeShort(src, 0) })
	require.Panics(t, func() { z.ResizeShortCrop(new(RGB), src, 0, 1) })
	require.Panics(t, func() { z.ResizeShortCrop(new(RGB), src, 1, 0) })
	require.NotPanics(t, func() { z.ResizeShortCrop(new(RGB), src, 1, 1) })
	require.Panics(t, func() { NewRGB(-1, 1) })
	require.Panics(t, func() { NewRGB(1, -1) })
	for _, x := range []int{-1, 9} {
		require.Panics(t, func() { PadCrop(new(RGB), src, 4, x, 0, Zero, false) })
		require.Panics(t, func() { PadCrop(new(RGB), src, 4, 0, x, Zero, false) })
	}
	require.Panics(t, func() { PadCrop(new(RGB), numbered(5, 6), 5, 0, 0, Reflect, false) })
	require.NotPanics(t, func() { PadCrop(new(RGB), numbered(5, 6), 4, 8, 8, Reflect, false) })
	require.NotPanics(t, func() { PadCrop(new(RGB), src, 9, 0, 0, Zero, false) })
}

// TestTransformLimits: a transform without a size, and a result of another, are errors.
func TestTransformLimits(t *testing.T) {
	src := numbered(6, 5)
	for _, tr := range []Transform{{Size: 4}, {Side: 4}, {Side: -1, Size: 4}, {Side: 4, Size: -1}, {Side: 4, Size: 4, Width: -1}} {
		require.Error(t, tr.Apply(make([]float32, 48), src), "%+v", &tr)
	}
	for n, ok := range map[int]bool{3*4*3 - 1: false, 3 * 4 * 3: true, 3*4*3 + 1: false} {
		err := (&Transform{Side: 4, Size: 4, Width: 3}).Apply(make([]float32, n), src)
		require.Equal(t, ok, err == nil, n)
	}
}

// numbersOf is a source of given random bits.
type numbersOf []uint64

func (n *numbersOf) Uint64() uint64 {
	v := (*n)[0]
	*n = (*n)[1:]
	return v
}

// TestDraws: the least and the greatest random bits draw the ends of each range.
func TestDraws(t *testing.T) {
	const least, most, half = 0, math.MaxUint64, 1 << 63
	for _, c := range []struct {
		bits uint64
		n    int
		want int
	}{{least, 7, 0}, {most, 7, 6}, {half, 7, 3}, {half, 8, 4}, {half - 1, 8, 3}, {most, 1, 0}, {most, 1 << 20, 1<<20 - 1}} {
		require.Equal(t, c.want, below(c.bits, c.n), "%+v", c)
	}
	j := Jitter{Min: 20, Max: 29, Size: 20}
	draw := func(j Jitter, bits ...uint64) View {
		source := numbersOf(bits)
		v := j.Sample(rand.New(&source), 60, 40)
		require.Empty(t, source, "it draws four numbers")
		return v
	}
	require.Equal(t, View{RW: 30, RH: 20, W: 20, H: 20}, draw(j, least, least, least, least))
	require.Equal(t, View{RW: 43, RH: 29, X: 23, Y: 9, W: 20, H: 20, Flip: true}, draw(j, most, most, most, most))
	require.Equal(t, View{RW: 37, RH: 25, X: 9, Y: 3, W: 20, H: 20, Flip: true}, draw(j, half, half, half, half))
	require.False(t, draw(j, least, least, least, half-1).Flip)
	require.Equal(t, View{RW: 30, RH: 20, X: 10, W: 20, H: 20}, draw(Jitter{Min: 20, Max: 20, Size: 20}, most, most, most, least))
	for _, bad := range []Jitter{{0, 0, 0}, {19, 29, 20}, {29, 28, 20}, {20, 20, -1}} {
		require.Panics(t, func() { bad.Sample(rand.New(&numbersOf{0, 0, 0, 0}), 60, 40) }, "%+v", bad)
	}
	for _, size := range [][2]int{{0, 40}, {60, 0}, {-1, 40}} {
		require.Panics(t, func() { j.Sample(rand.New(&numbersOf{0, 0, 0, 0}), size[0], size[1]) }, "%v", size)
	}
	x, y, flip := SamplePadCrop(rand.New(&numbersOf{least, most, half}), 4)
	require.Equal(t, []any{0, 8, true}, []any{x, y, flip})
	x, y, flip = SamplePadCrop(rand.New(&numbersOf{half, least, half - 1}), 4)
	require.Equal(t, []any{4, 0, false}, []any{x, y, flip})
}

// TestCutoutSquares paints whole squares, odd ones too, and what of others is in the picture.
func TestCutoutSquares(t *testing.T) {
	for _, c := range []struct{ x, y, size, x0, y0, x1, y1 int }{
		{4, 4, 4, 2, 2, 6, 6}, {4, 4, 3, 3, 3, 6, 6}, {4, 4, 1, 4, 4, 5, 5}, {4, 4, 0, 0, 0, 0, 0}, {0, 0, 4, 0, 0, 2, 2}, {7, 6, 4, 5, 4, 8, 7}, {9, 3, 4, 7, 1, 8, 5}, {10, 3, 4, 0, 0, 0, 0}, {-2, 3, 4, 0, 0, 0, 0}, {-1, 3, 4, 0, 1, 1, 5},
	} {
		p := NewRGB(8, 7)
		Cutout(p, c.x, c.y, c.size, [3]uint8{1, 2, 3})
		for y := range 7 {
			for x := range 8 {
				want := [3]uint8{}
				if c.x0 <= x && x < c.x1 && c.y0 <= y && y < c.y1 {
					want = [3]uint8{1, 2, 3}
				}
				require.Equal(t, want, at(p, x, y), "%+v", c)
			}
		}
	}
}

// TestGridLimits: a grid of one crop is in the middle, and one that just fits has equal crops.
func TestGridLimits(t *testing.T) {
	require.Equal(t, []View{{10, 8, 2, 1, 5, 5, false}, {10, 8, 2, 1, 5, 5, true}}, Grid(nil, 10, 8, 5, 1))
	require.Len(t, Grid(nil, 5, 5, 5, 2), 8)
	require.Equal(t, View{5, 5, 0, 0, 5, 5, true}, Grid(nil, 5, 5, 5, 2)[7])
	for _, c := range [][4]int{{5, 4, 5, 2}, {4, 5, 5, 2}, {5, 5, 0, 2}, {5, 5, -1, 2}} {
		require.Empty(t, Grid(nil, c[0], c[1], c[2], c[3]), "%v", c)
	}
	require.Len(t, Grid(make([]View, 3), 5, 5, 5, 1), 5, "they are appended")
	var x []int
	for i := range 4 {
		x = append(x, gridOffset(10, i, 4))
	}
	require.Equal(t, []int{0, 3, 7, 10}, x)
	require.Equal(t, []int{0, 1, 1}, []int{gridOffset(1, 0, 3), gridOffset(1, 1, 3), gridOffset(1, 2, 3)}, "halves are rounded up")
}

// TestWorkLimits: the work that a file of some bytes may make, and one byte more.
func TestWorkLimits(t *testing.T) {
	for _, length := range []int{0, 1, 1000} {
		most := int64(400_000_000 + 64*length)
		require.NoError(t, checkWork(most, length))
		require.ErrorIs(t, checkWork(most+1, length), ErrSize)
	}
	for _, c := range []struct {
		w, h, limit int
		ok          bool
	}{{10, 10, 100, true}, {10, 10, 99, false}, {1, 1, 1, true}, {0, 1, 9, false}, {1, 0, 9, false}, {-1, 1, 9, false}, {1, -1, 9, false}, {3, 3, 9, true}, {4, 3, 11, false}, {math.MaxInt, math.MaxInt, math.MaxInt, false}} {
		require.Equal(t, c.ok, checkSize(c.w, c.h, c.limit) == nil, "%+v", c)
	}
}

// TestWebPFrames puts the first frame of an animation where it belongs on its canvas.
func TestWebPFrames(t *testing.T) {
	alone, err := os.ReadFile(filepath.Join("testdata", "one.webp")) // one pixel
	require.NoError(t, err)
	pixel, colour := alone[12:], []byte{131, 252, 22}
	chunk := func(id string, body []byte) []byte {
		b := append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body))), body...)
		return append(b, make([]byte, len(body)%2)...)
	}
	size := func(n int) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16)} }
	file := func(w, h, x, y int, more ...[]byte) []byte {
		canvas := chunk("VP8X", append(append([]byte{2, 0, 0, 0}, size(w-1)...), size(h-1)...))
		head := append(append(size(x/2), size(y/2)...), make([]byte, 10)...)
		parts := append(append([][]byte{canvas}, more...), chunk("ANMF", append(head, pixel...)))
		return append([]byte("RIFF\x00\x00\x00\x00WEBP"), bytes.Join(parts, nil)...)
	}
	for _, c := range [][4]int{{1, 1, 0, 0}, {3, 3, 2, 2}, {5, 4, 4, 0}, {5, 4, 0, 2}, {300, 2, 298, 0}, {2, 300, 0, 298}} {
		for _, more := range [][][]byte{nil, {chunk("ICCP", []byte("abc"))}, {chunk("ICCP", []byte("ab")), chunk("ANIM", make([]byte, 6))}} {
			data := file(c[0], c[1], c[2], c[3], more...)
			w, h, err := webpSize(data)
			require.NoError(t, err)
			require.Equal(t, c[:2], []int{w, h})
			m, err := Decode("x.webp", bytes.NewReader(data))
			require.NoError(t, err, "%v", c)
			want := NewRGB(c[0], c[1])
			copy(want.Row(c[3])[3*c[2]:], colour)
			requireSame(t, want, FromImage(m))
		}
	}
	for _, c := range [][4]int{{2, 2, 2, 0}, {2, 2, 0, 2}, {3, 2, 4, 0}} {
		_, err := Decode("x.webp", bytes.NewReader(file(c[0], c[1], c[2], c[3])))
		require.ErrorContains(t, err, "webp: frame beyond its canvas", "%v", c)
	}
	whole := file(3, 3, 2, 2)
	end := len(whole) - len(pixel)%2 // what is padding may be missing
	for n := 12; n < end-1; n++ {
		_, err := Decode("x.webp", bytes.NewReader(whole[:n]))
		require.Error(t, err, "%d of %d bytes", n, len(whole))
	}
}

// TestOpenSocket: a socket is no picture either.
func TestOpenSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no sockets here:", err)
	}
	defer l.Close()
	_, err = Open(path)
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "is a socket")
}

// TestPresetTexts: a preset without a name says its numbers.
func TestPresetTexts(t *testing.T) {
	require.Equal(t, "RGB·1 mean [0 0 0] std [1 1 1]", Preset{}.String())
	require.Equal(t, "BGR·1/255 mean [1 2 3] std [4 1 5]", Preset{BGR: true, Unit: true, Mean: [3]float32{1, 2, 3}, Std: [3]float32{4, 0, 5}}.String())
	require.Equal(t, "torch", Torch.String())
	p, err := ParsePreset("CAFFE")
	require.NoError(t, err)
	require.Equal(t, Caffe, p)
	_, err = ParseFilter("cubic")
	require.Error(t, err)
	require.Equal(t, "Filter(5)", Filter(5).String())
}
