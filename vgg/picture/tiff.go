package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"

	"github.com/nonet-go/nonet/vgg/picture/internal/jpeg"
)

// Values of the tag Compression.
const (
	compressionNone       = 1
	compressionG3         = 3
	compressionG4         = 4
	compressionLZW        = 5
	compressionJPEG       = 7
	compressionDeflate    = 8
	compressionPackBits   = 32773
	compressionOldDeflate = 32946
)

// otherCompressions are known and not read.
var otherCompressions = map[uint64]string{
	2: "CCITT run lengths (Huffman RLE)", 6: "JPEG of the old style", 34712: "JPEG 2000", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}

// Values of the tag PhotometricInterpretation.
const (
	whiteIsZero = 0
	blackIsZero = 1
	trueColour  = 2
	paletted    = 3
	separated   = 5 // CMYK
	yCbCr       = 6
)

// tiffPicture is a TIFF file's first picture.
type tiffPicture struct {
	*directory
	data          []byte
	w, h          int
	bits, samples int // of a sample; a pixel
	photometric   uint64
	compression   uint64
	format        uint64 // of samples: 1 unsigned, 2 signed, 3 floating point
	extra         []uint64
	planar        bool // each sample in a plane of its own
	chunkW        int  // of a strip or a tile
	chunkH        int
	offsets       []uint64
	counts        []uint64
	convert       func(dst, src []byte) // a row to RGB
	tables        []byte                // of JPEG, without their end marker
	work          int64                 // bytes of samples and what else takes as long; see spend
}

func tiffSize(data []byte) (w, h int, err error) {
	d, err := parseDirectory(data)
	if err != nil {
		return 0, 0, err
	}
	const limit = 1 << 27
	tw, th := d.one(tagWidth, 0), d.one(tagHeight, 0)
	if tw > limit || th > limit {
		return 0, 0, fmt.Errorf("tiff: size %d×%d", tw, th)
	}
	return int(tw), int(th), nil
}

