package jpeg

// The inverse transform is the one of Loeffler, Ligtenberg and Moschytz (ICASSP
// 1989) in fixed point with the scaling of libjpeg's "islow": constants have 13
// fractional bits and two of them are kept between the passes. Inside a pass all is
// exact, so that these numbers and the two roundings define the result.
const (
	constBits = 13
	passBits  = 2

	// √2·cos(kπ/16) =: cₖ, and the sums that the rotations of the paper need.
	c6      = 4433  // c₆
	c2sub6  = 6270  // c₂ − c₆
	c2add6  = 15137 // c₂ + c₆
	c3      = 9633  // c₃
	oddA    = 2446  // −c₁ + c₃ + c₅ − c₇
	oddB    = 16819 // c₁ + c₃ − c₅ + c₇
	oddC    = 25172 // c₁ + c₃ + c₅ − c₇
	oddD    = 12299 // c₁ + c₃ − c₅ − c₇
	c3sub7  = 7373  // c₃ − c₇
	c1add3  = 20995 // c₁ + c₃
	c3add5  = 16069 // c₃ + c₅
	c3sub5  = 3196  // c₃ − c₅
	colRnd  = 1 << (constBits - passBits - 1)
	rowRnd  = 1 << (constBits + passBits + 3 - 1)
	colDown = constBits - passBits
	rowDown = constBits + passBits + 3
)

// inverse writes the 8×8 samples of dequantised coefficients, in natural order, to dst.
// No coefficient after position last of the zigzag may differ from zero.
func inverse(dst []uint8, stride int, in *[64]int32, last int) {
	if last == 0 {
		flat(dst, stride, in[0])
		return
	}
	for x := range 8 {
		c := (*[57]int32)(in[x:])
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			v := c[0] << passBits
			c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v
			c[0] = v
			continue
		}
		e0, e1, e2, e3 := even(c[0], c[16], c[32], c[48])
		o0, o1, o2, o3 := odd(c[8], c[24], c[40], c[56])
		c[0], c[56] = (e0+o0+colRnd)>>colDown, (e0-o0+colRnd)>>colDown
		c[8], c[48] = (e1+o1+colRnd)>>colDown, (e1-o1+colRnd)>>colDown
		c[16], c[40] = (e2+o2+colRnd)>>colDown, (e2-o2+colRnd)>>colDown
		c[24], c[32] = (e3+o3+colRnd)>>colDown, (e3-o3+colRnd)>>colDown
	}
	for y := range 8 {
		r, d := (*[8]int32)(in[8*y:]), (*[8]uint8)(dst[y*stride:])
		e0, e1, e2, e3 := even(r[0], r[2], r[4], r[6])
		o0, o1, o2, o3 := odd(r[1], r[3], r[5], r[7])
		d[0], d[7] = level((e0+o0+rowRnd)>>rowDown), level((e0-o0+rowRnd)>>rowDown)
		d[1], d[6] = level((e1+o1+rowRnd)>>rowDown), level((e1-o1+rowRnd)>>rowDown)
		d[2], d[5] = level((e2+o2+rowRnd)>>rowDown), level((e2-o2+rowRnd)>>rowDown)
		d[3], d[4] = level((e3+o3+rowRnd)>>rowDown), level((e3-o3+rowRnd)>>rowDown)
	}
}

// even is the part of x₀, x₂, x₄, x₆ in the first four outputs.
func even(x0, x2, x4, x6 int32) (e0, e1, e2, e3 int32) {
	z := (x2 + x6) * c6
	low, high := z-x6*c2add6, z+x2*c2sub6
	sum, diff := (x0+x4)<<constBits, (x0-x4)<<constBits
	return sum + high, diff + low, diff - low, sum - high
}

// odd is the part of x₁, x₃, x₅, x₇ in the first four outputs, and its negative
// in the last four.
func odd(x1, x3, x5, x7 int32) (o0, o1, o2, o3 int32) {
	both := (x7 + x3 + x5 + x1) * c3
	a, b := both-(x7+x3)*c3add5, both-(x5+x1)*c3sub5
	c, d := (x7+x1)*c3sub7, (x5+x3)*c1add3
	return x1*oddD - c + b, x3*oddC - d + a, x5*oddB - d + b, x7*oddA - c + a
}

// flat is inverse for a block of which only the mean differs from zero.
// The mean has 16 bits between the passes, as in inverse16.
func flat(dst []uint8, stride int, dc int32) {
	const keep = rowDown - constBits
	v := level((wrap(dc<<passBits) + 1<<(keep-1)) >> keep)
	for y := range 8 {
		*(*[8]uint8)(dst[y*stride:]) = [8]uint8{v, v, v, v, v, v, v, v}
	}
}

// level adds the level shift of A.3.1 and clips.
func level(v int32) uint8 {
	v += 128
	if uint32(v) < 256 {
		return uint8(v)
	}
	return uint8(^(v >> 31))
}
