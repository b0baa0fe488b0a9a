package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Filter is a resampling filter. The zero value is [Bilinear].
type Filter uint8

// The filters of Pillow. All are antialiased: when a picture shrinks, their
// support grows by the same factor.
const (
	Bilinear Filter = iota // triangle, support 1
	Box                    // mean of the pixels covered, support 1/2
	Hamming                // sinc with a Hamming window, support 1
	Bicubic                // Keys' cubic with a = −1/2, support 2
	Lanczos                // sinc with a sinc window, support 3
)

var filters = [...]struct {
	name    string
	support float64
	weight  func(x float64) float64
}{
	Bilinear: {"bilinear", 1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }},
	Box:      {"box", 0.5, box},
	Hamming:  {"hamming", 1, hamming},
	Bicubic:  {"bicubic", 2, bicubic},
	Lanczos:  {"lanczos", 3, lanczos},
}

// String returns the name of f in lower case.
func (f Filter) String() string {
	if int(f) < len(filters) {
		return filters[f].name
	}
	return fmt.Sprintf("Filter(%d)", uint8(f))
}

// ParseFilter is the inverse of [Filter.String].
func ParseFilter(name string) (Filter, error) {
	for i := range filters {
		if filters[i].name == name {
			return Filter(i), nil
		}
	}
	return 0, fmt.Errorf("picture: unknown filter %q", name)
}

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

func hamming(x float64) float64 {
	if x = math.Abs(x); x >= 1 {
		return 0
	}
	const a, b = float32(0.54), float32(0.46) // Pillow has them in single precision
	return sinc(x) * (float64(a) + float64(b)*math.Cos(x*math.Pi))
}

func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

