package picture

import (
	"bytes"
	"io"

	"golang.org/x/image/ccitt"
)

// faxLines reads Group 3 fax of one or two dimensions, with fill bits or without. Package
// ccitt decodes the rows; it has neither fill bits nor two dimensions in Group 3.
//
// A row follows a code for the end of a line, EOL, eleven zeros and a one, which no
// row contains (ITU-T T.4). In files of two dimensions a bit after EOL says
// whether the row stands alone; others refer to the row before, as in Group 4.
type faxLines struct {
	data  []byte
	at    int // bit after an EOL, −1 before the first
	width int
	two   bool   // dimensions
	prev  []byte // row, 1 bit a pixel, black is 1
	row   []byte // rest of the current row
}

func newFaxLines(data []byte, width int, two bool) *faxLines {
	return &faxLines{data: data, at: -1, width: width, two: two, prev: make([]byte, (width+7)/8)}
}

// Read is part of [io.Reader].
func (l *faxLines) Read(p []byte) (int, error) {
	if len(l.row) == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.row)
	l.row = l.row[n:]
	return n, nil
}

func (l *faxLines) bit(i int) byte { return l.data[i/8] >> (7 - i%8) & 1 }

// endOfLine returns where the next EOL begins and what follows it, or twice the end of
// the data.
func (l *faxLines) endOfLine(from int) (begin, after int) {
	zeros := 0
	for i := from; i < 8*len(l.data); i++ {
		switch {
		case l.bit(i) == 0:
			zeros++
		case zeros >= 11:
			return i - 11, i + 1
		default:
			zeros = 0
		}
	}
	return 8 * len(l.data), 8 * len(l.data)
}

// next decodes a row.
func (l *faxLines) next() error {
	if l.at < 0 {
		_, l.at = l.endOfLine(0)
	}
	begin := l.at
	end, after := l.endOfLine(begin)
	if begin >= end {
		return io.EOF
	}
	l.at = after
	var code faxCode
	form, rows := ccitt.Group3, 1
	if l.two && l.bit(begin) == 0 {
		form, rows = ccitt.Group4, 2
		code.reference(l.prev, l.width)
	} else {
		code.add(eol)
	}
	if l.two {
		begin++
	}
	for i := begin; i < end; i++ {
		code.addBit(l.bit(i))
	}
	r := ccitt.NewReader(bytes.NewReader(code.bytes), ccitt.MSB, form, l.width, rows, &ccitt.Options{Invert: true})
	row := make([]byte, rows*len(l.prev))
	if _, err := io.ReadFull(r, row); err != nil {
		return err
	}
	l.row = row[(rows-1)*len(l.prev):]
	l.prev = l.row
	return nil
}

// Codes of ITU-T T.4 and T.6.
const (
	eol        = "000000000001"
	horizontal = "001" // two runs follow, the first one white
	white0     = "00110101"
	white1     = "000111"
	white64    = "11011" // and the run that follows
	black0     = "0000110111"
	black1     = "010"
)

// faxCode is a string of bits.
type faxCode struct {
	bytes []byte
	n     int
}

func (c *faxCode) addBit(b byte) {
	if c.n%8 == 0 {
		c.bytes = append(c.bytes, 0)
	}
	c.bytes[c.n/8] |= b << (7 - c.n%8)
	c.n++
}

func (c *faxCode) add(codes ...string) {
	for _, code := range codes {
		for i := range len(code) {
			c.addBit(code[i] - '0')
		}
	}
}

// reference adds a row of pixels in the code of Group 4, by the few codes above.
func (c *faxCode) reference(row []byte, width int) {
	black := func(x int) bool { return row[x/8]>>(7-x%8)&1 != 0 }
	for x := 0; x < width; {
		white := 0
		for x+white < width && white < 64 && !black(x+white) {
			white++
		}
		switch {
		case white == 64:
			c.add(horizontal, white64, white0, black0)
			x += 64
		case white > 0:
			c.add(horizontal, white1, black0)
			x++
		default:
			c.add(horizontal, white0, black1)
			x++
		}
	}
}
