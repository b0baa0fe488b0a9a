// Package winograd computes 3×3 convolutions by Winograd's minimal filtering
// algorithms F(2×2,3×3) and F(4×4,3×3).
//
// For a tile of m×m outputs, with alpha = m+2,
//
//	Y = Aᵀ · [ Σ_c (G·g_c·Gᵀ) ⊙ (Bᵀ·d_c·B) ] · A
//
// where d_c is the alpha×alpha patch of input channel c and g_c the 3×3 filter. The sum
// over channels is, for each of the alpha² elements ξ, a matrix product
// M_ξ[tile][k] = Σ_c V_ξ[tile][c]·U_ξ[c][k]. These products are almost all the work.
// Package internal/ukernel computes them close to the machine's peak. F(4×4,3×3) needs 36
// multiplications; the definition needs 144.
//
// The matrices come from interpolation points, see package internal/bilinear: 0, ±1, ∞
// for m = 2 and 0, ±5/8, ±3/2, ∞ for m = 4. With these points F(4×4,3×3) in float32 is
// more accurate than the definition summed in float32, because a sum over c has C terms
// and not 9·C.
//
// # Data flow
//
//	src  [N][C/16][H][W][16]            blocked activations
//	V    [group][C/16][ξ][tile][16]     transformed input, a group of tiles at a time
//	U    [K/NR][ξ][C][NR]               transformed filters, packed once
//	M    [ξ][tile][NR]                  products, one panel of NR outputs at a time
//	dst  [N][K/16][OH][OW][16]          after Aᵀ·M·A, bias, ReLU and, if asked, 2×2 maximum
//
// A block of tiles is transformed into V, which stays in the second-level cache, and then
// multiplied with one panel of U after another. If U is larger than the cache and the
// tiles are few (conv4, conv5 of VGG, one picture), the loops are exchanged: a panel of U
// is read once for all tiles.
//
// # Fixed point
//
// NewFixedFilter makes a filter for F(4×4,3×3) with V and U in integers of 16 bits and M in
// 32:
//
//	v[ξ] = round(V[ξ]·limit/(bound[ξ]·τ)),   u[ξ][k] = round(U[ξ][k]/step[ξ][k])
//	Y = (Aᵀ·[step·bound/limit ⊙ Σ_c v·u]·A)·τ + bias
//
// τ is the largest magnitude of the pixels of a tile in all channels, or twice that if one is
// negative, and bound[ξ] the largest element ξ for inputs from 0 to 1. step is such that
// limit·Σ_c|u| < 2³¹: no sum overflows, and none is rounded. All instruction sets give the
// same bits. U takes half the memory. docs/numerics.md has the bound of the error. A tile
// with a NaN, an infinity or a number beyond 2¹²⁰ gives NaN.
//
// An infinity or NaN in the input makes every output of its tiles NaN. By the definition
// it would reach nine outputs at most.
//
// Source: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks,
// arXiv:1509.09308.
package winograd
