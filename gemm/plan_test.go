package gemm

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ukernel"
	"github.com/stretchr/testify/require"
)

// A planCase is a class of shapes.
type planCase struct {
	class          string
	transA, transB bool
	m, n, k        int
	alpha          float32 // 0: 1
	alphaIs0       bool
	padB           int  // beyond the least leading dimension
	packed         bool // before
	workers        int  // 0: 1
}

// problem returns the problem of a case, without operands.
func (c planCase) problem() problem {
	p := problem{m: c.m, n: c.n, k: c.k, alpha: cmp.Or(c.alpha, 1), beta: 1}
	if c.alphaIs0 {
		p.alpha = 0
	}
	p.a = operand(c.transA, c.m, c.k, nil, leading(c.transA, c.m, c.k))
	p.b = operand(c.transB, c.k, c.n, nil, leading(c.transB, c.k, c.n)+c.padB)
	p.c = operand(false, c.m, c.n, nil, max(1, c.n))
	if c.packed {
		p.b, p.packed = matrix{}, &Packed{}
	}
	if p.isColumn() {
		return p.transposed()
	}
	return p
}

// planCases cross every limit at which another variant or another block begins, on some
// instruction set.
var planCases = []planCase{
	{class: "k is 0", m: 5, n: 6, k: 0},
	{class: "alpha is 0", m: 5, n: 6, k: 7, alphaIs0: true},
	{class: "B of 16 elements", transB: true, m: 50, n: 4, k: 4, alpha: 0.5},
	{class: "B of 16 elements, packed before", m: 50, n: 4, k: 4, packed: true},

	{class: "one row", m: 1, n: 1000, k: 512},
	{class: "one row, gathered", transA: true, m: 1, n: 1000, k: 512, alpha: -1},
	{class: "one row, workers share columns", m: 1, n: 1000, k: 512, workers: 2},
	{class: "one row, workers share k", m: 1, n: 1000, k: 4096, workers: 2},
	{class: "one row, too wide for that", m: 1, n: 5000, k: 4096, workers: 2},
	{class: "one row, B transposed", transB: true, m: 1, n: 1000, k: 600, workers: 2},
	{class: "one row, packed before", m: 1, n: 1000, k: 600, packed: true, workers: 2},
	{class: "one column is a row by columns", m: 1000, n: 1, k: 600},
	{class: "one column, A transposed", transA: true, m: 1000, n: 1, k: 600},

	{class: "few rows, B from the cache", m: 3, n: 1000, k: 600},
	{class: "few rows, B from memory", m: 3, n: 4000, k: 4000},
	{class: "few rows, rows of B share sets", m: 3, n: 1024, k: 600},
	{class: "few rows, workers share k", m: 4, n: 1000, k: 1024, workers: 2},
	{class: "unpacked", m: 5, n: 1000, k: 600},
	{class: "unpacked, rows of A share sets", m: 26, n: 1000, k: 1024},
	{class: "unpacked, rows of B share sets", m: 14, n: 1000, k: 600, padB: 24},
	{class: "one row more", m: 15, n: 1000, k: 600, padB: 24},
	{class: "unpacked, panel by panel", m: 48, n: 1000, k: 600},
	{class: "unpacked, workers share rows", m: 48, n: 1000, k: 600, workers: 2},
	{class: "one row more", m: 49, n: 1000, k: 600, workers: 2},
	{class: "rows of B 64 columns apart", m: 27, n: 512, k: 600, workers: 2},
	{class: "few rows, A transposed", transA: true, m: 27, n: 1000, k: 600},
	{class: "few rows, B transposed", transB: true, m: 2, n: 1000, k: 600},
	{class: "few rows, alpha −1", m: 5, n: 1000, k: 600, alpha: -1},

	{class: "packed", m: 126, n: 1000, k: 600},
	{class: "packed, shared", m: 127, n: 1000, k: 600},
	{class: "packed, workers", m: 1000, n: 5000, k: 600, workers: 2},
	{class: "packed before", m: 50, n: 1000, k: 600, packed: true, workers: 2},
	{class: "short sums", m: 50, n: 1000, k: 128},
	{class: "rows of A share sets", m: 127, n: 256, k: 1024},
	{class: "too few columns to pack A", m: 127, n: 255, k: 1024},
	{class: "A transposed", transA: true, m: 127, n: 64, k: 600},
	{class: "A transposed, too few columns", transA: true, m: 127, n: 63, k: 600},
}
var update = flag.Bool("update", false, "write the plans of this architecture to testdata")

