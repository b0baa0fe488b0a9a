package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"time"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// readPictures reads the first pictures of a file of raw float32.
func readPictures(args []string) (x []float32, n int, err error) {
	if len(args) != 2 {
		return nil, 0, fmt.Errorf("%d arguments, want 2", len(args))
	}
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		return nil, 0, err
	}
	raw, err := os.ReadFile(args[0])
	if err != nil {
		return nil, 0, err
	}
	if n*3*224*224*4 > len(raw) {
		return nil, 0, fmt.Errorf("%s has no %d pictures", args[0], n)
	}
	x = make([]float32, n*3*224*224)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return x, n, nil
}

// seededPictures returns pictures for the runs that are timed.
func seededPictures(n int) []float32 {
	x := make([]float32, n*3*224*224)
	seeded.Fill(x, seed, 1000, 1)
	return x
}

// samples times f n times.
func samples(n int, f func() error) (a answer, err error) {
	for range n {
		t := time.Now()
		if err := f(); err != nil {
			return a, err
		}
		a.MS = append(a.MS, milliseconds(time.Since(t)))
	}
	return a, nil
}

// netDriver runs a whole network.
type netDriver struct {
	model   *vgg.Model
	threads int
	batch   int
	session *vgg.Session
	input   []float32
	output  []float32
}

func newNetDriver(o options, threads int) (*netDriver, error) {
	cfg, err := vgg.Lookup(o.Config)
	if err != nil {
		return nil, err
	}
	src, err := vgg.Seeded(cfg, seed)
	if err != nil {
		return nil, err
	}
	var opts []vgg.Option
	switch o.Variant {
	case "f2":
		opts = append(opts, vgg.Winograd(2))
	case "f16":
		opts = append(opts, vgg.HalfFC())
	case "fixed":
		opts = append(opts, vgg.Fixed())
	case "fixed-fc":
		opts = append(opts, vgg.FixedFC())
	}
	d := &netDriver{threads: threads, batch: o.Batch}
	if d.model, err = vgg.New(cfg, src, opts...); err != nil {
		return nil, err
	}
	d.session, err = d.model.NewSession(vgg.Batch(o.Batch), vgg.Workers(threads))
	d.input = seededPictures(o.Batch)
	d.output = make([]float32, o.Batch*cfg.Classes())
	return d, err
}

func (d *netDriver) respond(command string, args []string) (any, error) {
	switch command {
	case "version":
		return answer{Version: "nonet"}, nil
	case "check":
		x, n, err := readPictures(args)
		if err != nil {
			return nil, err
		}
		s, err := d.model.NewSession(vgg.Batch(n), vgg.Workers(d.threads))
		if err != nil {
			return nil, err
		}
		logits := make([]float32, n*d.model.Config().Classes())
		if err := s.Run(context.Background(), logits, x); err != nil {
			return nil, err
		}
		var a answer
		for _, v := range logits {
			a.Logits = append(a.Logits, float64(v))
		}
		return a, nil
	case "run":
		var n int
		if err := integers(args, &n); err != nil {
			return nil, err
		}
		return samples(n, func() error { return d.session.Run(context.Background(), d.output, d.input) })
	}
	return answer{Failure: "unknown command"}, nil
}

// trainDriver takes steps of training.
type trainDriver struct {
	cfg     vgg.Config
	trainer *vgg.Trainer // made by the first run: the check has one of its own
	batch   int
	threads int
	input   []float32
	targets []int
}

// rule is that of peers/torch_vgg.py.
var rule = vgg.SGD{Rate: 1e-5, Momentum: 0.9, Decay: 5e-4}

func newTrainDriver(o options, threads int) (*trainDriver, error) {
	cfg, err := vgg.Lookup(o.Config)
	if err != nil {
		return nil, err
	}
	d := &trainDriver{cfg: cfg, threads: threads, input: seededPictures(o.Batch)}
	for i := range o.Batch {
		d.targets = append(d.targets, i)
	}
	d.batch = o.Batch
	return d, nil
}

func (d *trainDriver) make(batch int, opts ...vgg.TrainerOption) (*vgg.Trainer, error) {
	src, err := vgg.Seeded(d.cfg, seed)
	if err != nil {
		return nil, err
	}
	return vgg.NewTrainer(d.cfg, src, batch, append(opts, vgg.TrainWorkers(d.threads))...)
}

func (d *trainDriver) respond(command string, args []string) (any, error) {
	step := func(t *vgg.Trainer, x []float32, targets []int) (float64, error) {
		r, err := t.Gradients(context.Background(), x, targets)
		t.Update(rule)
		return r.Loss, err
	}
	switch command {
	case "version":
		return answer{Version: "nonet"}, nil
	case "check":
		x, n, err := readPictures(args)
		if err != nil {
			return nil, err
		}
		t, err := d.make(n) // without dropout
		if err != nil {
			return nil, err
		}
		var a answer
		for range 3 {
			loss, err := step(t, x, []int{0, 1}[:n])
			if err != nil {
				return nil, err
			}
			a.Losses = append(a.Losses, loss)
		}
		t = nil
		debug.FreeOSMemory() // the run has memory of its own
		return a, nil
	case "run":
		var n int
		if err := integers(args, &n); err != nil {
			return nil, err
		}
		if d.trainer == nil {
			var err error
			if d.trainer, err = d.make(d.batch, vgg.Dropout(0.5, 1)); err != nil {
				return nil, err
			}
		}
		return samples(n, func() error {
			_, err := step(d.trainer, d.input, d.targets)
			return err
		})
	}
	return answer{Failure: "unknown command"}, nil
}

// nonetGEMM multiplies on a team of its own.
func nonetGEMM(threads int) gemmDriver {
	team := parallel.NewTeam(threads)
	g := gemm.NewMultiplier(team)
	return gemmDriver{module: "nonet", team: team, sgemm: func(batch, m, n, k int, a, b, c []float32) {
		p := gemm.Batch{Count: batch, StrideA: m * k, StrideB: k * n, StrideC: m * n}
		_ = g.Batch(context.Background(), p, false, false, m, n, k, 1, a, k, b, n, 0, c, n) // the context never ends
	}}
}
