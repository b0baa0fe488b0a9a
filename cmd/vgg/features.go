package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/weights"
)

type featuresCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	Photos     []string     `arg:"" help:"Pictures; directories, with all in them and below; or one tar file. - is the standard input."`
	Layer      []string     `placeholder:"LAYER" help:"Layers, with commas, in one pass: conv3_2, relu5_1, pool5, fc7, …; torchvision's and timm's names, as features.23, pre_logits; embedding, the layer before the last. Without it, the network's result."`
	Pool       extract.Pool `default:"none" placeholder:"HOW" help:"Of an activation [C][H][W], keep all (none), or the mean (avg) or maximum (max) of each channel."`
	Normalize  bool         `help:"Divide what is kept of an activation by its Euclidean norm."`
	Format     string       `placeholder:"FORMAT" enum:",safetensors,npy,jsonl,csv" default:"" help:"Write a row for each picture: a tensor [N][…] for each layer in safetensors, or an npy file; or a line with the path. jsonl and csv go to the standard output without -o."`
	Output     string       `short:"o" placeholder:"FILE" help:"File to write. Without --format, of one picture: the activation as tensor 'output' [1][C][H][W] of safetensors, or those of several layers by their names."`
	Batch      int          `default:"8" min:"1" help:"Pictures at a time. Results do not depend on it."`
	Threads    int          `min:"0" max:"4096" help:"Threads; all cores if 0 or not given."`
	JSON       bool         `help:"Print a JSON object, with all values; of many pictures, one a line."`
}

// layerFeatures is the output of features for a layer.
type layerFeatures struct {
	Layer string    `json:"layer"`
	Shape []int     `json:"shape"`
	Data  []float32 `json:"data"`
}

func (c *featuresCmd) Run(ctx context.Context, s streams) error {
	if err := checkOutputs(append(c.Photos[:len(c.Photos):len(c.Photos)], c.Weights, c.Labels), output{"--output", c.Output}); err != nil {
		return err
	}
	m, err := c.open(s)
	if err != nil {
		return err
	}
	if c.many() {
		return c.table(ctx, s, m)
	}
	return c.one(ctx, s, m, c.Photos[0])
}

// one computes a picture.
func (c *featuresCmd) one(ctx context.Context, s streams, m *vgg.Model, photo string) error {
	img, err := c.read(ctx, photo)
	if err != nil {
		return err
	}
	list, err := c.compute(ctx, m, img)
	if err != nil {
		return err
	}
	if c.Output != "" {
		return writeFeatures(c.Output, list)
	}
	for _, f := range list {
		if bad := countNotFinite(f.Data); bad > 0 {
			return fmt.Errorf("%s: %d of the %d values of %s are NaN or infinite; -o writes them as they are", photo, bad, len(f.Data), cmp.Or(f.Layer, "the network's result"))
		}
	}
	if c.JSON {
		return c.printJSON(s, photo, list)
	}
	for _, f := range list {
		f.summary(s, photo)
	}
	return nil
}

// compute computes the layers of a picture.
func (c *featuresCmd) compute(ctx context.Context, m *vgg.Model, img image.Image) ([]layerFeatures, error) {
	layers := c.Layer
	if len(layers) == 0 {
		layers = []string{""}
	}
	tensors, err := m.FeaturesOf(ctx, img, layers...)
	if err != nil {
		return nil, err
	}
	r := extract.Reduce{Pool: c.Pool, Normalize: c.Normalize}
	var list []layerFeatures
	for i, f := range tensors {
		shape := r.Shape(f.Shape)
		data := f.Data[:shape.Len()]
		r.Apply(data, f.Data, f.Shape)
		list = append(list, layerFeatures{layers[i], []int{1, shape.C, shape.H, shape.W}, data})
	}
	return list, nil
}

// printJSON prints the layer itself, or a list of several.
func (c *featuresCmd) printJSON(s streams, photo string, list []layerFeatures) error {
	if len(list) == 1 {
		return s.printJSON(struct {
			Picture string `json:"picture"`
			layerFeatures
		}{photo, list[0]})
	}
	return s.printJSON(struct {
		Picture string          `json:"picture"`
		Layers  []layerFeatures `json:"layers"`
	}{photo, list})
}

// summary prints a line about the values.
func (f layerFeatures) summary(s streams, picture string) {
	sum, squares, zeros := 0.0, 0.0, 0
	for _, v := range f.Data {
		sum += float64(v)
		squares += float64(v) * float64(v)
		if v == 0 {
			zeros++
		}
	}
	n := float64(len(f.Data))
	shape := vgg.Shape{C: f.Shape[1], H: f.Shape[2], W: f.Shape[3]}
	fmt.Fprintf(s.out, "%s %s: %v, mean %.6g, rms %.6g, %.1f %% zeros\n", printable.Line(picture), f.Layer, shape, sum/n, math.Sqrt(squares/n), 100*float64(zeros)/n)
}

