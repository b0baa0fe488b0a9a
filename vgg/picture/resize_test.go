package picture

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// noise returns a picture of random bytes.
func noise(seed uint64, w, h int) *RGB {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := NewRGB(w, h)
	for i := range p.Pix {
		p.Pix[i] = uint8(rng.Uint32())
	}
	return p
}

// naiveResize is the definition in plain loops: rows, 8-bit, columns.
func naiveResize(f Filter, src *RGB, w, h int) *RGB {
	if w != src.W {
		var a axis
		a.set(axisKey{f, src.W, w, 0, w})
		dst := NewRGB(w, src.H)
		for y := range src.H {
			for x := range w {
				for c := range 3 {
					dst.Pix[3*(y*w+x)+c] = naiveSum(&a, x, func(i int) uint8 { return src.Pix[3*(y*src.W+i)+c] })
				}
			}
		}
		src = dst
	}
	if h != src.H {
		var a axis
		a.set(axisKey{f, src.H, h, 0, h})
		dst := NewRGB(src.W, h)
		for y := range h {
			for x := range 3 * src.W {
				dst.Pix[y*3*src.W+x] = naiveSum(&a, y, func(i int) uint8 { return src.Pix[i*3*src.W+x] })
			}
		}
		src = dst
	}
	return src
}

func naiveSum(a *axis, i int, pixel func(i int) uint8) uint8 {
	sum := int64(1) << (weightBits - 1)
	for j := range int(a.count[i]) {
		sum += int64(a.weights[i*a.taps+j]) * int64(pixel(int(a.start[i])+j))
	}
	return uint8(min(max(sum>>weightBits, 0), 255))
}

func testResize(t *testing.T, seed uint64, f Filter, sw, sh, w, h, cx, cy, cw, ch int) {
	t.Helper()
	src := noise(seed, sw, sh)
	keep := append([]uint8(nil), src.Pix...)
	want := naiveResize(f, src, w, h)
	z := &Resizer{Filter: f}
	got := noise(seed+1, 7, 9) // stale contents must not show
	z.Resize(got, src, w, h)
	requireSame(t, want, got)
	for range 2 { // again, with the weights kept
		z.ResizeCrop(got, src, w, h, cx, cy, cw, ch)
		requireSame(t, Crop(want, cx, cy, cw, ch), got)
	}
	require.Equal(t, keep, src.Pix, "source changed")
}

func TestResize(t *testing.T) {
	sizes := []int{1, 2, 3, 7, 8, 16, 33, 100}
	for f := range Filter(len(filters)) {
		t.Run(f.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, uint64(f)))
			for _, sw := range sizes {
				for _, w := range sizes {
					sh, h := sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))]
					cx, cy := rng.IntN(w), rng.IntN(h)
					testResize(t, 3, f, sw, sh, w, h, cx, cy, 1+rng.IntN(w-cx), 1+rng.IntN(h-cy))
				}
			}
		})
	}
}

// A filter with negative weights reaches both ends of the range, in both halves
// of a word: this is where the paired sums could spill.
func TestResizeClips(t *testing.T) {
	src := NewRGB(64, 64)
	for i := range src.Pix {
		if i/3%8 < 4 != (i/192%8 < 4) {
			src.Pix[i] = 255
		}
	}
	for _, f := range []Filter{Bicubic, Lanczos, Bilinear} {
		for _, n := range []int{20, 63, 130} {
			got := new(RGB)
			(&Resizer{Filter: f}).Resize(got, src, n, n)
			requireSame(t, naiveResize(f, src, n, n), got)
		}
	}
}

func TestResizeKeepsColour(t *testing.T) {
	src := NewRGB(301, 203)
	for i := range src.Pix {
		src.Pix[i] = []uint8{17, 200, 255}[i%3]
	}
	for _, s := range [][2]int{{1, 1}, {40, 27}, {602, 500}} {
		for i, v := range Resize(src, s[0], s[1]).Pix {
			require.Equal(t, []uint8{17, 200, 255}[i%3], v)
		}
	}
}

func TestResizePanics(t *testing.T) {
	p, dst := NewRGB(4, 4), new(RGB)
	var z Resizer
	require.PanicsWithValue(t, "picture: resize to a size that is not positive", func() { Resize(p, 0, 1) })
	require.PanicsWithValue(t, "picture: resize of an empty picture", func() { Resize(dst, 1, 1) })
	require.PanicsWithValue(t, "picture: resize onto itself", func() { z.Resize(p, p, 2, 2) })
	require.PanicsWithValue(t, "picture: crop outside the picture", func() { z.ResizeCrop(dst, p, 8, 8, 5, 0, 4, 4) })
	require.PanicsWithValue(t, "picture: length of Pix is not 3·W·H", func() { Resize(&RGB{W: 2, H: 2}, 1, 1) })
}

