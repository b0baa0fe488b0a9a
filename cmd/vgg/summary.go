package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/check"
	"github.com/nonet-go/nonet/vgg/weights"
)

type summaryCmd struct {
	networkFlags `embed:""`
	Weights      string `short:"w" placeholder:"FILE" help:"File of weights to describe."`
	Key          string `placeholder:"PREFIX" help:"Of a file with several networks, the one whose tensors' names begin so."`
	Verbose      bool   `help:"List the tensors of the file that do not matter, and why, on standard error."`
	JSON         bool   `help:"Print a JSON object."`
}

func (c *summaryCmd) Run(ctx context.Context, s streams) error {
	cfg, err := c.describe(ctx, s)
	if err != nil {
		return err
	}
	sum, err := cfg.Summary()
	if err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(sum)
	}
	_, err = fmt.Fprint(s.out, sum)
	return err
}

func (c *summaryCmd) describe(ctx context.Context, s streams) (vgg.Config, error) {
	if c.Weights == "" {
		if !c.given() {
			c.Config = "D"
		}
		return c.network()
	}
	if err := ctx.Err(); err != nil {
		return vgg.Config{}, err
	}
	f, err := weights.Open(c.Weights)
	if err != nil {
		return vgg.Config{}, err
	}
	defer f.Close()
	flags := modelFlags{networkFlags: c.networkFlags, Key: c.Key}
	opts, err := flags.options()
	if err == nil {
		err = flags.alone()
	}
	if err != nil {
		return vgg.Config{}, err
	}
	n, err := vgg.Describe(fileUntil{f, ctx}, opts...)
	if err != nil {
		return vgg.Config{}, err
	}
	if c.Verbose {
		for _, t := range n.Ignored {
			fmt.Fprintf(s.err, "not used: %q: %s\n", t.Name, t.Reason)
		}
	}
	return n.Config, nil
}

// fileUntil is a file of weights whose tensors can be read until ctx ends.
type fileUntil struct {
	*weights.File
	ctx context.Context
}

// Tensor is that of weights.File, or ctx's error.
func (f fileUntil) Tensor(name string) (weights.Tensor, error) {
	if err := f.ctx.Err(); err != nil {
		return weights.Tensor{}, err
	}
	return f.File.Tensor(name)
}

type convertCmd struct {
	networkFlags `embed:""`
	In           string    `arg:"" help:"File of weights: safetensors (names of nonet, torchvision, timm or Keras), PyTorch .pth, Caffe .caffemodel or ONNX, told by its content; an index of several files, or a folder with config.json."`
	Out          string    `arg:"" help:"safetensors file to write."`
	Key          string    `placeholder:"PREFIX" help:"Of a file with several networks, the one whose tensors' names begin so."`
	Labels       string    `placeholder:"FILE" help:"Names of the classes: one a line, with or without WordNet ids in front, a list, or numbers and names, as JSON or Python write them; or a config.json."`
	Preset       string    `placeholder:"NAME" help:"Preparation of pictures: torch, caffe, unit or none. Without it, what the file says, else caffe for files of Caffe and Keras and torch for others."`
	Mean         []float64 `placeholder:"R,G,B" help:"Mean of each channel that is subtracted from pictures, instead of the preset's: three numbers, or one for all."`
	Std          []float64 `placeholder:"R,G,B" help:"Deviation of each channel that pictures are divided by, likewise."`
	Half         bool      `help:"Store weights in half precision: half the size, 11 bits of precision."`
	FixedFC      bool      `name:"fixed-fc" help:"Store weights of fully connected layers as whole numbers of 8 bits. The file opens without packing, as with --fixed-fc."`
	Fixed        bool      `help:"Store filters of convolutions in fixed point as well. The file opens fast, as with --fixed."`
	JSON         bool      `help:"Print a JSON object."`
}

func (c *convertCmd) Run(ctx context.Context, s streams) error {
	// The output may be the input: it is replaced after all of it has been read.
	if err := checkOutputs([]string{c.Labels}, output{"the output", c.Out}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := weights.Open(c.In)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := modelFlags{networkFlags: c.networkFlags, Key: c.Key, Labels: c.Labels, Preset: c.Preset, Mean: c.Mean, Std: c.Std}
	opts, err := flags.options()
	if err == nil {
		err = flags.alone()
	}
	if err != nil {
		return err
	}
	n, err := vgg.Describe(fileUntil{f, ctx}, opts...)
	if err != nil {
		return err
	}
	cfg := n.Config
	opts = []vgg.Option{vgg.Labels(n.Labels), vgg.Pictures(flags.pictures(n.Picture))}
	switch {
	case c.Fixed:
		opts = append(opts, vgg.Fixed())
	case c.FixedFC:
		opts = append(opts, vgg.FixedFC())
	}
	if err := vgg.SaveContext(ctx, c.Out, cfg, n.Source, c.Half, opts...); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(map[string]any{"output": c.Out, "config": cfg.Name, "layers": cfg.LayerString()})
	}
	fmt.Fprintf(s.out, "%s: configuration %s: %s\n", c.Out, cfg.Name, cfg.LayerString())
	return nil
}

type checkCmd struct {
	Config []string `placeholder:"NAME" help:"Configurations to check; all if not given."`
	Full   bool     `help:"At the paper's own size, against a reference that takes some ten seconds a network; by each algorithm."`
	Small  bool     `help:"At a sixteenth of the channels and 32×32 pixels, as without --full."`
	Golden []string `placeholder:"FILE" sep:"none" type:"existingfile" help:"Compare with files of another framework's results instead."`
	Files  []string `arg:"" optional:"" hidden:"" type:"existingfile"`
	JSON   bool     `help:"Print a JSON object."`
}

func (c *checkCmd) Run(ctx context.Context, s streams) error {
	files := append(c.Golden, c.Files...)
	var rows []check.Row
	var notes []string
	if len(files) == 0 {
		names := c.Config
		if len(names) == 0 {
			names = vgg.Names()
		}
		for _, name := range names {
			r, err := check.Networks(ctx, name, c.Full && !c.Small)
			if err != nil {
				return err
			}
			rows = append(rows, r...)
		}
		if !c.Full {
			for _, name := range names {
				r, err := check.Training(ctx, name)
				if err != nil {
					return err
				}
				rows = append(rows, r...)
				if r, err = check.Gradients(ctx, name); err != nil {
					return err
				}
				rows = append(rows, r...)
			}
			if len(c.Config) == 0 {
				r, err := check.Kinds(ctx)
				if err != nil {
					return err
				}
				rows = append(rows, r...)
			}
		}
	}
	for _, path := range files {
		r, n, err := check.Golden(ctx, path)
		if err != nil {
			return err
		}
		rows, notes = append(rows, r...), append(notes, n...)
	}
	passed := check.Passed(rows)
	if c.JSON {
		if err := s.printJSON(map[string]any{"passed": passed, "isa": isaName(), "rows": rows, "notes": notes}); err != nil {
			return err
		}
	} else {
		if err := check.WriteTable(s.out, rows); err != nil {
			return err
		}
		for _, n := range notes {
			fmt.Fprintln(s.out, n)
		}
		fmt.Fprintf(s.out, "%d comparisons on %s\n", len(rows), isaName())
	}
	if !passed {
		var failed []string
		for _, r := range rows {
			if !r.OK {
				failed = append(failed, r.Config+" "+r.Variant+" "+r.What)
			}
		}
		return fmt.Errorf("%d of %d comparisons are out of bounds: %s", len(failed), len(rows), strings.Join(failed[:min(5, len(failed))], "; "))
	}
	return nil
}
