package jpeg

// scanComponent is a component with its tables in one scan.
type scanComponent struct {
	*component
	dc, ac *huffman
	pred   int32
}

// spectrum is what a scan carries (B.2.3): coefficients first to last, from bit
// low; high is 0 in the first scan of them, else low+1.
type spectrum struct{ first, last, high, low int }

// scan reads the scan header b and the data after it.
func (d *decoder) scan(b []byte) error {
	if d.comps == nil {
		return corrupt("scan without a frame")
	}
	if len(b) < 1 || len(b) != 4+2*int(b[0]) || b[0] < 1 || int(b[0]) > len(d.comps) {
		return corrupt("scan header of %d bytes", len(b))
	}
	n := int(b[0])
	sp := spectrum{int(b[2*n+1]), int(b[2*n+2]), int(b[2*n+3] >> 4), int(b[2*n+3] & 15)}
	if err := d.checkSpectrum(&sp, n); err != nil {
		return err
	}
	comps := make([]scanComponent, n)
	for i := range comps {
		if err := d.scanComponent(comps[:i+1], b[1+2*i], b[2+2*i], sp); err != nil {
			return err
		}
	}
	d.bits, d.eobRun = bits{}, 0
	if n == 1 {
		return d.single(comps, sp)
	}
	return d.interleaved(comps, sp)
}

func (d *decoder) checkSpectrum(s *spectrum, n int) error {
	if !d.progressive {
		*s = spectrum{0, 63, 0, 0} // as libjpeg: other values are ignored
		return nil
	}
	switch {
	case s.first > s.last, s.last > 63, s.low > 13,
		s.first == 0 && s.last != 0, // DC and AC never share a scan
		s.first > 0 && n != 1,
		s.high != 0 && s.high != s.low+1:
		return corrupt("progressive scan of %d components with %+v", n, *s)
	}
	return nil
}

// scanComponent fills the last entry of comps.
func (d *decoder) scanComponent(comps []scanComponent, id, tables byte, sp spectrum) error {
	sc := &comps[len(comps)-1]
	for i := range d.comps {
		if d.comps[i].id == int(id) {
			sc.component = &d.comps[i]
		}
	}
	if sc.component == nil {
		return corrupt("scan of unknown component %d", id)
	}
	for i := range len(comps) - 1 {
		if comps[i].component == sc.component {
			return corrupt("component %d twice in a scan", id)
		}
	}
	if !sc.seen {
		if !d.quantSet[sc.tq] {
			return corrupt("no quantisation table %d", sc.tq)
		}
		sc.quant, sc.seen = d.quant[sc.tq], true
	} else if !d.progressive {
		return corrupt("component %d in two scans", id)
	}
	if tables>>4 > 3 || tables&15 > 3 {
		return corrupt("Huffman tables %#x", tables)
	}
	sc.dc, sc.ac = &d.huff[0][tables>>4], &d.huff[1][tables&15]
	if sp.first == 0 && sp.high == 0 && !sc.dc.set || sp.last > 0 && !sc.ac.set {
		return corrupt("no Huffman table %#x", tables)
	}
	return nil
}

// interleaved decodes a scan of several components: MCU by MCU, in each h×v
// blocks of every component.
func (d *decoder) interleaved(comps []scanComponent, sp spectrum) error {
	mcu := 0
	for my := range d.mcuY {
		for mx := range d.mcuX {
			if err := d.atRestart(mcu, comps); err != nil {
				return err
			}
			for i := range comps {
				c := &comps[i]
				for v := range c.v {
					for h := range c.h {
						if !d.block(c, sp, mx*c.h+h, my*c.v+v) {
							return errDamaged
						}
					}
				}
			}
			mcu++
			if d.bits.overrun() {
				return errTruncated
			}
		}
	}
	return nil
}

var errDamaged = corrupt("damaged scan")

// single decodes a scan of one component: block by block, without those that
// only fill up MCUs.
func (d *decoder) single(comps []scanComponent, sp spectrum) error {
	c, mcu := &comps[0], 0
	for y := range c.sh {
		for x := range c.sw {
			if err := d.atRestart(mcu, comps); err != nil {
				return err
			}
			if !d.block(c, sp, x, y) {
				return errDamaged
			}
			mcu++
			if d.bits.overrun() {
				return errTruncated
			}
		}
	}
	return nil
}

