package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// orientationTIFF is a TIFF structure whose first directory has the orientation as an entry of a
// type and a count, with the bytes of its value, behind other entries.
func orientationTIFF(mark string, big bool, others int, kind uint16, count uint64, value ...byte) []byte {
	order := binary.AppendByteOrder(binary.LittleEndian)
	if mark == "MM" {
		order = binary.BigEndian
	}
	room := 4
	b := order.AppendUint16([]byte(mark), 42)
	if big {
		room = 8
		b = order.AppendUint16(order.AppendUint16(order.AppendUint16([]byte(mark), 43), 8), 0)
		b = order.AppendUint64(order.AppendUint64(b, 16), uint64(others+1))
	} else {
		b = order.AppendUint16(order.AppendUint32(b, 8), uint16(others+1))
	}
	entry := func(tag, kind uint16, count uint64, value []byte) {
		b = order.AppendUint16(order.AppendUint16(b, tag), kind)
		if big {
			b = order.AppendUint64(b, count)
		} else {
			b = order.AppendUint32(b, uint32(count))
		}
		b = append(append(b, value...), make([]byte, room-len(value))...)
	}
	for i := range others {
		entry(uint16(100+i), 3, 1, []byte{7, 7})
	}
	entry(tagOrientation, kind, count, value)
	return b
}

// TestOrientationValues reads the orientation in every type of number, where it stands in the
// entry, and takes no other for one.
func TestOrientationValues(t *testing.T) {
	const ascii, short, long, signedByte, signedShort, signedLong = 2, 3, 4, 6, 8, 9
	for _, c := range []struct {
		kind  uint16
		count uint64
		value []byte // little endian
		want  int
		big   int // in BigTIFF, whose entries have more room
	}{
		{short, 1, []byte{6, 0}, 6, 6}, {short, 2, []byte{6, 0, 3, 0}, 6, 6}, {short, 3, []byte{6, 0}, Upright, 6}, {short, 4, []byte{6, 0}, Upright, 6}, {short, 5, []byte{6, 0}, Upright, Upright},
		{signedShort, 1, []byte{5, 0}, 5, 5}, {signedShort, 1, []byte{0xff, 0xff}, Upright, Upright},
		{long, 1, []byte{8, 0, 0, 0}, 8, 8}, {long, 2, []byte{8, 0, 0, 0}, Upright, 8}, {long, 3, []byte{8, 0, 0, 0}, Upright, Upright}, {long, 1, []byte{8, 0, 1, 0}, Upright, Upright},
		{signedLong, 1, []byte{7, 0, 0, 0}, 7, 7}, {signedByte, 1, []byte{4}, 4, 4}, {signedByte, 4, []byte{4}, 4, 4}, {signedByte, 5, []byte{4}, Upright, 4}, {signedByte, 8, []byte{4}, Upright, 4}, {signedByte, 9, []byte{4}, Upright, Upright},
		{short, 0, []byte{6, 0}, Upright, Upright}, {ascii, 1, []byte{6}, Upright, Upright}, {short, 1, []byte{0, 0}, Upright, Upright}, {short, 1, []byte{9, 0}, Upright, Upright}, {short, 1, []byte{1, 0}, 1, 1},
	} {
		for others := range 3 {
			require.Equal(t, c.want, Orientation(orientationTIFF("II", false, others, c.kind, c.count, c.value...)), "%+v", c)
			require.Equal(t, c.big, Orientation(orientationTIFF("II", true, others, c.kind, c.count, c.value...)), "%+v", c)
		}
	}
	require.Equal(t, 6, Orientation(orientationTIFF("MM", false, 1, short, 1, 0, 6)))
	require.Equal(t, 6, Orientation(orientationTIFF("MM", true, 1, short, 1, 0, 6)))
	require.Equal(t, 6, Orientation(orientationTIFF("MM", false, 1, long, 1, 0, 0, 0, 6)))
	require.Equal(t, 8, Orientation(orientationTIFF("MM", true, 1, signedLong, 1, 0, 0, 0, 8)))

	// Cut anywhere it is upright, and with a directory elsewhere too.
	for _, big := range []bool{false, true} {
		file := orientationTIFF("II", big, 1, short, 1, 6, 0)
		for n := range len(file) {
			require.Equal(t, Upright, Orientation(file[:n]), "%d of %d bytes", n, len(file))
		}
		require.Equal(t, 6, Orientation(file))
		require.Equal(t, 6, Orientation(append(bytes.Clone(file), 1, 2, 3)))
		at, size := 4, 4
		if big {
			at, size = 8, 8
		}
		for _, offset := range []int{len(file) - 1, len(file), len(file) + 1} {
			moved := bytes.Clone(file)
			binary.LittleEndian.PutUint32(moved[at:], uint32(offset))
			require.Equal(t, Upright, Orientation(moved), "%d", offset)
		}
		copy(file[at:], bytes.Repeat([]byte{0xff}, size))
		require.Equal(t, Upright, Orientation(file))
	}
}

