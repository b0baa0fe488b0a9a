package direct

import (
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
)

func forEachKernel(t *testing.T, f func(t *testing.T, kern *Kernel)) {
	testutil.EachKernel(t, Kernels, func(kern *Kernel) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// run is how many offsets Operands.Runs tells of.
const run = 16

// sum is the loop of rowFunc's comment.
func sum(n, width int, o *Operands) []float64 {
	want := make([]float64, n*width)
	for p := range n {
		for k := range width {
			y := float64(0)
			if o.Mode&ModeAccumulate != 0 {
				y = float64(o.Out[k/16*o.Plane+p*o.Pixel+k%16])
			} else {
				y = float64(o.Bias[k])
			}
			for t, off := range o.Offsets {
				y += float64(o.X[off+p*o.Step]) * float64(o.U[t*o.row(width)+k])
			}
			if o.Mode&ModeAdd != 0 {
				y += float64(o.Out[k/16*o.Plane+p*o.Pixel+k%16])
			}
			if o.Mode&ModeReLU != 0 {
				y = max(y, 0)
			}
			want[p*width+k] = y
		}
	}
	return want
}

// gather reads the results of a row.
func gather(n, width int, o *Operands) []float32 {
	got := make([]float32, n*width)
	for i := range got {
		p, k := i/width, i%width
		got[i] = o.Out[k/16*o.Plane+p*o.Pixel+k%16]
	}
	return got
}

// TestRow compares the kernels with the reference on integers, for which any
// order of sums is exact: every number of pixels and every width.
func TestRow(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		for width := 16; width <= kern.Widest(); width += 16 {
			for n := 1; n <= 3*kern.Pixels+1 && (width <= kern.KB || width <= kern.Width(n)); n++ {
				for i, geometry := range []struct{ step, pixel, plane int }{{1, 16, 40 * 16}, {3, 16, 40 * 16}, {16, 80, 16}} {
					taps := []int{7, 32, 33, 70, 83, 64, 3}[n%7]                                                                                                                       // around the place where the results are fetched
					o := Operands{Offsets: make([]int, taps), Step: geometry.step, Pixel: geometry.pixel, Plane: geometry.plane, Mode: (n + i) % 8, Ahead: [3]int{i * n << 20, 0, -i}} // which touches nothing
					last := 100
					for t := range o.Offsets {
						o.Offsets[t] = t * 7 % last
						if i > 0 { // parts with gaps between them
							o.Offsets[t] = t/run*(run+3) + t%run
						}
					}
					if o.Runs = i > 0; !o.Runs {
						o.Offsets[taps-1] = last
					}
					o.X = testutil.Ints(uint64(n), last+1+(n-1)*o.Step, -4, 4)
					o.Row = []int{0, width + 5}[i%2]
					o.U = testutil.Ints(2, (taps-1)*o.row(width)+width, -4, 4)
					if o.Mode&ModeAccumulate == 0 {
						o.Bias = testutil.Ints(3, width, -4, 4)
					}
					o.Out = testutil.NaNGuarded(t, (width/16-1)*o.Plane+(n-1)*o.Pixel+16)
					copy(o.Out, testutil.Ints(4, len(o.Out), -9, 9))
					want := sum(n, width, &o)
					kern.Row(n, width, &o)
					testutil.CheckExact(t, "row", []int{width, n, taps, o.Step, o.Mode}, gather(n, width, &o), want)
				}
			}
		}
	})
}

// TestPanels compares panels beside each other with the same one by one, for every
// number of pixels, in more than one call too.
func TestPanels(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		for n := 1; n <= kern.Tallest(); n++ {
			for _, taps := range []int{5, 40, 3000} {
				const panels = 5
				width := kern.Width(n)
				cols := panels * width
				o := Operands{Offsets: make([]int, taps), X: testutil.Ints(1, taps+3*n, -1, 1), Step: 3, Row: cols + 7,
					Bias: testutil.Ints(2, width, -2, 2), Pixel: cols + 5, Plane: 16, Mode: []int{0, ModeAccumulate, ModeAdd}[n%3]}
				for i := range o.Offsets {
					o.Offsets[i] = i
				}
				o.Runs = n%2 == 0
				o.U = testutil.Ints(3, (taps-1)*o.Row+cols, -1, 1)
				o.Out = testutil.NaNGuarded(t, (n-1)*o.Pixel+cols)
				start := testutil.Ints(4, len(o.Out), -9, 9)
				want := append([]float32(nil), start...)
				copy(o.Out, start)
				kern.Panels(panels, n, width, &o)
				one := o
				one.Runs = false
				for p := 0; p < cols; p += width {
					one.U, one.Out = o.U[p:], want[p:]
					kern.Row(n, width, &one)
				}
				testutil.CheckBits(t, "panels", []int{n, taps}, o.Out, want)
			}
		}
	})
}

// TestLongRow takes so many taps that a row needs several calls.
func TestLongRow(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		taps, n := 1+callWork/(2*kern.Pixels*16), 5*kern.Pixels+1
		o := Operands{Offsets: make([]int, taps), X: testutil.Ints(1, taps+n-1, -1, 1), Step: 1, U: testutil.Ints(2, taps*16, -1, 1),
			Bias: make([]float32, 16), Out: make([]float32, n*16), Pixel: 16}
		for i := range o.Offsets {
			o.Offsets[i] = i
		}
		kern.Row(n, 16, &o)
		testutil.CheckExact(t, "long row", taps, gather(n, 16, &o), sum(n, 16, &o))
	})
}

