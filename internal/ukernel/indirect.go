package ukernel

import (
	"unsafe"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/describe"
)

// Indirect is the micro-kernel that reads A by a table of offsets, on one
// instruction set.
type Indirect struct {
	Name  string
	ISA   cpu.ISA
	MR    int              // rows of a tile
	NR    int              // columns of a panel of B, a multiple of 16; the last panel may be narrower
	maxK  int              // the largest k that ForK chooses it for
	funcs [][]indirectFunc // [nr/16-1][mr-1]; a narrower nr may have more rows than MR, a wider one than NR fewer
}

// IndirectArgs are the operands of
//
//	C[i][j] = Bias[j] + Σ_p A[Offsets[p] + i·AStep] · B[p·LDB + j],  p = 0 … k−1
//
// where k is len(Offsets) and C[i][j] stands at C[(j/16)·CBlock + i·LDC + j%16].
// Mode says what else becomes of the sum. All distances are in elements. The slices
// reach as far as the kernel reads and writes. C overlaps no other operand.
type IndirectArgs struct {
	Offsets    []int     // of A, for each p; the largest stands last
	Contiguous bool      // whether each 16 offsets, from the first on, are consecutive numbers; false is slower, and always allowed
	A          []float32 //
	AStep      int       // from row to row
	B          []float32 // a panel, k×nr
	LDB        int       // from row to row; 0: nr
	Bias       []float32 // nr elements; nil with ModeFromC
	C          []float32 //
	LDC        int       // from row to row
	CBlock     int       // from 16 columns to the next 16
	Mode       Mode
	PrefetchB  [3]int // how far from B lies what the first, second and third tile fetch to the second-level cache; 0: nothing
	PrefetchA  int    // how far from its own A lies what each tile fetches; 0: nothing
}

// BestIndirect returns the kernel that this process prefers.
func BestIndirect() *Indirect {
	for i := range IndirectKernels {
		if cpu.Has(IndirectKernels[i].ISA) {
			return &IndirectKernels[i]
		}
	}
	panic("ukernel: no kernel") // the generic one runs everywhere
}

// ForK returns the kernel of the same instruction set that is best for sums of k
// products. The results are the same, bit for bit.
//
// A 3×32 tile of AVX2 takes 18 instructions for 12 multiply-adds (6×16: 20), but its
// panel of B does not fit the first-level cache when k is large. GFLOP/s with one
// thread of Zen 3, medians of 13 rounds taking turns, by bench/compare with maxK of the
// table changed to 0:
//
//	m×n×k           6×16  3×32
//	50176×64×27     77.0  81.0
//	784×128×64      66.2  74.3
//	784×128×128     72.1  80.0
//	196×256×256     87.3  87.0
//	49×512×256      71.6  70.9
//
// conv1_1 by BenchmarkDirect, three runs in turn: 39.9, 50.6, 63.1 and 46.4, 67.9, 74.9.
func (kern *Indirect) ForK(k int) *Indirect {
	for i := range IndirectKernels {
		if other := &IndirectKernels[i]; other.ISA == kern.ISA && k <= other.maxK {
			return other
		}
	}
	return kern
}

// MaxNR returns the columns of the widest tile.
func (kern *Indirect) MaxNR() int { return 16 * len(kern.funcs) }

// MaxMR returns the rows of the tallest tile.
func (kern *Indirect) MaxMR() int {
	most := 0
	for _, f := range kern.funcs {
		most = max(most, len(f))
	}
	return most
}

// NRFor returns the columns of the widest tile that has mr rows, 0 if there is none.
func (kern *Indirect) NRFor(mr int) int {
	for nr := kern.MaxNR(); nr > 0; nr -= 16 {
		if mr <= len(kern.funcs[nr/16-1]) {
			return nr
		}
	}
	return 0
}

