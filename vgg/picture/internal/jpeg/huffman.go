package jpeg

// huffman decodes the codes of one table (C.2, F.2.2.3).
type huffman struct {
	set     bool
	crowded bool                  // more codes than fit: no scan can use the table
	wide    bool                  // values over 15, which no DC table has
	fast    [1 << fastBits]uint16 // code length<<8 | value, by the next bits; 0 where longer
	max     [17]int32             // max[n] is one more than the last code of n bits, left-justified to 16
	base    [17]int32             // code of n bits + base[n] is its index in values
	vals    [256]uint8
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
		d.huff[class][id].init(b[1:17], b[17:17+total])
		b = b[17+total:]
	}
	return nil
}

// init builds the table from the number of codes of each length and the values.
// A table that is no prefix code is an error only for the scan that uses it.
func (h *huffman) init(counts, values []byte) {
	*h = huffman{set: true}
	copy(h.vals[:], values)
	for _, v := range values {
		h.wide = h.wide || v > 15
	}
	code, index := int32(0), int32(0)
	for n := int32(1); n <= 16; n++ {
		h.base[n] = index - code
		if code+int32(counts[n-1]) >= 1<<n && counts[n-1] > 0 { // no code is all ones
			h.crowded = true
			return
		}
		for range counts[n-1] {
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
		if d.pos < len(d.data) && d.data[d.pos] != 0xff {
			v = d.data[d.pos]
			d.pos++
		} else if d.stuffed() {
			v = 0xff
		} else { // a marker, or the end
			b.zeros += 8
		}
		b.acc |= uint64(v) << (56 - b.n)
		b.n += 8
	}
}

// stuffed reads a byte of ones, which a zero follows, perhaps after fill bytes.
// It reports false, and reads nothing, at a marker and at the end of the data.
func (d *decoder) stuffed() bool {
	if i := d.afterFill(); i < len(d.data) && d.data[i] == 0 {
		d.pos = i + 1
		return true
	}
	return false
}

// afterFill returns the position of the first byte from pos on that is not 0xff.
func (d *decoder) afterFill() int {
	i := d.pos
	for i < len(d.data) && d.data[i] == 0xff {
		i++
	}
	return i
}

// atEnd reports whether the data end here, without a marker.
func (d *decoder) atEnd() bool { return d.afterFill() == len(d.data) }

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
// For 17 bits that begin with no code it is 0, as in libjpeg.
func (d *decoder) symbol(h *huffman) int {
	b := &d.bits
	if b.n < 32 {
		d.fill()
	}
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
	b.skip(17)
	return 0
}

// standardTables are those of annex K, which cameras leave out of the frames of
// Motion JPEG: luma and chroma, each DC and AC.
func (d *decoder) standardTables() {
	dcValues := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	for i, t := range standard {
		if h := &d.huff[0][i]; !h.set {
			h.init(t.dc[:], dcValues)
		}
		if h := &d.huff[1][i]; !h.set {
			h.init(t.ac[:], t.values)
		}
	}
}

// standard holds tables K.3 to K.6: the number of codes of each length, and the
// values of AC codes. Those of DC codes are 0 to 11.
var standard = [2]struct {
	dc, ac [16]byte
	values []byte
}{
	{
		dc: [16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1},
		ac: [16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
		values: []byte("\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08" +
			"\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
			"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59" +
			"\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
			"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6" +
			"\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
			"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"),
	},
	{
		dc: [16]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		ac: [16]byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
		values: []byte("\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91" +
			"\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26" +
			"\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58" +
			"\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
			"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4" +
			"\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda" +
			"\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa"),
	},
}
