// Package jpeg decodes sequential and progressive JPEG of 8 bits a sample, with
// Huffman or arithmetic coding, to the sample values of libjpeg-turbo as Pillow
// calls it, bit for bit.
//
// The standard leaves the rounding of the inverse transform to the decoder, and
// image/jpeg rounds otherwise than libjpeg, by up to 2 levels after colour
// conversion. Networks are trained and scored on libjpeg's pictures.
//
// Damaged data are forgiven where libjpeg forgives them: what a scan lacks before
// a marker is zero, restart markers are sought again, and an unfinished progressive
// picture is smoothed. Data that end without a marker are an error, as in Pillow.
//
// Names and section numbers are those of ITU-T T.81.
package jpeg

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// errTruncated wraps io.ErrUnexpectedEOF, as the decoders of package image do.
var errTruncated = fmt.Errorf("jpeg: data end too early: %w", io.ErrUnexpectedEOF)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("jpeg: "+format, args...)
}

// Markers.
const (
	mTEM                        = 0x01
	mSOF0, mSOF1, mSOF2, mSOF15 = 0xc0, 0xc1, 0xc2, 0xcf
	mSOF9, mSOF10               = 0xc9, 0xca
	mDHT, mJPG, mDAC            = 0xc4, 0xc8, 0xcc
	mRST0, mRST7                = 0xd0, 0xd7
	mSOI, mEOI, mSOS            = 0xd8, 0xd9, 0xda
	mDQT, mDNL, mDRI            = 0xdb, 0xdc, 0xdd
	mAPP0, mAPP14, mAPP15, mCOM = 0xe0, 0xee, 0xef, 0xfe
)

// component is one colour channel.
type component struct {
	id, h, v int // sampling factors
	tq       int // quantisation table
	w, rows  int // samples that belong to the picture
	bw, bh   int // blocks stored: whole MCUs
	sw, sh   int // blocks of a scan of this component alone
	pix      []uint8
	progressive
	quant [64]int32
	seen  bool // in a scan; quant is the table of that time
}

// progressive holds the coefficients of a component until the last scan.
type progressive struct {
	dc    []int16  // of each block
	ac    []int16  // 64 a block, in natural order, without the first
	some  []uint64 // of each block, bit k: coefficient k of the zigzag may differ from zero
	group int      // block rows in a row of MCUs
	known progress
}

func (c *component) stride() int { return 8 * c.bw }

type decoder struct {
	ctx         context.Context
	data        []byte
	pos         int
	w, h        int
	comps       []component
	hmax, vmax  int
	mcuX, mcuY  int
	progressive bool
	arithmetic  bool
	tables
	marks
	scanned
	bits   bits
	eobRun int
	arith  arithmetic
}

// marks are what the segments of applications say.
type marks struct {
	jfif, adobe bool
	transform   byte // Adobe's colour transform
	space       Space
}

// tables are those that segments before a scan set.
type tables struct {
	quant    [4][64]int32 // in natural order
	quantSet [4]bool
	huff     [2][4]huffman // DC, AC
	restart  int           // MCUs between restart markers, 0 for none
}

// scanned says which scans were read and how they ended.
type scanned struct {
	scans, work int  // scans begun, and the blocks that they have visited
	several     bool // the first scan does not hold the whole picture
	done        bool // the only scan of the picture has been read
	empty       bool // nothing is left before the next marker
	short       bool // some scan was
	lastGood    int  // the row of MCUs up to which the last scan had data
}

// Limits on what a few bytes can ask for. Encoders write up to a dozen scans. A block
// takes some bits of a scan or is one of many without any, as of a plain sky. A
// decision takes a tenth of a bit or is one of many sure ones.
const (
	maxScans         = 500
	freeBlocks       = 32 << 20 // visited in scans of a progressive picture of any length
	blocksPerByte    = 8        // and for each byte
	freeDecisions    = 16 << 20 // of arithmetic coding
	decisionsPerByte = 64
)

// Space says what the components of a picture are.
type Space uint8

// The colour spaces. CMYK and YCCK are as stored, which is inverted in nearly all files.
const (
	Gray Space = iota
	YCbCr
	RGB
	CMYK
	YCCK
)

// Picture is a decoded file: W×H pixels of one plane for each component.
type Picture struct {
	W, H   int
	Space  Space
	Planes []Plane
	Work   int // blocks that scans of a progressive picture visited, and decisions of arithmetic coding
}

// Plane holds the W×H samples of a component, row y at Pix[y*Stride:]. Each stands
// for SX×SY pixels.
type Plane struct {
	Pix    []uint8
	Stride int
	W, H   int
	SX, SY int
}

