package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/nonet-go/nonet/bench"
	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// algorithms are the options of --algorithm.
var algorithms = map[string][]conv3x3.Option{
	"auto": nil, "direct": {conv3x3.Direct()}, "winograd2": {conv3x3.Winograd(2)}, "winograd4": {conv3x3.Winograd(4)},
}

// convolution times one convolution on blocked activations, as a network runs it.
func (c *benchCmd) convolution(ctx context.Context, r *benchResult) error {
	s, err := bench.ParseConv(c.Shape)
	if err != nil {
		return err
	}
	if s.N == 1 {
		s.N = c.Batch
	}
	fill := func(n int, tensor uint64) []float32 {
		x := make([]float32, n)
		seeded.Fill(x, 1, tensor, 1)
		return x
	}
	if err := checkWork("--shape "+s.String(), s.FLOP(), max(layout.BatchLen(s.N, s.C, s.H, s.W), layout.BatchLen(s.N, s.K, s.OH(), s.OW()))); err != nil {
		return err
	}
	weights, bias := fill(s.K*s.C*s.Kernel*s.Kernel, 0), fill(s.K, 1)
	src := layout.Alloc(s.N * layout.Len(s.C, s.H, s.W))
	dst := layout.Alloc(s.N * layout.Len(s.K, s.OH(), s.OW()))
	one := len(src) / s.N
	for i := range s.N {
		layout.FromNCHW(s.C, s.H, s.W, src[i*one:][:one], fill(s.C*s.H*s.W, 1000+uint64(i)))
	}
	team := parallel.NewTeam(c.Threads)
	team.Begin()
	defer team.End()
	r.Work = s.String()
	var run func(ctx context.Context, dst, src []float32) error
	if s.Kernel == 1 {
		if c.Algorithm != "auto" {
			return fmt.Errorf("--algorithm %s: a 1×1 convolution is a product", c.Algorithm)
		}
		p, err := gemm.NewPointwise(s.C, s.K, weights, bias)
		if err != nil {
			return err
		}
		e, err := p.NewExec(s.N, s.H, s.W, fuse.Epilogue{}, team)
		if err != nil {
			return err
		}
		r.Kernel, run = "product", e.Run
	} else {
		opts := append(slices.Clone(algorithms[c.Algorithm]), conv3x3.Map(s.OH(), s.OW()))
		if c.Fixed {
			opts = append(opts, conv3x3.Fixed())
		}
		f, err := conv3x3.NewFilter(s.C, s.K, weights, bias, team, opts...)
		if err != nil {
			return err
		}
		spec := conv3x3.Spec{N: s.N, H: s.H, W: s.W, Pad: s.Pad}
		n, err := f.ScratchLen(spec, c.Threads)
		if err != nil {
			return err
		}
		e, err := f.NewExec(spec, layout.Alloc(n), team)
		if err != nil {
			return err
		}
		r.Kernel, run = f.Algorithm(), e.Run
	}
	r.MS, err = c.time(func() error { return run(ctx, dst, src) })
	if err != nil {
		return err
	}
	r.GFLOPS = s.FLOP() / median(r.MS) / 1e6
	return nil
}
