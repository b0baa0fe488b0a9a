package ref

import "fmt"

// ConvShape describes a convolution, more exactly a cross-correlation:
//
//	y[n,k,oy,ox] = b[k] + Σ_{c,r,s} x[n,c, oy·Stride+r−Pad, ox·Stride+s−Pad] · w[k,c,r,s]
//
// where x is zero outside of the picture. x is N×C×H×W, w K×C×KH×KW, y N×K×OH×OW.
type ConvShape struct {
	N, C, H, W int
	K, KH, KW  int
	Stride     int // 0 means 1
	Pad        int // rows and columns of zeros on each of the four sides
}

func (s ConvShape) stride() int { return max(s.Stride, 1) }

// OH returns the height of the output.
func (s ConvShape) OH() int { return (s.H+2*s.Pad-s.KH)/s.stride() + 1 }

// OW returns the width of the output.
func (s ConvShape) OW() int { return (s.W+2*s.Pad-s.KW)/s.stride() + 1 }

// InputLen, WeightLen and OutputLen return the sizes of the tensors.
func (s ConvShape) InputLen() int  { return s.N * s.C * s.H * s.W }
func (s ConvShape) WeightLen() int { return s.K * s.C * s.KH * s.KW }
func (s ConvShape) OutputLen() int { return s.N * s.K * s.OH() * s.OW() }

func (s ConvShape) String() string {
	return fmt.Sprintf("n%d c%d h%d w%d k%d %dx%d stride %d pad %d", s.N, s.C, s.H, s.W, s.K, s.KH, s.KW, s.stride(), s.Pad)
}

// Conv2D returns y. b has K elements, or none.
func Conv2D[X, W Float](s ConvShape, x []X, w, b []W) (y, mag []float64) {
	return conv(s, Float64(x), w, b), conv(s, Abs(x), Abs(w), Abs(b))
}

// Conv2DInputGrad returns dX, the adjoint of Conv2D without bias: the gradient
// with respect to x of a loss whose gradient with respect to y is dy.
func Conv2DInputGrad[Y, W Float](s ConvShape, dy []Y, w []W) (dx, mag []float64) {
	return convInputGrad(s, Float64(dy), w), convInputGrad(s, Abs(dy), Abs(w))
}

// Conv2DWeightGrad returns dW, summed over the batch.
func Conv2DWeightGrad[X, Y Float](s ConvShape, x []X, dy []Y) (dw, mag []float64) {
	return convWeightGrad(s, Float64(x), Float64(dy)), convWeightGrad(s, Abs(x), Abs(dy))
}

// Conv2DBiasGrad returns dB, summed over pictures and pixels.
func Conv2DBiasGrad[Y Float](s ConvShape, dy []Y) (db, mag []float64) {
	return BiasGrad(s.N, s.K, s.OH()*s.OW(), dy)
}

// BiasGrad returns, for each of c channels, the sum of dy over n pictures and the
// pixels of a plane.
func BiasGrad[Y Float](n, c, plane int, dy []Y) (db, mag []float64) {
	mustLen("dy", len(dy), n*c*plane)
	db, mag = make([]float64, c), make([]float64, c)
	for i := range n * c {
		for _, v := range dy[i*plane:][:plane] {
			db[i%c] += float64(v)
			mag[i%c] += abs(float64(v))
		}
	}
	return db, mag
}

// inside returns the half-open range of outputs o, of out, for which input
// o·stride + k − pad exists, of in.
func (s ConvShape) inside(k, in, out int) (lo, hi int) {
	for lo < out && lo*s.stride()+k-s.Pad < 0 {
		lo++
	}
	hi = out
	for hi > lo && (hi-1)*s.stride()+k-s.Pad >= in {
		hi--
	}
	return lo, hi
}

// rows calls fn for every pair of rows that meet under tap r, s of the filter: xs
// begins at the first input of the plane x that is under the tap, ys is the run
// of outputs of the plane y, and ys[i] meets xs[i·stride].
func (s ConvShape) rows(r, tap int, x, y []float64, fn func(xs, ys []float64)) {
	oh, ow := s.OH(), s.OW()
	oyLo, oyHi := s.inside(r, s.H, oh)
	oxLo, oxHi := s.inside(tap, s.W, ow)
	if oxLo == oxHi {
		return
	}
	for oy := oyLo; oy < oyHi; oy++ {
		iy, ix := oy*s.stride()+r-s.Pad, oxLo*s.stride()+tap-s.Pad
		fn(x[iy*s.W+ix:(iy+1)*s.W], y[oy*ow+oxLo:oy*ow+oxHi])
	}
}

func conv[T Float](s ConvShape, x []float64, w, b []T) []float64 {
	mustLen("x", len(x), s.InputLen())
	mustLen("w", len(w), s.WeightLen())
	y := make([]float64, s.OutputLen())
	in, out := s.H*s.W, s.OH()*s.OW()
	parallel(s.N*s.K, func(i int) {
		n, k := i/s.K, i%s.K
		plane := y[i*out:][:out]
		if len(b) > 0 {
			for p := range plane {
				plane[p] = float64(b[k])
			}
		}
		for c := range s.C {
			for r := range s.KH {
				for tap := range s.KW {
					weight := float64(w[((k*s.C+c)*s.KH+r)*s.KW+tap])
					s.rows(r, tap, x[(n*s.C+c)*in:][:in], plane, func(xs, ys []float64) {
						if s.stride() == 1 {
							axpy(weight, xs[:len(ys)], ys)
							return
						}
						for o := range ys {
							ys[o] += weight * xs[o*s.stride()]
						}
					})
				}
			}
		}
	})
	return y
}

func convInputGrad[T Float](s ConvShape, dy []float64, w []T) []float64 {
	mustLen("dy", len(dy), s.OutputLen())
	mustLen("w", len(w), s.WeightLen())
	dx := make([]float64, s.InputLen())
	in, out := s.H*s.W, s.OH()*s.OW()
	parallel(s.N*s.C, func(i int) {
		n, c := i/s.C, i%s.C
		for k := range s.K {
			for r := range s.KH {
				for tap := range s.KW {
					weight := float64(w[((k*s.C+c)*s.KH+r)*s.KW+tap])
					s.rows(r, tap, dx[i*in:][:in], dy[(n*s.K+k)*out:][:out], func(xs, ys []float64) {
						if s.stride() == 1 {
							axpy(weight, ys, xs[:len(ys)])
							return
						}
						for o, v := range ys {
							xs[o*s.stride()] += weight * v
						}
					})
				}
			}
		}
	})
	return dx
}

func convWeightGrad(s ConvShape, x, dy []float64) []float64 {
	mustLen("x", len(x), s.InputLen())
	mustLen("dy", len(dy), s.OutputLen())
	dw := make([]float64, s.WeightLen())
	in, out := s.H*s.W, s.OH()*s.OW()
	parallel(s.K*s.C, func(i int) {
		k, c := i/s.C, i%s.C
		for r := range s.KH {
			for tap := range s.KW {
				sum := &dw[(i*s.KH+r)*s.KW+tap]
				for n := range s.N {
					s.rows(r, tap, x[(n*s.C+c)*in:][:in], dy[(n*s.K+k)*out:][:out], func(xs, ys []float64) {
						if s.stride() == 1 {
							*sum += dot(ys, xs)
							return
						}
						for o, v := range ys {
							*sum += v * xs[o*s.stride()]
						}
					})
				}
			}
		}
	})
	return dw
}
