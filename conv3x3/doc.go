// Package conv3x3 computes 3×3 convolutions with stride 1 or 2, the layers in which a VGG
// network spends its time:
//
//	Y[n][k][y][x] = b[k] + Σ_{c,i,j} W[k][c][i][j] · X[n][c][s·y+i−pad][s·x+j−pad]
//
// It is a correlation, as in every framework for neural networks: the filter is not turned.
// A Plan takes activations as NCHW and filters as OIHW:
//
//	plan, err := conv3x3.NewPlan(conv3x3.Shape{N: 1, C: 64, H: 224, W: 224, K: 64, Pad: 1}, weights, bias, conv3x3.ReLU())
//	err = plan.Forward(dst, src)
//
//	src NCHW ──► blocks of 16 ──► Winograd: tiles ─ products ─ tiles ──► blocks ──► dst NCHW
//	    │        (layout)                  or                              (bias, ReLU, pool
//	    └──(few channels)────────► direct: rows, 9·C taps ────────────────► inside the last step)
//
// There are two algorithms. With stride 1 and 7 input channels or more it is Winograd's
// F(4×4,3×3), which needs a quarter of the multiplications, or F(2×2,3×3) for maps of up to
// 6×6 or 7×7 (package winograd). Otherwise, and where Direct asks for it, the sum is computed as it
// stands: one chain of fused multiply-adds for each output, in the order c, i, j, or, with
// stride 2 and 16 input channels or more, by blocks of 16 channels in the order j, i, c. Only
// the number of input channels, the stride and the size of the map decide, and neither the
// number of pictures nor that of workers.
//
// A convolution may add a residual in its last step, before the ReLU: see Exec.RunAdd.
//
// A NaN or an infinity in X makes a NaN of every output whose sum has it as a factor.
// Winograd spreads it over its tile of up to 6×6 pixels.
//
// # Fixed point
//
// With Fixed, convolutions of 16 input channels or more are computed with integers of 16 bits
// and sums of 32, which are exact: by Winograd with stride 1, see winograd.NewFixedFilter, and
// directly with stride 2:
//
//	Y = (Σ q·u) · step·scale + b,  q = round(X/step),  u = round(W/scale)
//
// step belongs to a row of the result: the largest magnitude of the three rows of X that it is
// made of, in all channels, divided by limit = ⌊2¹⁶/√C⌋. scale belongs to an output channel: the
// smallest with which limit·Σ|u| < 2³¹ and |u| < 2¹⁵. So no sum leaves 32 bits, whatever X, and
// all instruction sets give the same bits. An error is at most
//
//	Σ|W|·δ + Σ|X|·ε + 9·C·δ·ε + Gamma(8)·(the same with Σ|W||X| and |b| added)
//
// with δ = (1/2 + 2⁻⁸)·step and ε = scale/2. A NaN or an infinity in X makes NaN of the rows of
// the result that it is in the sums of, and one in W of its output channel.
package conv3x3
