package ukernel

import (
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
)

func forEachIndirect(t *testing.T, f func(t *testing.T, kern *Indirect)) {
	testutil.EachKernel(t, IndirectKernels, func(kern *Indirect) (string, cpu.ISA) { return kern.Name, kern.ISA }, f)
}

// run is how many consecutive offsets IndirectArgs.Contiguous tells of.
const run = 16

// sum is the loop of IndirectArgs's comment.
func sum(m, nr int, o *IndirectArgs) []float64 {
	want := make([]float64, m*nr)
	for i := range m {
		for j := range nr {
			c := 0.0
			if o.Mode&(ModeFromC|ModeAddC) != 0 {
				c = float64(o.C[j/16*o.CBlock+i*o.LDC+j%16])
			}
			y := 0.0
			if o.Mode&ModeFromC != 0 {
				y = c
			} else {
				y = float64(o.Bias[j])
			}
			for p, off := range o.Offsets {
				y += float64(o.A[off+i*o.AStep]) * float64(o.B[p*o.ldb(nr)+j])
			}
			if o.Mode&ModeAddC != 0 {
				y += c
			}
			if o.Mode&ModeReLU != 0 {
				y = max(y, 0)
			}
			want[i*nr+j] = y
		}
	}
	return want
}

// ldb returns the distance of the rows of B.
func (o *IndirectArgs) ldb(nr int) int {
	if o.LDB == 0 {
		return nr
	}
	return o.LDB
}

// gather reads C.
func gather(m, nr int, o *IndirectArgs) []float32 {
	got := make([]float32, m*nr)
	for at := range got {
		i, j := at/nr, at%nr
		got[at] = o.C[j/16*o.CBlock+i*o.LDC+j%16]
	}
	return got
}

// TestRunM compares the kernels with the reference on integers, for which any
// order of sums is exact: every number of rows and every width.
func TestRunM(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		for nr := 16; nr <= kern.MaxNR(); nr += 16 {
			for m := 1; m <= 3*kern.MR+1 && (nr <= kern.NR || nr <= kern.NRFor(m)); m++ {
				for i, geometry := range []struct{ aStep, ldc, cBlock int }{{1, 16, 40 * 16}, {3, 16, 40 * 16}, {16, 80, 16}} {
					k := []int{7, 32, 33, 70, 83, 64, 3}[m%7]                                                                                                                                 // around the place where C is fetched
					o := IndirectArgs{Offsets: make([]int, k), AStep: geometry.aStep, LDC: geometry.ldc, CBlock: geometry.cBlock, Mode: Mode(m+i) % 8, PrefetchB: [3]int{i * m << 20, 0, -i}} // which touches nothing
					last := 100
					for t := range o.Offsets {
						o.Offsets[t] = t * 7 % last
						if i > 0 { // parts with gaps between them
							o.Offsets[t] = t/run*(run+3) + t%run
						}
					}
					if o.Contiguous = i > 0; !o.Contiguous {
						o.Offsets[k-1] = last
					}
					o.A = testutil.Ints(uint64(m), last+1+(m-1)*o.AStep, -4, 4)
					o.LDB = []int{0, nr + 5}[i%2]
					o.B = testutil.Ints(2, (k-1)*o.ldb(nr)+nr, -4, 4)
					if o.Mode&ModeFromC == 0 {
						o.Bias = testutil.Ints(3, nr, -4, 4)
					}
					o.C = testutil.NaNGuarded(t, (nr/16-1)*o.CBlock+(m-1)*o.LDC+16)
					copy(o.C, testutil.Ints(4, len(o.C), -9, 9))
					want := sum(m, nr, &o)
					kern.RunM(m, nr, &o)
					testutil.CheckExact(t, "indirect", []any{nr, m, k, o.AStep, o.Mode}, gather(m, nr, &o), want)
				}
			}
		}
	})
}

