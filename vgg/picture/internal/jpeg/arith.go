package jpeg

// arithmetic decodes binary decisions (annex D) and holds what the models of
// F.1.4.4 and G.1.3 have learnt.
type arithmetic struct {
	a, c    uint32 // the interval, and the code above its base with unread bits below
	ct      int    // shifts until the next byte is due
	stopped bool   // an impossible value came: what follows until the next restart is zero
	ended   bool   // data were asked for behind their end
	made    int    // decisions
	even    uint8  // the state of decisions that are not modelled
	dc      [16][64]uint8
	ac      [16][256]uint8
	lower   [16]uint8 // conditioning of DC, L and U
	upper   [16]uint8
	kx      [16]uint8 // and of AC
}

func (a *arithmetic) init() {
	a.even = fixed
	for i := range a.upper {
		a.upper[i], a.kx[i] = 1, 5
	}
}

// conditioning reads a segment of arithmetic conditioning (B.2.4.3).
func (d *decoder) conditioning(b []byte) error {
	if len(b)%2 != 0 {
		return corrupt("arithmetic conditioning of %d bytes", len(b))
	}
	for ; len(b) > 0; b = b[2:] {
		switch i, v := b[0], b[1]; {
		case i > 31, i < 16 && v&15 > v>>4:
			return corrupt("arithmetic conditioning of table %d with %#x", i, v)
		case i < 16:
			d.arith.lower[i], d.arith.upper[i] = v&15, v>>4
		default:
			d.arith.kx[i-16] = v
		}
	}
	return nil
}

// restartArithmetic prepares for a scan or a restart interval (D.2.7).
func (d *decoder) restartArithmetic(s *mcus) {
	a := &d.arith
	for i := range s.comps {
		c := &s.comps[i]
		if s.first == 0 && s.high == 0 {
			a.dc[c.dcT] = [64]uint8{}
			c.pred, c.context = 0, 0
		}
		if s.last > 0 {
			a.ac[c.acT] = [256]uint8{}
		}
	}
	a.stopped = false
	a.a, a.c, a.ct = 0x10000, 0, 0
	for range 2 {
		a.c = (a.c | uint32(d.codeByte())) << 8
	}
	a.c <<= 8
}

// codeByte returns the next byte of entropy-coded data, 0 at a marker.
func (d *decoder) codeByte() byte {
	switch {
	case d.pos < len(d.data) && d.data[d.pos] != 0xff:
		d.pos++
		return d.data[d.pos-1]
	case d.stuffed():
		return 0xff
	}
	d.arith.ended = d.arith.ended || d.atEnd()
	return 0
}

// decide decodes a decision with the statistics in st (D.2.4 to D.2.6).
func (d *decoder) decide(st *uint8) bool {
	a := &d.arith
	for a.a < 0x8000 {
		if a.ct == 0 {
			a.c |= uint32(d.codeByte()) << 8
			a.ct = 8
		}
		a.a, a.c, a.ct = a.a<<1, a.c<<1, a.ct-1
	}
	a.made++
	state := *st & 127
	mps := *st >> 7
	e := &estimates[state]
	qe := uint32(e.qe)
	a.a -= qe
	less := a.a < qe // the less probable decision has the larger interval
	switch {
	case a.c>>16 >= a.a:
		a.c -= a.a << 16
		a.a = qe
	case a.a >= 0x8000:
		return mps != 0
	default:
		less = !less
	}
	if less {
		*st = mps<<7 | e.mps
		return mps != 0
	}
	*st = mps<<7 ^ e.lps
	return mps == 0
}

// dcDifference decodes one (F.1.4.4.1), adds it to the prediction of c and returns that.
func (d *decoder) dcDifference(c *scanComponent) int32 {
	stats := &d.arith.dc[c.dcT]
	st := c.context
	if !d.decide(&stats[st]) {
		c.context = 0
		return c.pred
	}
	negative := d.decide(&stats[st+1])
	st += 2
	if negative {
		st++
	}
	m := 0
	if d.decide(&stats[st]) {
		m, st = 1, 20
		for d.decide(&stats[st]) {
			if m <<= 1; m == 0x8000 {
				d.arith.stopped = true
				return 0
			}
			st++
		}
	}
	c.context = d.category(c.dcT, m, negative)
	v := d.magnitudeBits(stats[:], st+14, m)
	if negative {
		v = -v
	}
	c.pred = wrap(c.pred + v)
	return c.pred
}

