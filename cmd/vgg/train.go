package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/train"
)

type trainCmd struct {
	networkFlags  `embed:""`
	photoFlags    `embed:""`
	trainFiles    `embed:""`
	trainRule     `embed:""`
	trainStart    `embed:""`
	trainPictures `embed:""`
	Seed          uint64 `default:"1" help:"Seed of everything random."`
	Threads       int    `min:"0" max:"65536" help:"Threads; all cores if not given."`
	JSON          bool   `help:"Print one JSON object for each epoch."`
}

// trainFiles says which pictures a training takes, and what it writes.
type trainFiles struct {
	Data       string        `required:"" placeholder:"PATH" help:"Directory with one directory of pictures for each class, a tar file of one, or a text file whose lines are a picture's path, a tab or spaces, and its class."`
	Val        string        `placeholder:"PATH" help:"Pictures to validate with; without it, a part of --data."`
	Validation float64       `default:"0.1" min:"0" max:"0.999" help:"Fraction of --data for validation, without --val."`
	Out        string        `short:"o" required:"" placeholder:"FILE" help:"File of weights to write at the end."`
	Half       bool          `help:"Write them in half precision."`
	Checkpoint string        `placeholder:"FILE" help:"File that is replaced after each epoch; OUT.checkpoint if not given."`
	Save       time.Duration `default:"10m" min:"0" help:"Time between two checkpoints within an epoch."`
	Resume     bool          `help:"Continue from the checkpoint, if there is one."`
	Overwrite  bool          `help:"Begin anew although there is a checkpoint, and replace it."`
	Log        string        `placeholder:"FILE" help:"Append a line for each epoch to this file: a JSON object, or a row of a table if its name ends in .csv."`
	Curve      string        `placeholder:"FILE" help:"Draw loss and accuracy: .svg, .png or .pdf."`
}

// trainRule says how weights change.
type trainRule struct {
	Epochs   int     `default:"74" min:"1" max:"1000000000" help:"Epochs at most."`
	Batch    int     `default:"256" min:"1" max:"1048576" help:"Pictures of a step."`
	Micro    int     `min:"0" max:"1048576" help:"Pictures that are computed together, a divisor of --batch."`
	Rate     float64 `default:"0.01" min:"1e-30" max:"1e30" help:"Learning rate at the beginning."`
	Schedule string  `default:"plateau" enum:"plateau,step,cosine,constant" help:"Schedule of the rate: plateau, step, cosine or constant."`
	Factor   float64 `default:"10" min:"1.000001" max:"1e30" help:"Divisor of the rate in plateau and step."`
	Patience int     `default:"3" min:"0" help:"Epochs in a row without a better validation error before plateau divides the rate."`
	Every    int     `default:"30" min:"1" help:"Epochs between two divisions of step."`
	Warmup   float64 `min:"0" max:"1e9" help:"Epochs over which the rate rises from 0."`
	Momentum float64 `default:"0.9" min:"0" max:"0.999999" help:"Momentum."`
	Decay    float64 `default:"0.0005" min:"0" max:"1e30" help:"Weight decay."`
	Dropout  float64 `default:"0.5" min:"0" max:"0.999999" help:"Fraction of the outputs of fully connected layers that a step drops."`
}

// trainStart says which weights a training begins with, and which it keeps.
type trainStart struct {
	Init       string `default:"he" enum:"paper,glorot,he" help:"Initial weights: paper, glorot or he."`
	Start      string `placeholder:"FILE" help:"Weights to begin with, as far as names and shapes agree."`
	StartConvs int    `default:"4" min:"-1" help:"Of its convolutions take the first of this number, as the paper does; -1 for all."`
	Fresh      bool   `name:"fresh-classifier" help:"Begin the layer that gives the classes anew, even if --start has one for as many classes."`
	Freeze     string `placeholder:"LAYER" help:"Keep the weights of this layer and of all before it."`
	Cache      int64  `default:"2048" min:"0" max:"1e9" placeholder:"MIB" help:"Memory for activations of frozen convolutions, MiB: if nothing is random about the pictures, they are computed once. 0 for none."`
}

// trainPictures says how pictures are prepared and varied.
type trainPictures struct {
	ScaleMin int     `min:"0" max:"32768" help:"Least shorter side of training pictures (the paper's 256); 0 for no change of scale."`
	ScaleMax int     `min:"0" max:"32768" help:"Largest shorter side of training pictures (256, 384 or 512)."`
	Pad      int     `min:"0" max:"32768" help:"Move small pictures by up to this many pixels."`
	Flip     bool    `help:"Mirror one half of the pictures; --scale-min and --pad imply it."`
	Cutout   int     `min:"0" max:"32768" help:"Side of a square that is painted over at a random place, pixels."`
	Colour   float64 `min:"0" max:"1000" help:"Deviation of the shift of colours along their principal components (the paper's 0.1)."`
	Preset   string  `default:"torch" help:"Preparation of pictures: torch, caffe, unit or none."`
	Side     int     `min:"0" max:"32768" help:"Shorter side of a picture before the centre crop of the validation; 8/7 of the size if not given."`
}

