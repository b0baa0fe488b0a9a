package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
)

type evalCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	evalReport `embed:""`
	Data       string       `required:"" placeholder:"PATH" help:"Directory with one directory of pictures for each class, a tar file of one, or a text file whose lines are a picture's path, a tab or spaces, and its class."`
	Protocol   string       `default:"center" placeholder:"NAME" help:"What the network sees of a picture: center, single, multi-scale, dense, multi-crop, multi-crop+dense. See above."`
	TrainScale string       `placeholder:"S" help:"Shorter side of the network's training pictures: 256, or a range such as 256-512. Without it, the side of the network's preparation (--side)."`
	Scales     []int        `placeholder:"Q" min:"1" help:"Shorter sides to test at, with commas, in place of those that follow from --train-scale."`
	Fuse       []string     `placeholder:"FILE[@S]" help:"Weights of a further network, and its --train-scale: the result is the mean of all. The file gives the network and the preparation of its pictures: see convert. May be repeated."`
	ClassNames string       `placeholder:"FILE" help:"Names of the data's classes, one a line, for lists whose classes are numbers from 0."`
	ByIndex    bool         `help:"The data's classes are numbers of the network's classes; its labels do not count."`
	Out        string       `placeholder:"FILE" help:"Write the outcome of each picture during the evaluation: JSON lines, or CSV if the name ends with .csv."`
	Resume     bool         `help:"Continue an interrupted evaluation from its --out file."`
	Shard      *shard.Shard `placeholder:"I/N" help:"Evaluate part I, from 0, of N parts of the pictures, each of which is a process of its own, on any machine. It writes --out and continues it after a kill; merge joins all."`
	Batch      int          `default:"32" min:"1" help:"Crops at a time. Results do not depend on it."`
	Threads    int          `min:"0" help:"Threads; all cores if 0 or not given."`
	Verbose    bool         `help:"Print every picture's classes, with --json as one object a line."`
}

// Help is the last part of --help.
func (*evalCmd) Help() string {
	var b strings.Builder
	b.WriteString(`Protocols, with Q the shorter side of the scaled picture and S that of training:

  center            the square in the middle, Q = S
  single            dense at Q = S, or (Smin+Smax)/2 for a range
  multi-scale       dense at S−32, S, S+32, or Smin, (Smin+Smax)/2, Smax
  dense             another name of multi-scale
  multi-crop        5×5 crops and their mirror images at these three scales
  multi-crop+dense  the mean of the two

Dense: the network slides over the whole picture and its mirror image. Classes are matched by WordNet id
(n01440764) or name; by number only for networks without labels, or with --by-index. These calls repeat the
rows of the tables of Simonyan & Zisserman on ILSVRC-2012's validation pictures (top-1 and top-5 error, %):
`)
	table := 0
	for _, r := range evaluate.PaperRows() {
		if r.Table != table {
			table = r.Table
			fmt.Fprintf(&b, "\ntable %d\n", table)
		}
		fmt.Fprintf(&b, "  %.1f %4.1f  %s\n", r.Top1, r.Top5, r.Command())
	}
	return b.String()
}

func (c *evalCmd) Run(ctx context.Context, s streams) error {
	inputs := []string{c.Data, c.Weights, c.Labels, c.ClassNames}
	for _, f := range c.Fuse {
		path, _ := cutScale(f)
		inputs = append(inputs, path)
	}
	if err := checkOutputs(inputs, output{"--report", c.Report}, output{"--out", c.Out}); err != nil {
		return err
	}
	members, err := c.members(s)
	if err != nil {
		return err
	}
	d, err := evaluate.Open(c.Data, c.pictureOptions()...)
	if err != nil {
		return err
	}
	defer d.Close()
	if c.ClassNames != "" {
		names, err := readLabels(c.ClassNames)
		if err != nil {
			return err
		}
		if err := d.NameClasses(names); err != nil {
			return err
		}
	}
	r, err := c.evaluate(ctx, s, d, members)
	if err != nil {
		return err
	}
	return c.report(s, evalResult{c.Protocol, units(members), r})
}

// evalReport says where a result goes.
type evalReport struct {
	Report     string  `placeholder:"FILE" help:"Write the result with each class's accuracy and the confusion table as JSON."`
	Unreadable float64 `name:"max-unreadable" placeholder:"PERCENT" default:"1" min:"0" max:"100" help:"Part of the pictures that may fail, in per cent. Above it the result is printed, and the status is 1."`
	JSON       bool    `help:"Print JSON; the last line is the result."`
}

