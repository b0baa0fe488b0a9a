package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const report = `Iterations:        1000
Instructions:      3000
Total Cycles:      2040

Resources:
[0]   - N1UnitB
[1.0] - N1UnitD
[5]   - N1UnitV0
[6]   - N1UnitV1

Resource pressure per iteration:
[0]    [1.0]  [5]    [6]    
1.00    -     2.00   1.50   

Resource pressure by instruction:
`

func TestParse(t *testing.T) {
	t.Parallel()
	r, err := parse(report)
	require.NoError(t, err)
	require.Equal(t, result{2.04, []string{"N1UnitV0 98 %"}}, r)
	_, err = parse("error: nothing")
	require.Error(t, err)
}

// TestLoops: of two nested loops the inner one alone is analysed; a branch
// forward makes no loop.
func TestLoops(t *testing.T) {
	t.Parallel()
	f := function{
		name:    "kNEON",
		address: []uint64{0, 4, 8, 12, 16, 20},
		text:    []string{"cbz x0, 0", "fmla v0.4s, v1.4s, v2.s[0]", "fmul v0.4s, v1.4s, v2.4s", "b.ne 0", "b.ne 0", "ret"},
		target:  []uint64{20, 0, 0, 8, 4, 0},
	}
	l := f.loops()
	require.Len(t, l, 1)
	require.Equal(t, []string{"fmul v0.4s, v1.4s, v2.4s", "b.ne 0"}, l[0].body)
	require.Equal(t, 1, l[0].fmas())
}

// TestStraightLine: a function without a loop is analysed up to its return.
func TestStraightLine(t *testing.T) {
	t.Parallel()
	f := function{
		name:    "kNEON",
		address: []uint64{0, 4, 8, 12},
		text:    []string{"cbz x0, 0", "fmla v0.4s, v1.4s, v2.s[0]", "ret", "udf #0"},
		target:  []uint64{8, 0, 0, 0},
	}
	l := f.loops()
	require.Len(t, l, 1)
	require.Equal(t, f.text[:2], l[0].body)
}
