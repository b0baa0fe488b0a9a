package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/winograd"
)

// convsDriver times the convolutions of a network, each with its ReLU and the
// pool behind it. "layers" runs them one after the other, "hot" each by itself.
// What is not timed, the first layer and the fully connected ones, comes from
// the references in float64, so that "check" can give logits.
type convsDriver struct {
	config vgg.Config
	params [][]float32
	team   *parallel.Team
	input  []float32 // of the first timed layer, blocked
	steps  []*convStep
}

type convStep struct {
	name     string
	exec     *winograd.Exec
	src, dst []float32
}

func newConvsDriver(o options, threads int) (*convsDriver, error) {
	c, err := vgg.Lookup(o.Config)
	if err != nil {
		return nil, err
	}
	params, err := c.Params()
	if err != nil {
		return nil, err
	}
	d := &convsDriver{config: c, team: parallel.NewTeam(threads)}
	for i, p := range params {
		w := make([]float32, p.Len())
		fillParam(w, i, p)
		d.params = append(d.params, w)
	}
	return d, d.build(params)
}

// build makes a step for each 3×3 convolution but the first.
func (d *convsDriver) build(params []vgg.Param) error {
	shapes, err := d.config.Shapes(d.config.Size, d.config.Size)
	if err != nil {
		return err
	}
	d.input = layout.Alloc(layout.Len(shapes[0].C, shapes[0].H, shapes[0].W))
	x := d.input
	for i, l := range d.config.Layers {
		if i == 0 || l.Kind != vgg.Conv {
			continue
		}
		if l.Kernel != 3 || l.Stride == 2 {
			return fmt.Errorf("%s is no 3×3 convolution with stride 1", l.Name)
		}
		in, out := shapes[i-1], shapes[i]
		ep := fuse.Epilogue{ReLU: true, Pool: d.config.Layers[i+1].Kind == vgg.Pool}
		name := l.Name
		if ep.Pool {
			name, out = name+"+"+d.config.Layers[i+1].Name, shapes[i+1]
		}
		weight := 2 * (len(d.steps) + 1)
		f, err := winograd.NewFilter(4, in.C, l.Out, d.params[weight], d.team)
		if err != nil {
			return err
		}
		conv, err := f.NewConv(1, in.H, in.W, d.config.Pad, d.params[weight+1], ep)
		if err != nil {
			return err
		}
		exec, err := conv.NewExec(layout.Alloc(conv.ScratchLen(d.team.Workers())), d.team)
		if err != nil {
			return err
		}
		dst := layout.Alloc(layout.Len(out.C, out.H, out.W))
		d.steps = append(d.steps, &convStep{name, exec, x, dst})
		x = dst
	}
	return nil
}

func (d *convsDriver) respond(command string, args []string) (any, error) {
	switch command {
	case "version":
		return answer{Version: "nonet"}, nil
	case "check":
		return d.check(args)
	case "layers", "hot":
		var n int
		if err := integers(args, &n); err != nil {
			return nil, err
		}
		return d.time(n, command == "hot")
	}
	return answer{Failure: "unknown command"}, nil
}

func (s *convStep) run() (float64, error) {
	t := time.Now()
	err := s.exec.Run(context.Background(), s.dst, s.src)
	return milliseconds(time.Since(t)), err
}

func (d *convsDriver) time(n int, hot bool) (a answer, err error) {
	d.team.Begin()
	defer d.team.End()
	for _, s := range d.steps {
		a.Layers = append(a.Layers, layerTime{Name: s.name})
	}
	sample := func(i int) error {
		ms, err := d.steps[i].run()
		a.Layers[i].MS = append(a.Layers[i].MS, ms)
		return err
	}
	for k := range n * len(d.steps) {
		i := k % len(d.steps)
		if hot {
			i = k / n
		}
		if err := sample(i); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (d *convsDriver) check(args []string) (a answer, err error) {
	if len(args) != 2 {
		return a, fmt.Errorf("%d arguments, want 2", len(args))
	}
	raw, err := os.ReadFile(args[0])
	if err != nil {
		return a, err
	}
	size := d.config.Channels * d.config.Size * d.config.Size
	x := make([]float32, size)
	for len(raw) >= 4*size {
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		raw = raw[4*size:]
		logits, err := d.logits(x)
		if err != nil {
			return a, err
		}
		a.Logits = append(a.Logits, logits...)
	}
	return a, nil
}

func (d *convsDriver) logits(x []float32) ([]float64, error) {
	c, side := d.config.Channels, d.config.Size
	out := d.config.Layers[0].Out
	first, _ := ref.Conv2D(ref.ConvShape{N: 1, C: c, H: side, W: side, K: out, KH: 3, KW: 3, Pad: d.config.Pad}, x, d.params[0], d.params[1])
	layout.FromNCHW(out, side, side, d.input, ref.Float32(ref.ReLU(first)))
	for _, s := range d.steps {
		if _, err := s.run(); err != nil {
			return nil, err
		}
	}
	last := d.steps[len(d.steps)-1].dst
	y := make([]float32, len(last)) // 512 channels: no padding
	layout.ToNCHW(512, 7, 7, y, last)
	h := ref.Float64(y)
	for i := 2 * (len(d.steps) + 1); i < len(d.params); i += 2 {
		w, b := d.params[i], d.params[i+1]
		h, _ = ref.Linear(1, len(h), len(b), h, ref.Float64(w), ref.Float64(b))
		if i+2 < len(d.params) {
			h = ref.ReLU(h)
		}
	}
	return h, nil
}
