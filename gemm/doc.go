// Package gemm computes matrix products in float32: the fully connected layers
// of a network and its 1×1 convolutions.
//
//	Y[n][o] = b[o] + Σ_i X[n][i] · W[o][i]               Linear
//	Y[n][k][y][x] = b[k] + Σ_c W[k][c] · X[n][c][y][x]   Pointwise
//
// Weights are packed once, in panels of as many outputs as the kernel of the
// machine computes together, so that each is read front to back.
package gemm
