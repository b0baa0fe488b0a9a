// Command vggbeam computes classes, features or errors of pictures on Apache Beam. By
// default that is prism, which runs in this process:
//
//	vggbeam --input 'photos/*.jpg' --output out.jsonl
//	vggbeam --input 'gs://archive/*.tar' --layer fc7 --weights /weights/vgg16.safetensors --output gs://features/fc7.parquet --files 64
//	vggbeam --input 'val/*/*.jpg' --evaluate center --output result.jsonl
//
// It prints how many pictures were computed and how many failed; the latter stand with
// the reasons in a file beside the output. Beam's own flags choose another runner: see
// docs/scale.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	sdk "github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/s3"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	"github.com/nonet-go/nonet/beam"
	"github.com/nonet-go/nonet/vgg/extract"
)

// options are the flags.
type options struct {
	input, output, failures string
	layers, pool            string
	normalize               bool
	top, files, batch       int
	network                 beam.Network
	evaluate, classes       string
	min, max                int
	reshuffle               bool
}

func flags(f *flag.FlagSet) *options {
	o := &options{}
	f.StringVar(&o.input, "input", "", "pattern of picture files, or of tar files with pictures, on a filesystem of Beam: a path, gs://… or s3://…")
	f.StringVar(&o.output, "output", "", "file to write: .jsonl, .parquet or .tfrecord; with --evaluate, lines of JSON")
	f.StringVar(&o.failures, "failures", "", "file for the pictures that failed, as lines of JSON; without it, the output's name with .failed.jsonl at its end")
	f.StringVar(&o.network.Weights, "weights", "", "file of weights, by a path that each worker has; without it, the small network that comes with nonet")
	f.StringVar(&o.layers, "layer", "", "layers whose activations are wanted, with commas")
	f.IntVar(&o.top, "top", 0, "how many of the most probable classes are wanted; 5 if neither --layer nor --top is given")
	f.StringVar(&o.pool, "pool", "none", "of an activation [C][H][W], keep all (none), or the mean (avg) or maximum (max) of each channel")
	f.BoolVar(&o.normalize, "normalize", false, "divide what is kept of an activation by its Euclidean norm")
	f.IntVar(&o.files, "files", 1, "number of files of the output; a worker needs the memory for one")
	f.IntVar(&o.batch, "batch", beam.DefaultBatch, "pictures at a time; results do not depend on it")
	f.BoolVar(&o.reshuffle, "spread", false, "spread the pictures over the workers after they are read: for few tar files")
	f.StringVar(&o.evaluate, "evaluate", "", "measure the errors by this protocol of vgg eval; the class is the folder that a picture lies in")
	f.StringVar(&o.classes, "classes", "", "with --evaluate, the names of the data's classes in order, with commas, for networks without labels")
	f.IntVar(&o.min, "train-min", 0, "with --evaluate, shorter side of the pictures of training; without it, that of the network's preparation")
	f.IntVar(&o.max, "train-max", 0, "with --evaluate, the largest such side, if it was a range")
	return o
}

// check refuses what makes no sense, before a pipeline is made of it.
func (o *options) check() error {
	switch {
	case o.input == "" || o.output == "":
		return errors.New("--input and --output are needed")
	case o.files < 1 || o.files > 99999:
		return fmt.Errorf("--files %d: want 1 to 99999", o.files)
	case o.batch < 1 || o.batch > 4096:
		return fmt.Errorf("--batch %d: want 1 to 4096", o.batch)
	case o.top < 0:
		return fmt.Errorf("--top %d: want at least 1", o.top)
	case o.evaluate != "" && (o.layers != "" || o.top != 0):
		return errors.New("--evaluate goes without --layer and --top")
	case o.evaluate == "" && o.classes != "":
		return errors.New("--classes goes with --evaluate")
	}
	if o.failures == "" {
		o.failures = strings.TrimSuffix(o.output, path.Ext(o.output)) + ".failed.jsonl"
	}
	if o.max == 0 {
		o.max = o.min
	}
	if o.evaluate == "" && o.layers == "" && o.top == 0 {
		o.top = 5
	}
	if o.evaluate != "" && path.Ext(o.output) != ".jsonl" {
		return fmt.Errorf("%s: the result of --evaluate is written as .jsonl", o.output)
	}
	return beam.CheckOutput(o.output)
}

// build makes the pipeline.
func (o *options) build(s sdk.Scope) error {
	pictures, unread := beam.Read(s, o.input)
	if o.reshuffle {
		pictures = sdk.Reshuffle(s, pictures)
	}
	if o.evaluate != "" {
		p := beam.Protocol{Name: o.evaluate, Min: o.min, Max: o.max}
		if o.classes != "" {
			p.Classes = strings.Split(o.classes, ",")
		}
		outcomes, result := beam.Evaluate(s, o.network, p, pictures)
		beam.WriteResult(s, o.output, result)
		beam.WriteFailures(s, o.failures, unread, beam.Failed(s, outcomes))
		return nil
	}
	spec := extract.Spec{Top: o.top, Reduce: extract.Reduce{Normalize: o.normalize}}
	if o.layers != "" {
		spec.Layers = strings.Split(o.layers, ",")
	}
	if err := spec.Pool.UnmarshalText([]byte(o.pool)); err != nil {
		return fmt.Errorf("--pool: %w", err)
	}
	rows, failed := beam.Features(s, o.network, spec, pictures, o.batch)
	beam.Write(s, o.network, spec, rows, o.output, o.files)
	beam.WriteFailures(s, o.failures, unread, failed)
	return nil
}

func main() {
	o := flags(flag.CommandLine)
	flag.Parse()
	sdk.Init() // of a worker, it does not return
	if err := o.run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vggbeam:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	p, s := sdk.NewPipelineWithRoot()
	if err := o.build(s); err != nil {
		return err
	}
	r, err := beamx.RunWithMetrics(ctx, p)
	if err != nil {
		return err
	}
	if r == nil { // a runner that does not wait
		return nil
	}
	count := map[string]int64{}
	for _, c := range r.Metrics().Query(func(metrics.SingleResult) bool { return true }).Counters() {
		count[c.Name()] += c.Result()
	}
	_, err = fmt.Fprintf(out, "%s: %d pictures, %d failed\n", o.output, count["pictures"], count["failed"])
	return err
}
