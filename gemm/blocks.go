package gemm

import (
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ukernel"
)

// blocks are the sizes of the blocks of a product, as BLIS names them. A block of
// A, MC×KC, and a panel of B, KC×NR, stay in the second-level cache together; the
// packed KC×NC of B are shared by all workers in the last level.
type blocks struct {
	isa        cpu.ISA
	mc, kc, nc int
	read       [3]reading // of B: few rows of A; more; and where the rows of B share cache sets
	side       [3]int     // see deep
	copies     bool       // whether A is copied where its rows share cache sets or it is transposed
}

// reading says how B is read where it is.
type reading struct {
	few        int // the most rows of A for which it is not packed
	deep, cols int // its rows and columns that all of those meet before others
}

// blockTable lists the blocks for each instruction set. MC is a multiple of the
// rows of its kernel.
//
// Measured on 2 cores of Zen 4 (1 MiB of second-level cache each) or Zen 3 (512 KiB),
// one thread, in percent of the peak of multiply-adds, with this table changed, by
// BenchmarkSGEMM and bench/compare. AVX-512 by depth and rows, before A was read
// where it lies:
//
//	KC    MC    1024³  2048³
//	512   126   92.5   93.9
//	768   126   92.2   92.8
//	1024  63    93.4   94.9
//	1024  126   94.4   95.0
//
// A deep block pays because the results are read and written once for each. AVX2
// differs by less than its noise from MC 84 to 252 and KC 512 to 1024 on Zen 4; on Zen 3
// a block of 1024 does not fit the cache:
//
//	KC    512³  1024³
//	1024  89    86
//	512   91    87
//	384   89    86
//	256   88    85
//
// With B packed and where it is, AVX-512 and AVX2:
//
//	m×n×k         packed  in place    packed  in place
//	8×4096×4096   33      80          21      45
//	16×512×512    76      97          66      76
//	32×4096×4096  66      88          49      58
//	49×512×512    90      98          84      75
//	196×256×256   97      98          92      60
//	784×512×512   98      94
//
// AVX2 has groups of 6 rows alone, each of which reads B again: packed by spans of
// columns it is faster for many rows, and for fewer where the rows of B share the sets of
// the second-level cache. On Zen 3, in GFLOP/s:
//
//	m×n×k          packed  in place
//	8×1000×4096    43      63
//	20×1000×4096   67      72
//	32×1000×4096   74      73
//	96×1000×4096   78      74
//	16×512×512     56      65
//	49×512×512     71      64
//	8×4096×4096    30      39
//	16×4096×4096   53      52
//	32×4096×4096   69      51
//	96×4096×4096   85      54
//
// Of B in place, by the rows and columns that all rows of A meet before the next ones
// (GFLOP/s, Zen 4):
//
//	AVX-512        128×128  256×64  256×128  256×256  512×128
//	6×4096×4096    86       76      91       90       92
//	8×4096×4096    98       100     99       98       98
//	16×4096×4096   101      102     103      101      99
//	196×512×4608   108      109     110      109      108
//
//	AVX2           32×256  64×64  64×256  64×1024  128×256
//	6×4096×4096    64      70     70      65       66
//	16×512×512     74      75     80      75       73
//	24×4096×4096   71      69     73      71       70
//
//	AVX2, Zen 3    8×512  12×512  16×512  64×256
//	6×4096×4096    46     50      49      41
//	8×4096×4096    43             41      35
//	12×4096×4096   49     53      53      50
//	8×1000×4096    47             58      62
//
// For some more rows of A than that it is read panel by panel (the best of nine rounds
// taking turns, GFLOP/s with 1 and 2 threads of Zen 3), unless its rows are a multiple of
// 64 columns apart: those of a panel share cache sets then.
//
//	m×n×k          packed     64×256    512×16
//	16×1000×4096   -          72 106    78 110
//	27×1000×4096   68 105     -         78 119
//	32×1000×4096   69 94      74 99     80 110
//	48×1000×4096   75 79      -         79 77
//	64×1000×4096   79 115     76 108    82 111
//	126×1000×4096  83 140     75 116    75 125
//	32×4000×2048   67 72      -         81 81
//	32×512×512     82 80      -         75 67
//
// With rows of A where they are and copied, of AVX-512 and AVX2 (medians of seven
// rounds taking turns). A group of AVX2 takes a fifth of the time of one of
// AVX-512, and waits as long for lines that drive each other out of the cache:
//
//	m×n×k           in place  copied    in place  copied
//	2048×2048×2048  94.1      92.1      86.8      89.7
//	4096×512×4096   95.5      95.2      89.5      91.6
//	1024³, Aᵀ       90.6      90.9      57.2      88.6
//	512³, Aᵀ        96.9      92.6      67.6      89.9
//
// and Aᵀ by columns, with AVX2 on Zen 3 (BenchmarkTransposed, with left changed):
//
//	1000×32×1000    67        65
//	64³             80        78
//	512×64×512      64        78
//	1000×64×1000    66        75
//	1024×128×1024   55        77
//	300×200×300     67        87
//
// NEON, whose groups are those of AVX2, goes the same way unmeasured.
var blockTable = []blocks{
	{cpu.AVX512, 126, 1024, 4096, [3]reading{{200, 256, 128}, {}, {200, 256, 128}}, [3]int{12, 8, 32}, false},
	{cpu.AVX2, 126, 512, 4096, [3]reading{{26, 64, 256}, {48, 512, 16}, {14, 12, 512}}, [3]int{6, 6, 8}, true},
	{cpu.NEON, 126, 512, 4096, [3]reading{{26, 64, 256}, {48, 512, 16}, {14, 12, 512}}, [3]int{6, 6, 8}, true},
	{cpu.Generic, 124, 1024, 4096, [3]reading{}, [3]int{}, false}, // sums are rounded between two calls
}

func blocksOf(kern *ukernel.Indirect) blocks {
	for _, b := range blockTable {
		if b.isa == kern.ISA {
			return b
		}
	}
	panic("gemm: no blocks for " + kern.Name)
}

// inner returns the elements of an inner block: k in equal parts of at most KC,
// which depend on nothing else, so that the bits of a result do not either.
func (b blocks) inner(k int) int {
	parts := (k + b.kc - 1) / b.kc
	return (k + parts - 1) / parts
}
