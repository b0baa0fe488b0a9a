// Package conv3x3 computes 3×3 convolutions with stride 1, the layers that a VGG
// network spends its time in:
//
//	Y[n][k][y][x] = b[k] + Σ_{c,i,j} W[k][c][i][j] · X[n][c][y+i−pad][x+j−pad]
//
// It is a correlation, as in every framework for neural networks: the filter is
// not turned. A Plan takes activations as NCHW and filters as OIHW:
//
//	plan, err := conv3x3.NewPlan(conv3x3.Shape{N: 1, C: 64, H: 224, W: 224, K: 64, Pad: 1}, weights, bias, conv3x3.ReLU())
//	err = plan.Forward(dst, src)
//
//	src NCHW ──► blocks of 16 ──► Winograd: tiles ─ products ─ tiles ──► blocks ──► dst NCHW
//	    │        (layout)                  or                              (bias, ReLU, pool
//	    └──(few channels)────────► direct: rows, 9·C taps ────────────────► inside the last step)
//
// Two algorithms do the work. From 16 input channels on it is Winograd's
// F(4×4,3×3), which needs a quarter of the multiplications (package winograd).
// For fewer, as in the first layer of a network, and wherever Direct asks for
// it, the sum above is computed as it stands, in the order c, i, j, by one chain
// of fused multiply-adds for each output. The choice depends on the number of
// channels alone.
//
// A NaN or an infinity in X makes a NaN of every output whose sum has it as a
// factor; Winograd spreads it over the tile of up to 6×6 pixels that it lies in.
package conv3x3
