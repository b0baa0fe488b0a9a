package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/style"
)

type styleCmd struct {
	modelFlags  `embed:""`
	photoFlags  `embed:""`
	styleGoal   `embed:""`
	styleSearch `embed:""`
	styleFiles  `embed:""`
	Threads     int  `min:"0" max:"65536" help:"Threads; all cores if not given."`
	JSON        bool `help:"Print a JSON object for each iteration."`
}

// styleGoal says what the result is to be like.
type styleGoal struct {
	Content       string  `arg:"" help:"Picture whose content is wanted; '' for none, which makes a texture of the style."`
	Style         string  `arg:"" optional:"" help:"Picture whose style is wanted."`
	Longer        int     `default:"512" min:"16" max:"16384" help:"Longer side of the result, pixels; that of the content picture if it is shorter."`
	StyleLonger   int     `placeholder:"PIXELS" min:"0" max:"16384" help:"Longer side that the style picture is scaled to; that of the result if not given."`
	ContentLayers string  `placeholder:"LAYERS" default:"conv4_2:0.05" help:"Layers whose activations are those of the content picture, with weights."`
	StyleLayers   string  `placeholder:"LAYERS" default:"conv1_1,conv2_1,conv3_1,conv4_1,conv5_1" help:"Layers whose Gram matrices are those of the style picture; weights as in conv1_1:0.5,conv2_1, of which those that are not given share what is left of 1."`
	Invert        string  `placeholder:"LAYER" help:"Find a picture with the activation that this layer has for the content picture, beginning with noise; there is no style picture."`
	TV            float64 `name:"tv" default:"0.1" min:"0" max:"1e30" help:"Weight of the total variation."`
}

// styleSearch says how the result is found.
type styleSearch struct {
	Start      string  `placeholder:"PICTURE" enum:",content,style,noise" default:"" help:"Picture to begin with: content, style or noise. Content if there is one and --invert is not given, else noise."`
	Seed       uint64  `default:"1" help:"Seed of the noise."`
	Method     string  `default:"lbfgs" enum:"lbfgs,adam" help:"How pixels are changed: ${enum}."`
	Rate       float64 `default:"0.02" min:"1e-9" max:"1e9" help:"Rate of adam, for pixels from 0 to 1."`
	History    int     `default:"10" min:"1" max:"1000" help:"Steps that lbfgs remembers; each takes 72 bytes a pixel."`
	Iterations int     `default:"200" min:"1" max:"1000000000" help:"Iterations."`
}

// styleFiles says what is written, and when.
type styleFiles struct {
	Out        string        `short:"o" required:"" placeholder:"FILE" help:"Picture to write, .png or .jpg."`
	Preview    string        `placeholder:"FILE" help:"Picture that is replaced while the result is made, .png or .jpg."`
	Every      int           `default:"10" min:"1" help:"Iterations from one preview to the next."`
	Checkpoint string        `placeholder:"FILE" help:"File that is replaced now and then, to go on from; OUT.checkpoint if not given. It is removed when the result is written."`
	Save       time.Duration `default:"1m" min:"0" help:"Replace it this often."`
	Resume     bool          `help:"Go on from the checkpoint, if there is one."`
	Overwrite  bool          `help:"Begin anew although there is a checkpoint, and replace it."`
}

func (c *styleCmd) Run(ctx context.Context, s streams) error {
	if c.Checkpoint == "" {
		c.Checkpoint = c.Out + ".checkpoint"
	}
	recipe, err := c.recipe()
	if err == nil {
		err = c.checkFiles()
	}
	if err != nil {
		return err
	}
	lock, err := outfile.Acquire(c.Checkpoint)
	if err != nil {
		return err
	}
	defer lock.Release()
	t, err := c.plan(ctx, s, recipe)
	if err != nil {
		return err
	}
	if err := c.resume(t); err != nil {
		return err
	}
	if err := c.iterate(ctx, s, t); err != nil {
		return err
	}
	if err := writePicture(c.Out, t.Picture()); err != nil {
		return err
	}
	if err := os.Remove(c.Checkpoint); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is written: %w", c.Out, err)
	}
	return nil
}

// checkFiles refuses what would fail after the work.
func (c *styleCmd) checkFiles() error {
	if c.Resume && c.Overwrite {
		return errors.New("--resume and --overwrite exclude each other")
	}
	if err := checkPictureFile("--out", c.Out); err != nil {
		return err
	}
	if c.Preview != "" {
		if err := checkPictureFile("--preview", c.Preview); err != nil {
			return err
		}
	}
	return checkOutputs([]string{c.Content, c.Style, c.Weights, c.Labels}, output{"--out", c.Out}, output{"--preview", c.Preview}, output{"--checkpoint", c.Checkpoint})
}

