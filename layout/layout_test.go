package layout

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 7}, {16, 2, 3}, {17, 4, 4}, {40, 3, 1}, {32, 1, 4096 + 7}} {
		c, h, w := s[0], s[1], s[2]
		src := make([]float32, c*h*w)
		for i := range src {
			src[i] = float32(i + 1)
		}
		blocked := make([]float32, Len(c, h, w))
		for i := range blocked {
			blocked[i] = -1
		}
		FromNCHW(c, h, w, blocked, src)
		for ch := range Blocks(c) * Block {
			for p := range h * w {
				want := float32(0)
				if ch < c {
					want = src[ch*h*w+p]
				}
				require.Equal(t, want, blocked[(ch/Block*h*w+p)*Block+ch%Block], "%v channel %d pixel %d", s, ch, p)
			}
		}
		back := make([]float32, len(src))
		ToNCHW(c, h, w, back, blocked)
		require.Equal(t, src, back)
	}
}

func TestLengths(t *testing.T) {
	const message = "layout: slice of a picture is too short"
	require.PanicsWithValue(t, message, func() { FromNCHW(3, 1, 2, make([]float32, 31), make([]float32, 6)) })
	require.PanicsWithValue(t, message, func() { FromNCHW(3, 1, 2, make([]float32, 32), make([]float32, 5)) })
	require.PanicsWithValue(t, message, func() { ToNCHW(3, 1, 2, make([]float32, 5), make([]float32, 32)) })
	require.PanicsWithValue(t, message, func() { ToNCHW(3, 1, 2, make([]float32, 6), make([]float32, 31)) })
	require.PanicsWithValue(t, message, func() { ToNCHW(-1, 1, 0, nil, nil) })
}

func TestAlloc(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, 1<<18 - 1, 1 << 18, 1<<20 + 100, 1<<20 - 100, 3<<20 + 5} {
		s := Alloc(n)
		require.Len(t, s, n)
		if n == 0 {
			continue
		}
		align := uintptr(cacheLine)
		if 4*n >= hugePage/2 {
			align = hugePage
		}
		require.Zero(t, uintptr(unsafe.Pointer(&s[0]))%align, "n=%d", n)
		s[0], s[n-1] = 1, 1
	}
}
