package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/extract/parquet"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/weights"
)

// formats are those that extract writes.
var formats = []extract.Format{extract.Safetensors, extract.NPY, extract.JSONL, extract.CSV, parquet.Format}

type extractCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	Data       string       `required:"" placeholder:"PATH" help:"Directory with pictures in it and below, a tar file, or a text file whose lines are a picture's path and, if they like, a tab and its class."`
	Layer      []string     `placeholder:"LAYER" help:"Layers whose activations are wanted, with commas: conv3_2, relu5_1, pool5, fc7, …"`
	Top        int          `placeholder:"N" min:"0" help:"How many of the most probable classes are wanted, with their probabilities."`
	Pool       extract.Pool `default:"none" placeholder:"HOW" help:"Of an activation [C][H][W], keep all (none), or the mean (avg) or maximum (max) of each channel."`
	Normalize  bool         `help:"Divide what is kept of an activation by its Euclidean norm."`
	Out        string       `required:"" placeholder:"DIR" help:"Directory for the files of the shards and their manifests."`
	Shard      shard.Shard  `default:"0/1" placeholder:"I/N" help:"Compute part I, from 0, of N parts of the pictures. Each is a process of its own, on any machine; merge checks that all are there."`
	Format     string       `default:"safetensors" enum:"safetensors,npy,parquet,jsonl,csv" help:"Format of the files: ${enum}."`
	Batch      int          `default:"8" min:"1" help:"Pictures at a time. Results do not depend on it."`
	Threads    int          `min:"0" help:"Threads; all cores if 0 or not given."`
	Unreadable float64      `name:"max-unreadable" placeholder:"PERCENT" default:"1" min:"0" max:"100" help:"Part of the shard's pictures that may fail, in per cent. Above it the files are written, and the status is 1."`
	JSON       bool         `help:"Print the result as a JSON object."`
}

// Help is the last part of --help.
func (*extractCmd) Help() string {
	return `The files are called features.00003-of-00008.safetensors and so on, and appear when they are whole; then comes
manifest.00003-of-00008.jsonl: the network, version and instruction set, each picture with its row, and those that
failed. A shard that is there is skipped. After a kill the same command goes on where it was. docs/scale.md has the
ways to run many shards: xargs, Slurm, Kubernetes, Beam.`
}

func (c *extractCmd) Run(ctx context.Context, s streams) error {
	m, err := c.open(s)
	if err != nil {
		return err
	}
	network, err := c.hash(m)
	if err != nil {
		return err
	}
	d, err := extract.Open(c.Data, c.pictureOptions()...)
	if err != nil {
		return err
	}
	defer d.Close()
	j := extract.Job{Dir: c.Out, Shard: c.Shard, Network: network, Batch: c.Batch, Workers: c.Threads,
		Spec: extract.Spec{Layers: c.Layer, Top: c.Top, Reduce: extract.Reduce{Pool: c.Pool, Normalize: c.Normalize}}}
	if len(c.Layer) == 0 && c.Top == 0 {
		return fmt.Errorf("give --layer for features, --top for classes, or both")
	}
	j.Format = formats[slices.IndexFunc(formats, func(f extract.Format) bool { return f.Name() == c.Format })]
	first, end := c.Shard.Range(d.N)
	p := newProgress(s.err, end-first)
	j.OnPicture = p.onPicture(s)
	j.OnWarning = func(w *picture.Warning) { fmt.Fprintf(s.err, "vgg: %s: %v\n", c.Data, w) }
	sayHowToGoOn(ctx, commandLine(ctx))
	r, err := j.Run(ctx, m, d)
	if err != nil {
		return err
	}
	return c.print(s, r, p)
}

func (c *extractCmd) print(s streams, r extract.Result, p *progress) error {
	if c.JSON {
		err := s.printJSON(struct {
			Shard    shard.Shard `json:"shard"`
			Manifest string      `json:"manifest"`
			There    bool        `json:"there"` // before
			Rate     float64     `json:"pictures_per_second,omitempty"`
			extract.Footer
		}{c.Shard, r.Manifest, r.There, p.rate(), r.Footer})
		if err != nil {
			return err
		}
	} else {
		var names []string
		for _, f := range r.Files {
			names = append(names, f.Name)
		}
		how := fmt.Sprintf("%.3g/s", p.rate())
		if r.There {
			how = "they were there"
		}
		fmt.Fprintf(s.out, "%s: %d pictures (%d failed), %s\n", strings.Join(names, " "), r.Pictures, r.Failed, how)
	}
	return checkUnreadable(r.Failed, r.Pictures, c.Unreadable)
}

// checkUnreadable refuses a result that too many pictures are missing from.
func checkUnreadable(failed, all int, percent float64) error {
	if part := 100 * float64(failed) / float64(all); part > percent {
		return fmt.Errorf("%d of %d pictures could not be measured (%.2f %%), more than --max-unreadable %v", failed, all, part, percent)
	}
	return nil
}

// hash stands for the network that the flags choose: see shard.Network.
func (f modelFlags) hash(m *vgg.Model) (string, error) {
	var file weights.Source
	var err error
	settings := append([]any{f.HalfFC}, f.fixedPoint()...)
	switch {
	case f.Weights != "":
		file, err = weights.Open(f.Weights)
		settings = append(settings, f.Key)
	case f.given():
		return shard.Network(m, nil, append(settings, "random")...)
	default:
		file, err = pretrained.Weights()
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	return shard.Network(m, file, settings...)
}
