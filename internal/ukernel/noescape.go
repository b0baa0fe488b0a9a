package ukernel

import "unsafe"

// noescape returns p and hides from the compiler that it does, so that the call stays on
// the stack. The compiler knows nothing of a function that is called by its value, and
// would place what it gets a pointer to on the heap, at each call. No function of a
// table keeps the pointer.
func noescape[T any](p *T) *T {
	hidden := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&hidden))
}
