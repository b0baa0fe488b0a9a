package picture

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// shared returns the path of test data, or skips the test.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	return testutil.Shared(t, append([]string{"data"}, elem...)...)
}

// readBytes reads a uint8 tensor [H][W][3] of a safetensors file.
func readBytes(t testing.TB, path, name string) *RGB {
	t.Helper()
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	n := binary.LittleEndian.Uint64(file)
	var header map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file[8:8+n], &raw))
	delete(raw, "__metadata__")
	text, err := json.Marshal(raw)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &header))
	e, ok := header[name]
	require.True(t, ok, "%s has no tensor %s", path, name)
	require.Equal(t, "U8", e.DType)
	require.Len(t, e.Shape, 3)
	return &RGB{Pix: file[8+n:][e.Offsets[0]:e.Offsets[1]], W: e.Shape[1], H: e.Shape[0]}
}

func TestPillowVectors(t *testing.T) {
	text, err := os.ReadFile(shared(t, "resize", "pillow_resample_vectors.json"))
	require.NoError(t, err)
	var file struct {
		Cases []struct {
			Name, Filter string
			In, Out      [][]uint8Number
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.Cases)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			f, err := ParseFilter(strings.ToLower(c.Filter))
			require.NoError(t, err)
			in, want := gray(c.In), gray(c.Out)
			got := new(RGB)
			(&Resizer{Filter: f}).Resize(got, in, want.W, want.H)
			require.Equal(t, want, got)
		})
	}
}

// uint8Number keeps encoding/json from reading rows of bytes as base64.
type uint8Number uint16

func gray(rows [][]uint8Number) *RGB {
	p := NewRGB(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, v := range row {
			for c := range 3 {
				p.Pix[3*(y*p.W+x)+c] = uint8(v)
			}
		}
	}
	return p
}

// TestPillowPhotos compares the whole path from file to crop with Pillow 9.4.
func TestPillowPhotos(t *testing.T) {
	for _, name := range []string{"astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"} {
		t.Run(name, func(t *testing.T) {
			img, err := Open(shared(t, "photos", name))
			require.NoError(t, err)
			src := FromImage(img)
			want := shared(t, "resize", "pil_"+strings.TrimSuffix(name, filepath.Ext(name))+"_256_224.safetensors")
			// These files round the long side to nearest, where torchvision cuts it off.
			w, h := ShortSizeNearest(src.W, src.H, 256)
			resized := Resize(src, w, h)
			requireSame(t, readBytes(t, want, "resized"), resized)
			requireSame(t, readBytes(t, want, "crop224"), CenterCrop(resized, 224, 224))
			var z Resizer
			crop := new(RGB)
			z.ResizeCrop(crop, src, w, h, CenterOffset(w, 224), CenterOffset(h, 224), 224, 224)
			requireSame(t, readBytes(t, want, "crop224"), crop)
		})
	}
}

// requireSame reports how many bytes of two pictures differ, and the first.
func requireSame(t testing.TB, want, got *RGB) {
	t.Helper()
	require.Equal(t, [2]int{want.W, want.H}, [2]int{got.W, got.H}, "size")
	differ, first, most := 0, -1, 0
	for i, v := range want.Pix {
		if d := int(v) - int(got.Pix[i]); d != 0 {
			if first < 0 {
				first = i
			}
			differ++
			most = max(most, d, -d)
		}
	}
	if differ > 0 {
		p := first / 3
		t.Fatalf("%d of %d bytes differ, by up to %d; first at x=%d y=%d channel %d: want %d, got %d",
			differ, len(want.Pix), most, p%want.W, p/want.W, first%3, want.Pix[first], got.Pix[first])
	}
}

// The JPEG and the oldest WebP files of the two tests that follow are a synthetic pattern, written by
// libjpeg-turbo's cjpeg and libwebp's cwebp. In each folder pillow.txt holds the
// SHA-256 of their RGB bytes in Pillow 9.4 (libjpeg-turbo 2.1.5, libwebp 1.2.4).

func TestPillowJPEG(t *testing.T) { testSums(t, filepath.Join("internal", "jpeg", "testdata"), 36) }

// The other formats' files are written for this test byte by byte, or by Pillow,
// ImageMagick and webpmux.
func TestPillowFormats(t *testing.T) { testSums(t, "testdata", 68) }

func testSums(t *testing.T, dir string, files int) {
	list, err := os.ReadFile(filepath.Join(dir, "pillow.txt"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	require.Len(t, lines, files)
	for _, line := range lines {
		var name, sum string
		var w, h int
		_, err := fmt.Sscan(line, &name, &w, &h, &sum)
		require.NoError(t, err)
		img, err := Open(filepath.Join(dir, name))
		require.NoError(t, err)
		p := FromImage(img)
		require.Equal(t, [2]int{w, h}, [2]int{p.W, p.H}, name)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(p.Pix)), name)
	}
}

func TestPillowJPEGPhotos(t *testing.T) {
	for name, sum := range map[string]string{
		"rocket":            "3d4435cc745752b7f9724df88c6e18817de3ce7e3d2d71c55f85f7831e68f197",
		"hubble_deep_field": "9a3ea9548188f81e63435188456e74de45a981ebeb791e265abe79a26d3b528b",
		"retina":            "3670e389d0dae9f755cc1bb7e4da4c3d2cdf10eba2dc3060836d8d4b8024d860",
	} {
		img, err := Open(shared(t, "photos", name+".jpg"))
		require.NoError(t, err)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(FromImage(img).Pix)), name)
	}
}

// TestPillowCIFAR decodes 50,000 JPEG files; the sum is that of Pillow 9.4's
// pictures, one after the other in the order of the archive.
func TestPillowCIFAR(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes 50,000 files: needs a run without -short")
	}
	file, err := os.Open(shared(t, "cifar10-train.tar"))
	require.NoError(t, err)
	defer file.Close()
	sum, n := sha256.New(), 0
	var p RGB
	for archive := tar.NewReader(file); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if !strings.HasSuffix(h.Name, ".jpg") {
			continue
		}
		img, err := Decode(h.Name, archive)
		require.NoError(t, err)
		p.SetImage(img)
		sum.Write(p.Pix)
		n++
	}
	require.Equal(t, 50000, n)
	require.Equal(t, "bf3aabd52be912dae02a0435296c4dab5289524b57f55cd162dc4796935a611b", fmt.Sprintf("%x", sum.Sum(nil)))
}

// TestPillowResize holds the SHA-256 of Pillow 9.4's bytes for every filter, of
// a pattern that is easy to make elsewhere.
func TestPillowResize(t *testing.T) {
	src := NewRGB(61, 47)
	for i := range src.Pix {
		src.Pix[i] = uint8((i*i*7+i*13)>>3 ^ (i / 3 % src.W / 9 * 40))
	}
	list, err := os.ReadFile(filepath.Join("testdata", "resize.txt"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	require.Len(t, lines, 40)
	for _, line := range lines {
		var name, sum string
		var w, h int
		_, err := fmt.Sscan(line, &name, &w, &h, &sum)
		require.NoError(t, err)
		f, err := ParseFilter(name)
		require.NoError(t, err)
		got := new(RGB)
		(&Resizer{Filter: f}).Resize(got, src, w, h)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(got.Pix)), line)
	}
}
