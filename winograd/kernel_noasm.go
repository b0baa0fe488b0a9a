//go:build purego || !(amd64 || arm64)

package winograd

// transformTable lists the kernels in order of preference.
var transformTable = []transforms{genericTransforms(4), genericTransforms(2)}

// fixedTable lists the kernels in fixed point in order of preference.
var fixedTable = []fixedTransforms{genericFixedTransforms()}
