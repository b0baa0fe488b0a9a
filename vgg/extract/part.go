package extract

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"time"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/shard"
)

// Record is a picture of a shard with its row, which is empty if it failed.
type Record struct {
	Item
	Data []byte // see Row
}

// part is the file that a shard grows in, as long as it is not complete: the Header
// as a line of JSON, and for each picture
//
//	u32 length of the Item, u32 length of Data, the Item as JSON, Data, u32 CRC-32C
//
// It is only appended to. What a kill has torn at its end is removed when it is
// opened again.
type part struct {
	file   *os.File
	lock   *outfile.Lock
	w      *bufio.Writer
	begin  int64 // of the first record
	rowLen int
	count  counts
	synced time.Time
	buf    []byte
}

// counts are of the records of a part.
type counts struct {
	pictures, failed int
	failure          string
}

func (c *counts) add(it Item) {
	if c.pictures++; it.Row < 0 {
		if c.failed++; c.failed == 1 {
			c.failure = it.Err
		}
	}
}

func partName(s shard.Shard) string { return "features." + s.Name() + ".part" }

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// openPart opens the part at path and its records so far, or makes one. No other
// program may have it open; the error is an *outfile.HeldError then. It refuses the
// part of another run.
func openPart(path string, h Header) (p *part, err error) {
	p = &part{rowLen: rowLen(h.Columns)}
	if p.lock, err = outfile.Acquire(path); err != nil {
		return nil, err
	}
	if p.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		p.lock.Release()
		return nil, err
	}
	if err := p.open(h); err != nil {
		return nil, errors.Join(fmt.Errorf("extract: %s: %w", path, err), p.close())
	}
	return p, nil
}

func (p *part) open(h Header) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	head = append(head, '\n')
	p.begin = int64(len(head))
	there, err := io.ReadAll(io.LimitReader(p.file, p.begin))
	if err != nil {
		return err
	}
	end := p.begin
	switch {
	case bytes.Equal(there, head):
		if end, err = p.scan(); err != nil {
			return err
		}
	case !bytes.HasPrefix(head, there): // of a header that a kill has torn it is the beginning
		return p.other(h)
	default:
		if _, err := p.file.WriteAt(head, 0); err != nil {
			return err
		}
	}
	if err := p.file.Truncate(end); err != nil {
		return err
	}
	if _, err := p.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	p.w, p.synced = bufio.NewWriterSize(p.file, 1<<16), time.Now()
	return nil
}

// other says of which other run the part is.
func (p *part) other(h Header) error {
	line, err := bufio.NewReader(io.NewSectionReader(p.file, 0, maxLine)).ReadBytes('\n')
	var old Header
	if err != nil || json.Unmarshal(line, &old) != nil || old.Kind != kindName {
		return fmt.Errorf("it is no part of features: %w", ErrData)
	}
	return fmt.Errorf("it was begun by a run of other %s: %w", old.difference(h), ErrData)
}

// scan counts the whole records and returns where they end.
func (p *part) scan() (end int64, err error) {
	end = p.begin
	for rec, err := range p.records() {
		if errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return end, err
		}
		p.count.add(rec.Item)
		end += int64(len(p.buf))
	}
	return end, nil
}

var errTorn = fmt.Errorf("a record is torn: %w", ErrData)

// maxItem bounds the JSON of an Item.
const maxItem = 1 << 20

// records lists the records of the file, one after the other in the same memory.
func (p *part) records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := bufio.NewReaderSize(io.NewSectionReader(p.file, p.begin, 1<<62), 1<<18)
		for {
			rec, err := p.next(r)
			if err == io.EOF {
				return
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// next reads a record into p.buf.
func (p *part) next(r io.Reader) (rec Record, err error) {
	head := p.grow(8)
	if _, err := io.ReadFull(r, head); err != nil {
		return rec, torn(err)
	}
	n, data := int(binary.LittleEndian.Uint32(head)), int(binary.LittleEndian.Uint32(head[4:]))
	if n > maxItem || data != 0 && data != p.rowLen {
		return rec, errTorn
	}
	b := p.grow(8 + n + data + 4)
	if _, err := io.ReadFull(r, b[8:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return rec, torn(err)
	}
	body := b[:8+n+data]
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(b[len(body):]) {
		return rec, errTorn
	}
	if err := json.Unmarshal(body[8:8+n], &rec.Item); err != nil {
		return rec, errTorn
	}
	rec.Item, rec.Data = rec.unquoted(), body[8+n:]
	return rec, nil
}

// torn tells the end of the file in a record from other errors, and from its end.
func torn(err error) error {
	if err == io.ErrUnexpectedEOF {
		return errTorn
	}
	return err
}

// grow returns p.buf with length n, and with its content as far as that goes.
func (p *part) grow(n int) []byte {
	if cap(p.buf) < n {
		p.buf = append(make([]byte, 0, n), p.buf...)
	}
	p.buf = p.buf[:n]
	return p.buf
}

// add appends a picture.
func (p *part) add(it Item, data []byte) error {
	text, err := json.Marshal(it.quoted())
	if err != nil {
		return err
	}
	if len(text) > maxItem {
		return fmt.Errorf("%.60q…: a path and an error of %d bytes: %w", it.Path, len(text), ErrData)
	}
	b := append(p.buf[:0], 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b, uint32(len(text)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(data)))
	b = append(append(b, text...), data...)
	p.buf = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
	p.count.add(it)
	_, err = p.w.Write(p.buf)
	return err
}

// flush gives what was added to the system and, now and then, to the disk.
func (p *part) flush() error {
	err := p.w.Flush()
	if err == nil && time.Since(p.synced) > 10*time.Second {
		p.synced = time.Now()
		err = p.file.Sync()
	}
	return err
}

// close ends the use of the part.
func (p *part) close() error {
	defer p.lock.Release()
	var err error
	if p.w != nil {
		err = p.w.Flush()
	}
	return errors.Join(err, p.file.Close())
}

// remove removes the file of a shard that is complete.
func (p *part) remove() error {
	defer p.lock.Release()
	return errors.Join(p.file.Close(), os.Remove(p.file.Name()))
}