func (c *trainCmd) Run(ctx context.Context, s streams) error {
	if c.Checkpoint == "" {
		c.Checkpoint = c.Out + ".checkpoint"
	}
	if err := c.checkFiles(); err != nil {
		return err
	}
	d, err := train.Open(c.Data, c.pictureOptions()...)
	if err != nil {
		return err
	}
	defer d.Close()
	run, err := c.recipe(d)
	if err != nil {
		return err
	}
	if c.Val != "" {
		if run.Validate, err = train.Open(c.Val, c.pictureOptions()...); err != nil {
			return err
		}
		defer run.Validate.Close()
	}
	log := &trainLog{path: c.Log}
	defer log.close()
	release := c.observe(ctx, s, &run, log)
	t, history, err := train.Train(ctx, run)
	release()
	if err != nil {
		return explainTraining(err)
	}
	// The weights first: an error of the picture must not lose them.
	if err := vgg.Save(c.Out, run.Config, t.Source(), c.Half, vgg.Labels(d.Classes), vgg.Pictures(run.Picture)); err != nil {
		return err
	}
	if c.Curve == "" {
		return nil
	}
	if err := drawCurve(c.Curve, history); err != nil {
		return fmt.Errorf("%s holds the weights, but the curve was not drawn: %w", c.Out, err)
	}
	return nil
}

// checkFiles returns an error now for what would fail after the training.
func (c *trainCmd) checkFiles() error {
	if c.Resume && c.Overwrite {
		return errors.New("--resume and --overwrite exclude each other")
	}
	if err := checkPicture("--curve", c.Curve); err != nil {
		return err
	}
	return checkOutputs([]string{c.Data, c.Val, c.Start}, output{"--out", c.Out}, output{"--checkpoint", c.Checkpoint}, output{"--log", c.Log}, output{"--curve", c.Curve})
}

// observe reports the progress of a run. From the first step until release is called the run
// has something to save, so a signal lets it do that.
func (c *trainCmd) observe(ctx context.Context, s streams, run *train.Run, log *trainLog) (release func()) {
	if c.Resume {
		c.sayHowToGoOn(ctx)
	}
	letGo := func() {}
	run.OnBegin = func(history []train.Epoch) error {
		letGo = hold(ctx)
		return log.open(history)
	}
	shown := time.Now()
	run.OnProgress = func(p train.Progress) {
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			fmt.Fprintf(s.err, "epoch %d of %d, step %d of %d: loss %.4f, accuracy %.3f, %.0f pictures/s, %v left\n",
				p.Epoch, p.Epochs, p.Step, p.Steps, p.Loss, p.Accuracy, p.PerSecond, p.Remaining.Round(time.Second))
		}
	}
	run.OnNote = func(note string) { fmt.Fprintln(s.err, "vgg:", note) }
	run.OnEpoch = func(e train.Epoch) error {
		c.sayHowToGoOn(ctx)
		if warning := train.Stuck(e, len(run.Data.Classes)); warning != "" {
			fmt.Fprintln(s.err, "vgg:", warning)
		}
		if err := log.append(e); err != nil {
			return err
		}
		if c.JSON {
			return s.printJSON(e)
		}
		_, err := fmt.Fprintf(s.out, "epoch %d: loss %.4f, accuracy %.4f; validation loss %.4f, accuracy %.4f; %.0f s\n",
			e.Epoch, e.Loss, e.Accuracy, e.ValLoss, e.Validation, e.Seconds)
		return err
	}
	return func() { letGo() }
}

// sayHowToGoOn sets the command line that continues the run, if there is a checkpoint.
func (c *trainCmd) sayHowToGoOn(ctx context.Context) {
	if info, err := os.Stat(c.Checkpoint); err == nil && info.Mode().IsRegular() {
		sayHowToGoOn(ctx, resumeLine(ctx))
	}
}

// explainTraining adds to an error the flags that help.
func explainTraining(err error) error {
	var exists *train.ExistsError
	switch {
	case errors.As(err, &exists) && exists.Holds != "":
		return fmt.Errorf("%w: --resume goes on with it, --overwrite begins anew and replaces it", err)
	case errors.As(err, &exists):
		return fmt.Errorf("%w: --overwrite replaces it, --checkpoint names another file", err)
	}
	return err
}

func (c *trainCmd) recipe(d *train.Dataset) (train.Run, error) {
	if !c.given() {
		c.Config = "A"
	}
	if c.Classes == 0 {
		c.Classes = len(d.Classes)
	}
	cfg, err := c.network()
	if err != nil {
		return train.Run{}, err
	}
	pic := cfg.DefaultPicture()
	if pic.Preset, err = picture.ParsePreset(c.Preset); err != nil {
		return train.Run{}, err
	}
	if c.Side != 0 {
		pic.Side = c.Side
	}
	return train.Run{
		Recipe: train.Recipe{
			Config: cfg, Picture: pic, Init: vgg.Init(c.Init), Start: c.Start, StartConvs: c.StartConvs, FreshClassifier: c.Fresh, Freeze: c.Freeze,
			Epochs: c.Epochs, Batch: c.Batch, Micro: c.Micro, Momentum: c.Momentum, Decay: c.Decay, Dropout: c.Dropout,
			Schedule:   train.Schedule{Kind: c.Schedule, Rate: c.Rate, Factor: c.Factor, Patience: c.Patience, Drops: 3, Every: c.Every, Warmup: c.Warmup},
			Augment:    train.Augment{Min: c.ScaleMin, Max: c.ScaleMax, Pad: c.Pad, Flip: c.Flip, Cutout: c.Cutout, Colour: c.Colour},
			Validation: c.Validation, Seed: c.Seed,
		},
		Data: d, Workers: c.Threads, Checkpoint: c.Checkpoint, Save: c.Save, Resume: c.Resume, Overwrite: c.Overwrite, Cache: c.Cache << 20,
	}, nil
}