func TestShortSize(t *testing.T) {
	for _, c := range []struct{ w, h, side, rw, rh, nw, nh int }{
		{451, 300, 256, 384, 256, 385, 256}, // 384.85
		{640, 427, 256, 383, 256, 384, 256},
		{300, 451, 256, 256, 384, 256, 385},
		{512, 512, 256, 256, 256, 256, 256},
		{1, 30000, 256, 256, 7680000, 256, 7680000},
		{256, 500, 256, 256, 500, 256, 500},
	} {
		w, h := ShortSize(c.w, c.h, c.side)
		require.Equal(t, [2]int{c.rw, c.rh}, [2]int{w, h})
		w, h = ShortSizeNearest(c.w, c.h, c.side)
		require.Equal(t, [2]int{c.nw, c.nh}, [2]int{w, h})
	}
}

func TestResizeShort(t *testing.T) {
	src := noise(1, 90, 60)
	got, err := ResizeShort(src, 32)
	require.NoError(t, err)
	requireSame(t, naiveResize(Bilinear, src, 48, 32), got)
	_, err = ResizeShort(NewRGB(1, 400_000), 256)
	require.ErrorIs(t, err, ErrSize)
	require.ErrorContains(t, err, "1×400000")
}

func TestResizeShortCrop(t *testing.T) {
	var z Resizer
	got := new(RGB)
	for _, c := range [][4]int{{90, 60, 32, 20}, {60, 91, 32, 31}, {50, 40, 16, 24}, {40, 16, 16, 24}, {5, 5, 8, 8}} {
		src := noise(2, c[0], c[1])
		want, err := ResizeShort(src, c[2])
		require.NoError(t, err)
		z.ResizeShortCrop(got, src, c[2], c[3])
		requireSame(t, CenterCrop(want, c[3], c[3]), got)
	}
	// The whole would have 25,600 × 256·100,000 pixels.
	z.ResizeShortCrop(got, noise(3, 1, 100_000), 256, 224)
	require.Equal(t, 3*224*224, len(got.Pix))
}

func TestResizerDoesNotAllocate(t *testing.T) {
	src, dst := noise(1, 300, 200), new(RGB)
	var z Resizer
	require.Zero(t, testutil.AllocsPerRun(10, func() { z.ResizeShortCrop(dst, src, 64, 56) }))
}

func TestFilterNames(t *testing.T) {
	for f := range Filter(len(filters)) {
		got, err := ParseFilter(f.String())
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	_, err := ParseFilter("nearest")
	require.Error(t, err)
	require.Equal(t, "Filter(99)", Filter(99).String())
}

func FuzzResize(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(30), uint8(20), uint8(16), uint8(11), uint8(3), uint8(4))
	f.Add(uint64(2), uint8(4), uint8(8), uint8(9), uint8(64), uint8(65), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, filter, sw, sh, w, h, cx, cy uint8) {
		side := func(n uint8) int { return 1 + int(n)%120 }
		rw, rh := side(w), side(h)
		x, y := int(cx)%rw, int(cy)%rh
		testResize(t, seed, Filter(int(filter)%len(filters)), side(sw), side(sh), rw, rh, x, y, rw-x, rh-y)
	})
}

func BenchmarkResize(b *testing.B) {
	for _, s := range [][4]int{{600, 400, 384, 256}, {1411, 1411, 256, 256}, {4000, 3000, 341, 256}, {500, 375, 512, 384}} {
		src, dst := noise(1, s[0], s[1]), new(RGB)
		for _, f := range []Filter{Bilinear, Bicubic} {
			b.Run(fmt.Sprintf("from=%dx%d/to=%dx%d/filter=%v", s[0], s[1], s[2], s[3], f), func(b *testing.B) {
				z := Resizer{Filter: f}
				b.SetBytes(int64(len(src.Pix)))
				b.ReportAllocs()
				for b.Loop() {
					z.Resize(dst, src, s[2], s[3])
				}
			})
		}
	}
}

func BenchmarkResizeShortCrop(b *testing.B) {
	src, dst := noise(1, 500, 375), new(RGB)
	var z Resizer
	b.SetBytes(int64(len(src.Pix)))
	for b.Loop() {
		z.ResizeShortCrop(dst, src, 256, 224)
	}
}
