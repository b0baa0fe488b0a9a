package jpeg

// tame bounds the sum of a block's dequantised magnitudes below which nothing in
// [inverse] leaves 16 bits: no term of the first pass exceeds 4·√2 times the sum of
// its column, and none of the second the sum of all columns.
const tame = 5500

// inverse16 is [inverse] for any coefficients. It wraps and saturates where the
// vector forms of libjpeg-turbo do, which compute with 16 bits between the
// multiplications; no picture that was encoded needs it, but damaged data do.
func inverse16(dst []uint8, stride int, in *[64]int32) {
	for i, v := range in {
		in[i] = wrap(v)
	}
	rest := int32(0)
	for _, v := range in[8:] {
		rest |= v
	}
	for x := range 8 {
		c := (*[57]int32)(in[x:])
		if rest == 0 {
			v := wrap(c[0] << passBits)
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		e, o := even16(c[0], c[16], c[32], c[48]), odd16(c[8], c[24], c[40], c[56])
		for i := range 4 {
			c[8*i] = saturate((e[i] + o[i] + colRnd) >> colDown)
			c[8*(7-i)] = saturate((e[i] - o[i] + colRnd) >> colDown)
		}
	}
	for y := range 8 {
		r, d := (*[8]int32)(in[8*y:]), (*[8]uint8)(dst[y*stride:])
		e, o := even16(r[0], r[2], r[4], r[6]), odd16(r[1], r[3], r[5], r[7])
		for i := range 4 {
			d[i] = level((e[i] + o[i] + rowRnd) >> rowDown)
			d[7-i] = level((e[i] - o[i] + rowRnd) >> rowDown)
		}
	}
}

func wrap(v int32) int32 { return int32(int16(v)) }

func saturate(v int32) int32 { return min(max(v, -1<<15), 1<<15-1) }

// even16 is [even]: the sum and the difference of x₀ and x₄ have 16 bits.
func even16(x0, x2, x4, x6 int32) [4]int32 {
	low, high := x2*c6+x6*(c6-c2add6), x2*(c6+c2sub6)+x6*c6
	sum, diff := wrap(x0+x4)<<constBits, wrap(x0-x4)<<constBits
	return [4]int32{sum + high, diff + low, diff - low, sum - high}
}

// odd16 is [odd]: x₃+x₇ and x₁+x₅ have 16 bits.
func odd16(x1, x3, x5, x7 int32) [4]int32 {
	z3, z4 := wrap(x3+x7), wrap(x1+x5)
	a, b := z3*(c3-c3add5)+z4*c3, z3*c3+z4*(c3-c3sub5)
	return [4]int32{
		x1*(oddD-c3sub7) - x7*c3sub7 + b,
		x3*(oddC-c1add3) - x5*c1add3 + a,
		x5*(oddB-c1add3) - x3*c1add3 + b,
		x7*(oddA-c3sub7) - x1*c3sub7 + a,
	}
}
