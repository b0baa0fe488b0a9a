package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/extract"
)

type mergeCmd struct {
	evalReport `embed:""`
	Shards     []string `arg:"" placeholder:"PATH" help:"The --out files of all shards of an evaluation, in any order; or the --out directory of extract."`
	Out        string   `placeholder:"FILE" help:"Write what each picture came to, as eval --out does for all; for extract, the list of all pictures with the files and rows that hold them, as JSON lines."`
}

// Help is the last part of --help.
func (*mergeCmd) Help() string {
	return `The result of an evaluation, and the file --out, are the bits of one run on all the pictures. Shards of different
networks, data, instruction sets or versions are refused, and those that are missing are named. The files of extract
stay as they are: they are read once and compared with what their manifests say of them.`
}

func (c *mergeCmd) Run(ctx context.Context, s streams) error {
	if err := checkOutputs(c.Shards, output{"--report", c.Report}, output{"--out", c.Out}); err != nil {
		return err
	}
	directories := 0
	for _, path := range c.Shards {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			directories++
		}
	}
	switch {
	case directories == 0:
		m, err := evaluate.Merge(ctx, c.Shards, c.Out)
		if err != nil {
			return err
		}
		return c.report(s, evalResult{m.Info.Protocol, m.Info.Networks, m.Result})
	case len(c.Shards) > 1:
		return errors.New("want the files of an evaluation's shards, or one directory of extract")
	case c.Report != "":
		return errors.New("--report is for evaluations")
	}
	return c.verify(ctx, s, c.Shards[0])
}

// verify checks the shards of extract.
func (c *mergeCmd) verify(ctx context.Context, s streams, dir string) (err error) {
	var v *extract.Verified
	if c.Out == "" {
		v, err = extract.Verify(ctx, dir, nil)
	} else {
		err = outfile.Write(c.Out, func(w io.Writer) (err error) {
			var b []byte
			v, err = extract.Verify(ctx, dir, func(l extract.Listed) error {
				b = l.AppendJSON(b[:0])
				_, err := w.Write(b)
				return err
			})
			return err
		})
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = s.printJSON(v)
	} else {
		_, err = fmt.Fprintf(s.out, "%s: %d shards, %d pictures (%d failed), %d files as they were written\n", printable.Line(dir), v.Shards, v.Pictures, v.Failed, len(v.Files))
	}
	return errors.Join(err, checkUnreadable(v.Failed, v.Pictures, c.Unreadable))
}
