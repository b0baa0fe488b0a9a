package picture

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// patchTIFF returns a little endian file with another value of a tag.
func patchTIFF(t *testing.T, file []byte, tag, value uint16) []byte {
	t.Helper()
	out := bytes.Clone(file)
	order := binary.LittleEndian
	dir := out[order.Uint32(out[4:]):]
	for i := range int(order.Uint16(dir)) {
		if e := dir[2+12*i:]; order.Uint16(e) == tag {
			order.PutUint16(e[2:], 3)
			order.PutUint32(e[4:], 1)
			order.PutUint32(e[8:], uint32(value))
			return out
		}
	}
	t.Fatalf("no tag %d", tag)
	return nil
}

// TestTIFFRefused: what is known and not read is named.
func TestTIFFRefused(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "t_lzw.tif")) // 51×41, RGB
	require.NoError(t, err)
	for _, c := range []struct {
		tag, value uint16
		says       string
	}{
		{tagCompression, 2, "compression 2, CCITT run lengths"},
		{tagCompression, 6, "compression 6, JPEG of the old style"},
		{tagCompression, 34925, "compression 34925, LZMA"},
		{tagCompression, 50000, "compression 50000, Zstandard"},
		{tagCompression, 9999, "compression 9999 is not known"},
		{tagCompression, compressionG4, "fax of 3×8 bits"},
		{tagPhotometric, 8, "photometric interpretation 8 is not read"},
		{tagPhotometric, yCbCr, "YCbCr without JPEG"},
		{tagPhotometric, separated, "3 samples a pixel"},
		{tagBits, 12, "samples of [12] bits"},
		{tagSamples, 9, "9 samples a pixel"},
		{tagPlanar, 2, "1 strips or tiles, want 3"},
		{tagPlanar, 3, "planar configuration 3"},
		{tagPredictor, 3, "predictor 3 of 8 bits"},
		{tagRowsPerStrip, 0, "neither strips nor tiles"},
		{tagStripOffsets, 65535, "truncated"},
		{tagStripCounts, 100, "truncated"},
	} {
		_, err := Decode("a.tif", bytes.NewReader(patchTIFF(t, file, c.tag, c.value)))
		require.ErrorContains(t, err, c.says)
	}
}

// TestTIFFTruncated: no beginning of a file gives a picture or a panic.
func TestTIFFTruncated(t *testing.T) {
	for _, name := range []string{"t_lzw.tif", "tm_lebig_associated.tif", "tc_oddw1_10.tif", "tp_L_jpeg.tif"} {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		good, err := Decode(name, bytes.NewReader(file))
		require.NoError(t, err)
		for n := range len(file) {
			if m, err := Decode(name, bytes.NewReader(file[:n])); err == nil {
				requireSame(t, FromImage(good), FromImage(m)) // only what follows the picture is missing
			}
		}
	}
}

