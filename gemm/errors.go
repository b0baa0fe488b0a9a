package gemm

import "github.com/nonet-go/nonet/internal/shape"

// ErrShape is wrapped by errors about sizes that do not fit. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err
