package jpeg

// A progressive picture whose first coefficients have not all come is smoothed, as
// libjpeg-turbo 2.1 does: coefficients that are zero and not known exactly are
// estimated from the means of the 5×5 blocks around (an extension of K.8).

// kernel weighs these means, row by row, in 256ths of the quantised coefficient.
type kernel [25]int32

// meansOnly estimates coefficients 0 to 9, in zigzag order, where nothing but means is known,
// and partial 1 to 5 where more is.
var (
	meansOnly = [10]kernel{
		{-2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6, -2},
		{-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1},
		{-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1},
		{0, 0, 1, 0, 0, 0, 2, 7, 2, 0, 0, -5, -14, -5, 0, 0, 2, 7, 2, 0, 0, 0, 1, 0, 0},
		{-1, 0, 0, 0, 1, 0, 9, 0, -9, 0, 0, 0, 0, 0, 0, 0, -9, 0, 9, 0, 1, 0, 0, 0, -1},
		{0, 0, 0, 0, 0, 0, 2, -5, 2, 0, 1, 7, -14, 7, 1, 0, 2, -5, 2, 0, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, 2, 0, -2, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 1, -3, 1, 0, 0, 0, 0, 0, 0, 0, -1, 3, -1, 0, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, -3, 0, 3, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, -1, -2, -1, 0, 0, 0, 0, 0, 0},
	}
	partial = [6]kernel{
		1: {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -7, 50, 0, -50, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0, 0, -7, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, -50, 0, 0, 0, 0, 7, 0, 0},
		{0, 0, -1, 0, 0, 0, 0, 13, 0, 0, 0, 0, -24, 0, 0, 0, 0, 13, 0, 0, 0, 0, -1, 0, 0},
		{0, -1, 0, 1, 0, -1, 10, 0, -10, 1, 0, 0, 0, 0, 0, 1, -10, 0, 10, -1, 0, 1, 0, -1, 0},
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 13, -24, 13, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
)

// progress says to which bit coefficients 0 to 9 of a component are known, after its
// last scan and before; −1 stands for none.
type progress struct{ now, before [10]int }

// noteScan updates the progress of the components of a scan.
func (d *decoder) noteScan(s *mcus) {
	for _, c := range s.comps {
		c.known.before = c.known.now
		if d.scans == 1 {
			c.known.before = [10]int{}
		}
		for k := s.first; k <= min(s.last, 9); k++ {
			c.known.now[k] = s.low
		}
	}
}

// smoothing reports whether the picture is to be smoothed: all means are known in
// part and some other coefficient of the first ten is not known exactly.
func (d *decoder) smoothing() bool {
	useful := false
	for i := range d.comps {
		c := &d.comps[i]
		if !c.seen || c.known.now[0] < 0 {
			return false
		}
		for k, low := range c.known.now {
			if c.quant[zigzag[k]] == 0 {
				return false
			}
			useful = useful || k > 0 && low != 0
		}
	}
	return useful
}

// smoothRow makes the samples of block row y of c, whose coefficients are row.
func (d *decoder) smoothRow(c *component, y int, row []int16) {
	known := c.known.now
	if y/c.group > d.lastGood { // the last scan did not come so far
		known = c.known.before
		if d.scans == 1 {
			known = [10]int{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
		}
	}
	var dc [5][]int16
	for i, r := range c.around(y) {
		dc[i] = c.dc[r*c.bw:][:c.sw]
	}
	e, even := newEstimator(c, known), same(dc)
	for x := range c.sw {
		if even && c.some[y*c.bw+x] == 0 {
			flat(c.pix[8*(y*c.stride()+x):], c.stride(), int32(dc[2][x])*c.quant[0])
			continue
		}
		var means kernel
		columns := c.beside(x)
		for i, r := range dc {
			for j, q := range columns {
				means[5*i+j] = int32(r[q])
			}
		}
		block := (*[64]int16)(row[64*x:])
		block[0] = dc[2][x]
		e.apply(block, &means)
		c.samples(x, y, block)
	}
}

// same reports whether all means are the same.
func same(rows [5][]int16) bool {
	for _, row := range rows {
		for _, v := range row {
			if v != rows[0][0] {
				return false
			}
		}
	}
	return true
}

// around returns the numbers of the five block rows about y. Near the edges, which
// count in rows of MCUs, they repeat as in libjpeg-turbo 2.1.5.
func (c *component) around(y int) [5]int {
	mcu, in := y/c.group, y%c.group
	last := ceilDiv(c.sh, c.group) - 1
	rows := c.group
	if mcu == last {
		rows = c.sh - last*c.group
	}
	r := [5]int{y, y, y, y, y}
	if y > 0 {
		r[1] = y - 1
	}
	if r[0] = r[1]; in > 1 || mcu > 1 {
		r[0] = y - 2
	}
	if in < rows-1 || mcu < last {
		r[3] = y + 1
	}
	if r[4] = r[3]; in < rows-2 || mcu+1 < last {
		r[4] = y + 2
	}
	return r
}

// beside returns the numbers of the five block columns about x. Two columns alone are taken
// as libjpeg-turbo 2.1.5 takes them.
func (c *component) beside(x int) [5]int {
	last := c.sw - 1
	if last == 1 {
		return [2][5]int{{0, 0, 0, 1, 0}, {0, 0, 1, 0, 0}}[x]
	}
	return [5]int{max(x-2, 0), max(x-1, 0), x, min(x+1, last), min(x+2, last)}
}

// estimator fills in coefficients of blocks of one component.
type estimator struct {
	known   [10]int
	kernels []kernel // of the first coefficients; the first is empty if means stay
	quant   [10]int64
}

func newEstimator(c *component, known [10]int) *estimator {
	e := &estimator{known: known, kernels: meansOnly[:]}
	for k := range e.quant {
		e.quant[k] = int64(c.quant[zigzag[k]])
		if k > 0 && known[k] != -1 {
			e.kernels = partial[:]
		}
	}
	return e
}

// apply puts the estimates from means into b.
func (e *estimator) apply(b *[64]int16, means *kernel) {
	if *means == flatMeans(means[12]) {
		return // every estimate is zero, and that of the mean itself
	}
	for k := 1; k < len(e.kernels); k++ {
		if v := &b[zigzag[k]]; e.known[k] != 0 && *v == 0 {
			*v = e.estimate(k, means)
		}
	}
	if len(e.kernels) == len(meansOnly) {
		b[0] = e.estimate(0, means)
	}
}

func flatMeans(v int32) (m kernel) {
	for i := range m {
		m[i] = v
	}
	return m
}

func (e *estimator) estimate(k int, means *kernel) int16 {
	sum := int32(0)
	for i, w := range e.kernels[k] {
		sum += w * means[i]
	}
	num, q := e.quant[0]*int64(sum), e.quant[k]
	sign := int64(1)
	if num < 0 {
		sign, num = -1, -num
	}
	v := int32((q<<7 + num) / (q << 8))
	if low := e.known[k]; k > 0 && low > 0 {
		v = min(v, 1<<low-1)
	}
	return int16(int32(sign) * v)
}
