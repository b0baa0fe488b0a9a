// Package pool computes what stands between the convolutions of a network:
//
//	NewMaxPool      y[c][i][j] = max of x[c][2i … 2i+1][2j … 2j+1]
//	NewAvgPool      y[c][i][j] = mean of x[c][2i … 2i+1][2j … 2j+1]
//	NewGlobalPool   y[c] = Σ x[c][i][j] / (H·W)
//	NewLRN          b[c] = a[c] / (k + α·Σ a[j]²)^β,   max(0, c−n/2) ≤ j ≤ min(C−1, c+n/2)
//	NewScale        y[c][i][j] = weight[c]·x[c][i][j] + bias[c]
//	NewNearest, NewBilinear   y[c][i][j] = x[c] at (i·H/OH, j·W/OW)
//	NewConcat       y = the channels of a, then those of b
//
// LRN is the local response normalisation of Krizhevsky, Sutskever & Hinton (NIPS 2012),
// section 3.3, with VGG's constants: n = 5, k = 2, α = 1e-4 and β = 3/4, so that the power
// is two square roots. α is not divided by n; other frameworks divide. A Scale is batch
// normalisation in inference.
//
//	┌──┬──┬──┬──┐                    channels  … c−2 c−1  c  c+1 c+2 …
//	│ 1│ 5│ 2│ 2│      ┌──┬──┐                    └───┴───┼───┴───┘
//	├──┼──┼──┼──┤ ───► │ 5│ 4│       squares, added up:   ▼
//	│ 3│ 0│ 4│ 1│      └──┴──┘                    a[c] / s^(3/4)
//	└──┴──┴──┴──┘
//
// The maximum, its gradient and the normalisation have kernels for each instruction set.
// The rest is Go on every machine, because memory bounds it.
//
// All operands are blocked, [N][C/16][H][W][16], see package layout; the option NCHW makes
// those of a maximum or mean NCHW. A gradient takes the
// operands of the forward pass again; nothing is stored between the two. A pool after a
// convolution by Winograd costs nothing: the convolution takes it as an epilogue, see
// package fuse.
package pool
