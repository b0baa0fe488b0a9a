package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Tags of a TIFF directory.
const (
	tagSubfileType  = 254
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagFillOrder    = 266
	tagStripOffsets = 273
	tagOrientation  = 274
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripCounts  = 279
	tagPlanar       = 284
	tagT4Options    = 292
	tagPredictor    = 317
	tagColorMap     = 320
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileCounts   = 325
	tagSubIFDs      = 330
	tagExtraSamples = 338
	tagSampleFormat = 339
	tagJPEGTables   = 347
	tagDNGVersion   = 50706
)

// readTags are those whose values directory keeps.
var readTags = map[uint16]bool{
	tagWidth: true, tagHeight: true, tagBits: true, tagCompression: true, tagPhotometric: true, tagFillOrder: true, tagStripOffsets: true,
	tagOrientation: true, tagSamples: true, tagRowsPerStrip: true, tagStripCounts: true, tagPlanar: true, tagT4Options: true, tagPredictor: true,
	tagColorMap: true, tagTileWidth: true, tagTileHeight: true, tagTileOffsets: true, tagTileCounts: true, tagExtraSamples: true,
	tagSampleFormat: true, tagJPEGTables: true, tagSubfileType: true, tagSubIFDs: true, tagDNGVersion: true,
}

var errTIFFTruncated = fmt.Errorf("tiff: data end too early: %w", io.ErrUnexpectedEOF)

// directory is the first directory of a TIFF or BigTIFF file.
type directory struct {
	order binary.ByteOrder
	tags  map[uint16][]uint64
}

// one returns the first value of a tag, or what stands for it if it is absent.
func (d *directory) one(tag uint16, absent uint64) uint64 {
	if v := d.tags[tag]; len(v) > 0 {
		return v[0]
	}
	return absent
}

// isTIFF reports whether data begin as a TIFF or BigTIFF file.
func isTIFF(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	switch string(data[:4]) {
	case "II*\x00", "MM\x00*", "II+\x00", "MM\x00+":
		return true
	}
	return false
}

// tiffHeader reads the byte order, whether the file is BigTIFF, and where its first
// directory is.
func tiffHeader(data []byte) (order binary.ByteOrder, big bool, at uint64, err error) {
	if len(data) < 8 {
		return nil, false, 0, errTIFFTruncated
	}
	order = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	if order.Uint16(data[2:]) == 42 {
		return order, false, uint64(order.Uint32(data[4:])), nil
	}
	if len(data) < 16 {
		return nil, true, 0, errTIFFTruncated
	}
	if order.Uint16(data[4:]) != 8 {
		return nil, true, 0, errors.New("tiff: BigTIFF with offsets that are not of 8 bytes")
	}
	return order, true, order.Uint64(data[8:]), nil
}

// parseDirectory reads the first directory.
func parseDirectory(data []byte) (*directory, error) {
	order, big, at, err := tiffHeader(data)
	if err != nil {
		return nil, err
	}
	d := &directory{order: order, tags: map[uint16][]uint64{}}
	head, size := uint64(2), uint64(12)
	if big {
		head, size = 8, 20
	}
	if at > uint64(len(data)) || head > uint64(len(data))-at {
		return nil, errTIFFTruncated
	}
	b := data[at:]
	n := uint64(order.Uint16(b))
	if big {
		n = order.Uint64(b)
	}
	if n > (uint64(len(b))-head)/size {
		return nil, errTIFFTruncated
	}
	for i := range n {
		if err := d.entry(data, b[head+i*size:][:size]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// entry reads one entry of 12 bytes, or 20 in BigTIFF.
func (d *directory) entry(data, e []byte) error {
	tag := d.order.Uint16(e)
	if !readTags[tag] || d.tags[tag] != nil {
		return nil
	}
	var width uint64 // of a value, bytes
	switch kind := d.order.Uint16(e[2:]); kind {
	case 1, 7: // BYTE, UNDEFINED
		width = 1
	case 3: // SHORT
		width = 2
	case 4, 13: // LONG, IFD
		width = 4
	case 16, 18: // LONG8, IFD8
		width = 8
	default:
		return fmt.Errorf("tiff: tag %d has values of type %d", tag, kind)
	}
	count, inline := uint64(d.order.Uint32(e[4:])), e[8:]
	if len(e) == 20 {
		count, inline = d.order.Uint64(e[4:]), e[12:]
	}
	values := inline
	if count > uint64(len(inline))/width {
		at := uint64(0)
		if len(inline) == 8 {
			at = d.order.Uint64(inline)
		} else {
			at = uint64(d.order.Uint32(inline))
		}
		if at > uint64(len(data)) || count > (uint64(len(data))-at)/width {
			return errTIFFTruncated
		}
		values = data[at:]
	}
	d.tags[tag] = d.numbers(values[:count*width], int(width))
	return nil
}

// numbers reads unsigned numbers of some bytes each.
func (d *directory) numbers(b []byte, width int) []uint64 {
	v := make([]uint64, len(b)/width)
	for i := range v {
		switch e := b[i*width:]; width {
		case 1:
			v[i] = uint64(e[0])
		case 2:
			v[i] = uint64(d.order.Uint16(e))
		case 4:
			v[i] = uint64(d.order.Uint32(e))
		default:
			v[i] = d.order.Uint64(e)
		}
	}
	return v
}
