package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// opaque hides the type of a picture, so that the general path is taken.
type opaque struct{ image.Image }

// TestFromImageTypes compares each fast path with At, pixel by pixel, on a part
// of a picture that does not begin at (0, 0).
func TestFromImageTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(b []uint8) {
		for i := range b {
			b[i] = uint8(rng.Uint32())
		}
	}
	r := image.Rect(-3, 2, 10, 11)
	part := image.Rect(-1, 3, 8, 9)
	nrgba, gray, gray16 := image.NewNRGBA(r), image.NewGray(r), image.NewGray16(r)
	nrgba64, rgba, rgba64 := image.NewNRGBA64(r), image.NewRGBA(r), image.NewRGBA64(r)
	palette := color.Palette{color.NRGBA{200, 100, 50, 0}, color.NRGBA{1, 2, 3, 255}, color.NRGBA{9, 99, 255, 128}}
	paletted := image.NewPaletted(r, palette)
	fill(nrgba.Pix)
	fill(gray.Pix)
	fill(gray16.Pix)
	fill(nrgba64.Pix)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			rgba.Set(x, y, nrgba.At(x, y))
			rgba64.Set(x, y, nrgba.At(x, y))
			paletted.SetColorIndex(x, y, uint8((x+y)&1+x*y&1))
		}
	}
	for _, m := range []interface {
		image.Image
		SubImage(image.Rectangle) image.Image
	}{nrgba, gray, gray16, nrgba64, rgba, rgba64, paletted} {
		sub := m.SubImage(part)
		got, want := FromImage(sub), FromImage(opaque{sub})
		require.Equal(t, want, got, "%T", m)
		require.Equal(t, [2]int{9, 6}, [2]int{got.W, got.H})
		require.Equal(t, got, FromImage(got))
	}
	// Alpha is dropped: the stored colour stays, whatever the opacity.
	n := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	copy(n.Pix, []uint8{200, 100, 50, 0})
	require.Equal(t, []uint8{200, 100, 50}, FromImage(n).Pix)
	require.Equal(t, []uint8{200, 100, 50}, FromImage(opaque{n}).Pix)
	paletted.Palette = palette[:1]
	zero := paletted.SubImage(image.Rect(0, 4, 1, 5)).(*image.Paletted)
	zero.Pix[0] = 0
	require.Equal(t, []uint8{200, 100, 50}, FromImage(zero).Pix)
	require.Equal(t, []uint8{0, 0, 0}, FromImage(paletted.SubImage(image.Rect(0, 3, 1, 4))).Pix, "index past the palette")
	require.Empty(t, FromImage(image.NewGray(image.Rect(5, 5, 5, 9))).Pix)
}

func TestFromImageCMYK(t *testing.T) {
	m := image.NewCMYK(image.Rect(0, 0, 16, 16))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	got := FromImage(m)
	for i := range 256 {
		k := 255 - float64(m.Pix[4*i+3])
		for c := range 3 {
			want := k * (255 - float64(m.Pix[4*i+c])) / 255
			require.InDelta(t, want, float64(got.Pix[3*i+c]), 0.51)
		}
	}
}

// TestYCC compares the fixed-point conversion with the equations of JFIF.
func TestYCC(t *testing.T) {
	for y := 0; y < 256; y += 5 {
		for b := 0; b < 256; b += 3 {
			for r := 0; r < 256; r++ {
				var d [3]uint8
				ycc(d[:], []uint8{uint8(y)}, []uint8{uint8(b)}, []uint8{uint8(r)})
				Y, B, R := float64(y), float64(b)-128, float64(r)-128
				for c, v := range [3]float64{Y + 1.402*R, Y - 0.34414*B - 0.71414*R, Y + 1.772*B} {
					v = min(max(v, 0), 255)
					if e := v - float64(d[c]); e > 0.51 || e < -0.51 {
						t.Fatalf("YCbCr %d %d %d: channel %d is %d, want %.3f", y, b, r, c, d[c], v)
					}
				}
			}
		}
	}
}

