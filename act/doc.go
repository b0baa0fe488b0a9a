// Package act computes element by element what a network of one's own needs between
// its layers: the sum of two activations, as at the end of a residual block, and the
// softmax,
//
//	y[i] = a[i] + b[i]                                        Add
//	y[i] = max(a[i] + b[i], 0)                                Add with ReLU
//	y[n][c][p] = exp(x[n][c][p] − m) / Σ_c exp(x[n][c][p] − m),   m = max_c x[n][c][p]
//
// A convolution that adds a residual in its last step is faster than an Add behind it:
// see fuse.Epilogue.
//
// Operands of Add may have any layout, as long as all have the same; those of the
// softmax are NCHW. Errors about lengths wrap ErrShape. Nothing allocates but the
// constructors.
package act

import "github.com/nonet-go/nonet/internal/shape"

// ErrShape is wrapped by errors about sizes that do not fit. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err
