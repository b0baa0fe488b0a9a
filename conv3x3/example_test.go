package conv3x3_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// A network of one's own, at full speed: filters are packed once, activations
// stay in blocks from layer to layer, and one team of workers serves them all.
func Example_network() {
	const size, channels, classes = 8, 32, 2
	team := parallel.NewTeam(2)
	ones := func(n int, v float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = v
		}
		return x
	}

	// 3 → 32 channels with ReLU, 32 → 32 with ReLU and 2×2 pool, and a fully
	// connected layer on the 32×4×4 that is left.
	conv1, err := conv3x3.NewFilter(3, channels, ones(channels*3*9, 0.125), nil, team)
	if err != nil {
		panic(err)
	}
	conv2, err := conv3x3.NewFilter(channels, channels, ones(channels*channels*9, 0.25), nil, team)
	if err != nil {
		panic(err)
	}
	fc, err := gemm.NewLinear(channels*4*4, classes, ones(classes*channels*4*4, 0.5), []float32{0, 1}, team)
	if err != nil {
		panic(err)
	}

	first := conv3x3.Spec{N: 1, H: size, W: size, Pad: 1, Planar: conv1.ReadsPlanes(), Epilogue: fuse.Epilogue{ReLU: true}}
	second := conv3x3.Spec{N: 1, H: size, W: size, Pad: 1, Epilogue: fuse.Epilogue{ReLU: true, Pool: conv2.Fuses()}}
	scratch := 0
	for _, l := range []struct {
		f *conv3x3.Filter
		s conv3x3.Spec
	}{{conv1, first}, {conv2, second}} {
		n, err := l.f.ScratchLen(l.s, team.Workers())
		if err != nil {
			panic(err)
		}
		scratch = max(scratch, n)
	}
	memory := layout.Alloc(scratch) // all layers use it in turn
	run1, err := conv1.NewExec(first, memory, team)
	if err != nil {
		panic(err)
	}
	run2, err := conv2.NewExec(second, memory, team)
	if err != nil {
		panic(err)
	}
	run3, err := fc.NewExec(1, team)
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	x := ones(3*size*size, 1) // NCHW, which conv1 reads as it is
	y1 := layout.Alloc(layout.Len(channels, size, size))
	y2 := layout.Alloc(layout.Len(channels, size/2, size/2))
	flat := make([]float32, channels*4*4)
	logits := make([]float32, classes)
	team.Begin()
	defer team.End()
	if err := run1.Run(ctx, y1, x); err != nil {
		panic(err)
	}
	if err := run2.Run(ctx, y2, y1); err != nil {
		panic(err)
	}
	layout.ToNCHW(channels, size/2, size/2, flat, y2)
	if err := run3.Run(ctx, 1, logits, flat); err != nil {
		panic(err)
	}
	fmt.Printf("%.0f\n", logits)
	// Output: [55488 55489]
}
