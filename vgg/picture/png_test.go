package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"hash/adler32"
	"image"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

// withChunks puts chunks behind the header of a PNG file: kinds and bodies by turns.
func withChunks(file []byte, chunks ...string) []byte {
	const header = 8 + 25
	out := bytes.Clone(file[:header])
	for i := 0; i < len(chunks); i += 2 {
		out = appendChunk(out, chunks[i], []byte(chunks[i+1]))
	}
	return append(out, file[header:]...)
}

func packedText(text string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // into memory
	_ = z.Close()
	return b.String()
}

// TestPNGOrientation reads the orientation in each chunk that may have one, in the order of their
// rank, and takes nothing else for one.
func TestPNGOrientation(t *testing.T) {
	file := pngFile(t, draw(letterF))
	exif := func(n uint16) string { return string(exifTIFF(binary.BigEndian, "MM\x00*", n)) }
	profile := func(n uint16) string {
		return "\nexif\n  40\n" + hex.EncodeToString([]byte("Exif\x00\x00" + exif(n)))[:40] + "\n" + hex.EncodeToString([]byte("Exif\x00\x00" + exif(n)))[40:] + "\n"
	}
	const raw, xmp = "Raw profile type exif\x00", "XML:com.adobe.xmp\x00"
	attribute, element := `<rdf:Description tiff:Orientation="7"/>`, `<tiff:Orientation>5</tiff:Orientation>`
	for _, c := range []struct {
		chunks []string
		want   int
	}{
		{nil, Upright}, {[]string{"eXIf", exif(6)}, 6}, {[]string{"eXIf", "Exif\x00\x00" + exif(6)}, 6}, {[]string{"eXIf", exif(6), "eXIf", exif(8)}, 8},
		{[]string{"tEXt", raw + profile(3)}, 3}, {[]string{"zTXt", raw + "\x00" + packedText(profile(3))}, 3}, {[]string{"iTXt", raw + "\x00\x00\x00\x00" + profile(3)}, 3}, {[]string{"iTXt", raw + "\x01\x00en\x00key\x00" + packedText(profile(3))}, 3},
		{[]string{"iTXt", xmp + "\x00\x00\x00\x00" + attribute}, 7}, {[]string{"iTXt", xmp + "\x01\x00\x00\x00" + packedText(element)}, 5}, {[]string{"tEXt", xmp + element}, 5},
		{[]string{"iTXt", xmp + "\x00\x00\x00\x00" + attribute, "eXIf", exif(6)}, 6}, {[]string{"tEXt", raw + profile(3), "eXIf", exif(6)}, 6}, {[]string{"tEXt", raw + profile(3), "tEXt", xmp + element}, 3}, {[]string{"eXIf", exif(9), "tEXt", xmp + element}, Upright},
		{[]string{"tEXt", "Raw profile type APP1\x00" + profile(3)}, Upright}, {[]string{"tEXt", "Raw profile type exif" + profile(3)}, Upright}, {[]string{"tEXu", raw + profile(3)}, Upright},
		{[]string{"zTXt", raw}, Upright}, {[]string{"zTXt", raw + "\x00words"}, Upright}, {[]string{"zTXt", raw + "\x00" + packedText(profile(3))[:20]}, Upright}, {[]string{"iTXt", raw}, Upright}, {[]string{"iTXt", raw + "\x00"}, Upright}, {[]string{"iTXt", raw + "\x00\x00"}, Upright},
		{[]string{"tEXt", raw + "\nexif\n40\nwords\n"}, Upright}, {[]string{"tEXt", raw + "\nexif\n40"}, Upright}, {[]string{"tEXt", xmp + `tiff:Orientation='7'`}, Upright}, {[]string{"tEXt", xmp + `tiff:Orientation="x"`}, Upright},
	} {
		require.Equal(t, c.want, Orientation(withChunks(file, c.chunks...)), "%q", c.chunks)
	}
	whole := withChunks(file[:33], "eXIf", exif(6))
	require.Equal(t, 6, Orientation(whole))
	for n := 8; n < len(whole); n++ {
		require.Equal(t, Upright, Orientation(whole[:n]), "%d of %d bytes", n, len(whole))
	}
}

// TestPNGWork: the bytes of the rows, counted pixel by pixel, and half as many again where rows
// are interlaced.
func TestPNGWork(t *testing.T) {
	passOf := func(x, y int) int { // of Adam7, from the specification's pattern of 8×8
		return int([]byte("1646264677777777565656567777777736463646777777775656565677777777")[y%8*8+x%8] - '0')
	}
	for kind, samples := range map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4} {
		for _, depth := range []int{1, 2, 4, 8, 16} {
			for w := range 18 {
				for h := range 18 {
					plain := 0
					if w > 0 {
						plain = h * (1 + (w*samples*depth+7)/8)
					}
					require.EqualValues(t, plain, pngHead{w, h, byte(depth), kind, false}.size())
					if depth != 1 && depth != 16 {
						continue
					}
					interlaced := 0
					for pass := 1; pass <= 7; pass++ {
						for y := range h {
							n := 0
							for x := range w {
								if passOf(x, y) == pass {
									n++
								}
							}
							if n > 0 {
								interlaced += 1 + (n*samples*depth+7)/8
							}
						}
					}
					require.EqualValues(t, interlaced, pngHead{w, h, byte(depth), kind, true}.size(), "%d×%d of %d×%d bits", w, h, samples, depth)
				}
			}
		}
	}
	require.Zero(t, pngHead{0, 0, 0, 0, false}.size())
	require.EqualValues(t, 200*601, pngHead{200, 200, 8, 2, false}.work())
	require.EqualValues(t, pngHead{200, 200, 8, 2, true}.size()*3/2, pngHead{200, 200, 8, 2, true}.work())
	require.Equal(t, pngHead{}, parseIHDR(make([]byte, 12)))
	require.Equal(t, pngHead{0x01020304, 0x05060708, 9, 10, true}, parseIHDR([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 1}))
}