// decodeTIFF returns the first picture of a file. Package golang.org/x/image/tiff reads
// neither CMYK, planes, extra samples, 32 bits, floating point, JPEG nor BigTIFF, and
// inverts fax pictures whose black is zero.
func decodeTIFF(ctx context.Context, data []byte) (image.Image, error) {
	w, h, err := tiffSize(data)
	if err != nil {
		return nil, err
	}
	d, err := parseDirectory(data)
	if err != nil {
		return nil, err
	}
	f := &tiffPicture{directory: d, data: data, w: w, h: h}
	for _, step := range []func() error{f.layout, f.chunks, f.chooseConvert, f.readTables} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	dst := NewRGB(w, h)
	for y := 0; y < h; y += f.chunkH {
		for x := 0; x < w; x += f.chunkW {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := f.chunk(ctx, dst, x, y); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// layout reads what pixels consist of.
func (f *tiffPicture) layout() error {
	if f.tags[tagDNGVersion] != nil || f.one(tagSubfileType, 0)&1 != 0 && f.tags[tagSubIFDs] != nil {
		return fmt.Errorf("tiff: camera raw is not read; to convert it: %s", rawCommand)
	}
	f.photometric, f.compression = f.one(tagPhotometric, whiteIsZero), f.one(tagCompression, compressionNone)
	f.format, f.extra = f.one(tagSampleFormat, 1), f.tags[tagExtraSamples]
	if name := otherCompressions[f.compression]; name != "" {
		return fmt.Errorf("tiff: compression %d, %s, is not read", f.compression, name)
	}
	samples, all := f.one(tagSamples, 1), f.tags[tagBits]
	if len(all) == 0 {
		all = []uint64{1}
	}
	if samples < 1 || samples > 6 || len(all) != 1 && uint64(len(all)) < samples {
		return fmt.Errorf("tiff: %d samples a pixel of %d bits", samples, all[:min(len(all), 8)])
	}
	f.samples = int(samples)
	all = all[:min(len(all), f.samples)]
	if slices.Max(all) != slices.Min(all) || !slices.Contains([]uint64{1, 2, 4, 8, 16, 32}, all[0]) {
		return fmt.Errorf("tiff: samples of %d bits are not read", all)
	}
	if v := f.tags[tagSampleFormat]; len(v) > 0 && slices.Max(v) != slices.Min(v) {
		return fmt.Errorf("tiff: sample formats %d differ", v[:min(len(v), 8)])
	}
	f.bits = int(all[0])
	planar := f.one(tagPlanar, 1)
	f.planar = planar == 2 && f.samples > 1
	switch {
	case planar != 1 && planar != 2:
		return fmt.Errorf("tiff: planar configuration %d", planar)
	case f.bits < 8 && f.samples > 1:
		return fmt.Errorf("tiff: %d samples a pixel of %d bits are not read", f.samples, f.bits)
	case f.one(tagFillOrder, 1) > 2:
		return fmt.Errorf("tiff: fill order %d", f.one(tagFillOrder, 1))
	}
	return nil
}

// chunks reads where strips or tiles are.
func (f *tiffPicture) chunks() error {
	tw, th := f.one(tagTileWidth, 0), f.one(tagTileHeight, 0)
	f.offsets, f.counts = f.tags[tagStripOffsets], f.tags[tagStripCounts]
	f.chunkW, f.chunkH = f.w, int(min(f.one(tagRowsPerStrip, uint64(f.h)), uint64(f.h)))
	if f.offsets == nil {
		f.offsets, f.counts = f.tags[tagTileOffsets], f.tags[tagTileCounts]
		if tw > 1<<16 || th > 1<<16 {
			return fmt.Errorf("tiff: tiles of %d×%d pixels", tw, th)
		}
		f.chunkW, f.chunkH = int(tw), int(th)
	}
	if f.chunkW < 1 || f.chunkH < 1 {
		return errors.New("tiff: neither strips nor tiles")
	}
	across, down := (f.w-1)/f.chunkW+1, (f.h-1)/f.chunkH+1
	all := uint64(across) * uint64(f.chunkW) * uint64(down) * uint64(f.chunkH)
	if pixels := uint64(f.w) * uint64(f.h); f.chunkW != f.w && all > 4*pixels+1<<22 {
		return fmt.Errorf("tiff: %d×%d tiles of %d×%d pixels", across, down, f.chunkW, f.chunkH)
	}
	n := across * down
	if f.planar {
		n *= f.samples
	}
	if len(f.offsets) < n {
		return fmt.Errorf("tiff: %d strips or tiles, want %d", len(f.offsets), n)
	}
	if len(f.counts) < n {
		f.counts = nil
	}
	return nil
}

// chunk decodes the strip or tile with pixel (x, y).
func (f *tiffPicture) chunk(ctx context.Context, dst *RGB, x, y int) error {
	rows := f.chunkH
	if f.chunkW == f.w && f.tags[tagStripOffsets] != nil {
		rows = min(rows, f.h-y) // the last strip is short; tiles are not
	}
	across := (f.w-1)/f.chunkW + 1
	i := y/f.chunkH*across + x/f.chunkW
	if f.compression == compressionJPEG {
		return f.jpegChunk(ctx, dst, i, x, y)
	}
	var src []byte
	var err error
	if f.planar {
		src, err = f.planes(ctx, i, across*((f.h-1)/f.chunkH+1), rows)
	} else {
		src, err = f.unpack(ctx, i, f.samples, rows)
	}
	if err != nil {
		return err
	}
	stride := f.stride(f.samples)
	w := min(f.chunkW, f.w-x)
	for r := range min(rows, f.h-y) {
		f.convert(dst.Row(y + r)[3*x:][:3*w], src[r*stride:][:stride])
	}
	return nil
}

// stride is the number of bytes of a chunk's row of so many samples a pixel.
func (f *tiffPicture) stride(samples int) int { return (f.chunkW*samples*f.bits + 7) / 8 }

// planes reads a chunk of each plane, and interleaves them.
func (f *tiffPicture) planes(ctx context.Context, i, perPlane, rows int) ([]byte, error) {
	size := f.bits / 8
	var all []byte
	for s := range f.samples {
		p, err := f.unpack(ctx, i+s*perPlane, 1, rows)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = make([]byte, f.samples*len(p))
		}
		for k := 0; k < len(p); k += size {
			copy(all[k*f.samples+s*size:], p[k:k+size])
		}
	}
	return all, nil
}

// stored returns the bytes of chunk i as they are in the file, most significant bit
// first. Without a count they are all up to the end.
func (f *tiffPicture) stored(i int) ([]byte, error) {
	at := f.offsets[i]
	if at > uint64(len(f.data)) {
		return nil, errTIFFTruncated
	}
	b := f.data[at:]
	if f.counts != nil && f.counts[i] > 0 && f.compression != compressionNone {
		b = b[:min(f.counts[i], uint64(len(b)))]
	}
	return b, nil
}

// perChunk is the work of beginning a strip or tile: making a decompressor, reading tables.
const perChunk = 4000

// spend counts work and returns an error if there is too much of it for the file: strips and
// tiles may all be the same bytes.
func (f *tiffPicture) spend(bytes int) error {
	f.work += int64(bytes)
	return checkWork(f.work, len(f.data))
}

// unpack returns the samples of chunk i.
func (f *tiffPicture) unpack(ctx context.Context, i, samples, rows int) ([]byte, error) {
	b, err := f.stored(i)
	if err != nil {
		return nil, err
	}
	n := rows * f.stride(samples)
	if err := f.spend(n); err != nil {
		return nil, err
	}
	if f.compression == compressionNone {
		b = b[:min(n, len(b))]
	}
	if f.one(tagFillOrder, 1) == 2 {
		if err := f.spend(len(b)); err != nil {
			return nil, err
		}
		b = slices.Clone(b)
		for k, v := range b {
			b[k] = bits.Reverse8(v)
		}
	}
	if b, err = f.decompress(ctx, b, n, rows); err != nil {
		return nil, err
	}
	return b, f.undoPredictor(b, samples, rows)
}

// decompress returns n bytes. They may be part of b.
func (f *tiffPicture) decompress(ctx context.Context, b []byte, n, rows int) ([]byte, error) {
	var r io.Reader
	switch f.compression {
	case compressionNone:
		if len(b) < n {
			return nil, errTIFFTruncated
		}
		if f.one(tagPredictor, 1) != 1 {
			b = slices.Clone(b)
		}
		return b, nil
	case compressionPackBits:
		return unpackBits(b, n)
	}
	if err := f.spend(perChunk); err != nil {
		return nil, err
	}
	in := stopping{ctx, bytes.NewReader(b)}
	switch f.compression {
	case compressionLZW:
		r = lzw.NewReader(in, lzw.MSB, 8)
	case compressionDeflate, compressionOldDeflate:
		z, err := zlib.NewReader(in)
		if err != nil {
			return nil, tiffError(err)
		}
		r = z
	case compressionG3, compressionG4:
		var err error
		if r, err = f.fax(b, rows); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("tiff: compression %d is not known", f.compression)
	}
	out := make([]byte, n)
	_, err := io.ReadFull(r, out)
	return out, tiffError(err)
}

// fax reads Group 3 and 4 in libtiff's sense: the bits of white runs are zeros, whatever
// the photometric interpretation.
func (f *tiffPicture) fax(b []byte, rows int) (io.Reader, error) {
	if f.bits*f.samples != 1 {
		return nil, fmt.Errorf("tiff: fax of %d×%d bits a pixel", f.samples, f.bits)
	}
	if f.compression == compressionG4 {
		return ccitt.NewReader(bytes.NewReader(b), ccitt.MSB, ccitt.Group4, f.chunkW, rows, &ccitt.Options{Invert: true}), nil
	}
	const twoDimensional, endsAligned = 1, 4
	if options := f.one(tagT4Options, 0); options&(twoDimensional|endsAligned) != 0 {
		return newFaxLines(b, f.chunkW, options&twoDimensional != 0), nil
	}
	return ccitt.NewReader(bytes.NewReader(b), ccitt.MSB, ccitt.Group3, f.chunkW, rows, &ccitt.Options{Invert: true}), nil
}

// tiffError makes an early end of compressed data one of the file.
func tiffError(err error) error {
	switch {
	case err == nil:
		return nil
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return errTIFFTruncated
	}
	return fmt.Errorf("tiff: %w", err)
}

// unpackBits returns n bytes of the run-length code PackBits.
func unpackBits(b []byte, n int) ([]byte, error) {
	out := make([]byte, 0, n)
	for len(out) < n {
		if len(b) < 2 {
			return nil, errTIFFTruncated
		}
		switch c := int(int8(b[0])); {
		case c >= 0: // bytes as they are
			if len(b) < 2+c {
				return nil, errTIFFTruncated
			}
			out, b = append(out, b[1:2+c]...), b[2+c:]
		case c == -128: // nothing
			b = b[1:]
		default: // one byte, repeated
			for range 1 - c {
				out = append(out, b[1])
			}
			b = b[2:]
		}
	}
	return out[:n], nil
}

// undoPredictor adds up differences in place, row by row.
func (f *tiffPicture) undoPredictor(b []byte, samples, rows int) error {
	predictor := f.one(tagPredictor, 1)
	if predictor == 1 || f.compression == compressionG3 || f.compression == compressionG4 {
		return nil
	}
	stride := f.stride(samples)
	for r := range rows {
		row := b[r*stride:][:stride]
		switch {
		case predictor == 2 && f.bits >= 8:
			f.addHorizontally(row, samples)
		case predictor == 3 && f.format == 3 && f.bits == 32:
			f.addBytes(row, samples)
		default:
			return fmt.Errorf("tiff: predictor %d of %d bits a sample", predictor, f.bits)
		}
	}
	return nil
}

// addHorizontally undoes differences between a pixel and the one before.
func (f *tiffPicture) addHorizontally(row []byte, samples int) {
	size := f.bits / 8
	for i := size * samples; i < len(row); i += size {
		a, b := row[i-size*samples:], row[i:]
		switch size {
		case 1:
			b[0] += a[0]
		case 2:
			f.order.PutUint16(b, f.order.Uint16(a)+f.order.Uint16(b))
		default:
			f.order.PutUint32(b, f.order.Uint32(a)+f.order.Uint32(b))
		}
	}
}

// addBytes undoes the predictor of floating point: the bytes of a row are sorted by
// their place in a number, the highest first, and differences are between bytes.
func (f *tiffPicture) addBytes(row []byte, samples int) {
	for i := samples; i < len(row); i++ {
		row[i] += row[i-samples]
	}
	sorted := slices.Clone(row)
	n := len(row) / 4
	for i := range n {
		v := uint32(sorted[i])<<24 | uint32(sorted[n+i])<<16 | uint32(sorted[2*n+i])<<8 | uint32(sorted[3*n+i])
		f.order.PutUint32(row[4*i:], v)
	}
}

// readTables reads the tables of JPEG that the directory has.
func (f *tiffPicture) readTables() error {
	if t := f.tags[tagJPEGTables]; f.compression == compressionJPEG && len(t) > 4 {
		for _, v := range t[:len(t)-2] {
			f.tables = append(f.tables, byte(v))
		}
	}
	return nil
}

// workPerBlock is the work of a block that a scan of progressive JPEG visits, or of a
// decision of arithmetic coding: the free ones of a JPEG file are that of a TIFF file.
const workPerBlock = 12

// jpegChunk decodes a strip or tile of JPEG, whose tables may stand in the directory.
func (f *tiffPicture) jpegChunk(ctx context.Context, dst *RGB, i, x, y int) error {
	b, err := f.stored(i)
	if err != nil {
		return err
	}
	if err := f.spend(perChunk); err != nil {
		return err
	}
	if len(f.tables) > 0 && len(b) > 2 {
		if err := f.spend(len(f.tables) + len(b)); err != nil {
			return err
		}
		b = slices.Concat(f.tables, b[2:]) // without its start marker
	}
	w, h, err := jpeg.Size(b)
	if err != nil {
		return err
	}
	if w != f.chunkW || h > f.chunkH || h < min(f.chunkH, f.h-y) {
		return fmt.Errorf("tiff: JPEG data of %d×%d pixels in a strip or tile of %d×%d", w, h, f.chunkW, f.chunkH)
	}
	m, err := jpeg.Decode(ctx, b)
	if err != nil {
		return err
	}
	if err := f.spend(workPerBlock*m.Work + 3*w*h); err != nil {
		return err
	}
	part, err := f.jpegColours(ctx, m)
	if err != nil {
		return err
	}
	for r := range min(part.H, f.h-y) {
		copy(dst.Row(y + r)[3*x:], part.Row(r)[:3*min(f.chunkW, f.w-x)])
	}
	return nil
}

// jpegColours converts by the file's photometric interpretation: markers of the JPEG data
// say nothing.
func (f *tiffPicture) jpegColours(ctx context.Context, m *jpeg.Picture) (*RGB, error) {
	switch {
	case f.planar:
		return nil, errors.New("tiff: JPEG in planes is not read")
	case f.photometric <= blackIsZero && len(m.Planes) == 1:
		p := NewRGB(m.W, m.H)
		for y := range m.H {
			f.convert(p.Row(y), m.Planes[0].Pix[y*m.Planes[0].Stride:])
		}
		return p, nil
	case f.photometric == trueColour && len(m.Planes) == 3:
		m.Space = jpeg.RGB
	case f.photometric == yCbCr && len(m.Planes) == 3:
		m.Space = jpeg.YCbCr
	case f.photometric == separated && len(m.Planes) == 4:
		m.Space = jpeg.CMYK
		for _, p := range m.Planes { // JPEG files hold it inverted, TIFF files do not
			for i, v := range p.Pix {
				p.Pix[i] = 255 - v
			}
		}
	default:
		return nil, fmt.Errorf("tiff: JPEG with %d components and photometric interpretation %d", len(m.Planes), f.photometric)
	}
	return rgbOf(ctx, m)
}
