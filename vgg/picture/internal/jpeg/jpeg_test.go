package jpeg

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	stdjpeg "image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// The samples themselves are compared with libjpeg-turbo's by package picture,
// which does the colour conversion; here are the parts, and damaged files.

func testFiles(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.jpg")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	files := map[string][]byte{}
	for _, path := range paths {
		files[filepath.Base(path)], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	return files
}

// idct64 is A.3.3 in float64.
func idct64(in *[64]int32) (out [64]float64) {
	scale := func(u int) float64 {
		if u == 0 {
			return math.Sqrt2 / 4
		}
		return 0.5
	}
	for y := range 8 {
		for x := range 8 {
			for v := range 8 {
				for u := range 8 {
					out[8*y+x] += scale(u) * scale(v) * float64(in[8*v+u]) *
						math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) * math.Cos(float64(2*y+1)*float64(v)*math.Pi/16)
				}
			}
			out[8*y+x] += 128
		}
	}
	return out
}

func TestInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		var in [64]int32
		last := rng.IntN(64)
		amplitude := 1 + rng.IntN(60)
		in[0] = int32(rng.IntN(2001) - 1000)
		for k := 1; k <= last; k++ {
			if i%3 > 0 || rng.IntN(4) == 0 {
				in[zigzag[k]] = int32(rng.IntN(2*amplitude+1) - amplitude)
			}
		}
		want := idct64(&in)
		got := make([]uint8, 7*11+8)
		inverse(got, 11, &in, last)
		for y := range 8 {
			for x := range 8 {
				w := min(max(want[8*y+x], 0), 255)
				// ½ for rounding, the rest for 13-bit constants and 2 bits between passes
				if e := math.Abs(w - float64(got[11*y+x])); e > 0.7 {
					t.Fatalf("block %d: sample %d,%d is %d, exact %.3f", i, x, y, got[11*y+x], w)
				}
			}
		}
	}
}

// A block with only a mean takes a short cut; it must not show.
func TestInverseFlat(t *testing.T) {
	for dc := int32(-2100); dc <= 2100; dc++ {
		a, b := make([]uint8, 64), make([]uint8, 64)
		inverse(a, 8, &[64]int32{dc}, 0)
		inverse(b, 8, &[64]int32{dc}, 63)
		require.Equal(t, b, a)
	}
}

func TestZigzag(t *testing.T) {
	require.Equal(t, []uint8{0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5}, zigzag[:16])
	require.Equal(t, []uint8{53, 60, 61, 54, 47, 55, 62, 63, 63}, zigzag[56:65])
	seen := [64]bool{}
	for _, z := range zigzag[:64] {
		seen[z] = true
	}
	require.NotContains(t, seen[:], false)
}

// Both decoders agree to a few levels: they share no code.
func TestAgainstStandardLibrary(t *testing.T) {
	for name, file := range testFiles(t) {
		got, err := Decode(t.Context(), file)
		require.NoError(t, err, name)
		m, err := stdjpeg.Decode(bytes.NewReader(file))
		if err != nil {
			t.Logf("%s: image/jpeg: %v", name, err)
			continue
		}
		want, ok := m.(*image.YCbCr)
		if !ok {
			continue
		}
		require.Equal(t, want.Rect.Size(), image.Pt(got.W, got.H), name)
		for i, pix := range [][]uint8{want.Y, want.Cb, want.Cr} {
			p, stride := got.Planes[i], want.CStride
			if i == 0 {
				stride = want.YStride
			}
			for y := range p.H {
				for x := range p.W {
					if d := int(p.Pix[y*p.Stride+x]) - int(pix[y*stride+x]); d > 2 || d < -2 {
						t.Fatalf("%s: component %d: sample %d,%d differs by %d", name, i, x, y, d)
					}
				}
			}
		}
	}
}

// Every file cut short is an error, and one about the end of the data, unless
// only the end marker is missing.
func TestTruncated(t *testing.T) {
	for name, file := range testFiles(t) {
		if strings.HasPrefix(name, "damaged") {
			continue // bits that are forgiven may end sooner
		}
		for n := range len(file) - 2 {
			m, err := Decode(t.Context(), file[:n])
			if err == nil {
				// Entropy-coded data end in a partial byte: the last may be padding alone.
				require.Greater(t, n, len(file)-4, "%s cut to %d of %d bytes", name, n, len(file))
				require.False(t, strings.HasPrefix(name, "progressive"), name)
				continue
			}
			require.Nil(t, m)
			if n >= 2 {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s cut to %d of %d bytes", name, n, len(file))
			}
		}
	}
}

// find returns the position of a marker's parameters.
func find(t *testing.T, file []byte, marker byte) int {
	t.Helper()
	i := bytes.Index(file, []byte{0xff, marker})
	require.Positive(t, i)
	return i + 2
}

