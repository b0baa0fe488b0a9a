// Package pool computes what stands between the convolutions of a VGG network:
// the 2×2 maximum with stride 2, the local response normalisation of
// Krizhevsky, Sutskever & Hinton (NIPS 2012), section 3.3, over n adjacent
// channels, the 2×2 mean, the mean of each channel, and the scale and shift of each
// channel that batch normalisation is in inference,
//
//	y[c][i][j] = max(x[c][2i][2j], x[c][2i][2j+1], x[c][2i+1][2j], x[c][2i+1][2j+1])
//
//	b[c] = a[c] / (k + α·Σ a[j]²)^β,   max(0, c−n/2) ≤ j ≤ min(C−1, c+n/2)
//
//	y[c][i][j] = (x[c][2i][2j] + x[c][2i][2j+1] + x[c][2i+1][2j] + x[c][2i+1][2j+1]) / 4
//
//	y[c] = Σ x[c][i][j] / (H·W)
//
//	y[c][i][j] = weight[c]·x[c][i][j] + bias[c]
//
// where α is not divided by n, as other frameworks do. VGG has n = 5, k = 2,
// α = 1e-4 and β = 3/4, and so has this package: the power is then two square
// roots.
//
//	┌──┬──┬──┬──┐                    channels  … c−2 c−1  c  c+1 c+2 …
//	│ 1│ 5│ 2│ 2│      ┌──┬──┐                    └───┴───┼───┴───┘
//	├──┼──┼──┼──┤ ───► │ 5│ 4│       squares, added up:   ▼
//	│ 3│ 0│ 4│ 1│      └──┴──┘                    a[c] / s^(3/4)
//	└──┴──┴──┴──┘
//
// Means and scales are loops in Go on every machine: memory bounds them.
//
// All operands are blocked, [N][C/16][H][W][16], see package layout. Gradients
// take the operands of the forward pass again and store nothing between. Where a
// pool follows a convolution by Winograd it costs nothing: the convolution does it
// in its last step.
package pool