// writeFeatures writes the tensor output, or one for each of several layers.
func writeFeatures(path string, list []layerFeatures) error {
	if len(list) == 1 {
		return writeTensor(path, list[0].Shape, list[0].Data)
	}
	var out []weights.Out
	for _, f := range list {
		out = append(out, weights.Out{Name: f.Layer, DType: weights.F32, Shape: f.Shape, Floats: f.Data})
	}
	return weights.WriteFile(path, out, nil)
}

// many reports whether there is a table to be written.
func (c *featuresCmd) many() bool {
	return c.Format != "" || len(c.Photos) > 1 || isTar(c.Photos[0]) || isDir(c.Photos[0])
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isTar(path string) bool { return strings.EqualFold(filepath.Ext(path), ".tar") }

// table computes all pictures and writes a row for each. A kill loses at most the batch
// under way: the rows grow in the directory OUT.part.
func (c *featuresCmd) table(ctx context.Context, s streams, m *vgg.Model) error {
	f, err := c.format()
	if err != nil {
		return err
	}
	dir, err := c.directory(ctx)
	if err != nil {
		return err
	}
	if c.Output == "" {
		defer os.RemoveAll(dir)
	}
	network, err := c.hash(m)
	if err != nil {
		return err
	}
	d, err := c.data(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	layers := c.Layer
	if len(layers) == 0 {
		layers = []string{""}
	}
	p := newProgress(s.err, d.N)
	j := extract.Job{Dir: dir, Shard: shard.Whole, Format: f, Network: network, Batch: c.Batch, Workers: c.Threads,
		Spec:      extract.Spec{Layers: layers, Reduce: extract.Reduce{Pool: c.Pool, Normalize: c.Normalize}},
		OnPicture: p.onPicture(s), OnWarning: func(w *picture.Warning) { fmt.Fprintf(s.err, "vgg: %s: %v\n", c.Photos[0], w) }}
	r, err := j.Run(ctx, m, d)
	if err != nil {
		return err
	}
	if err := c.deliver(s, dir, r); err != nil {
		return err
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be read", r.Failed, r.Pictures)
	}
	return nil
}

// format is that of the flags, or of the name of the output.
func (c *featuresCmd) format() (extract.Format, error) {
	name := c.Format
	switch {
	case name == "" && c.JSON:
		name = "jsonl"
	case name == "" && c.Output != "":
		name = strings.TrimPrefix(strings.ToLower(filepath.Ext(c.Output)), ".")
	}
	i := slices.IndexFunc(formats, func(f extract.Format) bool { return f.Name() == name && name != "parquet" })
	switch {
	case i < 0:
		return nil, errors.New("many pictures make a table: --format safetensors, npy, jsonl or csv, or -o with such an ending")
	case c.Output == "" && formats[i] != extract.JSONL && formats[i] != extract.CSV:
		return nil, fmt.Errorf("--format %s takes -o", name)
	}
	return formats[i], nil
}

// directory is where the rows grow.
func (c *featuresCmd) directory(ctx context.Context) (string, error) {
	if c.Output == "" {
		return os.MkdirTemp("", "vgg-features-")
	}
	sayHowToGoOn(ctx, commandLine(ctx))
	return c.Output + ".part", os.MkdirAll(c.Output+".part", 0o777)
}

// data opens the pictures: a tar file, or a list of all others.
func (c *featuresCmd) data(dir string) (*extract.Data, error) {
	if len(c.Photos) == 1 && (isTar(c.Photos[0]) || isDir(c.Photos[0])) {
		return extract.Open(c.Photos[0], c.pictureOptions()...)
	}
	var list bytes.Buffer
	for path, err := range photos(c.Photos) {
		switch {
		case err != nil:
			return nil, err
		case isTar(path):
			return nil, fmt.Errorf("%s: a tar file comes alone", path)
		case path == "-":
			return nil, errors.New("the standard input comes alone")
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		if strings.ContainsAny(path, "\t\r\n") {
			return nil, fmt.Errorf("%q: a name with tabs or ends of lines, which no list of pictures holds; a directory or a tar file alone may have it", path)
		}
		fmt.Fprintf(&list, "%s\t-\n", path) // behind the tab stands a class
	}
	name := filepath.Join(dir, "pictures.txt")
	if err := os.WriteFile(name, list.Bytes(), 0o666); err != nil {
		return nil, err
	}
	return extract.Open(name, c.pictureOptions()...)
}

// deliver puts the files of a table where they are wanted.
func (c *featuresCmd) deliver(s streams, dir string, r extract.Result) error {
	if c.Output == "" {
		f, err := os.Open(filepath.Join(dir, r.Files[0].Name))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(s.out, f)
		return err
	}
	for _, f := range r.Files {
		target := c.Output
		if len(r.Files) > 1 { // a layer stands in the name
			layer := strings.TrimPrefix(f.Name, "features."+shard.Whole.Name())
			target = strings.TrimSuffix(c.Output, filepath.Ext(c.Output)) + layer
		}
		target, err := outfile.Target(target)
		if err == nil {
			err = os.Rename(filepath.Join(dir, f.Name), target)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s: %d pictures\n", printable.Line(target), r.Pictures-r.Failed)
	}
	return os.RemoveAll(dir)
}
