package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// explain prints how works find their kernels: products, as MxNxK, and layers of a
// configuration of the paper.
func (c *selftestCmd) explain(s streams) error {
	var plans []choice
	for _, work := range c.Explain {
		text, err := c.plan(work)
		if err != nil {
			return err
		}
		plans = append(plans, choice{work, text})
	}
	if c.JSON {
		return s.printJSON(plans)
	}
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if _, err := fmt.Fprintf(s.out, "%-11s%s on %v\n%s", "work", p.Of, cpu.Best(), p.Choice); err != nil {
			return err
		}
	}
	return nil
}

// plan returns the plan of a product or a layer.
func (c *selftestCmd) plan(work string) (string, error) {
	threads := c.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if strings.Count(work, "x") == 2 && strings.Trim(work, "x0123456789") == "" {
		m, n, k, err := parseProduct(work)
		if err != nil {
			return "", fmt.Errorf("--explain %w", err)
		}
		return gemm.NewMultiplier(parallel.NewTeam(threads)).Plan(false, false, m, n, k), nil
	}
	cfg, err := vgg.Lookup(c.Config)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(cfg.Layers, func(l vgg.Layer) bool { return l.Name == work })
	if i < 0 {
		return "", fmt.Errorf("--explain %q: neither a product, such as 49x512x512, nor a layer of configuration %s", work, c.Config)
	}
	return c.layerPlan(cfg, i, threads)
}

// layerPlan returns the plan of layer i for one picture and a number of threads.
func (c *selftestCmd) layerPlan(cfg vgg.Config, i, threads int) (string, error) {
	shapes, err := cfg.Shapes(cfg.Input())
	if err != nil {
		return "", err
	}
	l, in := cfg.Layers[i], vgg.Shape{C: cfg.Channels, H: cfg.Size, W: cfg.Size}
	if i > 0 {
		in = shapes[i-1]
	}
	switch {
	case l.Kind == vgg.FC:
		return gemm.PlanLinear(1, in.C*in.H*in.W, l.Out, c.linear()...), nil
	case l.Kind != vgg.Conv:
		return "", fmt.Errorf("--explain %s: a %v has one kernel, which the tables in docs/dispatch.md name", l.Name, l.Kind)
	case l.Kernel == 1:
		p, err := gemm.NewPointwise(in.C, l.Out, make([]float32, in.C*l.Out), nil)
		if err != nil {
			return "", err
		}
		return p.Plan(1, in.H, in.W), nil
	}
	opts := append(slices.Clone(algorithms[c.Algorithm]), conv3x3.Stride(max(1, l.Stride)), conv3x3.Map(shapes[i].H, shapes[i].W))
	if c.Fixed {
		opts = append(opts, conv3x3.Fixed())
	}
	f, err := conv3x3.NewFilter(in.C, l.Out, make([]float32, l.Out*in.C*9), nil, nil, opts...)
	if err != nil {
		return "", err
	}
	pool := f.Fuses() && i+1 < len(cfg.Layers) && cfg.Layers[i+1].Kind == vgg.Pool
	return f.Plan(conv3x3.Spec{N: 1, H: in.H, W: in.W, Pad: cfg.Pad, Planar: f.ReadsPlanes() && i == 0, Epilogue: fuse.Epilogue{ReLU: l.ReLU, Pool: pool}}, threads)
}

// linear returns the options of the fully connected layers, all of which are large.
func (c *selftestCmd) linear() []gemm.Option {
	switch {
	case c.FixedFC || c.Fixed:
		return []gemm.Option{gemm.Fixed()}
	case c.HalfFC:
		return []gemm.Option{gemm.Half()}
	}
	return nil
}