// TestPlans compares the plan of each class with testdata/plans.txt, for all instruction
// sets of this architecture, whether the processor has them or not.
func TestPlans(t *testing.T) {
	const file = "testdata/plans.txt"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	got := string(data)
	for _, isa := range []cpu.ISA{cpu.AVX512, cpu.AVX2, cpu.NEON, cpu.Generic} {
		for i := range ukernel.IndirectKernels {
			if kern := &ukernel.IndirectKernels[i]; kern.ISA == isa {
				got = replaceSection(got, isa.String(), plansOf(kern))
				break
			}
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	require.Equal(t, string(data), got)
}

// TestExplain: every plan can be told.
func TestExplain(t *testing.T) {
	for i := range ukernel.IndirectKernels {
		for _, c := range planCases {
			p := c.problem()
			pl := choosePlan(&p, &ukernel.IndirectKernels[i], max(1, c.workers))
			require.Contains(t, pl.explain(&p), "variant    "+pl.variant.String()+"\n", c.class)
		}
	}
	require.Contains(t, NewMultiplier(nil).Plan(false, false, 1000, 1, 600), "1×1000×600") // a column is a row
	require.Contains(t, PlanLinear(3, 512, 10, Half()), "3×10×512")
	require.Contains(t, PlanLinear(1, 512, 1000), "blockedRow")
	require.Contains(t, PlanLinear(1, 512, 1000, Half()), "blockedRow")
	require.NotContains(t, PlanLinear(1, 512, 10), "blockedRow")
	fixed := PlanLinear(3, 500, 70, Fixed())
	require.Contains(t, fixed, "3×70×500 (m×n×k), 16 by 8 bits")
	require.Contains(t, fixed, "KC 512")
	require.Contains(t, fixed, "3 panels")
	require.NotEqual(t, fixed, PlanLinear(3, 500, 70))
}

// plansOf lists the plans of a kernel, a line each.
func plansOf(kern *ukernel.Indirect) string {
	var b strings.Builder
	for _, c := range planCases {
		p := c.problem()
		sizes := fmt.Sprintf("%d×%d×%d", c.m, c.n, c.k)
		pl := choosePlan(&p, kern, max(1, c.workers))
		fmt.Fprintf(&b, "%-42s %-15s %v", c.class, sizes, pl)
		if pl.variant != scaleOnly && pl.variant != small {
			items := pl.grid(p.m, min(p.n, pl.nc))
			fmt.Fprintf(&b, "; %d×%d items", items.rows, items.cols)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// replaceSection replaces the lines below a title, up to an empty one.
func replaceSection(text, title, lines string) string {
	before, rest, _ := strings.Cut(text, title+"\n\n")
	_, after, _ := strings.Cut(rest, "\n\n")
	return before + title + "\n\n" + lines + "\n" + after
}

// TestBlocks: blocks of rows that are whole groups never exceed MC, and parts of k
// never KC.
func TestBlocks(t *testing.T) {
	for i := range ukernel.IndirectKernels {
		b := blocksOf(&ukernel.IndirectKernels[i])
		require.Zero(t, b.mc%ukernel.IndirectKernels[i].MR, ukernel.IndirectKernels[i].Name)
		for k := 1; k < 5*b.kc; k++ {
			step := b.chain(k)
			require.LessOrEqual(t, step, b.kc)
			require.Equal(t, (k+b.kc-1)/b.kc, (k+step-1)/step, k)
		}
	}
}
