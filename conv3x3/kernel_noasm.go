//go:build purego || !amd64

package conv3x3

// kernels lists the kernels in order of preference.
var kernels = []kernel{generic()}
