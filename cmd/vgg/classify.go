package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

type classifyCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	Photos     []string `arg:"" help:"Pictures: JPEG, PNG, GIF, BMP, TIFF, WebP. Of a directory, all in it and below; - is the standard input."`
	Top        int      `default:"5" min:"1" help:"How many classes to name."`
	JSON       bool     `help:"Print one JSON object for each picture."`
}

// Run continues after a picture that cannot be read, and fails at the end.
func (c *classifyCmd) Run(ctx context.Context, s streams) error {
	m, err := c.open(s)
	if err != nil {
		return err
	}
	n, failed := 0, 0
	for path, err := range photos(c.Photos) {
		n++
		if err == nil {
			err = c.classify(ctx, s, m, path)
		}
		if ctx.Err() != nil || len(c.Photos) == 1 && path == c.Photos[0] && err != nil {
			return err
		}
		if err != nil {
			failed++
			fmt.Fprintln(s.err, "vgg:", printableLines(sentence(err)))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be classified", failed, n)
	}
	return nil
}

func (c *classifyCmd) classify(ctx context.Context, s streams, m *vgg.Model, path string) error {
	img, err := c.read(ctx, path)
	if err != nil {
		return err
	}
	list, err := m.Classify(ctx, img, c.Top)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if c.JSON {
		return s.printJSON(struct {
			Picture string           `json:"picture"`
			Classes []vgg.Prediction `json:"classes"`
		}{path, list})
	}
	fmt.Fprintln(s.out, printable.Line(path))
	for _, p := range list {
		fmt.Fprintf(s.out, "  %5.1f %%  %s\n", 100*p.Probability, printable.Line(strings.TrimSpace(p.ID+" "+p.Label)))
	}
	return nil
}

func countNotFinite(x []float32) (n int) {
	for _, v := range x {
		if math.IsNaN(float64(v - v)) {
			n++
		}
	}
	return n
}

func writeTensor(path string, shape []int, data []float32) error {
	return weights.WriteFile(path, []weights.Out{{Name: "output", DType: weights.F32, Shape: shape, Floats: data}}, nil)
}

type inferCmd struct {
	modelFlags `embed:""`
	Input      string `required:"" placeholder:"FILE" help:"safetensors file with the tensor 'input' [N][3][H][W], which goes to the network as it is."`
	Output     string `required:"" placeholder:"FILE" help:"safetensors file to write: tensor 'output'."`
	Layer      string `help:"Layer to write instead of the result: conv3_2, relu5_1, pool5, fc7, …"`
	Batch      int    `default:"8" min:"1" help:"Pictures at a time."`
	Threads    int    `min:"0" help:"Threads; all cores if 0 or not given."`
	JSON       bool   `help:"Print shape and layer of the output as a JSON object."`
}

func (c *inferCmd) Run(ctx context.Context, s streams) error {
	if err := checkOutputs([]string{c.Weights, c.Labels, c.Input}, output{"--output", c.Output}); err != nil {
		return err
	}
	m, err := c.open(s)
	if err != nil {
		return err
	}
	input, n, h, w, err := c.readInput(m.Config().Channels)
	if err != nil {
		return err
	}
	if warning := m.CheckInput(input, n, h, w); warning != nil {
		fmt.Fprintf(s.err, "vgg: %s: %v\n", c.Input, warning)
	}
	opts := []vgg.SessionOption{vgg.Output(c.Layer), vgg.InputSize(h, w)}
	if c.Threads > 0 {
		opts = append(opts, vgg.Workers(c.Threads))
	}
	var out []float32
	var shape vgg.Shape
	size := m.Config().Channels * h * w
	for at := 0; at < n; {
		batch := min(max(c.Batch, 1), n-at)
		session, err := m.NewSession(append(opts, vgg.Batch(batch))...)
		if err != nil {
			return err
		}
		shape = session.OutputShape()
		if out == nil {
			out = make([]float32, n*shape.Len())
		}
		for ; at+batch <= n; at += batch {
			if err := session.Run(ctx, out[at*shape.Len():][:batch*shape.Len()], input[at*size:][:batch*size]); err != nil {
				return err
			}
		}
	}
	dims := []int{n, shape.C, shape.H, shape.W}
	if shape.H == 1 && shape.W == 1 {
		dims = dims[:2]
	}
	if err := writeTensor(c.Output, dims, out); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(map[string]any{"output": c.Output, "layer": c.Layer, "shape": dims})
	}
	fmt.Fprintf(s.out, "%s: output %v\n", c.Output, dims)
	return nil
}

// readInput reads the tensor input.
func (c *inferCmd) readInput(channels int) (x []float32, n, h, w int, err error) {
	f, err := weights.Open(c.Input)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	defer f.Close()
	t, err := f.Tensor("input")
	if err != nil {
		return nil, 0, 0, 0, err
	}
	if len(t.Shape) != 4 || t.Shape[0] < 1 || t.Shape[1] != channels {
		return nil, 0, 0, 0, fmt.Errorf("%s: tensor input has shape %v, want [N %d H W]: %w", c.Input, t.Shape, channels, vgg.ErrShape)
	}
	x = make([]float32, t.Len())
	return x, t.Shape[0], t.Shape[2], t.Shape[3], t.Float32s(x)
}
