package direct

import (
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
)

func forEachKernel(t *testing.T, f func(t *testing.T, kern *Kernel)) {
	for i := range Kernels {
		t.Run(Kernels[i].Name, func(t *testing.T) {
			if !cpu.Has(Kernels[i].ISA) {
				t.Skip("this machine lacks the instruction set")
			}
			f(t, &Kernels[i])
		})
	}
}

// TestRow compares the kernels with the loop of rowFunc's comment, on integers,
// for which any order of sums is exact.
func TestRow(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		const taps, plane = 7, 40 * 16
		offsets := []int{5, 0, 3, 3, 30, 12, 40}
		for width := 16; width <= kern.KB; width += 16 {
			for n := 1; n <= 3*kern.Pixels+1; n++ {
				for _, step := range []int{1, 3, 16} {
					x := testutil.Ints(uint64(n), 41+(n-1)*step, -4, 4)
					u := testutil.Ints(2, taps*width, -4, 4)
					bias := testutil.Ints(3, width, -4, 4)
					out := testutil.NaNGuarded(t, (width/16-1)*plane+n*16)
					kern.Row(n, width, offsets, x, step, u, bias, out, plane, step == 3)
					got, want := make([]float32, n*width), make([]float64, n*width)
					for p := range n {
						for k := range width {
							y := bias[k]
							for t, off := range offsets {
								y += x[off+p*step] * u[t*width+k]
							}
							if step == 3 {
								y = max(y, 0)
							}
							got[p*width+k], want[p*width+k] = out[k/16*plane+p*16+k%16], float64(y)
						}
					}
					testutil.CheckExact(t, "row", []int{width, n, step}, got, want)
				}
			}
		}
	})
}

// TestLongRow takes so many taps that a row needs several calls.
func TestLongRow(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		taps, n := 1+callWork/(2*kern.Pixels*16), 5*kern.Pixels+1
		x, u := testutil.Ints(1, taps+n-1, -1, 1), testutil.Ints(2, taps*16, -1, 1)
		offsets := make([]int, taps)
		for i := range offsets {
			offsets[i] = i
		}
		out := make([]float32, n*16)
		kern.Row(n, 16, offsets, x, 1, u, make([]float32, 16), out, 0, false)
		want := make([]float64, n*16)
		for p := range n {
			for t := range taps {
				for k := range 16 {
					want[p*16+k] += float64(x[t+p] * u[t*16+k])
				}
			}
		}
		testutil.CheckExact(t, "long row", taps, out, want)
	})
}

// TestGuardPages puts the operands of the kernel itself against
// inaccessible pages, behind and before.
func TestGuardPages(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		const taps, plane = 5, 20 * 16
		for width := 16; width <= kern.KB; width += 16 {
			for n := 1; n <= 2*kern.Pixels+1; n++ {
				for _, step := range []int{1, 16} {
					offsets := []int{0, 3, 1, 7, 9}
					nx := 9 + (n-1)*step + 1
					x := testutil.Normal(1, nx)
					u := testutil.Normal(2, taps*width)
					bias := testutil.Normal(3, width)
					var got [2][]float32
					for i, place := range []func(testing.TB, []float32) []float32{testutil.GuardedCopy[float32], testutil.GuardedHeadCopy[float32]} {
						out := place(t, make([]float32, (width/16-1)*plane+n*16))
						kern.Row(n, width, offsets, place(t, x), step, place(t, u), place(t, bias), out, plane, true)
						got[i] = out
					}
					testutil.CheckBits(t, "guarded", []int{width, n, step}, got[0], got[1])
				}
			}
		}
	})
}
