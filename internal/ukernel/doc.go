// Package ukernel holds the micro-kernels: the innermost loops of everything here
// that multiplies matrices. Each computes a tile of MR rows and NR columns of
// C = A·B in registers, as a chain of rank-1 updates in the order of p = 0 … k−1.
// There are two families, which differ in how they read A:
//
//   - [Indirect] reads A by a table of offsets, as XNNPACK's igemm does. It computes
//     SGEMM, 1×1 convolutions and their gradients, 3×3 convolutions from their
//     definition, and the sums over tiles of Winograd's weight gradient.
//   - [Blocked] reads A in blocks of 16 channels, the layout of activations. It
//     computes the products of Winograd's forward pass and fully connected layers;
//     B may be in half precision.
//
// Every element of C is one chain of fused multiply-adds, so that its bits do not
// depend on the tile that it falls into. The portable twins sum in float64 and round
// once.
//
// A NaN of A reaches every element of its row of C, one of B every element of its
// column, and an infinity likewise, where it meets a zero as NaN. Subnormals are
// numbers like any other, as operands and as results. The sign of a sum that is
// zero is not determined. A sum that leaves the range of float32 before it comes
// back is an infinity or NaN, except on the portable path.
package ukernel