// atRestart reads the restart marker that is due before MCU number mcu, if any.
func (d *decoder) atRestart(mcu int, comps []scanComponent) error {
	if d.restart == 0 || mcu == 0 || mcu%d.restart != 0 {
		return nil
	}
	d.bits, d.eobRun = bits{}, 0
	m, err := d.nextMarker()
	if err != nil {
		return err
	}
	if want := byte(mRST0 + (mcu/d.restart-1)%8); m != want {
		return corrupt("marker %#x where restart %#x is due", m, want)
	}
	for i := range comps {
		comps[i].pred = 0
	}
	return nil
}

// block decodes block (x, y) of c and reports whether its codes are valid.
func (d *decoder) block(c *scanComponent, sp spectrum, x, y int) bool {
	if !d.progressive {
		var coefs [64]int32
		last, ok := d.sequential(c, &coefs)
		if ok {
			inverse(c.pix[8*(y*c.stride()+x):], c.stride(), &coefs, last)
		}
		return ok
	}
	coefs := (*[64]int16)(c.coefs[64*(y*c.bw+x):])
	switch {
	case sp.first == 0 && sp.high == 0:
		return d.firstDC(c, coefs, sp.low)
	case sp.first == 0:
		d.refineDC(coefs, sp.low)
		return true
	case sp.high == 0:
		return d.firstAC(c.ac, coefs, sp)
	}
	return d.refineAC(c.ac, coefs, sp)
}

// sequential decodes a block (F.2.2) and multiplies by the quantisation table. It returns
// the index, in zigzag order, of the last coefficient that is not zero.
func (d *decoder) sequential(c *scanComponent, coefs *[64]int32) (last int, ok bool) {
	s := d.symbol(c.dc)
	if s < 0 || s > 16 {
		return 0, false
	}
	c.pred += d.bits.extend(s)
	coefs[0] = c.pred * c.quant[0]
	for k := 1; k < 64; k++ {
		rs := d.symbol(c.ac)
		if rs < 0 {
			return 0, false
		}
		size := rs & 15
		if size == 0 {
			if rs != 0xf0 {
				break // end of block
			}
			k += 15
			continue
		}
		k += rs >> 4
		z := zigzag[k] & 63
		coefs[z] = d.bits.extend(size) * c.quant[z]
		last = min(k, 63)
	}
	return last, true
}

// firstDC and the following are the procedures of annex G.
func (d *decoder) firstDC(c *scanComponent, coefs *[64]int16, low int) bool {
	s := d.symbol(c.dc)
	if s < 0 || s > 16 {
		return false
	}
	c.pred += d.bits.extend(s)
	coefs[0] = int16(c.pred << low)
	return true
}

func (d *decoder) refineDC(coefs *[64]int16, low int) {
	if d.bit() {
		coefs[0] |= 1 << low
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

func (d *decoder) firstAC(h *huffman, coefs *[64]int16, sp spectrum) bool {
	if d.eobRun > 0 {
		d.eobRun--
		return true
	}
	for k := sp.first; k <= sp.last; k++ {
		rs := d.symbol(h)
		if rs < 0 {
			return false
		}
		r, size := rs>>4, rs&15
		switch {
		case size > 0:
			k += r
			coefs[zigzag[k]&63] = int16(d.bits.extend(size) << sp.low)
		case r < 15:
			d.run(r)
			d.eobRun--
			return true
		default:
			k += 15
		}
	}
	return true
}

func (d *decoder) refineAC(h *huffman, coefs *[64]int16, sp spectrum) bool {
	k := sp.first
	one := int16(1) << sp.low
	for d.eobRun == 0 && k <= sp.last {
		rs := d.symbol(h)
		if rs < 0 {
			return false
		}
		r, size := rs>>4, rs&15
		var fresh int16
		switch {
		case size > 1:
			return false
		case size == 1:
			fresh = -one
			if d.bits.take(1) != 0 {
				fresh = one
			}
		case r < 15:
			d.run(r)
			continue
		}
		k = d.refine(coefs, k, sp.last, r, one)
		if fresh != 0 && k <= sp.last {
			coefs[zigzag[k]] = fresh
		}
		k++
	}
	if d.eobRun > 0 {
		d.refine(coefs, k, sp.last, 64, one)
		d.eobRun--
	}
	return true
}

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

// reconstruct turns the coefficients of a progressive picture into samples.
func (c *component) reconstruct() {
	var coefs [64]int32
	for y := range c.bh {
		for x := range c.bw {
			last := 0
			for i, v := range c.coefs[64*(y*c.bw+x):][:64] {
				coefs[i] = int32(v) * c.quant[i]
				if v != 0 && i > 0 {
					last = 63
				}
			}
			inverse(c.pix[8*(y*c.stride()+x):], c.stride(), &coefs, last)
		}
	}
	c.coefs = nil
}
