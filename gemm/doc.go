// Package gemm computes matrix products in float32: the fully connected layers
// of a network and its 1×1 convolutions.
//
//	C[m][n] = α·Σ_k A[m][k]·B[k][n] + β·C[m][n]          SGEMM
//	Y[n][o] = b[o] + Σ_i X[n][i] · W[o][i]               Linear
//	Y[n][k][y][x] = b[k] + Σ_c W[k][c] · X[n][c][y][x]   Pointwise
//
// Weights are packed once, in panels of as many outputs as the kernel of the
// machine computes together, so that each is read front to back.
//
//	   k ─►                    panel: k×NR, packed              n ─►
//	 ┌───────┐   MR rows,     ┌──┬──┬──┬──┐                 ┌──┬──┬──┬──┐
//	m│░░░░░░░│   read in    × │▓▓│  │  │  │ k      ──►    m │██│  │  │  │  MR×NR sums
//	 │       │   place        │▓▓│  │  │  │                 │  │  │  │  │  in registers
//	 └───────┘                └──┴──┴──┴──┘                 └──┴──┴──┴──┘
//	     A                          B                             C
//
// MR×NR is 7×64 with AVX-512 and 6×16 with AVX2 and NEON, or with AVX2 3×32 if k is at
// most 128, so that a panel fits the first-level cache. Every element of C is one chain
// of fused multiply-adds over k, in blocks: its bits depend on k alone, not on the
// other sizes, the leading dimensions or the number of workers. Only where B has at
// most 16 elements, sums are taken by a plain loop in float64.
//
// A single row reads B eight rows at once, as streams that the processor foresees, or, if
// it is transposed, sixteen, of which 4×4 blocks are transposed on their way. A single
// column is computed as a row. Up to 200 rows read B in place too, with AVX-512 up to 14 of
// them as 14×32, so that what memory gives is used while it comes. With AVX2 and NEON that
// holds for up to 26 rows, 48 if the rows of B spread over the cache sets, or 14 if they
// share them; more of them find B packed, by spans as wide as memory likes. There, rows of
// A that share cache sets are copied to rows side by side first, and so is a transposed A;
// with AVX-512, many rows do without.
//
// [SGEMM] and [GEMV] are functions on one core. A [Multiplier] has a team of
// workers and keeps its memory; [Packed] holds a right operand that is used often.
// Source of the blocking: Goto & van de Geijn, Anatomy of High-Performance Matrix
// Multiplication (ACM TOMS, 2008).
package gemm
