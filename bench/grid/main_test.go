package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRegular(t *testing.T) {
	for _, c := range []struct{ s, want size }{
		{size{1, 16, 1}, size{1, 16, 1}}, {size{2, 17, 3}, size{2, 16, 4}}, {size{3, 24, 5}, size{4, 32, 4}}, {size{5, 100, 64}, size{4, 128, 64}},
		{size{6, 65, 1}, size{8, 64, 1}}, {size{9, 512, 1}, size{8, 512, 1}}, {size{31, 96, 6}, size{32, 128, 8}}, {size{14, 1, 2}, size{16, 1, 2}},
	} {
		require.Equal(t, c.want, c.s.regular(), "%+v", c.s)
		require.Equal(t, c.want, c.want.regular(), "a regular size is its own neighbour")
	}
}

// TestFLOP: the taps of a picture of 3×3 that meet no padding, counted one by one.
func TestFLOP(t *testing.T) {
	taps := 0
	for y := range 3 {
		for x := range 3 {
			for i := range 3 {
				for j := range 3 {
					if y+i >= 1 && y+i <= 3 && x+j >= 1 && x+j <= 3 {
						taps++
					}
				}
			}
		}
	}
	require.EqualValues(t, 2*5*4*4*taps, size{3, 4, 5}.flop())
}

func TestNumbers(t *testing.T) {
	v, err := numbers("1-3,8,2", 8)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 8, 2}, v)
	for _, list := range []string{"", "0", "9", "3-2", "1-9", "1,", "a", "1-2-3", "-1"} {
		_, err := numbers(list, 8)
		require.ErrorContains(t, err, "want numbers from 1 to 8", list)
	}
}

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run([]string{"-maps", "2,5", "-channels", "3,17", "-batches", "1", "-rounds", "1", "-threads", "2"}, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 6, out.String())
	for i, want := range []string{"direct", "direct", "F(2×2,3×3)", "F(2×2,3×3)"} {
		require.Contains(t, lines[1+i], want)
	}
	require.Contains(t, lines[5], "of 4 sizes")
	for _, args := range [][]string{{"-maps", "0"}, {"-channels", "x"}, {"-batches", "65"}, {"-threads", "0"}, {"-rounds", "0"}} {
		require.Error(t, run(args, &out), args)
	}
}