// TestRunN compares panels beside each other with the same one by one, for every
// number of rows, in more than one call too.
func TestRunN(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		for m := 1; m <= kern.MaxMR(); m++ {
			for _, k := range []int{5, 40, 3000} {
				const panels = 5
				nr := kern.NRFor(m)
				cols := panels * nr
				o := IndirectArgs{Offsets: make([]int, k), A: testutil.Ints(1, k+3*m, -1, 1), AStep: 3, LDB: cols + 7,
					Bias: testutil.Ints(2, nr, -2, 2), LDC: cols + 5, CBlock: 16, Mode: []Mode{0, ModeFromC, ModeAddC}[m%3]}
				for i := range o.Offsets {
					o.Offsets[i] = i
				}
				o.Contiguous = m%2 == 0
				o.B = testutil.Ints(3, (k-1)*o.LDB+cols, -1, 1)
				o.C = testutil.NaNGuarded(t, (m-1)*o.LDC+cols)
				start := testutil.Ints(4, len(o.C), -9, 9)
				want := append([]float32(nil), start...)
				copy(o.C, start)
				kern.RunN(panels, m, nr, &o)
				one := o
				one.Contiguous = false
				for p := 0; p < cols; p += nr {
					one.B, one.C = o.B[p:], want[p:]
					kern.RunM(m, nr, &one)
				}
				testutil.CheckBits(t, "panels", []int{m, k}, o.C, want)
			}
		}
	})
}

// TestManyCalls takes so large a k that RunM needs several calls.
func TestManyCalls(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		k, m := 1+indirectMACs/(2*kern.MR*16), 5*kern.MR+1
		o := IndirectArgs{Offsets: make([]int, k), A: testutil.Ints(1, k+m-1, -1, 1), AStep: 1, B: testutil.Ints(2, k*16, -1, 1),
			Bias: make([]float32, 16), C: make([]float32, m*16), LDC: 16}
		for i := range o.Offsets {
			o.Offsets[i] = i
		}
		kern.RunM(m, 16, &o)
		testutil.CheckExact(t, "many calls", k, gather(m, 16, &o), sum(m, 16, &o))
	})
}

// TestIndirectGuardPages puts the operands against inaccessible pages, behind and before.
func TestIndirectGuardPages(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		const plane = 20 * 16
		for nr := 16; nr <= kern.MaxNR(); nr += 16 {
			for m := 1; m <= max(2*kern.MR+1, kern.MaxMR()) && (nr <= kern.NR || nr <= kern.NRFor(m)); m++ {
				for _, step := range []int{1, 16} {
					var got [2][]float32
					for i, place := range []func(testing.TB, []float32) []float32{testutil.GuardedCopy[float32], testutil.GuardedHeadCopy[float32]} {
						row := nr + step - 1
						o := IndirectArgs{Offsets: make([]int, 21), A: place(t, testutil.Normal(1, 21+(m-1)*step)), AStep: step, Contiguous: step > 1,
							B: place(t, testutil.Normal(2, 20*row+nr)), LDB: row, Bias: place(t, testutil.Normal(3, nr)),
							C: place(t, make([]float32, (nr/16-1)*plane+m*16)), LDC: 16, CBlock: plane}
						for i := range o.Offsets {
							o.Offsets[i] = i
						}
						kern.RunM(m, nr, &o)
						o.Mode = ModeAddC
						kern.RunM(m, nr, &o)
						o.Bias, o.Mode = nil, ModeFromC|ModeReLU
						kern.RunM(m, nr, &o)
						got[i] = o.C
						if m > kern.MaxMR() || nr != kern.NRFor(m) {
							continue
						}
						o = IndirectArgs{Offsets: []int{0, 3, 1, 7, 9}, A: o.A, AStep: step, B: place(t, testutil.Normal(2, 4*3*nr+2*nr)), LDB: 3 * nr,
							Bias: place(t, testutil.Normal(3, nr)), C: place(t, make([]float32, 2*m*nr)), LDC: 2 * nr, CBlock: 16}
						kern.RunN(2, m, nr, &o)
					}
					testutil.CheckBits(t, "guarded", []int{nr, m, step}, got[0], got[1])
				}
			}
		}
	})
}