// recipe makes one of the flags.
func (c *styleCmd) recipe() (style.Recipe, error) {
	r := style.Recipe{TotalVariation: c.TV, Start: style.Start(c.Start), Seed: c.Seed, Method: style.Method(c.Method), Rate: c.Rate, History: c.History}
	switch {
	case c.Invert != "" && c.Style != "":
		return r, errors.New("--invert takes one picture, whose content is wanted")
	case c.Invert == "" && c.Style == "":
		return r, errors.New("want two pictures: content and style; --invert LAYER takes one")
	case c.Content == "" && c.Invert != "":
		return r, errors.New("--invert takes the picture whose content is wanted")
	}
	var err error
	switch {
	case c.Invert != "":
		r.Content, err = style.ParseTerms(c.Invert)
	case c.Content != "":
		r.Content, err = style.ParseTerms(c.ContentLayers)
	}
	if err == nil && c.Style != "" {
		r.Style, err = style.ParseTerms(c.StyleLayers)
	}
	if r.Start == "" {
		r.Start = style.FromContent
		if c.Content == "" || c.Invert != "" {
			r.Start = style.FromNoise
		}
	}
	return r, err
}

// plan reads the pictures and opens the network.
func (c *styleCmd) plan(ctx context.Context, s streams, recipe style.Recipe) (*style.Transfer, error) {
	content, err := c.picture(ctx, c.Content, c.Longer)
	if err != nil {
		return nil, err
	}
	longer := c.StyleLonger
	if longer == 0 {
		longer = c.Longer
		if content != nil {
			longer = max(content.W, content.H)
		}
	}
	stylePicture, err := c.picture(ctx, c.Style, longer)
	if err != nil {
		return nil, err
	}
	m, err := c.open(s)
	if err != nil {
		return nil, err
	}
	var opts []vgg.SessionOption
	if c.Threads > 0 {
		opts = append(opts, vgg.Workers(c.Threads))
	}
	return style.New(ctx, m, recipe, content, stylePicture, opts...)
}

// picture reads one and scales it to a longer side, but does not enlarge it.
func (c *styleCmd) picture(ctx context.Context, path string, longer int) (*picture.RGB, error) {
	if path == "" {
		return nil, nil
	}
	img, err := c.read(ctx, path)
	if err != nil {
		return nil, err
	}
	p := picture.FromImage(img)
	side := max(p.W, p.H)
	if side <= longer {
		return p, nil
	}
	scaled := func(n int) int { return max(1, (n*longer+side/2)/side) }
	return picture.Resize(p, scaled(p.W), scaled(p.H)), nil
}

// resume goes on from the checkpoint if that is wanted, and refuses to replace one
// otherwise.
func (c *styleCmd) resume(t *style.Transfer) error {
	_, err := os.Stat(c.Checkpoint)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && c.Overwrite:
		return nil
	case err != nil:
		return err
	case !c.Resume:
		return fmt.Errorf("%s exists: --resume goes on with it, --overwrite begins anew and replaces it", c.Checkpoint)
	}
	return t.Restore(c.Checkpoint)
}

// iterate makes the picture. A signal saves it.
func (c *styleCmd) iterate(ctx context.Context, s streams, t *style.Transfer) error {
	release := hold(ctx)
	defer release()
	saved, shown := time.Now(), time.Now()
	for t.Progress().Iteration < c.Iterations {
		p, err := t.Step(ctx)
		if errors.Is(err, style.ErrStuck) {
			fmt.Fprintf(s.err, "vgg: iteration %d: no picture with a smaller loss is found\n", p.Iteration+1)
			return nil
		}
		if err != nil {
			return c.stopped(ctx, t, err)
		}
		if err := c.tell(s, p, &shown); err != nil {
			return err
		}
		if c.Preview != "" && p.Iteration%c.Every == 0 {
			if err := writePicture(c.Preview, t.Picture()); err != nil {
				return err
			}
		}
		if time.Since(saved) >= c.Save {
			if err := t.Save(c.Checkpoint); err != nil {
				return err
			}
			saved = time.Now()
			sayHowToGoOn(ctx, resumeLine(ctx))
		}
	}
	return nil
}

// tell prints the progress, for people not more than once in five seconds.
func (c *styleCmd) tell(s streams, p style.Progress, shown *time.Time) error {
	if c.JSON {
		return s.printJSON(p)
	}
	if last := p.Iteration == c.Iterations; last || p.Iteration == 1 || time.Since(*shown) > 5*time.Second {
		*shown = time.Now()
		var parts []string
		for _, part := range []struct {
			name string
			loss float64
		}{{"content", p.Content}, {"style", p.Style}, {"variation", p.TotalVariation}} {
			if part.loss > 0 {
				parts = append(parts, fmt.Sprintf("%s %.4g", part.name, part.loss))
			}
		}
		_, err := fmt.Fprintf(s.err, "iteration %d of %d: loss %.4g: %s\n", p.Iteration, c.Iterations, p.Loss, strings.Join(parts, ", "))
		return err
	}
	return nil
}

// stopped saves what a signal would lose.
func (c *styleCmd) stopped(ctx context.Context, t *style.Transfer, err error) error {
	if ctx.Err() == nil || t.Progress().Iteration == 0 {
		return err
	}
	if failed := t.Save(c.Checkpoint); failed != nil {
		return errors.Join(err, failed)
	}
	sayHowToGoOn(ctx, resumeLine(ctx))
	return err
}
