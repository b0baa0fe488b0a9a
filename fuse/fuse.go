// Package fuse says what an operation does to its result before it stores it. The
// convolutions, the fully connected layers and the scales of this module take an
// Epilogue:
//
//	y = pool(relu(sum + bias + residual))
//
// A ReLU, a pool or a residual costs almost nothing there, and one pass over memory as a
// layer of its own.
package fuse

// Epilogue lists the steps between the sum of an operation and its store, in their
// order. The zero value stores the sum. A constructor returns an error for a step that
// its operation does not have.
type Epilogue struct {
	Add  bool // a residual that Run is given, before the ReLU
	ReLU bool // max(x, 0); NaN stays NaN
	Pool bool // 2×2 maximum with stride 2; an odd last row or column is dropped
}