// TestIndirectSpecials puts each special value in one place of A, of B and of the bias: it
// reaches the elements of C that have it as a term, exactly, and no other.
func TestIndirectSpecials(t *testing.T) {
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		m, nr := kern.MR+1, kern.NR
		for _, v := range testutil.Specials() {
			for place := range 3 {
				o := IndirectArgs{Offsets: []int{0, 1}, A: make([]float32, m+1), AStep: 1, B: make([]float32, 2*nr), Bias: make([]float32, nr),
					C: testutil.NaNGuarded(t, m*nr), LDC: 16, CBlock: m * 16}
				switch place {
				case 0:
					o.A[m-2] = v
					copy(o.B, testutil.Ints(1, 2*nr, 0, 1))
				case 1:
					o.B[nr+3] = v
					copy(o.A, testutil.Ints(1, m+1, 0, 1))
				case 2:
					o.Bias[5] = v
				}
				for _, mode := range []Mode{0, ModeReLU} {
					o.Mode = mode
					kern.RunM(m, nr, &o)
					testutil.CheckExact(t, "indirect", []any{v, place, mode}, gather(m, nr, &o), sum(m, nr, &o))
				}
			}
		}
	})
}

// TestForK compares each kernel with the one that it chooses for k, bit for bit.
func TestForK(t *testing.T) {
	const m, nr = 13, 64
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		for _, k := range []int{1, 27, 128, 129} {
			x, u, bias := testutil.Normal(1, m*k), testutil.Normal(2, k*nr), testutil.Normal(3, nr)
			o := IndirectArgs{Offsets: make([]int, k), Contiguous: true, A: x, AStep: k, LDB: nr, LDC: 16, CBlock: m * 16}
			for i := range o.Offsets {
				o.Offsets[i] = i
			}
			compute := func(kern *Indirect) []float32 {
				out := make([]float32, m*nr)
				for p := 0; p < nr; p += kern.NR {
					o.B, o.Bias, o.C = u[p:], bias[p:], out[p*m:]
					kern.RunM(m, kern.NR, &o)
				}
				return out
			}
			chosen := kern.ForK(k)
			if chosen.ISA != kern.ISA {
				t.Fatalf("%s for k = %d chooses %s", kern.Name, k, chosen.Name)
			}
			testutil.CheckBits(t, chosen.Name, k, compute(chosen), compute(kern))
		}
	})
}

func FuzzIndirect(f *testing.F) {
	f.Add(uint64(1), uint8(9), uint8(3), uint8(30), uint8(2), uint8(1))
	f.Add(uint64(2), uint8(5), uint8(1), uint8(90), uint8(3), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, m, blocks, k, step, mode uint8) {
		for i := range IndirectKernels {
			kern := &IndirectKernels[i]
			if !cpu.Has(kern.ISA) {
				continue
			}
			m, nr, k := 1+int(m)%30, 16*(1+int(blocks)%(kern.NR/16)), 1+int(k)
			o := IndirectArgs{Offsets: make([]int, k), AStep: 1 + int(step), LDC: 16, CBlock: m * 16, Mode: Mode(mode % 8)}
			for j := range o.Offsets {
				o.Offsets[j] = j * 7
				if step%2 != 0 {
					o.Offsets[j] = j
				}
			}
			o.Contiguous = step%2 != 0
			o.A, o.B = testutil.Ints(seed, (k-1)*7+(m-1)*o.AStep+1, -3, 3), testutil.Ints(seed+1, k*nr, -3, 3)
			o.Bias, o.C = testutil.Ints(seed+2, nr, -3, 3), testutil.Ints(seed+3, m*nr, -3, 3)
			want := sum(m, nr, &o)
			kern.RunM(m, nr, &o)
			testutil.CheckExact(t, "indirect", []int{m, nr, k}, gather(m, nr, &o), want)
		}
	})
}

// BenchmarkIndirect times one tile, whose call counts if k is small, and many.
func BenchmarkIndirect(b *testing.B) {
	for _, k := range []int{4, 27, 256, 1024} {
		for i := range IndirectKernels {
			kern := &IndirectKernels[i]
			if !cpu.Has(kern.ISA) {
				continue
			}
			for _, m := range []int{kern.MR, 20 * kern.MR} {
				b.Run(fmt.Sprintf("k=%d/m=%d/kernel=%s", k, m, kern.Name), func(b *testing.B) {
					o := IndirectArgs{Offsets: make([]int, k), Contiguous: true, A: testutil.Uniform(1, m*k), AStep: k,
						B: testutil.Uniform(2, k*kern.NR), Bias: make([]float32, kern.NR), C: make([]float32, m*kern.NR), LDC: 16, CBlock: m * 16}
					for p := range o.Offsets {
						o.Offsets[p] = p
					}
					for b.Loop() {
						kern.RunM(m, kern.NR, &o)
					}
					b.ReportMetric(2*float64(m*kern.NR*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
