package picture

import (
	"image"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// refused are pictures that are refused, and what the error says.
var refused = map[string]string{
	"x_ff5a.jpg": "jpeg", // Pillow refuses it too
	"pano.png":   "12000×9000",
}

// TestPeoplesPictures: each picture has Pillow's pixels or is refused with the text above.
func TestPeoplesPictures(t *testing.T) {
	testPeople(t, testutil.Shared(t, "data", "people"))
}

// testPeople compares the pictures of a folder.
func testPeople(t *testing.T, dir string) {
	n := 0
	for _, ext := range []string{"jpg", "png", "gif", "webp", "bmp", "tif"} {
		files, err := filepath.Glob(filepath.Join(dir, "*."+ext))
		require.NoError(t, err)
		for _, path := range files {
			if matched, _ := filepath.Match("*.expected.png", filepath.Base(path)); matched {
				continue
			}
			n++
			t.Run(filepath.Base(path), func(t *testing.T) { comparePillow(t, path) })
		}
	}
	require.Greater(t, n, 30)
}

// comparePillow compares the picture at path with the one in path.expected.png.
func comparePillow(t *testing.T, path string) {
	name := filepath.Base(path)
	var img image.Image
	var err error
	memory, spent := testutil.Spent(func() { img, err = Open(path) })
	t.Log(memory, spent)
	require.Less(t, spent, testutil.Slower*20*time.Second)
	require.Less(t, memory, int64(200<<20))
	if says, ok := refused[name]; ok {
		require.ErrorContains(t, err, says)
		return
	}
	require.NoError(t, err)
	want, err := Open(path + ".expected.png")
	require.NoError(t, err)
	got := FromImage(img)
	if name == "t_orient6.tif" {
		// Pillow turns a TIFF file upright when it loads it, and its exif_transpose,
		// which wrote the expected pixels, turned this one again.
		twice := new(RGB)
		orient(twice, got, 6)
		got = twice
	}
	requireSame(t, FromImage(want), got)
}
