package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/train"
)

type evalCmd struct {
	modelFlags `embed:""`
	Data       string `required:"" placeholder:"PATH" help:"Directory with one directory of pictures for each class, or a tar file of one."`
	Batch      int    `default:"32" help:"Pictures at a time."`
	Threads    int    `help:"Threads; all cores if not given."`
	Verbose    bool   `help:"Print every picture's classes, with --json as one object a line."`
	JSON       bool   `help:"Print JSON; the last line is the result."`
}

func (c *evalCmd) Run(ctx context.Context, s streams) error {
	m, err := c.open(s)
	if err != nil {
		return err
	}
	d, err := train.Open(c.Data)
	if err != nil {
		return err
	}
	defer d.Close()
	start, shown, done := time.Now(), time.Now(), 0
	r, err := evaluate.Single(ctx, m, d, evaluate.Options{Batch: c.Batch, Workers: c.Threads, OnPicture: func(o evaluate.Outcome) error {
		done++
		if o.Err != "" {
			fmt.Fprintln(s.err, "vgg:", o.Err)
		}
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			rate := float64(done) / time.Since(start).Seconds()
			fmt.Fprintf(s.err, "%d of %d pictures, %.0f/s, %v left\n", done, len(d.Examples), rate, time.Duration(float64(len(d.Examples)-done)/rate*1e9).Round(time.Second))
		}
		switch {
		case c.Verbose && c.JSON:
			return s.printJSON(o)
		case c.Verbose && o.Err == "":
			fmt.Fprintf(s.out, "%s: %s %.3f\n", o.Path, o.Top[0].Label, o.Top[0].Probability)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	if c.JSON {
		r.Confusion = nil
		return s.printJSON(r)
	}
	fmt.Fprintf(s.out, "%d pictures (%d unreadable): top-1 error %.2f ± %.2f %%, top-5 error %.2f %%\n",
		r.N, r.Unreadable, 100*r.Top1Error, 100*r.Interval, 100*r.Top5Error)
	for class, row := range r.Confusion {
		total := 0
		for _, n := range row {
			total += n
		}
		if total > 0 && len(r.Confusion) <= 20 {
			fmt.Fprintf(s.out, "  %-12s %5d pictures, %.1f %% right\n", m.Label(class), total, 100*float64(row[class])/float64(total))
		}
	}
	return nil
}
