package gemm

import "errors"

// ErrShape is wrapped by errors about sizes that do not fit.
var ErrShape = errors.New("wrong shape")
