package gemm

import "unsafe"

// overlap reports whether two slices share an element.
func overlap(x, y []float32) bool {
	if len(x) == 0 || len(y) == 0 {
		return false
	}
	a, b := uintptr(unsafe.Pointer(&x[0])), uintptr(unsafe.Pointer(&y[0]))
	return a < b+4*uintptr(len(y)) && b < a+4*uintptr(len(x))
}