// category returns where the statistics for the difference after one of magnitude m
// begin (table F.4).
func (d *decoder) category(table, m int, negative bool) int {
	sign := 0
	if negative {
		sign = 4
	}
	switch {
	case m < 1<<d.arith.lower[table]>>1:
		return 0
	case m > 1<<d.arith.upper[table]>>1:
		return 12 + sign
	}
	return 4 + sign
}

// magnitudeBits returns 1 plus the value whose highest bit is m (figure F.24).
func (d *decoder) magnitudeBits(stats []uint8, st, m int) int32 {
	v := m
	for m >>= 1; m > 0; m >>= 1 {
		if d.decide(&stats[st]) {
			v |= m
		}
	}
	return int32(v + 1)
}

// acValues decodes coefficients first to last (F.1.4.4.2) and gives each to set.
func (d *decoder) acValues(c *scanComponent, first, last int, set func(k int, v int32)) {
	stats := &d.arith.ac[c.acT]
	for k := first; k <= last; k++ {
		if d.decide(&stats[3*(k-1)]) {
			return // end of block
		}
		for !d.decide(&stats[3*(k-1)+1]) {
			if k++; k > last {
				d.arith.stopped = true
				return
			}
		}
		negative := d.decide(&d.arith.even)
		v := d.acMagnitude(c, stats[:], k)
		if d.arith.stopped {
			return
		}
		if negative {
			v = -v
		}
		set(k, v)
	}
}

func (d *decoder) acMagnitude(c *scanComponent, stats []uint8, k int) int32 {
	st, m := 3*(k-1)+2, 0
	if d.decide(&stats[st]) {
		m = 1
		if d.decide(&stats[st]) {
			m, st = 2, 217
			if k <= int(d.arith.kx[c.acT]) {
				st = 189
			}
			for d.decide(&stats[st]) {
				if m <<= 1; m == 0x8000 {
					d.arith.stopped = true
					return 0
				}
				st++
			}
		}
	}
	return d.magnitudeBits(stats, st+14, m)
}

// sequentialArithmetic is [decoder.sequential] for arithmetic coding.
func (d *decoder) sequentialArithmetic(c *scanComponent, coefs *[64]int32) (last int, size int64) {
	if d.arith.stopped {
		return 0, 0
	}
	coefs[0] = d.dcDifference(c) * c.quant[0]
	size = magnitude(coefs[0])
	if d.arith.stopped {
		return 0, size
	}
	d.acValues(c, 1, 63, func(k int, v int32) {
		z := zigzag[k] & 63
		coefs[z] = wrap(v) * c.quant[z]
		size += magnitude(coefs[z])
		last = k
	})
	return last, size
}

// progressiveArithmetic decodes what scan sp adds to block i (G.1.3).
func (d *decoder) progressiveArithmetic(c *scanComponent, i int, sp spectrum) {
	switch {
	case sp.first == 0 && sp.high > 0:
		if d.decide(&d.arith.even) {
			c.dc[i] |= 1 << sp.low
		}
	case d.arith.stopped:
	case sp.first == 0:
		if v := d.dcDifference(c); !d.arith.stopped {
			c.dc[i] = int16(v << sp.low)
		}
	case sp.high == 0:
		d.acValues(c, sp.first, sp.last, func(k int, v int32) { c.set(i, k, int16(v<<sp.low)) })
	default:
		d.refineArithmetic(c, i, sp)
	}
}

func (d *decoder) refineArithmetic(c *scanComponent, i int, sp spectrum) {
	stats, coefs := &d.arith.ac[c.acT], c.block(i)
	one := int16(1) << sp.low
	end := 0 // of the block in the scans before
	if c.some[i]&band(1, sp.last) != 0 {
		for end = sp.last; end > 0 && coefs[zigzag[end]] == 0; {
			end--
		}
	}
	for k := sp.first; k <= sp.last; k++ {
		if k > end && d.decide(&stats[3*(k-1)]) {
			return
		}
		for !d.refineOne(c, i, k, one) {
			if k++; k > sp.last {
				d.arith.stopped = true
				return
			}
		}
	}
}

// refineOne decodes the correction of coefficient k of block i, or whether it is no
// longer zero. It reports whether the run of zeros ends with it.
func (d *decoder) refineOne(c *scanComponent, i, k int, one int16) bool {
	st := d.arith.ac[c.acT][3*(k-1):]
	v := &c.block(i)[zigzag[k]&63]
	switch {
	case *v != 0:
		if d.decide(&st[2]) {
			if *v < 0 {
				one = -one
			}
			*v += one
		}
	case !d.decide(&st[1]):
		return false
	case d.decide(&d.arith.even):
		c.set(i, k, -one)
	default:
		c.set(i, k, one)
	}
	return true
}

