package jpeg

// scanComponent is a component with its tables and predictions in one scan.
type scanComponent struct {
	*component
	dcTable, acTable *huffman
	dcT, acT         int // numbers of the tables
	pred             int32
	context          int // arithmetic: of the next DC difference
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
	if d.scans++; d.scans > maxScans {
		return corrupt("more than %d scans", maxScans)
	}
	n := int(b[0])
	if d.scans == 1 {
		d.firstScan(n)
	} else if !d.several {
		return corrupt("a second scan of all components")
	}
	sp := spectrum{int(b[2*n+1]), int(b[2*n+2]), int(b[2*n+3] >> 4), int(b[2*n+3] & 15)}
	if err := d.checkSpectrum(&sp, n); err != nil {
		return err
	}
	comps := make([]scanComponent, n)
	for i := range comps {
		if err := d.scanComponent(&comps[i], i, b[1+2*i], b[2+2*i], sp); err != nil {
			return err
		}
	}
	if err := d.intervals(newMCUs(d, comps, sp)); err != nil {
		return err
	}
	d.done = !d.several
	return nil
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

// scanComponent fills sc, component number i of a scan. As in libjpeg components
// keep their order, which tells those of one identifier apart.
func (d *decoder) scanComponent(sc *scanComponent, i int, id, tables byte, sp spectrum) error {
	for j := i; j < len(d.comps) && sc.component == nil; j++ {
		if d.comps[j].id == int(id) {
			sc.component = &d.comps[j]
		}
	}
	if sc.component == nil {
		return corrupt("scan of unknown component %d", id)
	}
	if !sc.seen {
		if sc.tq > 3 || !d.quantSet[sc.tq] {
			return corrupt("no quantisation table %d", sc.tq)
		}
		sc.quant, sc.seen = d.quant[sc.tq], true
	} else if !d.progressive {
		return corrupt("component %d in two scans", id)
	}
	sc.dcT, sc.acT = int(tables>>4), int(tables&15)
	if d.arithmetic {
		return nil
	}
	return d.codes(sc, sp)
}

// codes gives sc the Huffman tables that scan sp needs.
func (d *decoder) codes(sc *scanComponent, sp spectrum) (err error) {
	if sp.first == 0 && sp.high == 0 {
		if sc.dcTable, err = d.table(0, sc.dcT); err != nil {
			return err
		}
		if sc.dcTable.wide {
			return corrupt("DC Huffman table %d with values over 15", sc.dcT)
		}
	}
	if sp.last > 0 {
		sc.acTable, err = d.table(1, sc.acT)
	}
	return err
}

// table returns Huffman table i of a class, 0 for DC and 1 for AC.
func (d *decoder) table(class, i int) (*huffman, error) {
	name := [2]string{"DC", "AC"}[class]
	if i > 3 || !d.huff[class][i].set {
		return nil, corrupt("no %s Huffman table %d", name, i)
	}
	h := &d.huff[class][i]
	if h.crowded {
		return nil, corrupt("%s Huffman table %d with too many codes", name, i)
	}
	return h, nil
}

// mcus is what a scan consists of: with several components MCUs of h×v blocks of
// each, with one its blocks, without those that only fill up MCUs.
type mcus struct {
	spectrum
	comps       []scanComponent
	w, n        int // MCUs in a row and in all
	interleaved bool
	blocks      int // of an MCU
}

func newMCUs(d *decoder, comps []scanComponent, sp spectrum) *mcus {
	if len(comps) == 1 {
		return &mcus{sp, comps, comps[0].sw, comps[0].sw * comps[0].sh, false, 1}
	}
	s := &mcus{sp, comps, d.mcuX, d.mcuX * d.mcuY, true, 0}
	for _, c := range comps {
		s.blocks += c.h * c.v
	}
	return s
}

// intervals decodes a scan restart interval by restart interval.
func (d *decoder) intervals(s *mcus) error {
	if s.interleaved && s.blocks > 10 { // B.2.3
		return corrupt("MCU of %d blocks", s.blocks)
	}
	d.noteScan(s)
	d.bits, d.eobRun, d.empty = bits{}, 0, false
	step := s.n
	if d.restart > 0 {
		step = d.restart
	}
	for i, from := 0, 0; from < s.n; i, from = i+1, from+step {
		if from > 0 {
			if err := d.atRestart((i-1)%8, s); err != nil {
				return err
			}
		}
		if d.arithmetic {
			d.restartArithmetic(s)
		}
		if err := d.interval(s, from, min(from+step, s.n)); err != nil {
			return err
		}
	}
	return nil
}

// atRestart looks for restart marker number want. If it finds another marker, it decides as
// libjpeg where the data continue.
func (d *decoder) atRestart(want int, s *mcus) error {
	d.bits, d.eobRun = bits{}, 0
	for i := range s.comps {
		s.comps[i].pred, s.comps[i].context = 0, 0
	}
	for {
		m, err := d.nextMarker()
		if err != nil {
			return err
		}
		ahead := (int(m) - mRST0 - want) & 7
		switch {
		case m < mSOF0: // none that the standard knows
		case m < mRST0 || m > mRST7 || ahead == 1 || ahead == 2:
			d.pos -= 2 // this interval is lost
			return nil
		case ahead < 6:
			d.empty = false
			return nil
		}
	}
}

// interval decodes MCUs from to to−1.
func (d *decoder) interval(s *mcus, from, to int) error {
	x, y := from%s.w, from/s.w
	group := 1
	if !s.interleaved {
		group = s.comps[0].group
	}
	for m := from; m < to; m++ {
		if d.empty {
			d.blank(s, m, to)
			return nil
		}
		if x == s.w {
			x, y = 0, y+1
		}
		if x == 0 || m == from {
			d.lastGood = y / group
			if err := d.spend(s.blocks * min(s.w-x, to-m)); err != nil {
				return err
			}
		}
		d.mcu(s, x, y)
		x++
		if d.bits.overrun() || d.arithmetic {
			if err := d.supplied(); err != nil {
				return err
			}
		}
	}
	return nil
}

// supplied looks whether the MCU before took more than the data hold.
func (d *decoder) supplied() error {
	switch {
	case d.arith.ended, d.bits.overrun() && d.atEnd():
		return errTruncated
	case d.arith.made > freeDecisions+decisionsPerByte*len(d.data):
		return corrupt("%d bytes of arithmetic coding for %d×%d pixels", len(d.data), d.w, d.h)
	case d.bits.overrun():
		d.empty, d.short = true, true
	}
	return nil
}

// spend counts blocks that are about to be visited.
func (d *decoder) spend(blocks int) error {
	d.work += blocks
	if d.work > freeBlocks+blocksPerByte*len(d.data) && d.progressive {
		return corrupt("%d scans of %d×%d pixels in %d bytes", d.scans, d.w, d.h, len(d.data))
	}
	return d.ctx.Err()
}

// mcu decodes the MCU in column x and row y of the scan.
func (d *decoder) mcu(s *mcus, x, y int) {
	if !s.interleaved {
		d.block(&s.comps[0], s.spectrum, x, y)
		return
	}
	for i := range s.comps {
		c := &s.comps[i]
		for v := range c.v {
			for h := range c.h {
				d.block(c, s.spectrum, x*c.h+h, y*c.v+v)
			}
		}
	}
}

// blank makes MCUs from to to−1 of a sequential scan grey, for which there are no data.
func (d *decoder) blank(s *mcus, from, to int) {
	if d.progressive {
		return
	}
	for m := from; m < to; m++ {
		for _, c := range s.comps {
			h, v := 1, 1
			if s.interleaved {
				h, v = c.h, c.v
			}
			for i := range h * v {
				x, y := m%s.w*h+i%h, m/s.w*v+i/h
				flat(c.pix[8*(y*c.stride()+x):], c.stride(), 0)
			}
		}
	}
}

// block decodes block (x, y) of c.
func (d *decoder) block(c *scanComponent, sp spectrum, x, y int) {
	if !d.progressive {
		var coefs [64]int32
		var last int
		var size int64
		if d.arithmetic {
			last, size = d.sequentialArithmetic(c, &coefs)
		} else {
			last, size = d.sequential(c, &coefs)
		}
		dst := c.pix[8*(y*c.stride()+x):]
		if size > tame {
			inverse16(dst, c.stride(), &coefs)
		} else {
			inverse(dst, c.stride(), &coefs, last)
		}
		return
	}
	i := y*c.bw + x
	switch {
	case d.arithmetic:
		d.progressiveArithmetic(c, i, sp)
	case sp.first == 0 && sp.high == 0:
		d.firstDC(c, i, sp.low)
	case sp.first == 0:
		d.refineDC(c, i, sp.low)
	case sp.high == 0:
		d.firstAC(c, i, sp)
	default:
		d.refineAC(c, i, sp)
	}
}

// sequential decodes a block (F.2.2) and multiplies by the quantisation table. It returns
// the index, in zigzag order, of the last coefficient that is not zero, and
// the sum of the magnitudes.
func (d *decoder) sequential(c *scanComponent, coefs *[64]int32) (last int, size int64) {
	c.pred += d.bits.extend(d.symbol(c.dcTable))
	coefs[0] = wrap(c.pred) * c.quant[0]
	size = magnitude(coefs[0])
	for k := 1; k < 64; k++ {
		rs := d.symbol(c.acTable)
		n := rs & 15
		if n == 0 {
			if rs != 0xf0 {
				break // end of block
			}
			k += 15
			continue
		}
		k += rs >> 4
		z := zigzag[k] & 63
		v := d.bits.extend(n) * c.quant[z]
		coefs[z] = v
		size += magnitude(v)
		last = min(k, 63)
	}
	return last, size
}

// magnitude is |v|, or |v|−1 if v is negative.
func magnitude(v int32) int64 { return int64(v ^ v>>31) }
