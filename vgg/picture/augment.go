package picture

import "math/rand/v2"

// View is a part of a picture: the picture is scaled to RW×RH, the W×H pixels at (X, Y) are
// cut out, and mirrored left to right if Flip is set.
type View struct {
	RW, RH     int
	X, Y, W, H int
	Flip       bool
}

// View sets dst to the view v of src. It does not compute the pixels outside of the view. It
// panics as [Resizer.ResizeCrop] does.
func (z *Resizer) View(dst, src *RGB, v View) {
	z.ResizeCrop(dst, src, v.RW, v.RH, v.X, v.Y, v.W, v.H)
	if v.Flip {
		FlipHorizontal(dst)
	}
}

// Grid appends the views of a regular grid of side×side crops of size×size pixels over a w×h
// picture, row by row, each followed by its mirror image. The grid includes the corners; the
// positions are evenly spaced and rounded to nearest. Grid(nil, w, h, 224, 5) are the 50
// views a scale of the paper's multi-crop evaluation (section 3.2).
//
// It appends nothing if the crop does not fit or side is not positive. For side 1 the crop
// is the middle one.
func Grid(views []View, w, h, size, side int) []View {
	if size <= 0 || size > w || size > h {
		return views
	}
	for i := range side {
		for j := range side {
			v := View{RW: w, RH: h, X: gridOffset(w-size, j, side), Y: gridOffset(h-size, i, side), W: size, H: size}
			views = append(views, v)
			v.Flip = true
			views = append(views, v)
		}
	}
	return views
}

// gridOffset returns offset i of n spread over [0, room].
func gridOffset(room, i, n int) int {
	if n == 1 {
		return room / 2
	}
	return (2*room*i + n - 1) / (2 * (n - 1))
}

// Jitter is the paper's training augmentation (section 3.1). The short side of the scaled
// picture is drawn evenly from [Min, Max], and a Size×Size crop evenly from the picture. The
// crop is mirrored with probability one half.
type Jitter struct {
	Min, Max int // the paper's S: 256 and 512, or the same twice for a fixed scale
	Size     int // 224
}

// Sample draws a view of a w×h picture. It always uses four numbers of rng, so that a seed
// means the same views for pictures of any size. It panics unless 0 < Size ≤ Min ≤ Max and
// the picture is not empty.
func (j Jitter) Sample(rng *rand.Rand, w, h int) View {
	if j.Size <= 0 || j.Min < j.Size || j.Max < j.Min || w <= 0 || h <= 0 {
		panic("picture: jitter needs 0 < Size ≤ Min ≤ Max and a picture")
	}
	s, x, y, flip := rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()
	v := View{W: j.Size, H: j.Size, Flip: flip>>63 == 1}
	v.RW, v.RH = ShortSize(w, h, j.Min+below(s, j.Max-j.Min+1))
	v.X = below(x, v.RW-j.Size+1)
	v.Y = below(y, v.RH-j.Size+1)
	return v
}

// below maps 64 random bits to [0, n). Its bias is n·2⁻⁵³ or less.
func below(bits uint64, n int) int {
	return int(float64(bits>>11) / (1 << 53) * float64(n))
}

// Border is what [PadCrop] takes for pixels outside the picture.
type Border uint8

// The borders.
const (
	Zero    Border = iota // black
	Reflect               // mirrored about the edge pixel, which is not repeated
)

// PadCrop pads src by pad on every side, cuts a picture of src's size at (x, y) of the
// result, and sets dst to it, mirrored if flip is set. The cut at (pad, pad) is src itself.
// With pad 4 and x, y drawn from [0, 8] it is the usual augmentation for CIFAR.
//
// It panics if x or y is outside [0, 2·pad], if dst is src, or if pad is not less than both
// sides for Reflect.
func PadCrop(dst, src *RGB, pad, x, y int, border Border, flip bool) {
	src.check()
	switch {
	case x < 0 || y < 0 || x > 2*pad || y > 2*pad:
		panic("picture: crop outside the picture")
	case dst == src:
		panic("picture: crop onto itself")
	case border == Reflect && (pad >= src.W || pad >= src.H):
		panic("picture: reflection wider than the picture")
	}
	dst.Reset(src.W, src.H)
	for i := range dst.H {
		row := dst.Row(i)
		sy, in := border.source(i+y-pad, src.H)
		if !in {
			clear(row)
			continue
		}
		from := src.Row(sy)
		for j := range dst.W {
			d := (*[3]uint8)(row[3*j:])
			if sx, in := border.source(j+x-pad, src.W); in {
				*d = [3]uint8(from[3*sx:])
			} else {
				*d = [3]uint8{}
			}
		}
	}
	if flip {
		FlipHorizontal(dst)
	}
}

// source returns the coordinate that i stands for in [0, n), if any.
func (b Border) source(i, n int) (int, bool) {
	if b == Reflect {
		if i < 0 {
			i = -i
		}
		if i >= n {
			i = 2*(n-1) - i
		}
	}
	return i, 0 <= i && i < n
}

// SamplePadCrop draws x, y and flip for [PadCrop]. It uses three numbers of rng.
func SamplePadCrop(rng *rand.Rand, pad int) (x, y int, flip bool) {
	a, b, c := rng.Uint64(), rng.Uint64(), rng.Uint64()
	return below(a, 2*pad+1), below(b, 2*pad+1), c>>63 == 1
}

// Cutout paints the size×size square around (x, y) in one colour, clipped to the picture
// (DeVries & Taylor, arXiv:1708.04552).
func Cutout(p *RGB, x, y, size int, colour [3]uint8) {
	p.check()
	x0, y0 := x-size/2, y-size/2
	for i := max(y0, 0); i < min(y0+size, p.H); i++ {
		for j := max(x0, 0); j < min(x0+size, p.W); j++ {
			*(*[3]uint8)(p.Pix[3*(i*p.W+j):]) = colour
		}
	}
}