func lanczos(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

// Weights are fixed-point numbers with this many bits after the point: 32 less
// 8 for the pixel, less 2 for filters whose weights add up to more than 1.
const weightBits = 32 - 8 - 2

// axis holds the weights of one direction: output i of [first, first+n) is
// the sum of weights[i·taps+j] · input[start[i]+j] over j < count[i].
type axis struct {
	key     axisKey
	taps    int
	start   []int32
	count   []int32
	weights []int32
	exact   []float64 // weights of one output before rounding
}

type axisKey struct {
	filter        Filter
	in, out       int // sizes of the whole picture
	first, number int // the part of out that is wanted
}

// set computes the weights for k. It does nothing if a holds them already.
func (a *axis) set(k axisKey) {
	if a.key == k {
		return
	}
	f := filters[k.filter]
	scale := float64(k.in) / float64(k.out)
	widen := max(scale, 1)
	support := f.support * widen
	a.key = k
	a.taps = min(2*int(math.Ceil(support))+1, k.in)
	a.start = resized(a.start, k.number)
	a.count = resized(a.count, k.number)
	a.weights = resized(a.weights, k.number*a.taps)
	for i := range k.number {
		center := (float64(k.first+i) + 0.5) * scale
		lo := max(int(center-support+0.5), 0)
		hi := min(int(center+support+0.5), k.in)
		a.start[i], a.count[i] = int32(lo), int32(hi-lo)
		w := a.weights[i*a.taps:][:hi-lo]
		a.exact = a.exact[:0]
		sum := 0.0
		for j := range w {
			v := f.weight((float64(lo+j) - center + 0.5) * (1 / widen))
			a.exact = append(a.exact, v)
			sum += v
		}
		for j, v := range a.exact {
			if sum != 0 {
				v /= sum
			}
			w[j] = int32(math.Trunc(v*(1<<weightBits) + math.Copysign(0.5, v)))
		}
	}
}

// span returns the inputs [lo, hi) that any output reads.
func (a *axis) span() (lo, hi int) {
	n := len(a.start)
	lo, hi = int(a.start[0]), 0
	for i := range n {
		lo = min(lo, int(a.start[i]))
		hi = max(hi, int(a.start[i]+a.count[i]))
	}
	return lo, hi
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Resizer resizes pictures. It keeps the weights of the last sizes and scratch, so that it
// allocates nothing for a repeated geometry. The zero value is ready and bilinear. One
// goroutine at a time may use a Resizer.
//
// The results equal Pillow's Image.resize byte for byte (reducing_gap=None): the filter's
// weights, rounded to 22 fractional bits, are applied to the rows and then to the columns,
// with 8-bit pixels between the two. For Hamming and Lanczos that supposes that math.Sin
// rounds as the C library does; a last bit there hardly ever changes a pixel.
type Resizer struct {
	Filter Filter
	x, y   axis
	rows   RGB // after the horizontal pass: the rows that the vertical pass reads
}

// Resize sets dst to src scaled to w×h pixels. dst keeps its memory if that suffices, and
// must not be src. Resize panics if a size is not positive or if src is empty.
func (z *Resizer) Resize(dst, src *RGB, w, h int) { z.ResizeCrop(dst, src, w, h, 0, 0, w, h) }

// ResizeCrop sets dst to the cw×ch pixels at (cx, cy) of src scaled to w×h. It equals Resize
// and then Crop, but computes and stores only the crop: memory and time grow with the crop,
// however long and narrow the picture is.
//
// It panics if a size is not positive, if src is empty, or if the crop is not inside w×h.
func (z *Resizer) ResizeCrop(dst, src *RGB, w, h, cx, cy, cw, ch int) {
	src.check()
	switch {
	case src.W == 0 || src.H == 0:
		panic("picture: resize of an empty picture")
	case w <= 0 || h <= 0 || cw <= 0 || ch <= 0:
		panic("picture: resize to a size that is not positive")
	case cx < 0 || cy < 0 || cx > w-cw || cy > h-ch:
		panic("picture: crop outside the picture")
	case dst == src:
		panic("picture: resize onto itself")
	}
	// A pass that does not change the size is no pass.
	if w != src.W {
		z.x.set(axisKey{z.Filter, src.W, w, cx, cw})
	}
	if h != src.H {
		z.y.set(axisKey{z.Filter, src.H, h, cy, ch})
	}
	switch {
	case w == src.W && h == src.H:
		CropInto(dst, src, cx, cy, cw, ch, false)
	case w == src.W:
		z.vertical(dst, src, cx, cw, 0)
	case h == src.H:
		z.horizontal(dst, src, cy, cy+ch)
	default:
		lo, hi := z.y.span()
		z.horizontal(&z.rows, src, lo, hi)
		z.vertical(dst, &z.rows, 0, cw, lo)
	}
}

// horizontal sets dst to rows [lo, hi) of src, filtered along x.
func (z *Resizer) horizontal(dst, src *RGB, lo, hi int) {
	dst.Reset(len(z.x.start), hi-lo)
	for y := lo; y < hi; y++ {
		z.x.filterRow(dst.Row(y-lo), src.Row(y))
	}
}

// filterRow computes one row of dst from one of src.
func (a *axis) filterRow(dst, src []uint8) {
	for i, lo := range a.start {
		n := int(a.count[i])
		w := a.weights[i*a.taps:][:n]
		s := src[3*lo:][:3*n]
		r, g, b := int32(1<<(weightBits-1)), int32(1<<(weightBits-1)), int32(1<<(weightBits-1))
		for _, k := range w {
			p := (*[3]uint8)(s)
			r += k * int32(p[0])
			g += k * int32(p[1])
			b += k * int32(p[2])
			s = s[3:]
		}
		d := dst[3*i : 3*i+3]
		d[0], d[1], d[2] = clip(r>>weightBits), clip(g>>weightBits), clip(b>>weightBits)
	}
}

// vertical sets dst to columns [x, x+w) of src, filtered along y. Row 0 of src
// is row first of the picture.
func (z *Resizer) vertical(dst, src *RGB, x, w, first int) {
	a := &z.y
	dst.Reset(w, len(a.start))
	for i, lo := range a.start {
		s := src.Pix[3*((int(lo)-first)*src.W+x):]
		filterColumns(dst.Row(i), s, 3*src.W, a.weights[i*a.taps:][:a.count[i]])
	}
}

// filterColumns sets dst[x] to the rounded sum of w[j]·src[j·stride+x].
//
// Two sums share a 64-bit word. A sum with its sign fits in 32 bits. The lower one may
// borrow from the upper one; the end corrects that.
func filterColumns(dst, src []uint8, stride int, w []int32) {
	const lanes = 0x000000ff_000000ff
	const start = 1<<(weightBits-1) | 1<<(weightBits-1+32)
	x := 0
	for ; x+8 <= len(dst); x += 8 {
		var s0, s1, s2, s3 int64 = start, start, start, start
		s := src[x:]
		for _, k := range w {
			v := binary.LittleEndian.Uint64(s)
			s0 += int64(v&lanes) * int64(k)
			s1 += int64(v>>8&lanes) * int64(k)
			s2 += int64(v>>16&lanes) * int64(k)
			s3 += int64(v>>24&lanes) * int64(k)
			s = s[min(stride, len(s)):]
		}
		d := dst[x : x+8]
		d[0], d[4] = split(s0)
		d[1], d[5] = split(s1)
		d[2], d[6] = split(s2)
		d[3], d[7] = split(s3)
	}
	for ; x < len(dst); x++ {
		sum := int32(1 << (weightBits - 1))
		for j, k := range w {
			sum += k * int32(src[j*stride+x])
		}
		dst[x] = clip(sum >> weightBits)
	}
}

// split rounds the two sums in s to pixels.
func split(s int64) (lo, hi uint8) {
	l := int32(s)
	h := int32((s - int64(l)) >> 32)
	return clip(l >> weightBits), clip(h >> weightBits)
}

// Resize returns src scaled to w×h pixels with the bilinear filter; see [Resizer].
func Resize(src *RGB, w, h int) *RGB {
	var z Resizer
	dst := new(RGB)
	z.Resize(dst, src, w, h)
	return dst
}

// ShortSize returns the size of a w×h picture whose short side is scaled to side: the long
// one is ⌊side·long/short⌋, as in torchvision's Resize(side).
func ShortSize(w, h, side int) (rw, rh int) {
	if w <= h {
		return side, side * h / w
	}
	return side * w / h, side
}

// ShortSizeNearest is [ShortSize] with the long side rounded to nearest, halves
// up, as many scripts around Pillow do; results differ by one column or row.
func ShortSizeNearest(w, h, side int) (rw, rh int) {
	if w <= h {
		return side, (2*side*h + w) / (2 * w)
	}
	return (2*side*w + h) / (2 * h), side
}

// ErrSize is the error of a picture that is empty or larger than allowed.
var ErrSize = errors.New("unusable picture size")

// ResizeShort returns src scaled so that its short side is side, with the bilinear filter.
// It returns ErrSize if src is so long and narrow that the result would exceed
// [DefaultMaxPixels]; [Resizer.ResizeShortCrop] has no such limit. It panics if side is not
// positive or src is empty.
func ResizeShort(src *RGB, side int) (*RGB, error) {
	if side <= 0 || src.W <= 0 || src.H <= 0 {
		panic("picture: resize to a size that is not positive")
	}
	w, h := ShortSize(src.W, src.H, side)
	if w > DefaultMaxPixels/h {
		return nil, fmt.Errorf("picture: %d×%d scaled to a short side of %d is %d×%d, over %d pixels: %w",
			src.W, src.H, side, w, h, DefaultMaxPixels, ErrSize)
	}
	return Resize(src, w, h), nil
}

// ResizeShortCrop scales src to a short side of side and sets dst to the size×size pixels in
// its middle. It equals ResizeShort and then CenterCrop, with black padding if size exceeds
// side, and computes only the crop. It panics if side or size is not positive or src is
// empty.
func (z *Resizer) ResizeShortCrop(dst, src *RGB, side, size int) {
	if side <= 0 || size <= 0 || src.W <= 0 || src.H <= 0 {
		panic("picture: resize to a size that is not positive")
	}
	w, h := ShortSize(src.W, src.H, side)
	cw, ch := min(size, w), min(size, h)
	z.ResizeCrop(dst, src, w, h, max(CenterOffset(w, size), 0), max(CenterOffset(h, size), 0), cw, ch)
	if cw < size || ch < size {
		*dst = *CenterCrop(dst, size, size)
	}
}
