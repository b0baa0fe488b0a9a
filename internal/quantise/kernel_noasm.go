//go:build purego || !(amd64 || arm64)

package quantise

// kernels lists the kernels in order of preference.
var kernels = []kernel{generic}