// Size returns the width and the height in the frame header, which has been checked.
func Size(data []byte) (w, h int, err error) {
	d := &decoder{data: data}
	if err := d.start(); err != nil {
		return 0, 0, err
	}
	for d.comps == nil {
		marker, err := d.nextMarker()
		if err == nil && (marker == mEOI || marker == mSOS) {
			err = corrupt("no frame header")
		}
		if err == nil {
			err = d.segment(marker)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return d.w, d.h, nil
}

// Decode returns the picture in data, its planes as decoded, without interpolation
// or colour conversion. The memory it uses is proportional to the size in
// the frame header, which the caller has to check first: 1 to 4 bytes a pixel, and 2
// to 8 more if the file is progressive. It ends with ctx's error when ctx is done.
func Decode(ctx context.Context, data []byte) (*Picture, error) {
	d := &decoder{ctx: ctx, data: data}
	d.arith.init()
	if err := d.start(); err != nil {
		return nil, err
	}
	for !d.complete() {
		marker, err := d.nextMarker()
		if err == nil && marker == mEOI {
			break
		}
		if err == nil {
			err = d.segment(marker)
		}
		if err == errTruncated && d.done {
			break // all that is missing is the end marker
		}
		if err != nil {
			return nil, err
		}
	}
	return d.picture()
}

func (d *decoder) start() error {
	if len(d.data) < 2 || d.data[0] != 0xff || d.data[1] != mSOI {
		return corrupt("no start of image")
	}
	d.pos = 2
	return nil
}

// nextMarker returns the marker at or after pos. Bytes in between are skipped.
func (d *decoder) nextMarker() (byte, error) {
	for ; d.pos+1 < len(d.data); d.pos++ {
		if m := d.data[d.pos+1]; d.data[d.pos] == 0xff && m != 0 && m != 0xff {
			d.pos += 2
			return m, nil
		}
	}
	return 0, errTruncated
}

// segment reads the segment of marker, and after SOS the scan.
func (d *decoder) segment(marker byte) error {
	if mRST0 <= marker && marker <= mRST7 || marker == mTEM {
		return nil // no parameters
	}
	if marker == mSOI {
		return corrupt("a second start of image")
	}
	free := mAPP0 <= marker && marker <= mAPP15 || marker == mCOM || marker == mDNL
	if !free && (marker < mSOF0 || marker > mDRI) {
		return corrupt("unknown marker %#x", marker)
	}
	if d.pos+2 > len(d.data) {
		return errTruncated
	}
	n := int(binary.BigEndian.Uint16(d.data[d.pos:]))
	if n < 2 && !free {
		return corrupt("segment %#x of length %d", marker, n)
	}
	n = max(n, 2)
	if d.pos+n > len(d.data) {
		if !free { // an error even where the end marker may be missing
			return fmt.Errorf("jpeg: data end in segment %#x: %w", marker, io.ErrUnexpectedEOF)
		}
		return errTruncated
	}
	b := d.data[d.pos+2 : d.pos+n]
	d.pos += n
	switch marker {
	case mDQT:
		return d.quantTables(b)
	case mDHT:
		return d.huffmanTables(b)
	case mDAC:
		return d.conditioning(b)
	case mDRI:
		if len(b) != 2 {
			return corrupt("restart interval of %d bytes", len(b))
		}
		d.restart = int(binary.BigEndian.Uint16(b))
	case mAPP0:
		d.jfif = d.jfif || len(b) >= 12 && string(b[:5]) == "JFIF\x00"
	case mAPP14:
		if len(b) >= 12 && string(b[:5]) == "Adobe" {
			d.adobe, d.transform = true, b[11]
		}
	case mSOS:
		return d.scan(b)
	default:
		if !free {
			return d.frame(marker, b)
		}
	}
	return nil
}

// zigzag[i] is the natural index of coefficient i of a scan, with room for runs
// that end beyond the block.
var zigzag = func() (z [64 + 16]uint8) {
	x, y := 0, 0
	for i := range 64 {
		z[i] = uint8(8*y + x)
		switch up := (x+y)%2 == 0; {
		case up && x == 7, !up && y < 7 && x == 0:
			y++
		case up && y == 0, !up && y == 7:
			x++
		case up:
			x, y = x+1, y-1
		default:
			x, y = x-1, y+1
		}
	}
	for i := 64; i < len(z); i++ {
		z[i] = 63
	}
	return z
}()

func (d *decoder) quantTables(b []byte) error {
	for len(b) > 0 {
		wide, t := min(int(b[0]>>4), 1), b[0]&15
		if t > 3 {
			return corrupt("quantisation table %#x", b[0])
		}
		b = b[1:]
		if len(b) < 64<<wide {
			return corrupt("short quantisation table")
		}
		for i := range 64 {
			v := int32(b[i<<wide])
			if wide == 1 {
				v = v<<8 | int32(b[2*i+1])
			}
			d.quant[t][zigzag[i]] = v
		}
		d.quantSet[t] = true
		b = b[64<<wide:]
	}
	return nil
}

// processes names the coding processes (B.1.1.3) that are not read.
var processes = map[byte]string{
	0xc3: "lossless", 0xc5: "differential", 0xc6: "differential progressive", 0xc7: "differential lossless",
	0xc8: "extended", 0xcb: "arithmetic lossless", 0xcd: "differential arithmetic",
	0xce: "differential progressive arithmetic", 0xcf: "differential arithmetic lossless",
}

// frame reads the frame header (B.2.2).
func (d *decoder) frame(marker byte, b []byte) error {
	switch marker {
	case mSOF0, mSOF1, mSOF2, mSOF9, mSOF10:
	default:
		return corrupt("%s coding (marker %#x) is not read, only sequential and progressive", processes[marker], marker)
	}
	d.progressive = marker == mSOF2 || marker == mSOF10
	d.arithmetic = marker == mSOF9 || marker == mSOF10
	if d.comps != nil {
		return corrupt("two frame headers")
	}
	if len(b) < 6 || len(b) != 6+3*int(b[5]) {
		return corrupt("frame header of %d bytes", len(b))
	}
	if b[0] != 8 {
		return corrupt("%d bits a sample are not read, only 8", b[0])
	}
	d.h, d.w = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	if n := b[5]; n != 1 && n != 3 && n != 4 {
		return corrupt("%d components are not read, only 1, 3 and 4", n)
	}
	if d.w == 0 || d.h == 0 {
		return corrupt("picture of %d×%d pixels", d.w, d.h)
	}
	return d.components(b[6:])
}

// components reads the components of a frame header, three bytes each.
func (d *decoder) components(b []byte) error {
	comps := make([]component, len(b)/3)
	for i := range comps {
		c, p := &comps[i], b[3*i:]
		*c = component{id: int(p[0]), h: int(p[1] >> 4), v: int(p[1] & 15), tq: int(p[2])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return corrupt("component %d with sampling factors %d×%d", c.id, c.h, c.v)
		}
		c.group = c.v
		for k := range c.known.now {
			c.known.now[k] = -1
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
	}
	if len(comps) == 1 { // without interleaving the factors mean nothing
		comps[0].h, comps[0].v, d.hmax, d.vmax = 1, 1, 1, 1
	}
	d.mcuX, d.mcuY = ceilDiv(d.w, 8*d.hmax), ceilDiv(d.h, 8*d.vmax)
	for i := range comps {
		c := &comps[i]
		if d.hmax%c.h != 0 || d.vmax%c.v != 0 {
			return corrupt("component %d with sampling factors %d×%d of %d×%d: only whole ratios are read", c.id, c.h, c.v, d.hmax, d.vmax)
		}
		c.w, c.rows = ceilDiv(d.w*c.h, d.hmax), ceilDiv(d.h*c.v, d.vmax)
		c.bw, c.bh = d.mcuX*c.h, d.mcuY*c.v
		c.sw, c.sh = ceilDiv(c.w, 8), ceilDiv(c.rows, 8)
	}
	d.comps = comps
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// firstScan does what depends on all that stands before the scans: it allocates the
// planes and decides on the colours, by libjpeg's rules.
func (d *decoder) firstScan(n int) {
	d.several = d.progressive || n < len(d.comps)
	d.space = d.colours()
	if !d.progressive && !d.arithmetic {
		d.standardTables()
	}
	for i := range d.comps {
		c := &d.comps[i]
		blocks := c.bw * c.bh
		if d.progressive {
			c.dc, c.ac, c.some = make([]int16, blocks), make([]int16, 64*blocks), make([]uint64, blocks)
		} else {
			c.pix = make([]uint8, 64*blocks)
		}
	}
}

func (d *decoder) colours() Space {
	c := d.comps
	switch {
	case len(c) == 1:
		return Gray
	case len(c) == 4 && d.adobe && d.transform != 0:
		return YCCK
	case len(c) == 4:
		return CMYK
	case d.jfif:
		return YCbCr
	case d.adobe && d.transform == 0, !d.adobe && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B':
		return RGB
	}
	return YCbCr
}

// complete reports whether all of a sequential picture has been decoded, and no
// bit of it was missing. Of another only the end of the image tells.
func (d *decoder) complete() bool {
	if d.scans == 0 || d.progressive || d.arithmetic || d.short {
		return false
	}
	for i := range d.comps {
		if !d.comps[i].seen {
			return false
		}
	}
	return true
}

// picture makes the result from the planes.
func (d *decoder) picture() (*Picture, error) {
	switch {
	case d.comps == nil:
		return nil, corrupt("no frame header")
	case d.scans == 0:
		return nil, corrupt("no scan")
	}
	smooth := d.progressive && d.smoothing()
	p := &Picture{W: d.w, H: d.h, Space: d.space, Planes: make([]Plane, len(d.comps)), Work: d.work + d.arith.made}
	for i := range d.comps {
		c := &d.comps[i]
		if err := d.finish(c, smooth); err != nil {
			return nil, err
		}
		p.Planes[i] = Plane{Pix: c.pix, Stride: c.stride(), W: c.w, H: c.rows, SX: d.hmax / c.h, SY: d.vmax / c.v}
	}
	return p, nil
}

// finish makes the samples of c, unless its scan did.
func (d *decoder) finish(c *component, smooth bool) error {
	if d.progressive {
		return d.reconstruct(c, smooth)
	}
	if !c.seen {
		for i := range c.pix {
			c.pix[i] = 128
		}
	}
	return nil
}