func (c evalReport) report(s streams, r evalResult) error {
	if c.Report != "" {
		if err := writeJSON(c.Report, r); err != nil {
			return err
		}
	}
	return errors.Join(c.print(s, r), checkUnreadable(r.Unreadable, r.N+r.Unreadable, c.Unreadable))
}

// members opens the networks and finds their scales.
func (c *evalCmd) members(s streams) ([]evaluate.Member, error) {
	type file struct {
		flags modelFlags
		scale string
	}
	files := []file{{c.modelFlags, c.TrainScale}}
	for _, f := range c.Fuse {
		// The same algorithms and labels; everything else is the file's own.
		more := file{flags: modelFlags{Weights: f, Labels: c.Labels, computeFlags: c.computeFlags}}
		more.flags.Weights, more.scale = cutScale(f)
		files = append(files, more)
	}
	var members []evaluate.Member
	for _, f := range files {
		var t evaluate.Training
		var err error
		if f.scale != "" {
			if t, err = evaluate.ParseTraining(f.scale); err != nil {
				return nil, err
			}
		}
		m, err := f.flags.open(s)
		if err != nil {
			return nil, err
		}
		member, err := evaluate.NewMember(m, c.Protocol, t)
		if err != nil {
			return nil, err
		}
		if len(c.Scales) > 0 {
			member.Protocol.Scales = c.Scales
		}
		members = append(members, member)
	}
	return members, nil
}

// cutScale splits FILE@S.
func cutScale(fuse string) (path, scale string) {
	if at := strings.LastIndexByte(fuse, '@'); at >= 0 {
		return fuse[:at], fuse[at+1:]
	}
	return fuse, ""
}

// evaluate runs the evaluation and reports its progress.
func (c *evalCmd) evaluate(ctx context.Context, s streams, d *evaluate.Data, members []evaluate.Member) (r evaluate.Result, err error) {
	if c.Out == "" && (c.Resume || c.Shard != nil) {
		return r, errors.New("--resume and --shard need --out")
	}
	o := evaluate.Options{Batch: c.Batch, Workers: c.Threads, ByIndex: c.ByIndex, Part: c.Shard != nil, OnWarning: func(w *picture.Warning) {
		fmt.Fprintf(s.err, "vgg: %s: %v\n", c.Data, w)
	}}
	if c.Out == "" {
		o.OnPicture = c.onPicture(s, newProgress(s.err, d.N), nil)
		return evaluate.Run(ctx, d, members, o)
	}
	network, err := c.network(members)
	if err != nil {
		return r, err
	}
	run := network[:12]
	lock, err := outfile.Acquire(c.Out)
	if err != nil {
		return r, err
	}
	defer lock.Release()
	var info evaluate.ShardInfo
	if c.Shard != nil {
		info = evaluate.NewShardInfo(*c.Shard, d, members, network, run)
		if d, err = d.Shard(*c.Shard); err == nil {
			err = info.Begin(c.Out)
		}
		if err != nil {
			return r, err
		}
	}
	if r, err = c.logged(ctx, s, d, members, run, o); err == nil && c.Shard != nil {
		err = info.End(c.Out)
	}
	return r, err
}

// logged runs an evaluation that writes its log to c.Out.
func (c *evalCmd) logged(ctx context.Context, s streams, d *evaluate.Data, members []evaluate.Member, run string, o evaluate.Options) (r evaluate.Result, err error) {
	log, err := evaluate.OpenLog(c.Out, run, c.Resume || c.Shard != nil)
	if errors.Is(err, os.ErrExist) {
		err = fmt.Errorf("%w: give --resume to go on with it", err)
	}
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	sayHowToGoOn(ctx, resumeLine(ctx))
	var earlier atomic.Int64 // it counts them ahead of what is computed
	o.Done = func(yield func(evaluate.Outcome, error) bool) {
		for o, err := range log.Done() {
			earlier.Add(1)
			if !yield(o, err) {
				return
			}
		}
	}
	p := newProgress(s.err, d.N)
	each := c.onPicture(s, p, log)
	o.OnPicture = func(o evaluate.Outcome) error {
		p.earlier(int(earlier.Swap(0)))
		return each(o)
	}
	return evaluate.Run(ctx, d, members, o)
}

