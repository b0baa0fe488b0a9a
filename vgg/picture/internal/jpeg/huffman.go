package jpeg

// huffman decodes the codes of one table (C.2, F.2.2.3).
type huffman struct {
	set  bool
	fast [1 << fastBits]uint16 // code length<<8 | value, by the next bits; 0 where longer
	max  [17]int32             // max[n] is one more than the last code of n bits, left-justified to 16
	base [17]int32             // code of n bits + base[n] is its index in values
	vals [256]uint8
}

const fastBits = 9

func (d *decoder) huffmanTables(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 {
			return corrupt("short Huffman table")
		}
		class, id := b[0]>>4, b[0]&15
		if class > 1 || id > 3 {
			return corrupt("Huffman table %#x", b[0])
		}
		total := 0
		for _, n := range b[1:17] {
			total += int(n)
		}
		if total > 256 || len(b) < 17+total {
			return corrupt("short Huffman table")
		}
		if !d.huff[class][id].init(b[1:17], b[17:17+total]) {
			return corrupt("Huffman table with too many codes")
		}
		b = b[17+total:]
	}
	return nil
}

// init builds the table from the number of codes of each length and the values.
func (h *huffman) init(counts, values []byte) bool {
	*h = huffman{set: true}
	copy(h.vals[:], values)
	code, index := int32(0), int32(0)
	for n := int32(1); n <= 16; n++ {
		h.base[n] = index - code
		for range counts[n-1] {
			if code >= 1<<n {
				return false
			}
			if n <= fastBits {
				entry := uint16(n)<<8 | uint16(h.vals[index])
				first := code << (fastBits - n)
				for i := range int32(1) << (fastBits - n) {
					h.fast[first+i] = entry
				}
			}
			code, index = code+1, index+1
		}
		h.max[n] = code << (16 - n)
		code <<= 1
	}
	return true
}

// bits reads the entropy-coded data of a scan. Past its end it delivers zeros,
// and overrun tells so afterwards.
type bits struct {
	acc   uint64 // the next n bits, in the high end
	n     int
	zeros int // of n, how many are not in the data
}

// fill makes at least 32 bits available.
func (d *decoder) fill() {
	b := &d.bits
	for b.n <= 56 {
		var v byte
		switch {
		case d.pos < len(d.data) && d.data[d.pos] != 0xff:
			v = d.data[d.pos]
			d.pos++
		case d.pos+1 < len(d.data) && d.data[d.pos+1] == 0: // a stuffed zero
			v = 0xff
			d.pos += 2
		default: // a marker, or the end
			b.zeros += 8
		}
		b.acc |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

// overrun reports whether more bits were taken than there are.
func (b *bits) overrun() bool { return b.n < b.zeros }

func (b *bits) skip(n int) {
	b.acc <<= n
	b.n -= n
}

// take returns the next n bits, 0 to 16. The caller has filled.
func (b *bits) take(n int) int32 {
	v := int32(b.acc >> 32 >> (32 - n))
	b.skip(n)
	return v
}

// extend is EXTEND of F.2.2.1: the signed value of n bits.
func (b *bits) extend(n int) int32 {
	if n == 0 {
		return 0
	}
	v := b.take(n)
	if v < 1<<(n-1) {
		v += 1 - 1<<n
	}
	return v
}

// symbol returns the next Huffman-coded value, and leaves 16 bits or more to take.
// An invalid code, −1, is a damaged file.
func (d *decoder) symbol(h *huffman) int {
	if d.bits.n < 32 {
		d.fill()
	}
	b := &d.bits
	if e := h.fast[b.acc>>(64-fastBits)]; e != 0 {
		b.skip(int(e >> 8))
		return int(e & 0xff)
	}
	next := int32(b.acc >> 48)
	for n := fastBits + 1; n <= 16; n++ {
		if next < h.max[n] {
			b.skip(n)
			return int(h.vals[uint8(next>>(16-n)+h.base[n])])
		}
	}
	return -1
}
