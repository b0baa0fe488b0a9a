//go:build purego || !(amd64 || arm64)

package product

// Kernels lists the kernels in order of preference.
var Kernels = []Kernel{genericKernel()}