// TestTIFFWide reads grey of 32 bits, with and without a sign, in both byte orders, as Pillow
// does: what is above 255 is 255, and what has the highest bit is negative.
func TestTIFFWide(t *testing.T) {
	values := []uint32{0, 5, 255, 256, 300, 1 << 16, 1<<16 + 7, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	want := []uint8{0, 5, 255, 255, 255, 255, 255, 255, 0, 0}
	for mark, order := range map[string]binary.AppendByteOrder{"II": binary.LittleEndian, "MM": binary.BigEndian} {
		for _, format := range []uint32{1, 2} {
			file := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
			tags := [][3]uint32{{256, 3, uint32(len(values))}, {257, 3, 1}, {258, 3, 32}, {259, 3, 1}, {262, 3, 1}, {273, 4, 8 + 2 + 10*12 + 4}, {277, 3, 1}, {278, 3, 1}, {279, 4, uint32(4 * len(values))}, {339, 3, format}}
			file = order.AppendUint16(file, uint16(len(tags)))
			for _, tag := range tags {
				file = order.AppendUint32(order.AppendUint16(order.AppendUint16(file, uint16(tag[0])), uint16(tag[1])), 1)
				if tag[1] == 3 {
					file = order.AppendUint16(order.AppendUint16(file, uint16(tag[2])), 0)
				} else {
					file = order.AppendUint32(file, tag[2])
				}
			}
			file = order.AppendUint32(file, 0)
			for _, v := range values {
				file = order.AppendUint32(file, v)
			}
			img, err := Decode("wide.tif", bytes.NewReader(file))
			require.NoError(t, err)
			var rgb RGB
			rgb.SetImage(img)
			for x, v := range want {
				require.Equal(t, []uint8{v, v, v}, rgb.Row(0)[3*x:][:3], "%s, format %d, value %d", mark, format, values[x])
			}
		}
	}
}

// plainTIFF is a little endian file of uncompressed pixels in one strip. Tags are added to those
// of grey of 8 bits, or replace them; a nil value leaves one out.
func plainTIFF(w, h int, pixels []byte, tags map[uint16][]uint32) []byte {
	order := binary.LittleEndian
	all := map[uint16][]uint32{
		tagWidth: {uint32(w)}, tagHeight: {uint32(h)}, tagBits: {8}, tagCompression: {1}, tagPhotometric: {1}, tagStripOffsets: {8}, tagSamples: {1},
		tagRowsPerStrip: {uint32(h)}, tagStripCounts: {uint32(len(pixels))},
	}
	for tag, v := range tags {
		if all[tag] = v; v == nil {
			delete(all, tag)
		}
	}
	file := append([]byte("II*\x00\x00\x00\x00\x00"), pixels...)
	lists := map[uint16]uint32{}
	for tag, v := range all {
		if len(v) > 1 {
			lists[tag] = uint32(len(file))
			for _, x := range v {
				file = order.AppendUint32(file, x)
			}
		}
	}
	order.PutUint32(file[4:], uint32(len(file)))
	file = order.AppendUint16(file, uint16(len(all)))
	for _, tag := range slices.Sorted(maps.Keys(all)) {
		v := all[tag]
		file = order.AppendUint32(order.AppendUint16(order.AppendUint16(file, tag), 4), uint32(len(v)))
		if len(v) == 1 {
			file = order.AppendUint32(file, v[0])
		} else {
			file = order.AppendUint32(file, lists[tag])
		}
	}
	return order.AppendUint32(file, 0)
}

// TestTIFFLayouts: which numbers of samples, bits, planes, strips and tiles are read, and which
// are refused.
func TestTIFFLayouts(t *testing.T) {
	type m = map[uint16][]uint32
	pixels := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(10 * (i + 1))
		}
		return b
	}
	grey := func(v ...byte) (out []uint8) {
		for _, x := range v {
			out = append(out, x, x, x)
		}
		return out
	}
	six := grey(10, 20, 30, 40, 50, 60)
	for _, c := range []struct {
		name   string
		pixels []byte
		tags   m
		want   []uint8 // of 3×2 pixels; nil: refused
		err    string
	}{
		{"grey", pixels(6), nil, six, ""},
		{"grey whose white is zero", pixels(6), m{tagPhotometric: {0}}, grey(245, 235, 225, 215, 205, 195), ""},
		{"no photometric interpretation", pixels(6), m{tagPhotometric: nil}, grey(245, 235, 225, 215, 205, 195), ""},
		{"no compression", pixels(6), m{tagCompression: nil}, six, ""},
		{"no rows per strip", pixels(6), m{tagRowsPerStrip: nil}, six, ""},
		{"more rows per strip than rows", pixels(6), m{tagRowsPerStrip: {99}}, six, ""},
		{"no counts", pixels(6), m{tagStripCounts: nil}, six, ""},
		{"counts that are too small for what is not compressed", pixels(6), m{tagStripCounts: {1}}, six, ""},
		{"a pixel is missing", pixels(6), m{tagStripOffsets: {1 << 20}}, nil, "truncated"},
		{"two strips", pixels(6), m{tagRowsPerStrip: {1}, tagStripOffsets: {11, 8}, tagStripCounts: {3, 3}}, grey(40, 50, 60, 10, 20, 30), ""},
		{"two strips, one offset", pixels(6), m{tagRowsPerStrip: {1}}, nil, "1 strips or tiles, want 2"},
		{"a count is missing", pixels(6), m{tagRowsPerStrip: {1}, tagStripOffsets: {11, 8}, tagStripCounts: {3}}, grey(40, 50, 60, 10, 20, 30), ""},
		{"two samples", pixels(12), m{tagSamples: {2}, tagBits: {8, 8}}, grey(10, 30, 50, 70, 90, 110), ""},
		{"one number of bits for all samples", pixels(12), m{tagSamples: {2}, tagBits: {8}}, grey(10, 30, 50, 70, 90, 110), ""},
		{"six samples of RGB", pixels(36), m{tagSamples: {6}, tagBits: {8}, tagPhotometric: {2}}, []uint8{10, 20, 30, 70, 80, 90, 130, 140, 150, 190, 200, 210, 250, 4, 14, 54, 64, 74}, ""},
		{"seven samples", pixels(42), m{tagSamples: {7}, tagBits: {8}}, nil, "7 samples a pixel"},
		{"no samples", pixels(6), m{tagSamples: {0}}, nil, "0 samples a pixel"},
		{"fewer numbers of bits than samples", pixels(18), m{tagSamples: {3}, tagBits: {8, 8}, tagPhotometric: {2}}, nil, "3 samples a pixel of [8 8] bits"},
		{"more numbers of bits than samples", pixels(6), m{tagBits: {8, 8}}, six, ""},
		{"different bits", pixels(12), m{tagSamples: {2}, tagBits: {8, 16}}, nil, "samples of [8 16] bits are not read"},
		{"different bits beyond the samples", pixels(6), m{tagBits: {8, 16}}, six, ""},
		{"no bits", []byte{0xa0, 0x40}, m{tagBits: nil}, grey(255, 0, 255, 0, 255, 0), ""},
		{"two bits", []byte{0b00_01_10_00, 0b11_10_01_00}, m{tagBits: {2}}, grey(0, 85, 170, 255, 170, 85), ""},
		{"four bits", []byte{0x01, 0x2f, 0xfe, 0xd0}, m{tagBits: {4}}, grey(0, 17, 34, 255, 238, 221), ""},
		{"four bits, two samples", pixels(6), m{tagBits: {4}, tagSamples: {2}}, nil, "2 samples a pixel of 4 bits are not read"},
		{"64 bits", pixels(48), m{tagBits: {64}}, nil, "samples of [64] bits"},
		{"planar configuration 0", pixels(6), m{tagPlanar: {0}}, nil, "planar configuration 0"},
		{"one plane", pixels(6), m{tagPlanar: {2}}, six, ""},
		{"planes", pixels(18), m{tagPlanar: {2}, tagSamples: {3}, tagPhotometric: {2}, tagStripOffsets: {8, 14, 20}, tagStripCounts: {6, 6, 6}}, []uint8{10, 70, 130, 20, 80, 140, 30, 90, 150, 40, 100, 160, 50, 110, 170, 60, 120, 180}, ""},
		{"two planes of three", pixels(18), m{tagPlanar: {2}, tagSamples: {3}, tagPhotometric: {2}, tagStripOffsets: {8, 14}, tagStripCounts: {6, 6}}, nil, "2 strips or tiles, want 3"},
		{"fill order 2", []byte{0x80, 0x40, 0xc0, 0x20, 0xa0, 0x60}, m{tagFillOrder: {2}}, grey(1, 2, 3, 4, 5, 6), ""},
		{"fill order 1", pixels(6), m{tagFillOrder: {1}}, six, ""},
		{"fill order 3", pixels(6), m{tagFillOrder: {3}}, nil, "fill order 3"},
		{"predictor of 8 bits", []byte{10, 1, 2, 20, 1, 255}, m{tagPredictor: {2}}, grey(10, 11, 13, 20, 21, 20), ""},
		{"predictor of two samples", []byte{10, 99, 1, 0, 2, 0, 20, 0, 1, 0, 255, 7}, m{tagPredictor: {2}, tagSamples: {2}}, grey(10, 11, 13, 20, 21, 20), ""},
		{"predictor of 16 bits", []byte{10, 0, 1, 0, 255, 255, 20, 0, 1, 0, 2, 0}, m{tagPredictor: {2}, tagBits: {16}}, grey(10, 11, 10, 20, 21, 23), ""},
		{"predictor of 32 bits", []byte{10, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 20, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}, m{tagPredictor: {2}, tagBits: {32}}, grey(10, 11, 10, 20, 21, 23), ""},
		{"predictor of 4 bits", []byte{0x01, 0x2f, 0xfe, 0xd0}, m{tagPredictor: {2}, tagBits: {4}}, nil, "predictor 2 of 4 bits"},
		{"predictor 4", pixels(6), m{tagPredictor: {4}}, nil, "predictor 4 of 8 bits"},
		{"signed, 16 bits", []byte{10, 0, 255, 255, 0, 1, 20, 0, 0, 128, 255, 0}, m{tagBits: {16}, tagSampleFormat: {2}}, grey(10, 0, 255, 20, 0, 255), ""},
		{"signed, 8 bits", pixels(6), m{tagSampleFormat: {2}}, nil, "sample format 2 with 8 bits is not read"},
		{"sample format 4", pixels(12), m{tagBits: {16}, tagSampleFormat: {4}}, nil, "sample format 4"},
		{"floats of 16 bits", pixels(12), m{tagBits: {16}, tagSampleFormat: {3}}, nil, "sample format 3 with 16 bits"},
		{"sample formats that differ", pixels(12), m{tagSamples: {2}, tagSampleFormat: {1, 2}}, nil, "sample formats [1 2] differ"},
		{"signed RGB", pixels(36), m{tagSamples: {3}, tagBits: {16}, tagPhotometric: {2}, tagSampleFormat: {2}}, nil, "sample format 2 with 16 bits"},
		{"16 bits whose white is zero", pixels(12), m{tagBits: {16}, tagPhotometric: {0}}, nil, "white is zero is not read"},
		{"RGB of 32 bits", pixels(72), m{tagSamples: {3}, tagBits: {32}, tagPhotometric: {2}}, nil, "with 32 bits and extra samples"},
		{"RGB of 16 bits", []byte{9, 10, 9, 20, 9, 30, 9, 40, 9, 50, 9, 60, 9, 70, 9, 80, 9, 90, 9, 100, 9, 110, 9, 120, 9, 130, 9, 140, 9, 150, 9, 160, 9, 170, 9, 180}, m{tagSamples: {3}, tagBits: {16}, tagPhotometric: {2}}, pixels(18), ""},
		{"alpha that multiplies grey", pixels(12), m{tagSamples: {2}, tagExtraSamples: {1}}, nil, "extra samples [1] is not read"},
		{"alpha that multiplies colours", []byte{10, 20, 30, 255, 10, 20, 30, 51, 10, 20, 30, 0, 10, 20, 30, 15, 1, 1, 1, 2, 9, 9, 9, 9}, m{tagSamples: {4}, tagPhotometric: {2}, tagExtraSamples: {1}}, []uint8{10, 20, 30, 50, 100, 150, 0, 0, 0, 170, 255, 255, 127, 127, 127, 255, 255, 255}, ""},
		{"alpha that does not", []byte{10, 20, 30, 255, 10, 20, 30, 51, 10, 20, 30, 0, 10, 20, 30, 15, 1, 1, 1, 2, 9, 9, 9, 9}, m{tagSamples: {4}, tagPhotometric: {2}, tagExtraSamples: {2}}, []uint8{10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30, 1, 1, 1, 9, 9, 9}, ""},
		{"a palette of too few", pixels(6), m{tagPhotometric: {3}, tagColorMap: make([]uint32, 767)}, nil, "palette of 767 values for indices of 8 bits"},
		{"a palette for 16 bits", pixels(12), m{tagPhotometric: {3}, tagBits: {16}, tagColorMap: make([]uint32, 768)}, nil, "for indices of 16 bits"},
		{"a palette of four", []byte{0b00_01_10_00, 0b11_10_01_00}, m{tagPhotometric: {3}, tagBits: {2}, tagColorMap: {0x100, 0x200, 0x300, 0x400, 0x1000, 0x2000, 0x3000, 0x4000, 0xff00, 0xfe00, 0xfd00, 0xfcff}}, []uint8{1, 16, 255, 2, 32, 254, 3, 48, 253, 4, 64, 252, 3, 48, 253, 2, 32, 254}, ""},
		{"tiles", append([]byte{10, 20, 40, 50}, 30, 0, 60, 0), m{tagStripOffsets: nil, tagStripCounts: nil, tagRowsPerStrip: nil, tagTileWidth: {2}, tagTileHeight: {2}, tagTileOffsets: {8, 12}, tagTileCounts: {4, 4}}, six, ""},
		{"tiles without a size", pixels(6), m{tagStripOffsets: nil, tagTileOffsets: {8}}, nil, "neither strips nor tiles"},
		{"tiles that are too wide", pixels(6), m{tagStripOffsets: nil, tagTileWidth: {1<<16 + 1}, tagTileHeight: {2}, tagTileOffsets: {8}}, nil, "tiles of 65537×2 pixels"},
		{"tiles that are too high", pixels(6), m{tagStripOffsets: nil, tagTileWidth: {2}, tagTileHeight: {1<<16 + 1}, tagTileOffsets: {8}}, nil, "tiles of 2×65537 pixels"},
		{"tiles far larger than the picture", pixels(6), m{tagStripOffsets: nil, tagTileWidth: {1 << 12}, tagTileHeight: {1<<10 + 1}, tagTileOffsets: {8}}, nil, "1×1 tiles of 4096×1025 pixels"},
		{"PackBits", []byte{2, 10, 20, 30, 128, 254, 40}, m{tagCompression: {compressionPackBits}, tagStripCounts: {7}}, grey(10, 20, 30, 40, 40, 40), ""},
		{"PackBits that repeats too much", []byte{2, 10, 20, 30, 253, 40}, m{tagCompression: {compressionPackBits}, tagStripCounts: {6}}, grey(10, 20, 30, 40, 40, 40), ""},
		{"PackBits cut", []byte{2, 10, 20, 30, 1, 40}, m{tagCompression: {compressionPackBits}, tagStripCounts: {6}}, nil, "truncated"},
		{"PackBits with nothing", []byte{2, 10, 20, 30, 0}, m{tagCompression: {compressionPackBits}, tagStripCounts: {5}}, nil, "truncated"},
		{"deflate cut", pixels(6), m{tagCompression: {compressionDeflate}}, nil, "zlib"},
		{"camera raw", pixels(6), m{tagDNGVersion: {1}}, nil, "camera raw is not read"},
		{"a preview with more", pixels(6), m{tagSubfileType: {1}, tagSubIFDs: {8}}, nil, "camera raw is not read"},
		{"a page", pixels(6), m{tagSubfileType: {2}, tagSubIFDs: {8}}, six, ""},
		{"a preview alone", pixels(6), m{tagSubfileType: {1}}, six, ""},
	} {
		img, err := Decode("x.tif", bytes.NewReader(plainTIFF(3, 2, c.pixels, c.tags)))
		if c.want == nil {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := FromImage(img).Pix; !slices.Equal(c.want, got) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestTIFFJPEGRefused: JPEG data that are not those of the strip, or have other colours than the
// directory says, are refused.
func TestTIFFJPEGRefused(t *testing.T) {
	for _, c := range []struct {
		name       string
		tag, value uint16
		says       string
	}{
		{"tp_CMYK_jpeg.tif", tagPhotometric, trueColour, "JPEG with 4 components and photometric interpretation 2"},
		{"tp_CMYK_jpeg.tif", tagPhotometric, yCbCr, "JPEG with 4 components and photometric interpretation 6"},
		{"tp_CMYK_jpeg.tif", tagPhotometric, blackIsZero, "JPEG with 4 components and photometric interpretation 1"},
		{"tp_CMYK_jpeg.tif", tagWidth, 5, "pixels in a strip or tile of 5×"},
		{"tp_L_jpeg.tif", tagWidth, 5, "pixels in a strip or tile of 5×"},
		{"tp_L_jpeg.tif", tagHeight, 20, "pixels in a strip or tile of 51×20"},
		{"tp_L_jpeg.tif", tagStripOffsets, 0, "jpeg"},
		{"tp_L_jpeg.tif", tagStripOffsets, 65535, "truncated"},
		{"tp_L_jpeg.tif", tagStripCounts, 3, "truncated"},
	} {
		file, err := os.ReadFile(filepath.Join("testdata", c.name))
		require.NoError(t, err)
		_, err = Decode(c.name, bytes.NewReader(patchTIFF(t, file, c.tag, c.value)))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, tag %d of %d: %v, want %s", c.name, c.tag, c.value, err, c.says)
		}
	}
}
