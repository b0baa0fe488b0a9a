package oip

import (
	"encoding/binary"
	"math"
	"strconv"
)

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// numberLen returns the length of the JSON number that b begins with, or 0 if there is
// none. What stands behind it is not looked at.
func numberLen(b []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case !digits():
		return 0
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

// parseScalar returns a number as int64 where it is written as one, else as float64.
func parseScalar(b []byte) (any, error) {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return nil, formatErrorf("the number %s is too large", b)
	}
	return f, nil
}

// decimal is a number as it is written: ±mantissa·10^exp.
type decimal struct {
	mantissa uint64
	exp      int
	negative bool
	cut      bool // the mantissa has more places than 64 bits hold, and is not to be used
}

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseFloat returns the float32 next to the JSON number that b begins with, and the
// number's length, 0 if there is none. A number beyond float32 has ok false.
//
// It is computed in float64, which errs by less than 2 units in the last place there: half
// for the mantissa and half for the power of ten, which is exact up to 10^22. That decides
// the float32 unless it is as near to the middle between two of them, which strconv then
// tells apart.
func parseFloat(b []byte) (f float32, n int, ok bool) {
	d, n := parseDecimal(b)
	if n == 0 {
		return 0, 0, true
	}
	if v, ok := d.float32(); ok {
		return v, n, true
	}
	v, err := strconv.ParseFloat(string(b[:n]), 32)
	return float32(v), n, err == nil
}

// parseDecimal reads the number that b begins with; see numberLen.
func parseDecimal(b []byte) (d decimal, n int) {
	i := 0
	if i < len(b) && b[i] == '-' {
		d.negative = true
		i++
	}
	begin := i
	m, i := digits(b, i, 0)
	if i == begin || b[begin] == '0' && i > begin+1 {
		return d, 0
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		if m, i = digits(b, i, m); i == point {
			return d, 0
		}
		d.exp = point - i
	}
	d.mantissa, d.cut = m, i-begin > 19 && places(b[begin:i]) > 19
	if i < len(b) && b[i]|0x20 == 'e' {
		return d.exponent(b, i+1)
	}
	return d, i
}

// digits appends the digits of b from i on to m, and returns where they end. Beyond 19
// places m overflows.
func digits(b []byte, i int, m uint64) (uint64, int) {
	for i+8 <= len(b) {
		v := binary.LittleEndian.Uint64(b[i:])
		const high, zeros, sixes = 0xf0f0f0f0f0f0f0f0, 0x3030303030303030, 0x0606060606060606
		if v&high != zeros || (v+sixes)&high != zeros { // not eight of '0' to '9'
			break
		}
		v -= zeros
		v = (v*10 + v>>8) & 0x00ff00ff00ff00ff          // pairs
		v = (v*100 + v>>16) & 0x0000ffff0000ffff        // fours
		m = m*100_000_000 + (v*10_000+v>>32)&0xffffffff // eight
		i += 8
	}
	for ; i < len(b) && isDigit(b[i]); i++ {
		m = 10*m + uint64(b[i]-'0')
	}
	return m, i
}

// places counts the digits from the first that is not 0.
func places(b []byte) (n int) {
	for _, c := range b {
		if isDigit(c) && (n > 0 || c != '0') {
			n++
		}
	}
	return n
}

// exponent reads the exponent at i.
func (d decimal) exponent(b []byte, i int) (decimal, int) {
	sign := 1
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		if b[i] == '-' {
			sign = -1
		}
		i++
	}
	begin, e := i, 0
	for i < len(b) && isDigit(b[i]) {
		e = min(10*e+int(b[i]-'0'), 1<<20)
		i++
	}
	if i == begin {
		return d, 0
	}
	d.exp += sign * e
	return d, i
}

// float32 returns the value, unless it is too near to the middle between two.
func (d *decimal) float32() (float32, bool) {
	v := float64(d.mantissa)
	switch {
	case d.cut:
		return 0, false
	case d.mantissa == 0:
	case d.exp < -22 || d.exp > 22:
		return 0, false
	case d.exp < 0:
		v /= powersOfTen[-d.exp]
	default:
		v *= powersOfTen[d.exp]
	}
	if v != 0 && (v < 0x1p-126 || v >= math.MaxFloat32) {
		return 0, false
	}
	const low, middle, margin = 1<<29 - 1, 1 << 28, 4
	if r := int64(math.Float64bits(v)&low) - middle; -margin <= r && r <= margin {
		return 0, false
	}
	if d.negative {
		v = math.Copysign(v, -1) // of zero too
	}
	return float32(v), true
}