// TestGuardPages puts the operands against inaccessible pages, behind and before.
func TestGuardPages(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		const plane = 20 * 16
		for width := 16; width <= kern.Widest(); width += 16 {
			for n := 1; n <= max(2*kern.Pixels+1, kern.Tallest()) && (width <= kern.KB || width <= kern.Width(n)); n++ {
				for _, step := range []int{1, 16} {
					var got [2][]float32
					for i, place := range []func(testing.TB, []float32) []float32{testutil.GuardedCopy[float32], testutil.GuardedHeadCopy[float32]} {
						row := width + step - 1
						o := Operands{Offsets: make([]int, 21), X: place(t, testutil.Normal(1, 21+(n-1)*step)), Step: step, Runs: step > 1,
							U: place(t, testutil.Normal(2, 20*row+width)), Row: row, Bias: place(t, testutil.Normal(3, width)),
							Out: place(t, make([]float32, (width/16-1)*plane+n*16)), Pixel: 16, Plane: plane}
						for i := range o.Offsets {
							o.Offsets[i] = i
						}
						kern.Row(n, width, &o)
						o.Mode = ModeAdd
						kern.Row(n, width, &o)
						o.Bias, o.Mode = nil, ModeAccumulate|ModeReLU
						kern.Row(n, width, &o)
						got[i] = o.Out
						if n > kern.Tallest() || width != kern.Width(n) {
							continue
						}
						o = Operands{Offsets: []int{0, 3, 1, 7, 9}, X: o.X, Step: step, U: place(t, testutil.Normal(2, 4*3*width+2*width)), Row: 3 * width,
							Bias: place(t, testutil.Normal(3, width)), Out: place(t, make([]float32, 2*n*width)), Pixel: 2 * width, Plane: 16}
						kern.Panels(2, n, width, &o)
					}
					testutil.CheckBits(t, "guarded", []int{width, n, step}, got[0], got[1])
				}
			}
		}
	})
}

// TestSpecials puts each special value in one place of x, of u and of the bias: it
// reaches the outputs that have it as a term, exactly, and no other.
func TestSpecials(t *testing.T) {
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		n, width := kern.Pixels+1, kern.KB
		for _, v := range testutil.Specials() {
			for place := range 3 {
				o := Operands{Offsets: []int{0, 1}, X: make([]float32, n+1), Step: 1, U: make([]float32, 2*width), Bias: make([]float32, width),
					Out: testutil.NaNGuarded(t, n*width), Pixel: 16, Plane: n * 16}
				switch place {
				case 0:
					o.X[n-2] = v
					copy(o.U, testutil.Ints(1, 2*width, 0, 1))
				case 1:
					o.U[width+3] = v
					copy(o.X, testutil.Ints(1, n+1, 0, 1))
				case 2:
					o.Bias[5] = v
				}
				for _, mode := range []int{0, ModeReLU} {
					o.Mode = mode
					kern.Row(n, width, &o)
					testutil.CheckExact(t, "row", []any{v, place, mode}, gather(n, width, &o), sum(n, width, &o))
				}
			}
		}
	})
}

// TestFor compares each kernel with the one that it leaves so many taps to, bit for bit.
func TestFor(t *testing.T) {
	const n, width = 13, 64
	forEachKernel(t, func(t *testing.T, kern *Kernel) {
		for _, taps := range []int{1, 27, 128, 129} {
			x, u, bias := testutil.Normal(1, n*taps), testutil.Normal(2, taps*width), testutil.Normal(3, width)
			o := Operands{Offsets: make([]int, taps), Runs: true, X: x, Step: taps, Row: width, Pixel: 16, Plane: n * 16}
			for i := range o.Offsets {
				o.Offsets[i] = i
			}
			compute := func(kern *Kernel) []float32 {
				out := make([]float32, n*width)
				for p := 0; p < width; p += kern.KB {
					o.U, o.Bias, o.Out = u[p:], bias[p:], out[p*n:]
					kern.Row(n, kern.KB, &o)
				}
				return out
			}
			chosen := kern.For(taps)
			if chosen.ISA != kern.ISA {
				t.Fatalf("%s leaves %d taps to %s", kern.Name, taps, chosen.Name)
			}
			testutil.CheckBits(t, chosen.Name, taps, compute(chosen), compute(kern))
		}
	})
}

func FuzzRow(f *testing.F) {
	f.Add(uint64(1), uint8(9), uint8(3), uint8(30), uint8(2), uint8(1))
	f.Add(uint64(2), uint8(5), uint8(1), uint8(90), uint8(3), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, n, blocks, taps, step, mode uint8) {
		for i := range Kernels {
			kern := &Kernels[i]
			if !cpu.Has(kern.ISA) {
				continue
			}
			n, width, taps := 1+int(n)%30, 16*(1+int(blocks)%(kern.KB/16)), 1+int(taps)
			o := Operands{Offsets: make([]int, taps), Step: 1 + int(step), Pixel: 16, Plane: n * 16, Mode: int(mode) % 8}
			for j := range o.Offsets {
				o.Offsets[j] = j * 7
				if step%2 != 0 {
					o.Offsets[j] = j
				}
			}
			o.Runs = step%2 != 0
			o.X, o.U = testutil.Ints(seed, (taps-1)*7+(n-1)*o.Step+1, -3, 3), testutil.Ints(seed+1, taps*width, -3, 3)
			o.Bias, o.Out = testutil.Ints(seed+2, width, -3, 3), testutil.Ints(seed+3, n*width, -3, 3)
			want := sum(n, width, &o)
			kern.Row(n, width, &o)
			testutil.CheckExact(t, "row", []int{n, width, taps}, gather(n, width, &o), want)
		}
	})
}
