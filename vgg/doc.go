// Package vgg computes and trains the convolutional networks of Simonyan & Zisserman, Very
// Deep Convolutional Networks for Large-Scale Image Recognition (ICLR 2015,
// arXiv:1409.1556), and other networks of their shape: 3×3 convolutions with ReLU, 2×2
// pools and fully connected layers, and also global pools and batch normalisation.
// [ParseLayers] has the notation of all of them.
//
//	Y[k] = max(0, b[k] + Σ_c W[k][c] ∗ X[c])        conv, 3×3 or 1×1
//	Y[c] = max of 2×2                               pool
//	Y[c] = mean of 2×2, or of all                   avgpool, globalpool
//	Y[c] = w[c]·X[c] + b[c]                         scale: batch normalisation, with ReLU or not
//	y[o] = b[o] + Σ_i w[o][i]·x[i]                  fc; max(0, y) but for the last
//	p[o] = exp(y[o]) / Σ exp(y)                     what Classify makes of the last
//
// # Data flow
//
// A picture becomes 3×224×224 numbers, and for configuration D, "VGG-16":
//
//	224² ── conv1_1 conv1_2 ─ pool1 ──► 112²×64
//	112² ── conv2_1 conv2_2 ─ pool2 ──►  56²×128
//	 56² ── conv3_1 … conv3_3 ─ pool3 ─►  28²×256
//	 28² ── conv4_1 … conv4_3 ─ pool4 ─►  14²×512
//	 14² ── conv5_1 … conv5_3 ─ pool5 ─►   7²×512 ── fc6 ── fc7 ── fc8 ──► 1000 logits
//
//	image ──► Prepare ──► [3][224][224] ──► Session.Run ──► logits ──► Top
//	          └──────────────── Classify, Features ────────────────────┘
//
// Tensors at the edge of this package are row-major float32: activations NCHW, filters
// OIHW, fully connected weights out×in. Height stands before width. Inside, a [Session]
// keeps activations in blocks of 16 channels, see package layout.
//
// # What to use
//
//   - [Open] reads a [Model] from a file of weights. [New] makes one from a [Config] and a
//     [Source]. It is immutable: share it.
//   - [Model.Classify] and [Model.Features] take pictures. [Model.NewSession] makes a
//     [Session], which computes many tensors without allocating: batches, any layer's
//     output, class maps of large pictures ([Dense]), profiles ([Profiled]).
//   - [Model.NewGradient] computes gradients with respect to pictures or activations.
//   - [NewTrainer] computes gradients of weights and changes the weights. Package train
//     runs a whole recipe, and package evaluate measures the result.
//
// # Promises
//
// On one instruction set a picture's result is the same bits for any batch size, number of
// workers and load of the machine. Errors relative to the root mean square of an activation
// stay below 3e-5, and below 5e-6 in the mean: `vgg check` and package check compare with
// float64. Constructors return errors that wrap [ErrShape] or [ErrConfig] and name file,
// tensor and both shapes. No input from outside makes this package panic. A Run allocates
// nothing.
package vgg