// RunM computes m rows by nr columns, where nr is a multiple of 16 up to NR, or up to
// NRFor(m): the loop over m of BLIS's macro-kernel. Whole tiles of MR rows come first,
// and what remains in two even ones, since a small tile runs below the peak.
func (kern *Indirect) RunM(m, nr int, o *IndirectArgs) {
	var call indirectCall
	call.set(o, m, nr, nr)
	call.nextA, call.nextC = kern.MR*o.AStep, kern.MR*o.LDC
	// A call cannot be interrupted, so many tiles take several.
	most := max(1, indirectMACs/(call.k*kern.MR*nr))
	tiles, rest := m/kern.MR, m%kern.MR
	if tiles > 0 && rest > 0 { // two even tiles
		tiles, rest = tiles-1, rest+kern.MR
	}
	prefetch := o.PrefetchB
	for t := 0; t < tiles; t += call.tiles {
		call.tiles = min(most, tiles-t)
		if prefetch != [3]int{} {
			call.tiles = 1 // the next tile fetches something else
		}
		call.at(o, t*kern.MR, 0, prefetch[0])
		kern.funcs[nr/16-1][kern.MR-1](noescape(&call))
		prefetch = [3]int{prefetch[1], prefetch[2]}
	}
	call.tiles = 1
	for rest > 0 {
		mr := rest
		if rest > kern.MR {
			mr = (rest + 1) / 2
		}
		call.nextA, call.nextC = 0, 0
		call.at(o, m-rest, 0, prefetch[0])
		kern.funcs[nr/16-1][mr-1](noescape(&call))
		rest -= mr
		prefetch = [3]int{prefetch[1], prefetch[2]}
	}
}

// RunN computes mr rows, a single tile, by several panels of nr columns that stand
// side by side in an unpacked B: the loop over n. nr is at most NRFor(mr). LDB is at
// least as long as all panels, and LDC likewise. CBlock is 16, and Bias the same for
// all panels.
func (kern *Indirect) RunN(panels, mr, nr int, o *IndirectArgs) {
	var call indirectCall
	call.set(o, mr, panels*nr, nr)
	call.nextB, call.nextC = nr, nr
	most := max(1, indirectMACs/(call.k*mr*nr))
	for p := 0; p < panels; p += most {
		call.tiles = min(most, panels-p)
		call.at(o, 0, p*nr, o.PrefetchB[0])
		kern.funcs[nr/16-1][mr-1](noescape(&call))
	}
}

// set sets what all calls for m rows and n columns have in common, and checks the bounds
// of everything that they touch.
func (call *indirectCall) set(o *IndirectArgs, m, n, nr int) {
	k, ldb := len(o.Offsets), o.LDB
	if ldb == 0 {
		ldb = nr
	}
	_ = o.A[o.Offsets[k-1]+(m-1)*o.AStep]
	_ = o.B[(k-1)*ldb+n-1]
	_ = o.C[(n/16-1)*o.CBlock+(m-1)*o.LDC+15]
	if o.Mode&ModeFromC == 0 {
		_ = o.Bias[nr-1]
	}
	call.k, call.offsets = k, &o.Offsets[0]
	call.aStep, call.ldb, call.bias = o.AStep, 4*ldb, unsafe.SliceData(o.Bias)
	call.ldc, call.cBlock, call.prefetchA = o.LDC, o.CBlock, 4*o.PrefetchA
}

// at sets where tiles begin, in row i and column j of C, and what they fetch of B.
func (call *indirectCall) at(o *IndirectArgs, i, j, prefetchB int) {
	call.a, call.b, call.c = &o.A[i*o.AStep], &o.B[j], &o.C[i*o.LDC+j]
	call.mode, call.prefetchB = int(o.Mode), 4*prefetchB
	if o.Contiguous && prefetchB == 0 {
		call.mode |= int(modeContiguous)
	}
}

// indirectMACs bounds the multiply-adds of one call: 60 µs at 70 GFLOP/s.
const indirectMACs = 2 << 20

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *Indirect) Symbol(mr, nr int) string { return describe.Symbol(kern.funcs[nr/16-1][mr-1]) }
