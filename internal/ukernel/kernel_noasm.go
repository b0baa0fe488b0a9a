//go:build purego || !(amd64 || arm64)

package ukernel

// IndirectKernels lists the kernels in order of preference.
var IndirectKernels = []Indirect{genericIndirect()}

// BlockedKernels lists the kernels in order of preference.
var BlockedKernels = []Blocked{genericBlocked()}

// BlockedInt8Kernels lists the kernels in order of preference.
var BlockedInt8Kernels = []BlockedInt8{genericBlockedInt8()}

// BlockedInt16Kernels lists the kernels in order of preference.
var BlockedInt16Kernels = []BlockedInt16{genericBlockedInt16()}
