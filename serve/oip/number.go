package oip

import (
	"encoding/binary"
	"math"
	"math/bits"
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
	if begin := i; !digits() || b[begin] == '0' && i > begin+1 {
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

const (
	fastBytes  = 48 // what parseFloat may look at without a check
	fastDigits = 19 // as many as fit 64 bits
)

// parseFloats reads numbers with commas between them, of which b begins with the first, until
// dst is full or something is not as clients write it. It returns how many it has read, and
// where the last of them ends.
func parseFloats(dst []float32, b []byte) (n, end int) {
	for i := 0; n < len(dst) && len(b)-i >= fastBytes; n++ {
		f, k := parseFloat((*[fastBytes]byte)(b[i:]))
		if k == 0 {
			break
		}
		dst[n], end = f, i+k
		if b[end] != ',' {
			return n + 1, end
		}
		if i = end + 1; b[i] == ' ' {
			i++
		}
	}
	return n, end
}

// parseFloat returns the float32 next to the JSON number that b begins with, and the
// number's length. It reads what clients write: at most 19 digits, without a point or with one,
// and an exponent of one or two digits. The length is 0 where parseSlowly is to decide.
func parseFloat(b *[fastBytes]byte) (f float32, n int) {
	i := 0
	if b[0] == '-' {
		i = 1
	}
	begin := i
	m := uint64(b[i] - '0')
	if m <= 9 && b[i+1] == '.' { // most often
		i++
	} else {
		t, others := load8(b[i:])
		if others == 0 || others&0x80 != 0 || m == 0 && others&0x8000 == 0 { // too long, none, or 01
			return 0, 0
		}
		m, i = join(0, t, others), i+count(others)
	}
	exp := 0
	if b[i] == '.' {
		i++
		point := i
		t, others := load8(b[i:])
		for others == 0 && i < point+fastDigits {
			m, i = m*1e8+eight(t), i+8
			t, others = load8(b[i:])
		}
		m, i = join(m, t, others), i+count(others)
		if exp = i - point; exp == 0 || i-begin > fastDigits+1 {
			return 0, 0
		}
	}
	if b[i]|0x20 == 'e' {
		if exp, i = exponent(b[:], i, exp); exp < 0 {
			return 0, 0
		}
	}
	if v, ok := scale(m, exp, begin); ok {
		return v, i
	}
	return 0, 0
}

// parseSlowly returns the float32 next to the JSON number that b begins with, and the
// number's length, 0 if there is none. A number beyond float32 has ok false.
func parseSlowly(b []byte) (f float32, n int, ok bool) {
	n = numberLen(b)
	if n == 0 {
		return 0, 0, true
	}
	v, err := strconv.ParseFloat(string(b[:n]), 32)
	return float32(v), n, err == nil
}

// load8 loads eight bytes, as digits from the first in the lowest byte, and marks those that
// are none by 0x80. Behind the first of those the marks may be wrong.
func load8(b []byte) (t, others uint64) {
	t = binary.LittleEndian.Uint64(b) ^ 0x3030303030303030
	return t, (t + 0x7676767676767676 | t) & 0x8080808080808080
}

// count returns the number of digits in front of the first other byte. There is one.
func count(others uint64) int { return bits.TrailingZeros64(others) >> 3 }

// join appends the digits in front of the first other byte to m. There is one.
func join(m, t, others uint64) uint64 {
	at := bits.TrailingZeros64(others) // 8 for each digit, and 7
	return m*uint64(tens[at>>3&7]) + eight(t<<8<<((63-at)&63))
}

var tens = [8]uint32{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// eight returns the number of eight digits: of pairs, which are the even bytes of t, times
// what their places are worth, summed in the upper half.
func eight(t uint64) uint64 {
	t = t*10 + t>>8
	const pair = 0x000000ff_000000ff
	return (t&pair*(1e6<<32+100) + t>>16&pair*(1e4<<32+1)) >> 32
}

// exponent reads the exponent at i of a number of exp digits behind the point. It returns what
// is left of exp, and where the number ends. What is left is negative for an exponent of more
// than two digits, or of none.
func exponent(b []byte, i, exp int) (int, int) {
	sign := -1
	i++
	if c := b[i]; c == '-' || c == '+' {
		if c == '-' {
			sign = 1
		}
		i++
	}
	t, others := load8(b[i:])
	if others&0x80 != 0 || others&0x808000 == 0 {
		return -1, i
	}
	return exp + sign*int(join(0, t, others)), i + count(others)
}

// tenths are the powers of ten from 10^0 down.
var tenths = [...]float64{1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11,
	1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22}

// scale returns the float32 next to m·10^-exp, negative or not, if float64 decides it: m, the
// power and the product are each rounded once, so that it errs by less than 4 units in the
// last place. That is enough unless the middle between two float32 is as near.
func scale(m uint64, exp, negative int) (float32, bool) {
	if m >= 1<<63 || uint(exp) >= uint(len(tenths)) {
		return 0, false
	}
	v := math.Float64bits(float64(int64(m)) * tenths[exp])
	const low, middle, margin = 1<<29 - 1, 1 << 28, 4
	if v&low-(middle-margin) <= 2*margin {
		return 0, false
	}
	return float32(math.Float64frombits(v | uint64(negative)<<63)), true
}