// TestOrientationSegments finds the first EXIF segment or chunk among others, before the pixels.
func TestOrientationSegments(t *testing.T) {
	exif := "Exif\x00\x00" + string(exifTIFF(binary.LittleEndian, "II*\x00", 6))
	other := "Exif\x00\x00" + string(exifTIFF(binary.LittleEndian, "II*\x00", 8))
	segment := func(marker byte, body string) string {
		return "\xff" + string([]byte{marker}) + string(binary.BigEndian.AppendUint16(nil, uint16(2+len(body)))) + body
	}
	for file, want := range map[string]int{
		segment(0xe1, exif): 6, segment(0xe0, "") + segment(0xe1, exif): 6, segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00") + segment(0xe1, exif): 6, segment(0xe1, exif) + segment(0xe1, other): 6,
		segment(0xe1, "Exif\x00") + segment(0xe1, exif): 6, segment(0xe2, other) + segment(0xe1, exif): 6, segment(0xe1, "Exif\x00\x00") + segment(0xe1, exif): Upright, "\xff\xff" + segment(0xe1, exif): 6, segment(0xe0, "x") + "\xff" + segment(0xe1, exif): 6,
		segment(0xda, "") + segment(0xe1, exif): Upright, segment(0xd9, "") + segment(0xe1, exif): Upright, "\xff\xe0\x00\x01" + segment(0xe1, exif): Upright, "\xff\xe0\x00\x00" + segment(0xe1, exif): Upright, "x" + segment(0xe1, exif): Upright, segment(0xe0, "abc") + "x" + segment(0xe1, exif): Upright,
		segment(0xe1, exif)[:4+len(exif)-1]: Upright, "": Upright, "\xff\xe1": Upright, "\xff\xe1\x00": Upright,
	} {
		require.Equal(t, want, Orientation([]byte("\xff\xd8"+file)), "%q", file)
	}

	chunk := func(id, body string) string {
		return id + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body + strings.Repeat("\x00", len(body)%2)
	}
	for file, want := range map[string]int{
		chunk("EXIF", exif): 6, chunk("EXIF", exif[6:]): 6, chunk("VP8 ", "abc") + chunk("EXIF", exif): 6, chunk("VP8 ", "abcd") + chunk("EXIF", exif): 6, chunk("VP8 ", "") + chunk("EXIF", exif): 6, chunk("XMP ", exif): Upright, chunk("EXIF", exif) + chunk("EXIF", other): 6,
		chunk("EXIF", exif)[:8+len(exif)-1]: Upright, chunk("VP8 ", "abc")[:11] + chunk("EXIF", exif): Upright, "VP8 \xff\xff\xff\xff" + chunk("EXIF", exif): Upright, chunk("EXIF", "x"): Upright, "EXIF": Upright, "": Upright,
	} {
		require.Equal(t, want, Orientation([]byte("RIFF\x00\x00\x00\x00WEBP"+file)), "%q", file)
	}
	require.Equal(t, Upright, Orientation([]byte("RIFF\x00\x00\x00\x00WEB")))
	require.Equal(t, Upright, Orientation([]byte("RIFX\x00\x00\x00\x00WEBP"+chunk("EXIF", exif))))
	require.Equal(t, Upright, Orientation([]byte("RIFF\x00\x00\x00\x00WAVE"+chunk("EXIF", exif))))
}

// TestOrientedOpaque: a turned picture is opaque if the stored one is.
func TestOrientedOpaque(t *testing.T) {
	solid, clear := image.NewGray(image.Rect(0, 0, 2, 3)), image.NewNRGBA(image.Rect(0, 0, 2, 3))
	require.True(t, (&oriented{solid, 6}).Opaque())
	require.False(t, (&oriented{clear, 6}).Opaque())
	require.False(t, (&oriented{image.NewUniform(image.Black.C), 6}).Bounds().Empty())
	require.False(t, (&oriented{struct{ image.Image }{solid}, 6}).Opaque(), "it does not say")
	require.Equal(t, image.Rect(0, 0, 3, 2), (&oriented{solid, 5}).Bounds())
	require.Equal(t, image.Rect(0, 0, 2, 3), (&oriented{solid, 4}).Bounds())
}
