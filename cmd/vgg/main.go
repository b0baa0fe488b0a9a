// Command vgg runs, checks, measures and trains networks of VGG's shape.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/train"
)

type cli struct {
	Classify classifyCmd `cmd:"" help:"Name what photographs show."`
	Features featuresCmd `cmd:"" help:"Compute the activation of a layer for a photograph."`
	Distance distanceCmd `cmd:"" help:"Measure how different two pictures look."`
	Explain  explainCmd  `cmd:"" help:"Show which parts of a photograph a class comes from."`
	Style    styleCmd    `cmd:"" help:"Make a picture with the content of one and the style of another."`
	Infer    inferCmd    `cmd:"" help:"Run a network on raw tensors, without preparing pictures."`
	Eval     evalCmd     `cmd:"" help:"Measure a network's errors on labelled pictures."`
	Similar  similarCmd  `cmd:"" help:"Find pictures that look alike: neighbours of a photograph, and near duplicates."`
	Extract  extractCmd  `cmd:"" help:"Compute features or classes of many pictures, in shards."`
	Merge    mergeCmd    `cmd:"" help:"Join the shards of eval, or check those of extract."`
	Train    trainCmd    `cmd:"" help:"Train a network on labelled pictures."`
	Summary  summaryCmd  `cmd:"" help:"List a network's layers with parameters, operations and memory."`
	Convert  convertCmd  `cmd:"" help:"Write weights of any format as a safetensors file that opens fast."`
	Check    checkCmd    `cmd:"" help:"Compare all networks with references."`
	Bench    benchCmd    `cmd:"" help:"Measure speed, with the machine's peak in the same run."`
	Serve    serveCmd    `cmd:"" help:"Answer requests over HTTP and gRPC."`
	Selftest selftestCmd `cmd:"" help:"Print what this machine has and whether nonet computes right on it, for bug reports."`
	Page     pageCmd     `cmd:"" help:"Write a page that runs the embedded network in a browser."`

	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a shell's completion of commands and flags."`
	Help       helpCmd       `cmd:"" help:"Describe a command."`
}

// streams is where commands write: results to out, everything else to err.
type streams struct {
	out, err io.Writer
}

// printJSON writes v as one line.
func (s streams) printJSON(v any) error { return json.NewEncoder(s.out).Encode(v) }

func main() { mainReady(func() {}) }

// mainReady calls ready once signals stop the command, runs it and exits.
func mainReady(ready func()) {
	ctx, stopper := stopOnSignals(os.Stderr, func(status int) {
		outfile.Abandon()
		os.Exit(status)
	})
	ready()
	status := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stopper.mu.Lock() // a signal that comes now is late
	os.Exit(status)
}

// run is main for tests: it returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	out := &checkedWriter{w: s.out}
	s.out = out
	status, message := runCommand(ctx, args, s)
	if out.err != nil {
		status, message = 1, sentence(out.err) // whatever else came of it
	}
	if message != "" {
		fmt.Fprintln(s.err, "vgg:", printableLines(message))
	}
	return status
}

// runCommand returns the exit status, and the message of a failure.
func runCommand(ctx context.Context, args []string, s streams) (status int, message string) {
	ctx = context.WithValue(ctx, argsKey{}, args)
	var c cli
	status = -1
	parser, err := kong.New(&c, kong.Name("vgg"), kong.Writers(s.out, s.err),
		kong.Description("Networks of VGG's shape (Simonyan & Zisserman, ICLR 2015) on the CPU. Each command has its own --help."),
		kong.Exit(func(code int) { status = code }), // after --help
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		panic(err) // the struct above is wrong
	}
	parsed, err := parser.Parse(spelled(args))
	if status >= 0 {
		return status, ""
	}
	if err == nil {
		err = checkFlags(parsed)
	}
	if err != nil {
		return usageStatus, usageError(err, parsed)
	}
	if err = cpu.Err(); err == nil {
		err = parsed.Run(parser)
	}
	if err != nil {
		return failure(ctx, err)
	}
	return 0, ""
}

// failure returns the exit status and the message of a command that failed or was stopped.
func failure(ctx context.Context, err error) (status int, message string) {
	status, message = 1, sentence(err)
	var stop stopError
	if errors.As(context.Cause(ctx), &stop) && errors.Is(err, context.Canceled) {
		status, message = stop.status, stop.Error()
	}
	var training *train.Stopped
	if errors.As(err, &training) {
		if status != 1 {
			message += fmt.Sprintf(": the checkpoint %s was written and holds %s", training.Checkpoint, training.Holds)
		}
		return status, stopMessage(message, resumeLine(ctx))
	}
	if status != 1 {
		message = stopMessage(message, howToGoOn(ctx))
	}
	return status, message
}
