//go:build purego || !(amd64 || arm64)

package level1f

// kernels lists the kernels in order of preference.
var kernels = []kernel{generic}