// swap, in the next state after the less probable decision, exchanges the two.
const swap = 128

// fixed is the state in which both decisions stay equally probable.
const fixed = 113

// estimates is table D.3: the probability of the less probable decision, and the
// next states after it and after the other.
var estimates = [...]struct {
	qe       uint16
	lps, mps uint8
}{
	{0x5a1d, 1 | swap, 1}, {0x2586, 14, 2}, {0x1114, 16, 3}, {0x080b, 18, 4}, {0x03d8, 20, 5}, {0x01da, 23, 6},
	{0x00e5, 25, 7}, {0x006f, 28, 8}, {0x0036, 30, 9}, {0x001a, 33, 10}, {0x000d, 35, 11}, {0x0006, 9, 12},
	{0x0003, 10, 13}, {0x0001, 12, 13}, {0x5a7f, 15 | swap, 15}, {0x3f25, 36, 16}, {0x2cf2, 38, 17},
	{0x207c, 39, 18}, {0x17b9, 40, 19}, {0x1182, 42, 20}, {0x0cef, 43, 21}, {0x09a1, 45, 22}, {0x072f, 46, 23},
	{0x055c, 48, 24}, {0x0406, 49, 25}, {0x0303, 51, 26}, {0x0240, 52, 27}, {0x01b1, 54, 28}, {0x0144, 56, 29},
	{0x00f5, 57, 30}, {0x00b7, 59, 31}, {0x008a, 60, 32}, {0x0068, 62, 33}, {0x004e, 63, 34}, {0x003b, 32, 35},
	{0x002c, 33, 9}, {0x5ae1, 37 | swap, 37}, {0x484c, 64, 38}, {0x3a0d, 65, 39}, {0x2ef1, 67, 40},
	{0x261f, 68, 41}, {0x1f33, 69, 42}, {0x19a8, 70, 43}, {0x1518, 72, 44}, {0x1177, 73, 45}, {0x0e74, 74, 46},
	{0x0bfb, 75, 47}, {0x09f8, 77, 48}, {0x0861, 78, 49}, {0x0706, 79, 50}, {0x05cd, 48, 51}, {0x04de, 50, 52},
	{0x040f, 50, 53}, {0x0363, 51, 54}, {0x02d4, 52, 55}, {0x025c, 53, 56}, {0x01f8, 54, 57}, {0x01a4, 55, 58},
	{0x0160, 56, 59}, {0x0125, 57, 60}, {0x00f6, 58, 61}, {0x00cb, 59, 62}, {0x00ab, 61, 63}, {0x008f, 61, 32},
	{0x5b12, 65 | swap, 65}, {0x4d04, 80, 66}, {0x412c, 81, 67}, {0x37d8, 82, 68}, {0x2fe8, 83, 69},
	{0x293c, 84, 70}, {0x2379, 86, 71}, {0x1edf, 87, 72}, {0x1aa9, 87, 73}, {0x174e, 72, 74}, {0x1424, 72, 75},
	{0x119c, 74, 76}, {0x0f6b, 74, 77}, {0x0d51, 75, 78}, {0x0bb6, 77, 79}, {0x0a40, 77, 48},
	{0x5832, 80 | swap, 81}, {0x4d1c, 88, 82}, {0x438e, 89, 83}, {0x3bdd, 90, 84}, {0x34ee, 91, 85},
	{0x2eae, 92, 86}, {0x299a, 93, 87}, {0x2516, 86, 71}, {0x5570, 88 | swap, 89}, {0x4ca9, 95, 90},
	{0x44d9, 96, 91}, {0x3e22, 97, 92}, {0x3824, 99, 93}, {0x32b4, 99, 94}, {0x2e17, 93, 86},
	{0x56a8, 95 | swap, 96}, {0x4f46, 101, 97}, {0x47e5, 102, 98}, {0x41cf, 103, 99}, {0x3c3d, 104, 100},
	{0x375e, 99, 93}, {0x5231, 105, 102}, {0x4c0f, 106, 103}, {0x4639, 107, 104}, {0x415e, 103, 99},
	{0x5627, 105 | swap, 106}, {0x50e7, 108, 107}, {0x4b85, 109, 103}, {0x5597, 110, 109}, {0x504f, 111, 107},
	{0x5a10, 110 | swap, 111}, {0x5522, 112, 109}, {0x59eb, 112 | swap, 111}, {0x5a1d, fixed, fixed},
}