// TestPNGRepaired: a picture whose pixels are all there is read although their checksum is wrong,
// the end is missing, or rows follow; others that are damaged are refused.
func TestPNGRepaired(t *testing.T) {
	p := numbered(130, 120) // of more bytes than one stored block has, in one chunk
	file := pngFile(t, p)
	decode := func(file []byte) (*RGB, error) {
		m, err := Decode("x.png", bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		return FromImage(m), nil
	}
	idat := bytes.Index(file, []byte("IDAT"))
	broken := func(at int) []byte {
		out := bytes.Clone(file)
		out[at] ^= 1
		return out
	}
	n := int(binary.BigEndian.Uint32(file[idat-4:]))
	require.Len(t, file, idat+4+n+4+12)
	for name, bad := range map[string][]byte{
		"checksum of the pixels": broken(idat + 4 + n), "no end": file[:len(file)-12], "half an end": file[:len(file)-5], "no checksum": file[:idat+4+n],
	} {
		got, err := decode(bad)
		require.NoError(t, err, name)
		requireSame(t, p, got)
	}
	for name, bad := range map[string][]byte{
		"checksum of the header": broken(8 + 8 + 13), "checksum of the data": broken(idat + 4 + n - 1), "half the pixels": file[:idat+n/2], "no pixels": file[:idat-4], "header alone": file[:33],
	} {
		_, err := decode(bad)
		require.Error(t, err, name)
	}

	// The chunks of the repaired file are those that image/png checks: blocks of 32 KiB.
	pixels := bytes.Repeat([]byte{1, 2, 3}, 1<<15/3+100)
	var all []byte
	stored := &storedPixels{from: bytes.NewReader(pixels), left: int64(len(pixels)), sum: adler32.New()}
	for {
		b := make([]byte, 1000)
		k, err := stored.Read(b)
		all = append(all, b[:k]...)
		if err != nil {
			break
		}
	}
	var inside []byte
	blocks := 0
	for c := range pngChunks(append([]byte(pngMagic), all...)) {
		require.True(t, c.all && c.sum && c.kind == "IDAT")
		inside = append(inside, c.body...)
		blocks++
	}
	require.Equal(t, 2, blocks)
	z, err := zlib.NewReader(bytes.NewReader(inside))
	require.NoError(t, err)
	var back bytes.Buffer
	_, err = back.ReadFrom(z)
	require.NoError(t, err)
	require.Equal(t, pixels, back.Bytes())
}

// TestPNGSize: a header of more pixels than image/png counts has its size, and what is no header
// has none.
func TestPNGSize(t *testing.T) {
	head := func(w, h uint32, kind string) []byte {
		body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return appendChunk([]byte(pngMagic), kind, append(body, 16, 6, 0, 0, 0))
	}
	w, h, err := pngSize(head(30, 20, "IHDR"))
	require.NoError(t, err)
	require.Equal(t, [2]int{30, 20}, [2]int{w, h})
	w, h, err = pngSize(head(1<<30, 1<<30, "IHDR"))
	require.NoError(t, err)
	require.Equal(t, [2]int{1 << 30, 1 << 30}, [2]int{w, h})
	for _, bad := range [][]byte{head(0, 20, "IHDR"), head(30, 0, "IHDR"), head(1<<30, 1<<30, "IHDX"), []byte(pngMagic), head(1<<30, 1<<30, "IHDR")[:28]} {
		_, _, err := pngSize(bad)
		require.Error(t, err)
	}
	_, err = decodePNG(context.Background(), []byte(pngMagic))
	require.Error(t, err)
}

// TestCutGrey: grey of 16 bits is cut to 255, with a transparent value and without.
func TestCutGrey(t *testing.T) {
	m := image.NewGray16(image.Rect(0, 0, 3, 1))
	copy(m.Pix, []byte{0, 7, 0, 255, 1, 0})
	require.Equal(t, []uint8{7, 255, 255}, cutGrey(m).Pix)
	file := encode(t, func(b *bytes.Buffer) error { return png.Encode(b, m) })
	for _, file := range [][]byte{file, withChunks(file, "tRNS", "\x00\x07")} {
		got, err := Decode("x.png", bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, []uint8{7, 7, 7, 255, 255, 255, 255, 255, 255}, FromImage(got).Pix)
	}
}
