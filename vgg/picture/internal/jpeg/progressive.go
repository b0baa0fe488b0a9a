package jpeg

import "unsafe"

// block returns the coefficients of block i.
func (p *progressive) block(i int) *[64]int16 { return (*[64]int16)(p.ac[64*i:]) }

// set gives coefficient k of the zigzag a value that is not zero.
func (p *progressive) set(i, k int, v int16) {
	p.some[i] |= 1 << (k & 63)
	p.block(i)[zigzag[k]&63] = v
}

// firstDC and the following are the procedures of annex G, for block i.
func (d *decoder) firstDC(c *scanComponent, i, low int) {
	c.pred += d.bits.extend(d.symbol(c.dcTable))
	c.dc[i] = int16(c.pred << low)
}

func (d *decoder) refineDC(c *scanComponent, i, low int) {
	if d.bit() {
		c.dc[i] |= 1 << low
	}
}

func (d *decoder) bit() bool {
	if d.bits.n < 32 {
		d.fill()
	}
	return d.bits.take(1) != 0
}

// run sets the number of blocks that end here and now, from a symbol's high
// half, 0 to 14: 2ʳ plus r more bits.
func (d *decoder) run(r int) { d.eobRun = 1<<r + int(d.bits.take(r)) }

func (d *decoder) firstAC(c *scanComponent, i int, sp spectrum) {
	if d.eobRun > 0 {
		d.eobRun--
		return
	}
	for k := sp.first; k <= sp.last; k++ {
		rs := d.symbol(c.acTable)
		r, size := rs>>4, rs&15
		switch {
		case size > 0:
			k += r
			c.set(i, min(k, 63), int16(d.bits.extend(size)<<sp.low))
		case r < 15:
			d.run(r)
			d.eobRun--
			return
		default:
			k += 15
		}
	}
}

func (d *decoder) refineAC(c *scanComponent, i int, sp spectrum) {
	k := sp.first
	one := int16(1) << sp.low
	for d.eobRun == 0 && k <= sp.last {
		rs := d.symbol(c.acTable)
		r, size := rs>>4, rs&15
		var fresh int16
		switch {
		case size > 0: // 1, if the data are sound
			fresh = -one
			if d.bits.take(1) != 0 {
				fresh = one
			}
		case r < 15:
			d.run(r)
			continue
		}
		k = d.refine(c.block(i), k, sp.last, r, one)
		if fresh != 0 {
			c.set(i, min(k, 63), fresh)
		}
		k++
	}
	if d.eobRun > 0 {
		if rest := c.some[i] & band(k, sp.last); rest != 0 {
			d.refine(c.block(i), k, sp.last, 64, one)
		}
		d.eobRun--
	}
}

// band has the bits of coefficients first to last.
func band(first, last int) uint64 { return ^uint64(0) << first & (^uint64(0) >> (63 - last)) }

// refine reads a correction bit for every coefficient from k on that is not zero, until
// it meets zero number skip+1 of them or passes last. It returns where it stopped.
func (d *decoder) refine(coefs *[64]int16, k, last, skip int, one int16) int {
	for ; k <= last; k++ {
		c := &coefs[zigzag[k]]
		if *c == 0 {
			if skip == 0 {
				return k
			}
			skip--
			continue
		}
		if d.bit() && *c&one == 0 {
			if *c > 0 {
				*c += one
			} else {
				*c -= one
			}
		}
	}
	return k
}

// reconstruct turns the coefficients of c into samples. These take the place
// of the coefficients, row by row: only the first row lies on its own coefficients.
func (d *decoder) reconstruct(c *component, smooth bool) error {
	first := append([]int16(nil), c.ac[:64*c.bw]...)
	c.pix = unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(c.ac))), 64*c.bw*c.bh)
	for y := range c.sh {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		row := first
		if y > 0 {
			row = c.ac[64*c.bw*y:][:64*c.bw]
		}
		if smooth {
			d.smoothRow(c, y, row)
			continue
		}
		for x := range c.sw {
			i := y*c.bw + x
			if c.some[i] == 0 {
				flat(c.pix[8*(y*c.stride()+x):], c.stride(), int32(c.dc[i])*c.quant[0])
				continue
			}
			block := (*[64]int16)(row[64*x:])
			block[0] = c.dc[i]
			c.samples(x, y, block)
		}
	}
	c.progressive = progressive{}
	return nil
}

// samples makes those of block (x, y) from its coefficients.
func (c *component) samples(x, y int, in *[64]int16) {
	dst := c.pix[8*(y*c.stride()+x):]
	var coefs [64]int32
	size, rest := int64(0), int32(0)
	for i, v := range in {
		coefs[i] = int32(v) * c.quant[i]
		size += magnitude(coefs[i])
		if i > 0 {
			rest |= coefs[i]
		}
	}
	switch {
	case rest == 0:
		flat(dst, c.stride(), coefs[0])
	case size > tame:
		inverse16(dst, c.stride(), &coefs)
	default:
		inverse(dst, c.stride(), &coefs, 63)
	}
}
