package picture

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
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
