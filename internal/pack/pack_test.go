package pack

import (
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

func forEachKernel(t *testing.T, f func(t *testing.T, k *kernel)) {
	testutil.EachKernel(t, kernels, func(k *kernel) (string, cpu.ISA) { return k.name, k.isa }, f)
}

// panels is what Panels does.
func panels(rows, blocks int, src []float32, srcStride int) []float32 {
	var dst []float32
	for b := range blocks {
		for i := range rows {
			dst = append(dst, src[i*srcStride+b*16:][:16]...)
		}
	}
	return dst
}

// TestPanels copies panels in more than one call too.
func TestPanels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for i, rows := range []int{1, rowsAtOnce} {
			for n := 1; n <= 3; n++ {
				ld := n*16 + 3
				x := testutil.Normal(1, (rows-1)*ld+n*16)
				want := panels(rows, n, x, ld)
				for _, guarded := range testutil.Guards {
					got := guarded(t, make([]float32, len(want)))
					k.panels[i](n, &got[0], &guarded(t, x)[0], rows*16, ld)
					testutil.CheckExact(t, "panels", []int{rows, n}, got, want)
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 5}, {5, 0}, {3, 1}, {1, 3}, {21, 2}, {9, piece/rowsAtOnce + 1}} {
		rows, blocks := s[0], s[1]
		x := testutil.Normal(1, rows*(blocks*16+2))
		got := testutil.NaNGuarded(t, rows*blocks*16)
		Panels(rows, blocks, got, x, blocks*16+2)
		testutil.CheckExact(t, "panels", s, got, panels(rows, blocks, x, blocks*16+2))
	}
}

// TestRows copies rows of every distance, in more than one call too.
func TestRows(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k *kernel) {
		for n := 1; n <= 3; n++ {
			for rows := 1; rows <= 3; rows++ {
				ds, ss := n*16+5, n*16+rows
				x := testutil.Normal(1, (rows-1)*ss+n*16)
				for _, guarded := range testutil.Guards {
					got := guarded(t, make([]float32, (rows-1)*ds+n*16))
					k.rows(n, rows, &got[0], &guarded(t, x)[0], 4*ds, 4*ss, 1<<20)
					want := make([]float32, len(got))
					for i := range rows {
						copy(want[i*ds:][:n*16], x[i*ss:])
					}
					testutil.CheckExact(t, "copy", []int{n, rows}, got, want)
				}
			}
		}
	})
	for _, s := range [][2]int{{0, 5}, {5, 0}, {3, 5}, {1, 16}, {4, 37}, {9000, 33}} {
		rows, n := s[0], s[1]
		x, got := testutil.Normal(1, rows*(n+2)), testutil.NaNGuarded(t, rows*(n+3))
		want := make([]float32, len(got))
		clear(got)
		for i := range rows {
			copy(want[i*(n+3):][:n], x[i*(n+2):])
		}
		Rows(rows, n, got, n+3, x, n+2)
		testutil.CheckExact(t, "copy", s, got, want)
	}
	require.Panics(t, func() { Rows(2, 16, make([]float32, 32), 16, make([]float32, 31), 16) })
}

func FuzzCopy(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, rows, n, gap uint8) {
		blocks, r := 1+int(n)%20, 1+int(rows)%20
		ld := blocks*16 + int(gap)
		x := testutil.Normal(seed, r*ld)
		for i := range kernels {
			k := &kernels[i]
			if !cpu.Has(k.isa) {
				continue
			}
			got, want := testutil.NaNGuarded(t, r*blocks*16), make([]float32, r*blocks*16)
			for i := range r {
				copy(want[i*blocks*16:][:blocks*16], x[i*ld:])
			}
			k.rows(blocks, r, &got[0], &x[0], 64*blocks, 4*ld, 64)
			testutil.CheckExact(t, k.name, []int{r, blocks}, got, want)
			for i, rows := range []int{1, rowsAtOnce} {
				if rows > r {
					continue
				}
				got := testutil.NaNGuarded(t, rows*blocks*16)
				k.panels[i](blocks, &got[0], &x[0], rows*16, ld)
				testutil.CheckExact(t, k.name, []int{rows, blocks}, got, panels(rows, blocks, x, ld))
			}
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	const n = 1 << 22
	x, y := testutil.Normal(1, n), testutil.Normal(2, n)
	for i := range kernels {
		k := &kernels[i]
		if !cpu.Has(k.isa) {
			continue
		}
		for op, f := range map[string]func(){
			"rows": func() { k.rows(4, n/1024, &x[0], &y[0], 256, 4096, 64<<10) },
			"panels": func() { // of rows of 2^12
				for at := 0; at < n; at += rowsAtOnce << 12 {
					k.panels[1](1<<8, &x[at], &y[at], rowsAtOnce*16, 1<<12)
				}
			},
		} {
			b.Run(fmt.Sprintf("op=%s/kernel=%s", op, k.name), func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