func TestDamaged(t *testing.T) {
	file := testFiles(t)["420.jpg"]
	progressive := testFiles(t)["progressive.jpg"]
	change := func(file []byte, marker byte, offset int, values ...byte) []byte {
		out := bytes.Clone(file)
		copy(out[find(t, file, marker)+offset:], values)
		return out
	}
	drop := func(file []byte, marker byte) []byte {
		i := find(t, file, marker)
		n := int(binary.BigEndian.Uint16(file[i:]))
		return append(bytes.Clone(file[:i-2]), file[i+n:]...)
	}
	twoComponents := []byte("\xff\xd8\xff\xc0\x00\x0e\x08\x00\x08\x00\x08\x02\x01\x11\x00\x02\x11\x00")
	frame := file[find(t, file, mSOF0)-2:][:19]
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"text":             {[]byte("text"), "no start of image"},
		"no frame":         {[]byte("\xff\xd8\xff\xd9"), "no frame header"},
		"no scan":          {append(append([]byte("\xff\xd8"), frame...), 0xff, mEOI), "no scan"},
		"scan first":       {drop(file, mSOF0), "scan without a frame"},
		"two frames":       {append(append([]byte("\xff\xd8"), frame...), file[2:]...), "two frame headers"},
		"no table":         {drop(drop(file, mDQT), mDQT), "no quantisation table"},
		"no code":          {drop(progressive, mDHT), "no DC Huffman table"},
		"12 bits":          {change(file, mSOF0, 2, 12), "12 bits a sample are not read, only 8"},
		"no height":        {change(file, mSOF0, 3, 0, 0), "picture of 45×0"},
		"4 components":     {change(file, mSOF0, 7, 4), "frame header"},
		"sampling 0":       {change(file, mSOF0, 9, 0x02), "sampling factors 0×2"},
		"sampling 3":       {change(file, mSOF0, 9, 0x32, 0, 2, 0x21), "sampling factors 2×1 of 3×2"},
		"lossless":         {change(file, mSOF0, -1, 0xc3), "lossless coding (marker 0xc3) is not read"},
		"differential":     {change(file, mSOF0, -1, 0xc5), "differential coding (marker 0xc5) is not read"},
		"two components":   {twoComponents, "2 components are not read"},
		"blocks of an MCU": {change(file, mSOF0, 9, 0x44), "MCU of 18 blocks"},
		"unknown marker":   {append([]byte("\xff\xd8\xff\x5a"), file[2:]...), "unknown marker 0x5a"},
		"many codes":       {change(file, mDHT, 3, 3), "Huffman table"},
		"table 9":          {change(file, mDQT, 2, 9), "quantisation table 0x9"},
		"unknown in scan":  {change(file, mSOS, 3, 77), "unknown component 77"},
		"twice in scan":    {change(file, mSOS, 5, 1), "unknown component 1"},
		"scan tables":      {change(file, mSOS, 4, 0x44), "no DC Huffman table 4"},
		"scan length":      {change(file, mSOS, 2, 2), "scan header"},
		"mixed spectrum":   {change(progressive, mSOS, 9, 0, 5), "progressive scan"},
		"segment length 0": {change(file, mDQT, 0, 0, 0), "length 0"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Decode(t.Context(), c.file)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, m)
		})
	}
}

