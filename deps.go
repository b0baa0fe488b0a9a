//go:build deps

// Package nonet keeps the module's requirements listed while their users are being written.
package nonet

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/mmcloughlin/avo/build"
	_ "github.com/stretchr/testify/require"
	_ "golang.org/x/arch/arm64/arm64asm"
	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
	_ "golang.org/x/sys/cpu"
	_ "gonum.org/v1/gonum/blas/gonum"
	_ "gonum.org/v1/plot/plotter"
	_ "gonum.org/v1/plot/vg/vgimg"
	_ "gonum.org/v1/plot/vg/vgsvg"
)