// TestUpsampling compares the chroma rows with the triangle filter in rational
// numbers, and SubImage with cropping.
func TestUpsampling(t *testing.T) {
	ratios := map[image.YCbCrSubsampleRatio][2]int{
		image.YCbCrSubsampleRatio444: {1, 1}, image.YCbCrSubsampleRatio422: {2, 1}, image.YCbCrSubsampleRatio420: {2, 2},
		image.YCbCrSubsampleRatio440: {1, 2}, image.YCbCrSubsampleRatio411: {4, 1}, image.YCbCrSubsampleRatio410: {4, 2},
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for ratio, s := range ratios {
		for _, size := range [][2]int{{16, 8}, {17, 9}, {5, 1}, {3, 3}, {1, 1}, {31, 6}} {
			w, h := size[0], size[1]
			m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
			for i := range m.Cb {
				m.Cb[i], m.Cr[i] = uint8(rng.Uint32()), uint8(rng.Uint32())
			}
			cw, ch := (w+s[0]-1)/s[0], (h+s[1]-1)/s[1]
			cbRows, crRows := newUpsampler(chroma(m, m.Cb), w), newUpsampler(chroma(m, m.Cr), w)
			smooth := s[0] <= 2 && s[1] <= 2 && (cw > 2 || s[0] == 1)
			for y := range h {
				cb, cr := cbRows.row(y), crRows.row(y)
				for x := range w {
					for plane, got := range map[*uint8]uint8{&m.Cb[0]: cb[x], &m.Cr[0]: cr[x]} {
						src := m.Cb
						if plane == &m.Cr[0] {
							src = m.Cr
						}
						want, tol := float64(src[m.COffset(x, y)]), 0.0
						if smooth {
							want, tol = triangle(src, m.CStride, cw, ch, x, y, s), 0.75
						}
						require.InDelta(t, want, float64(got), tol, "%v %dx%d at %d,%d", ratio, w, h, x, y)
					}
				}
			}
			// Replicated chroma of any crop equals At's choice of sample.
			if w > 4 && h > 4 {
				c := m.SubImage(image.Rect(1, 1, 4, 4)).(*image.YCbCr)
				u := newUpsampler(chroma(c, c.Cb), 3)
				for y := range 3 {
					cb := u.row(y)
					for x := range 3 {
						want := c.Cb[c.COffset(1+x, 1+y)]
						if s != [2]int{1, 1} {
							require.Equal(t, want, cb[x], "%v at %d,%d", ratio, x, y)
						}
					}
				}
			}
		}
	}
}

// triangle is the chroma at luma sample (x, y), linear between sample centres.
func triangle(src []uint8, stride, cw, ch, x, y int, s [2]int) float64 {
	get := func(i, j int) float64 {
		return float64(src[min(max(j, 0), ch-1)*stride+min(max(i, 0), cw-1)])
	}
	cx, fx := x/s[0], 0.0
	if s[0] == 2 {
		cx, fx = (x+1)/2-1, 0.75-0.5*float64(x%2)
	}
	cy, fy := y/s[1], 0.0
	if s[1] == 2 {
		cy, fy = (y+1)/2-1, 0.75-0.5*float64(y%2)
	}
	return (1-fy)*((1-fx)*get(cx, cy)+fx*get(cx+1, cy)) + fy*((1-fx)*get(cx, cy+1)+fx*get(cx+1, cy+1))
}

func TestRGBIsAnImage(t *testing.T) {
	p := noise(9, 5, 4)
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, p))
	m, err := png.Decode(&file)
	require.NoError(t, err)
	require.Equal(t, p, FromImage(m))
	require.Equal(t, color.RGBA{}, p.At(5, 0))
	require.Panics(t, func() { NewRGB(-1, 2) })
}

func BenchmarkFromImage(b *testing.B) {
	r := image.Rect(0, 0, 1000, 750)
	opaque := image.NewRGBA(r)
	for i := range opaque.Pix {
		opaque.Pix[i] = 255
	}
	for name, m := range map[string]image.Image{
		"YCbCr444": image.NewYCbCr(r, image.YCbCrSubsampleRatio444), "YCbCr420": image.NewYCbCr(r, image.YCbCrSubsampleRatio420),
		"NRGBA": image.NewNRGBA(r), "RGBA": opaque, "Gray": image.NewGray(r), "NRGBA64": image.NewNRGBA64(r),
	} {
		b.Run("type="+name, func(b *testing.B) {
			var p RGB
			b.SetBytes(3 * 1000 * 750)
			for b.Loop() {
				p.SetImage(m)
			}
		})
	}
}

// TestSetEmpty: a picture without pixels has neither width nor height.
func TestSetEmpty(t *testing.T) {
	for _, size := range []image.Rectangle{image.Rect(0, 0, 0, 0), image.Rect(3, 3, 3, 9), image.Rect(0, 5, 7, 5)} {
		rgb := RGB{W: 1, H: 1, Pix: make([]uint8, 3)}
		rgb.SetImage(image.NewGray(size))
		require.Equal(t, image.Rectangle{}, rgb.Bounds(), "%v", size)
		require.Empty(t, rgb.Pix)
	}
}
