package picture

import (
	"image"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func TestTransform(t *testing.T) {
	src := noise(3, 90, 60)
	tr := Transform{Side: 32, Size: 24, Preset: Caffe, Filter: Bicubic}
	got, want := make([]float32, 3*24*24), make([]float32, 3*24*24)
	require.NoError(t, tr.Apply(got, src))
	full := new(RGB)
	(&Resizer{Filter: Bicubic}).Resize(full, src, 48, 32)
	Caffe.Tensor(want, CenterCrop(full, 24, 24))
	require.Equal(t, want, got)

	m := image.NewRGBA(image.Rect(3, 4, 93, 64))
	for y := range 60 {
		for x := range 90 {
			m.SetRGBA(3+x, 4+y, src.RGBAAt(x, y))
		}
	}
	clear(got)
	require.NoError(t, tr.Apply(got, m))
	require.Equal(t, want, got)
	require.Zero(t, testutil.AllocsPerRun(5, func() { _ = tr.Apply(got, m) }))

	require.Error(t, tr.Apply(got[1:], src))
	require.ErrorIs(t, tr.Apply(got, new(RGB)), ErrSize)
	require.Error(t, (&Transform{}).Apply(nil, src))
}

// TestCoverCrop compares crops that are no squares with a picture that is resized as a
// whole and cropped.
func TestCoverCrop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ w, h, side, cw, ch, rw, rh int }{
		{200, 100, 64, 64, 96, 192, 96}, // the height is what covers
		{100, 200, 64, 64, 96, 64, 128}, // the width
		{100, 200, 73, 64, 96, 73, 146}, // 73×109 is cut to 64×96
		{300, 301, 16, 48, 16, 48, 48},  // a wide crop
		{64, 96, 64, 64, 96, 64, 96},    // as it is
		{90, 90, 40, 32, 32, 40, 40},    // a square, as ever
		{1000, 999, 10, 10, 7, 14, 13},  // 14×10 is covered
	} {
		src := noise(uint64(c.w), c.w, c.h)
		var z Resizer
		var got RGB
		require.NoError(t, z.CoverCrop(&got, src, c.side, c.cw, c.ch), "%+v", c)
		want := CenterCrop(Resize(src, c.rw, c.rh), c.cw, c.ch)
		require.Equal(t, want.Pix, got.Pix, "%+v", c)
		require.Equal(t, [2]int{c.cw, c.ch}, [2]int{got.W, got.H})
	}
	var z Resizer
	require.ErrorIs(t, z.CoverCrop(new(RGB), noise(1, 9, 9), 63, 64, 96), ErrSize, "smaller than the crop")
	require.ErrorIs(t, z.CoverCrop(new(RGB), noise(1, 1, 100_000), 64, 64, 96), ErrSize)

	tr := Transform{Side: 24, Size: 32, Width: 20, Preset: None}
	dst := make([]float32, 3*32*20)
	require.NoError(t, tr.Apply(dst, noise(3, 50, 40)))
	require.Error(t, tr.Apply(dst[1:], noise(3, 50, 40)))
}
