package winograd

import (
	"math"
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

// interpret runs p on values val[0:p.Inputs], 16 channels each. With fused, multiply-adds
// are rounded once.
func interpret(p bilinear.Program, val *[vectors]lanes, fused bool) {
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
				d[l] = float32(op.C * x[l])
			}
		case bilinear.FMA:
			for l := range d {
				if fused {
					d[l] = fma(op.C, x[l], y[l])
				} else {
					d[l] = float32(op.C*x[l]) + y[l]
				}
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
				interpret(p, &val, false)
				for j, o := range p.Outputs {
					tile[i*a+j] = val[o]
				}
			}
			for j := range a {
				for i := range n {
					val[i] = tile[i*a+j]
				}
				interpret(p, &val, false)
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
			interpret(p, &val, false)
			for j, o := range p.Outputs {
				tile[i*m+j] = val[o]
			}
		}
		for j := range m {
			for i := range a {
				val[i] = tile[i*m+j]
			}
			interpret(p, &val, false)
			for i, o := range p.Outputs {
				y[i][j] = val[o]
				finish(&y[i][j], at(bias, 0), epilogue != outputLinear)
			}
		}
		storeTile(dst, row, t, m, &y, epilogue)
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

// fma returns x·y + z, rounded once, on every machine. In float64 the product is exact. The
// sum is rounded to an odd number where it is not exact, so that the rounding to float32
// goes where that of the exact sum goes (Boldo & Melquiond, Emulation of FMA and correctly
// rounded sums, IEEE Trans. Computers, 2008).
func fma(x, y, z float32) float32 {
	p, q := float64(x)*float64(y), float64(z)
	sum := p + q
	back := sum - p
	rest := (p - (sum - back)) + (q - back)
	if bits := math.Float64bits(sum); rest != 0 && bits&1 == 0 && !math.IsInf(sum, 0) {
		if (rest > 0) == (sum > 0) {
			bits++
		} else {
			bits--
		}
		sum = math.Float64frombits(bits)
	}
	return float32(sum)
}

// genericFixedTransforms interprets the programs of package bilinear.
func genericFixedTransforms() fixedTransforms {
	alg := bilinear.New(4)
	bt, at := bilinear.Compile(alg.BT), bilinear.Compile(alg.AT)
	t := fixedTransforms{name: "generic", isa: cpu.Generic, magnitudes: magnitudesGeneric, extremes: extremesGeneric, input: fixedInputGeneric(bt)}
	for e := range t.output {
		t.output[e] = fixedOutputGeneric(at, e)
	}
	return t
}

func magnitudesGeneric(lines int, u *int16, sums *uint32) {
	var total [16]uint32
	for i := range lines {
		for l, pair := range (*[16][2]int16)(unsafe.Add(unsafe.Pointer(u), 64*i)) {
			for _, v := range pair {
				total[l] += uint32(max(int32(v), -int32(v)))
			}
		}
	}
	*(*[16]uint32)(unsafe.Pointer(sums)) = total
}

func extremesGeneric(blocks, rows, cols int, src *float32, plane, row int, extremes *uint32) {
	e := (*[32]uint32)(unsafe.Pointer(extremes))
	for l := range 16 {
		e[l], e[16+l] = 1<<31, 0
	}
	for b := range blocks {
		for y := range rows {
			for x := range cols {
				for l, v := range at(src, b*plane+y*row+16*x) {
					bits := math.Float32bits(v)
					e[l] = uint32(max(int32(e[l]), int32(bits)))
					e[16+l] = max(e[16+l], bits)
				}
			}
		}
	}
}

func fixedInputGeneric(p bilinear.Program) fixedInputFunc {
	return func(tiles int, dst *int16, xi, step int, src *float32, row int, scale *float32) {
		var val [vectors]lanes
		var tile [tileElements]lanes
		for t := range tiles {
			for i := range 6 {
				for j := range 6 {
					val[j] = *at(src, i*row+(4*t+j)*16)
				}
				interpret(p, &val, true)
				for j, o := range p.Outputs {
					tile[6*i+j] = val[o]
				}
			}
			s := (*[tileElements]float32)(unsafe.Add(unsafe.Pointer(scale), 4*tileElements*t))
			for j := range 6 {
				for i := range 6 {
					val[i] = tile[6*i+j]
				}
				interpret(p, &val, true)
				for i, o := range p.Outputs {
					to := unsafe.Slice((*int16)(unsafe.Add(unsafe.Pointer(dst), 2*((6*i+j)*xi+t*step))), 16)
					for l, v := range val[o] {
						to[l] = roundInt16(float32(v * s[6*i+j]))
					}
				}
			}
		}
	}
}

// roundInt16 returns the nearest integer to x, the even one of two.
func roundInt16(x float32) int16 {
	return int16(max(math.MinInt16, min(math.MaxInt16, math.RoundToEven(float64(x)))))
}

func fixedOutputGeneric(p bilinear.Program, epilogue int) fixedOutputFunc {
	return func(tiles int, dst *float32, row int, src *int32, xi, step int, bias, scale, tile *float32) {
		var val [vectors]lanes
		var rows [6 * 4]lanes
		var y [4][4]lanes
		for t := range tiles {
			for i := range 6 {
				for j := range 6 {
					m := unsafe.Slice((*int32)(unsafe.Add(unsafe.Pointer(src), 4*((6*i+j)*xi+t*step))), 16)
					for l, s := range at(scale, (6*i+j)*16) {
						val[j][l] = float32(float32(m[l]) * s)
					}
				}
				interpret(p, &val, true)
				for j, o := range p.Outputs {
					rows[4*i+j] = val[o]
				}
			}
			tau := *(*float32)(unsafe.Add(unsafe.Pointer(tile), 4*t))
			for j := range 4 {
				for i := range 6 {
					val[i] = rows[4*i+j]
				}
				interpret(p, &val, true)
				for i, o := range p.Outputs {
					for l, v := range val[o] {
						y[i][j][l] = float32(v * tau)
					}
					finish(&y[i][j], at(bias, 0), epilogue != outputLinear)
				}
			}
			storeTile(dst, row, t, 4, &y, epilogue)
		}
	}
}

// storeTile writes the outputs of a tile.
func storeTile(dst *float32, row, t, m int, y *[4][4]lanes, epilogue int) {
	if epilogue == outputPool {
		storePooled(dst, row, t, m, y)
		return
	}
	for i := range m {
		for j := range m {
			*at(dst, i*row+(t*m+j)*16) = y[i][j]
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