// onPicture returns the function that is called for every picture. log may be nil.
func (c *evalCmd) onPicture(s streams, p *progress, log *evaluate.Log) func(evaluate.Outcome) error {
	return func(o evaluate.Outcome) error {
		if o.Err != "" {
			fmt.Fprintln(s.err, "vgg:", printableLines(o.Err))
		}
		p.step()
		if log != nil {
			if err := log.Append(o); err != nil {
				return err
			}
		}
		switch {
		case c.Verbose && c.JSON:
			return s.printJSON(o)
		case c.Verbose && o.Err == "":
			fmt.Fprintf(s.out, "%s: %s %.3f\n", printable.Line(o.Path), printable.Line(o.Top[0].Label), o.Top[0].Probability)
		}
		return nil
	}
}

// network is a hash of everything that the results depend on, except the pictures. Its
// beginning is the name of the run in the log.
func (c *evalCmd) network(members []evaluate.Member) (string, error) {
	h := sha256.New()
	for i, m := range members {
		cfg := m.Model.Config()
		cfg.Name = "" // a name changes nothing
		fmt.Fprintln(h, cfg.LayerString(), cfg.Size, cfg.Pad, m.Model.Picture(), m.Protocol.Views, m.Protocol.Scales, m.Model.Labels())
		if cfg.Width != 0 || cfg.HWC {
			fmt.Fprintln(h, cfg.Width, cfg.HWC)
		}
		path := c.Weights
		if i > 0 {
			path, _ = cutScale(c.Fuse[i-1])
		}
		if err := fingerprint(h, path); err != nil {
			return "", err
		}
	}
	fmt.Fprintln(h, c.Algorithm, c.HalfFC, c.ByIndex)
	fmt.Fprint(h, c.fixedPoint()...)
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// fingerprint writes the content of a file of weights, or nothing if there is no file.
func fingerprint(w io.Writer, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// evalResult is the last output of --json, and that of --report.
type evalResult struct {
	Protocol string   `json:"protocol"`
	Networks []string `json:"networks"` // as the paper writes them: D/[256;512]/256,384,512
	evaluate.Result
}

func units(members []evaluate.Member) []string {
	var list []string
	for _, m := range members {
		list = append(list, m.String())
	}
	return list
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return outfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

func (c evalReport) print(s streams, e evalResult) error {
	r := e.Result
	if r.Unknown > 0 {
		fmt.Fprintf(s.err, "vgg: %d pictures are of classes that the network does not have: they count as errors\n", r.Unknown)
	}
	if c.JSON {
		e.Confusion, e.Classes = nil, nil
		return s.printJSON(e)
	}
	fmt.Fprintf(s.out, "%d pictures (%d unreadable), %s, %s\n", r.N, r.Unreadable, e.Protocol, strings.Join(e.Networks, " + "))
	var paper [2]string
	if r.Paper != nil {
		paper = [2]string{fmt.Sprintf("; the paper's table %d: %.1f %%", r.Paper.Table, r.Paper.Top1), fmt.Sprintf("; the paper: %.1f %%", r.Paper.Top5)}
	}
	for i, e := range []struct {
		name     string
		value    float64
		interval [2]float64
	}{{"top-1", r.Top1Error, r.Top1Interval}, {"top-5", r.Top5Error, r.Top5Interval}} {
		fmt.Fprintf(s.out, "%s error %.2f %% (%.2f to %.2f with 95 %% confidence)%s\n", e.name, 100*e.value, 100*e.interval[0], 100*e.interval[1], paper[i])
	}
	printClasses(s.out, r)
	return nil
}

// printClasses prints each class's accuracy if there are few classes, and the most frequent
// confusions.
func printClasses(w io.Writer, r evaluate.Result) {
	if len(r.Classes) <= 20 {
		for _, c := range r.Classes {
			if c.N > 0 {
				fmt.Fprintf(w, "  %-12s %5d pictures, %.1f %% right (%.1f to %.1f)\n", printable.Line(c.Label), c.N, 100*c.Accuracy, 100*c.Interval[0], 100*c.Interval[1])
			}
		}
	}
	type mistake struct{ n, class, prediction int }
	var list []mistake
	for class, row := range r.Confusion {
		for prediction, n := range row {
			if n > 0 && class != prediction {
				list = append(list, mistake{n, class, prediction})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b mistake) int { return cmp.Compare(b.n, a.n) })
	for _, m := range list[:min(len(list), 10)] {
		fmt.Fprintf(w, "  %5d × %s taken for %s\n", m.n, printable.Line(r.Classes[m.class].Label), printable.Line(r.Classes[m.prediction].Label))
	}
}
