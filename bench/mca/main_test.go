package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	r, err := parse([]byte(`{
		"CodeRegions": [{
			"Instructions": ["fmla v0.4s, v1.4s, v2.4s"],
			"ResourcePressureView": {"ResourcePressureInfo": [
				{"InstructionIndex": 0, "ResourceIndex": 0, "ResourceUsage": 2.04},
				{"InstructionIndex": 1, "ResourceIndex": 0, "ResourceUsage": 1.5},
				{"InstructionIndex": 1, "ResourceIndex": 1, "ResourceUsage": 2},
				{"InstructionIndex": 1, "ResourceIndex": 2, "ResourceUsage": 2},
				{"InstructionIndex": 1, "ResourceIndex": 3, "ResourceUsage": 1.9}]},
			"SummaryView": {"Iterations": 1000, "TotalCycles": 2040}
		}],
		"TargetInfo": {"Resources": ["N1UnitB", "N1UnitL.\u0000", "N1UnitL.\u0001", "N1UnitV0"]}}`))
	require.NoError(t, err)
	require.Equal(t, result{2.04, []string{"L 98 %", "V0 93 %"}}, r)
	for _, bad := range []string{"", "error: nothing", "{}"} {
		_, err = parse([]byte(bad))
		require.Error(t, err, bad)
	}
}

// TestBounds: what keeps a loop from being faster, and when that is refused.
func TestBounds(t *testing.T) {
	t.Parallel()
	v1 := cores["neoverse-v1"]
	tiles := func(n int) loop { // four accumulators of each tile, four channels
		l := loop{function: fmt.Sprintf("ukernel.blocked%dx16NEON", n), body: []string{"ldp q30, q31, [x3]", "str q0, [x4]"}}
		for range 4 {
			for acc := range 4 * n {
				l.body = append(l.body, fmt.Sprintf("fmla v%d.4s, v30.4s, v29.s[0]", acc))
			}
		}
		return l
	}
	full := []string{"V0 99 %"}
	for name, c := range map[string]struct {
		l     loop
		r     result
		bound string
		ok    bool
	}{
		"at the peak":                      {tiles(6), result{24.1, full}, "V0 99 %", true},
		"a busy unit does not excuse":      {tiles(6), result{25.4, full}, "V0 99 %", false},
		"enough sums, and none":            {tiles(4), result{20, nil}, latency, false},
		"too few sums":                     {tiles(2), result{16.1, nil}, "sums (8)", true},
		"slower than its sums":             {tiles(2), result{18, nil}, latency, false},
		"one tile":                         {tiles(1), result{16.1, nil}, "sums (4)", true},
		"a loaded register is no sum":      {loop{"winograd.input4x4NEON", 0, []string{"ldp q5, q0, [x1]", "fmla v0.4s, v1.4s, v2.4s"}}, result{4, nil}, latency, false},
		"sums of whole numbers":            {loop{"winograd.magnitudesNEON", 0, []string{"abs v4.8h, v4.8h", "uadalp v0.4s, v4.8h", "smlal v1.4s, v4.4h, v0.h[1]", "smlal2 v1.4s, v4.8h, v0.h[2]"}}, result{8, nil}, "sums (2)", true},
		"FADD to itself":                   {loop{"activation.sumPixelsNEON", 0, []string{"fadd v0.4s, v0.4s, v4.4s"}}, result{2, nil}, "sums (1)", true},
		"FADD of others":                   {loop{"activation.sumPixelsNEON", 0, []string{"fadd v0.4s, v1.4s, v4.4s"}}, result{2, nil}, latency, false},
		"a transform need not reach FMA's": {loop{"winograd.filter4x4NEON", 0, []string{"fmul v0.4s, v1.4s, v2.4s"}}, result{2, full}, "V0 99 %", true},
	} {
		require.Equal(t, c.bound, c.l.boundBy(v1, c.r), name)
		if err := c.l.check(v1, c.r); c.ok {
			require.NoError(t, err, name)
		} else {
			require.Error(t, err, name)
		}
	}
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
