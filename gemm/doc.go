// Package gemm computes matrix products in float32: the fully connected layers
// of a network and its 1×1 convolutions.
//
//	C[m][n] = α·Σ_k A[m][k]·B[k][n] + β·C[m][n]          SGEMM
//	Y[n][o] = b[o] + Σ_i X[n][i] · W[o][i]               Linear
//	Y[n][k][y][x] = b[k] + Σ_c W[k][c] · X[n][c][y][x]   Pointwise
//
// A product is a problem, for which a plan chooses a variant and its block sizes:
//
//	packed     for jc in steps of NC, pc in steps of KC: pack KC×NC of B in panels of NR
//	           columns; for ic in steps of MC: the macro-kernel (Goto's algorithm)
//	unpacked   few rows of A: the same loops, but B is read where it is (BLIS's sup)
//	gemv       one row or one column, by axpyf or dotxf
//	small      B of at most 16 elements: a plain loop, with sums in float64
//
//	   k ─►                    panel: KC×NR, packed             n ─►
//	 ┌───────┐   MR rows,     ┌──┬──┬──┬──┐                 ┌──┬──┬──┬──┐
//	m│░░░░░░░│   read where × │▓▓│  │  │  │ k      ──►    m │██│  │  │  │  MR×NR sums
//	 │       │   they are     │▓▓│  │  │  │                 │  │  │  │  │  in registers
//	 └───────┘                └──┴──┴──┴──┘                 └──┴──┴──┴──┘
//	     A                          B                             C
//
// MR×NR is 7×64 with AVX-512 and 6×16 with AVX2 and NEON. With AVX2 and k ≤ 128 it is 3×32,
// whose panel then fits the first-level cache. Every element of C is one chain of fused
// multiply-adds over each block of KC, and the blocks are added in their order: its bits
// depend on k alone, not on the other sizes, the leading dimensions or the number of
// workers. Only small products differ.
//
// A is packed if its rows share cache sets or if it is transposed, except by AVX-512's
// macro-kernel. docs/tuning.md has the measurements behind the choices, and
// docs/dispatch.md shows how a product finds its kernel.
//
// [SGEMM] and [GEMV] share large products among all cores. A [Multiplier] has a team of
// its own and keeps its memory; [Packed] holds a right operand that is used often.
// Source of the blocking: Goto & van de Geijn, Anatomy of High-Performance Matrix
// Multiplication (ACM TOMS, 2008); Van Zee & van de Geijn, BLIS (ACM TOMS, 2015).
package gemm
