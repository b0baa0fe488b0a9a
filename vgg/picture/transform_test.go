package picture

import (
	"image"
	"testing"

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
	require.Zero(t, testing.AllocsPerRun(5, func() { _ = tr.Apply(got, m) }))

	require.Error(t, tr.Apply(got[1:], src))
	require.ErrorIs(t, tr.Apply(got, new(RGB)), ErrSize)
	require.Error(t, (&Transform{}).Apply(nil, src))
}