// What Pillow refuses of a scan that ends at a wrong marker: a marker that nobody
// knows, also behind the scan.
func TestStrangeMarker(t *testing.T) {
	file := testFiles(t)["420.jpg"]
	half := file[:len(file)*2/3]
	for text, tail := range map[string]string{
		"unknown marker 0x5a":               "\xff\x5a\xff\xd9",
		"a second start of image":           "\xff\xd8\xff\xd9",
		"segment 0xdb of length 0":          "\xff\xdb\x00\x00",
		"a second scan of all components":   "\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00\x00\xff\xd9",
		"two frame headers":                 "\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00\xff\xd9",
		"is not read, only sequential and ": "\xff\xc5\x00\x02",
	} {
		_, err := Decode(t.Context(), append(bytes.Clone(half), tail...))
		require.ErrorContains(t, err, text)
	}
	for _, tail := range []string{"\xff\xd9", "\xff\xd3", "\xff\xd3\xff\xd9", "\xff\xd3xx", "\xff\xfe\x00\x00\xff\xd9"} {
		_, err := Decode(t.Context(), append(bytes.Clone(half), tail...))
		require.NoError(t, err, "%q", tail)
	}
	_, err := Decode(t.Context(), half)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// header is a file of one component of size×size pixels up to its scans. Its AC codes are 0
// for the end of 16384 blocks and more, which 14 bits tell, and 10 for the value ±1 next.
func header(marker byte, size int) []byte {
	b := []byte("\xff\xd8\xff\xdb\x00\x43\x00" + strings.Repeat("\x01", 64))
	b = append(b, 0xff, marker, 0, 11, 8, byte(size>>8), byte(size), byte(size>>8), byte(size), 1, 1, 0x11, 0)
	b = append(b, "\xff\xc4\x00\x14\x00\x01"+strings.Repeat("\x00", 15)+"\x00"...)
	return append(b, "\xff\xc4\x00\x15\x10\x01\x01"+strings.Repeat("\x00", 14)+"\xe0\x01"...)
}

// scanOf is a scan of it with spectrum and data.
func scanOf(first, last, bits byte, data string) string {
	return "\xff\xda\x00\x08\x01\x01\x00" + string([]byte{first, last, bits}) + data
}

// TestManyScans: libjpeg's users set the limit of 500.
func TestManyScans(t *testing.T) {
	file := append(header(mSOF2, 8), strings.Repeat(scanOf(0, 0, 0, ""), maxScans)...)
	_, err := Decode(t.Context(), append(bytes.Clone(file), 0xff, mEOI))
	require.NoError(t, err)
	_, err = Decode(t.Context(), append(file, scanOf(0, 0, 0, "")+"\xff\xd9"...))
	require.ErrorContains(t, err, "more than 500 scans")
}

// TestWork: a picture of few bytes asks for a constant work at most.
func TestWork(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes pictures of 64 million pixels: needs a run without -short")
	}
	run := strings.Repeat("\x7f\xfc\xff\x00\xf9\xff\x00\xf3\xff\x00\xe7\xff\x00\xcf\xff\x00\x9f\xff\x00\x3f\xfe", 8) // 8 times 32766 blocks each
	refine := append(header(mSOF2, 8000), scanOf(0, 0, 0, "")+strings.Repeat(scanOf(1, 63, 0x10, run), 40)+"\xff\xd9"...)
	arith := append(header(mSOF10, 8000), scanOf(0, 0, 0, "")+strings.Repeat(scanOf(1, 63, 0x10, ""), 30)+"\xff\xd9"...)
	for text, file := range map[string][]byte{
		"scans of 8000×8000 pixels in":                   refine,
		"bytes of arithmetic coding for 8000×8000 pixel": arith,
	} {
		var err error
		_, spent := testutil.Spent(func() { _, err = Decode(t.Context(), file) })
		require.ErrorContains(t, err, text)
		require.Less(t, spent, testutil.Slower*15*time.Second)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, file := range testFiles(t) {
		_, err := Decode(ctx, file)
		require.ErrorIs(t, err, context.Canceled, name)
	}
}

// The two inverse transforms agree on blocks that need no more than 16 bits, and that is
// so of all that are called tame.
func TestInverse16(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for range 20000 {
		var in [64]int32
		left := int32(tame)
		for left > 0 {
			v := min(1+rng.Int32N(tame), left)
			in[rng.IntN(64)] += v * (1 - 2*rng.Int32N(2))
			left -= v
		}
		a, b, copied := make([]uint8, 64), make([]uint8, 64), in
		inverse(a, 8, &in, 63)
		inverse16(b, 8, &copied)
		require.Equal(t, a, b)
	}
}

// FuzzDecode also holds the documented bounds: memory in proportion to the size in the
// header, and a time that only grows with the size and the length.
func FuzzDecode(f *testing.F) {
	for _, file := range testFiles(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		w, h, err := Size(file)
		if err != nil || w*h > 1<<20 {
			return // the caller's check
		}
		var m *Picture
		memory, _ := testutil.Spent(func() {
			err = testutil.Bounded(t, len(file), func() (_ int64, err error) {
				m, err = Decode(t.Context(), file)
				return int64(2 * w * h), err
			})
		})
		require.LessOrEqual(t, memory, int64(16*(w+32)*(h+32)+1<<20))
		if err != nil {
			require.Nil(t, m)
			return
		}
		require.Equal(t, [2]int{w, h}, [2]int{m.W, m.H})
		for _, p := range m.Planes { // the planes are large enough
			require.LessOrEqual(t, (p.H-1)*p.Stride+p.W, len(p.Pix))
			require.Equal(t, [2]int{ceilDiv(w, p.SX), ceilDiv(h, p.SY)}, [2]int{p.W, p.H})
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"rocket", "hubble_deep_field", "retina"} {
		file, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "..", "shared", "data", "photos", name+".jpg"))
		if err != nil {
			b.Skip(err)
		}
		cfg, err := stdjpeg.DecodeConfig(bytes.NewReader(file))
		require.NoError(b, err)
		for decoder, decode := range map[string]func() error{
			"nonet": func() error { _, err := Decode(b.Context(), file); return err },
			"std":   func() error { _, err := stdjpeg.Decode(bytes.NewReader(file)); return err },
		} {
			b.Run("file="+name+"/decoder="+decoder, func(b *testing.B) {
				b.SetBytes(int64(3 * cfg.Width * cfg.Height))
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, decode())
				}
			})
		}
	}
}
