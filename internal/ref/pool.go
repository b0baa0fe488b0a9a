package ref

import "math"

// MaxPool2x2 returns the largest of each 2×2 window, stride 2, of planes h×w:
// planes×(h/2)×(w/2), an odd last row or column being dropped, and where in the
// window it stands, 2·row + column. The first largest in that order wins; a NaN
// is larger than anything, and the first NaN wins.
func MaxPool2x2[T Float](planes, h, w int, x []T) (y []float64, arg []uint8) {
	mustLen("x", len(x), planes*h*w)
	oh, ow := h/2, w/2
	y, arg = make([]float64, planes*oh*ow), make([]uint8, planes*oh*ow)
	parallel(planes, func(p int) {
		for o := range oh * ow {
			first := p*h*w + 2*(o/ow)*w + 2*(o%ow)
			best, where := float64(x[first]), 0
			for i := 1; i < 4; i++ {
				v := float64(x[first+i/2*w+i%2])
				if v > best || math.IsNaN(v) && !math.IsNaN(best) {
					best, where = v, i
				}
			}
			y[p*oh*ow+o], arg[p*oh*ow+o] = best, uint8(where)
		}
	})
	return y, arg
}

// MaxPool2x2Grad returns dX, planes×h×w: each dy where arg says, else 0.
func MaxPool2x2Grad[Y Float](planes, h, w int, arg []uint8, dy []Y) []float64 {
	oh, ow := h/2, w/2
	mustLen("arg", len(arg), planes*oh*ow)
	mustLen("dy", len(dy), planes*oh*ow)
	dx := make([]float64, planes*h*w)
	for i, v := range dy {
		p, o, where := i/(oh*ow), i%(oh*ow), int(arg[i])
		dx[p*h*w+(2*(o/ow)+where/2)*w+2*(o%ow)+where%2] = float64(v)
	}
	return dx
}

// AveragePool returns the mean of each k×k window of planes h×w and the mean of
// the absolute values. Zero padding counts as elements of the window.
func AveragePool[T Float](planes, h, w, k, stride, pad int, x []T) (y, mag []float64) {
	mustLen("x", len(x), planes*h*w)
	oh, ow := (h+2*pad-k)/stride+1, (w+2*pad-k)/stride+1
	y, mag = make([]float64, planes*oh*ow), make([]float64, planes*oh*ow)
	for i := range y {
		p, oy, ox := i/(oh*ow), i/ow%oh, i%ow
		for r := range k {
			for s := range k {
				iy, ix := oy*stride+r-pad, ox*stride+s-pad
				if iy < 0 || iy >= h || ix < 0 || ix >= w {
					continue
				}
				v := float64(x[(p*h+iy)*w+ix]) / float64(k*k)
				y[i] += v
				mag[i] += abs(v)
			}
		}
	}
	return y, mag
}

// AveragePool2x2Grad returns dX, planes×h×w, of the 2×2 mean with stride 2: a quarter
// of each dy to its four elements, and 0 to an odd last row or column.
func AveragePool2x2Grad[Y Float](planes, h, w int, dy []Y) []float64 {
	oh, ow := h/2, w/2
	mustLen("dy", len(dy), planes*oh*ow)
	dx := make([]float64, planes*h*w)
	for i, v := range dy {
		p, oy, ox := i/(oh*ow), i/ow%oh, i%ow
		for j := range 4 {
			dx[(p*h+2*oy+j/2)*w+2*ox+j%2] = float64(v) / 4
		}
	}
	return dx
}

// GlobalPool returns the mean of each plane, and the mean of the absolute values.
func GlobalPool[T Float](planes, plane int, x []T) (y, mag []float64) {
	mustLen("x", len(x), planes*plane)
	y, mag = make([]float64, planes), make([]float64, planes)
	for i, v := range x {
		y[i/plane] += float64(v)
		mag[i/plane] += abs(float64(v))
	}
	for i := range y {
		y[i] /= float64(plane)
		mag[i] /= float64(plane)
	}
	return y, mag
}

// GlobalPoolGrad returns dX, planes×plane: dy divided by the elements of a plane.
func GlobalPoolGrad[Y Float](planes, plane int, dy []Y) []float64 {
	mustLen("dy", len(dy), planes)
	dx := make([]float64, planes*plane)
	for i := range dx {
		dx[i] = float64(dy[i/plane]) / float64(plane)
	}
	return dx
}

// Nearest returns planes h×w at the size oh×ow: pixel (y, x) is that at
// (⌊y·h/oh⌋, ⌊x·w/ow⌋).
func Nearest[T Float](planes, h, w, oh, ow int, x []T) []float64 {
	mustLen("x", len(x), planes*h*w)
	y := make([]float64, planes*oh*ow)
	for i := range y {
		p, oy, ox := i/(oh*ow), i/ow%oh, i%ow
		y[i] = float64(x[(p*h+oy*h/oh)*w+ox*w/ow])
	}
	return y
}

// Bilinear returns planes h×w at the size oh×ow, and the same of the absolute values. The
// centres of pixels are half a pixel from their edges, as with PyTorch's
// align_corners=False: pixel y lies at (y + ½)·h/oh − ½, or at 0 if that is negative, and
// is weighed from the two rows beside it; columns likewise.
func Bilinear[T Float](planes, h, w, oh, ow int, x []T) (y, mag []float64) {
	mustLen("x", len(x), planes*h*w)
	y, mag = make([]float64, planes*oh*ow), make([]float64, planes*oh*ow)
	for i := range y {
		p, oy, ox := i/(oh*ow), i/ow%oh, i%ow
		y0, fy := bilinearAt(oy, h, oh)
		x0, fx := bilinearAt(ox, w, ow)
		for j, weight := range [4]float64{(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx} {
			v := weight * float64(x[(p*h+min(y0+j/2, h-1))*w+min(x0+j%2, w-1)])
			y[i] += v
			mag[i] += abs(v)
		}
	}
	return y, mag
}

// bilinearAt returns the first of the two elements that lie beside element i of out, and
// the weight of the second.
func bilinearAt(i, in, out int) (first int, second float64) {
	at := max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0)
	first = min(int(at), in-1)
	return first, at - float64(first)
}
