package winograd

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/bilinear"
	"github.com/nonet-go/nonet/internal/cpu"
)

// genericTransforms interprets the programs of package bilinear, on the 16
// channels of a block at a time.
func genericTransforms(m int) transforms {
	alg := bilinear.New(m)
	at := bilinear.Compile(alg.AT)
	t := transforms{name: "generic", isa: cpu.Generic, m: m, input: expandGeneric(alg, alg.BT), filter: filterGeneric(m)}
	if m == 4 {
		t.gradient = expandGeneric(alg, alg.AT.Transpose())
		t.filterGradient = filterGradientGeneric(alg.G.Float64())
	}
	for e := range t.output {
		t.output[e] = func(tiles int, dst *float32, row int, src *float32, xi, step int, bias *float32) {
			outputGeneric(alg, at, e, tiles, dst, row, src, xi, step, bias)
		}
	}
	return t
}

type lanes = [16]float32

// vectors is the most values that a program of package bilinear has here.
const vectors = 32

// interpret runs p on values val[0:p.Inputs], 16 channels each.
func interpret(p bilinear.Program, val *[vectors]lanes) {
	for i, op := range p.Ops {
		x, d := &val[op.X], &val[p.Inputs+i]
		y := &val[op.Y]
		switch op.Kind {
		case bilinear.Add:
			for l := range d {
				d[l] = x[l] + y[l]
			}
		case bilinear.Sub:
			for l := range d {
				d[l] = x[l] - y[l]
			}
		case bilinear.Mul:
			for l := range d {
				d[l] = op.C * x[l]
			}
		case bilinear.FMA:
			for l := range d {
				d[l] = float32(op.C*x[l]) + y[l]
			}
		}
	}
}

// at returns the 16 floats that begin i floats after p.
func at(p *float32, i int) *lanes {
	return (*lanes)(unsafe.Add(unsafe.Pointer(p), 4*i))
}

// expandGeneric returns V = X·d·Xᵀ.
func expandGeneric(alg bilinear.Algorithm, x bilinear.Matrix) expandFunc {
	a, n, p := len(x), len(x[0]), bilinear.Compile(x)
	return func(tiles int, dst *float32, xi, step int, src *float32, row int) {
		var val [vectors]lanes
		var tile [6 * 6]lanes
		for t := range tiles {
			for i := range n {
				for j := range n {
					val[j] = *at(src, i*row+(t*alg.M+j)*16)
				}
				interpret(p, &val)
				for j, o := range p.Outputs {
					tile[i*a+j] = val[o]
				}
			}
			for j := range a {
				for i := range n {
					val[i] = tile[i*a+j]
				}
				interpret(p, &val)
				for i, o := range p.Outputs {
					*at(dst, (i*a+j)*xi+t*step) = val[o]
				}
			}
		}
	}
}

// filterGeneric returns U = G·w·Gᵀ, in float64.
func filterGeneric(m int) func(dst *float32, xi int, src *float32) {
	g := bilinear.New(m).G.Float64()
	return func(dst *float32, xi int, src *float32) {
		w := (*[9]lanes)(unsafe.Pointer(src))
		for i, gi := range g {
			gi = gi[:3]
			var t [3][16]float64
			for j := range t {
				for l := range 16 {
					t[j][l] = gi[0]*float64(w[j][l]) + gi[1]*float64(w[3+j][l]) + gi[2]*float64(w[6+j][l])
				}
			}
			for j, gj := range g {
				gj = gj[:3]
				to := at(dst, (i*len(g)+j)*xi)
				for l := range to {
					to[l] = float32(t[0][l]*gj[0] + t[1][l]*gj[1] + t[2][l]*gj[2])
				}
			}
		}
	}
}

// filterGradientGeneric returns dW = Gᵀ·M·G, in float64.
func filterGradientGeneric(g [][]float64) func(dst, src *float32, xi int) {
	return func(dst, src *float32, xi int) {
		out := unsafe.Slice(dst, 9*16)
		for l := range 16 {
			var t [3][6]float64
			for i := range 6 {
				for j := range 6 {
					m := float64(at(src, (i*6+j)*xi)[l])
					for r := range 3 {
						t[r][j] += g[i][r] * m
					}
				}
			}
			for row := range 3 {
				for r := range 3 {
					sum := 0.0
					for j := range 6 {
						sum += t[row][j] * g[j][r]
					}
					out[(3*row+r)*16+l] = float32(sum)
				}
			}
		}
	}
}

func outputGeneric(alg bilinear.Algorithm, p bilinear.Program, epilogue, tiles int, dst *float32, row int, src *float32, xi, step int, bias *float32) {
	a, m := alg.Alpha, alg.M
	var val [vectors]lanes
	var tile [6 * 4]lanes
	var y [4][4]lanes
	for t := range tiles {
		for i := range a {
			for j := range a {
				val[j] = *at(src, (i*a+j)*xi+t*step)
			}
			interpret(p, &val)
			for j, o := range p.Outputs {
				tile[i*m+j] = val[o]
			}
		}
		for j := range m {
			for i := range a {
				val[i] = tile[i*m+j]
			}
			interpret(p, &val)
			for i, o := range p.Outputs {
				y[i][j] = val[o]
				finish(&y[i][j], at(bias, 0), epilogue != outputLinear)
			}
		}
		if epilogue == outputPool {
			storePooled(dst, row, t, m, &y)
			continue
		}
		for i := range m {
			for j := range m {
				*at(dst, i*row+(t*m+j)*16) = y[i][j]
			}
		}
	}
}

// finish adds the bias and applies the ReLU, which keeps NaN.
func finish(y, bias *lanes, relu bool) {
	for l := range y {
		y[l] += bias[l]
		if relu {
			y[l] = max(y[l], 0)
		}
	}
}

func storePooled(dst *float32, row, t, m int, y *[4][4]lanes) {
	for i := range m / 2 {
		for j := range m / 2 {
			d := at(dst, i*row+(t*m/2+j)*16)
			for l := range d {
				d[l] = max(y[2*i][2*j][l], y[2*i][2*j+1][l], y[2*i+1][2*j][l], y[2*i+1][2*j+1][l])
			}
		}
	}
}
