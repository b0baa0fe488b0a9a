package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/internal/printable"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/explain"
)

type explainCmd struct {
	modelFlags `embed:""`
	photoFlags `embed:""`
	Photo      string `arg:"" help:"Picture; - is the standard input."`
	Class      string `placeholder:"CLASS" help:"Class to explain: its number, label or WordNet id. Without it, the most probable one."`
	Method     string `default:"gradcam" enum:"gradcam,saliency,guided,occlusion" help:"${enum}: Grad-CAM, the gradient of the class's logit, guided backpropagation, or what a square that hides a part of the picture costs."`
	Output     string `short:"o" required:"" placeholder:"FILE" help:"Picture to write, .png or .jpg: the map over the photograph."`
	Layer      string `placeholder:"LAYER" help:"Layer of gradcam; the last convolution if not given."`
	Patch      int    `placeholder:"PIXELS" min:"0" help:"Side of occlusion's square, in pixels of the network's input; a seventh of it if not given."`
	Stride     int    `placeholder:"PIXELS" min:"0" help:"From one square to the next; a quarter of the side if not given."`
	Batch      int    `default:"32" min:"1" max:"1024" help:"Pictures that occlusion computes together."`
	JSON       bool   `help:"Print a JSON object."`
}

func (c *explainCmd) Run(ctx context.Context, s streams) error {
	if err := checkPictureFile("--output", c.Output); err != nil {
		return err
	}
	if err := checkOutputs([]string{c.Weights, c.Labels, c.Photo}, output{"--output", c.Output}); err != nil {
		return err
	}
	m, err := c.open(s)
	if err != nil {
		return err
	}
	class, err := findClass(m, c.Class)
	if err != nil {
		return err
	}
	e, err := explain.New(m, explain.Method(c.Method), c.options()...)
	if err != nil {
		return err
	}
	img, err := c.read(ctx, c.Photo)
	if err != nil {
		return err
	}
	r, err := c.explain(ctx, m, e, img, class)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Photo, err)
	}
	if c.JSON {
		return s.printJSON(map[string]any{"picture": c.Photo, "method": r.Method, "class": r.Class, "label": m.Label(r.Class), "probability": r.Probability, "output": c.Output})
	}
	_, err = fmt.Fprintf(s.out, "%s: %s of %s, %.1f %%\n", printable.Line(c.Output), r.Method, printable.Line(m.Label(r.Class)), 100*r.Probability)
	return err
}

// explain writes the picture.
func (c *explainCmd) explain(ctx context.Context, m *vgg.Model, e *explain.Explainer, img image.Image, class int) (*explain.Map, error) {
	h, w := m.Config().Input()
	input := make([]float32, 3*h*w)
	if err := m.Prepare(input, img); err != nil {
		return nil, err
	}
	r, err := e.Explain(ctx, input, class)
	if err != nil {
		return nil, err
	}
	frame, err := explain.Frame(m, img)
	if err != nil {
		return nil, err
	}
	return r, writePicture(c.Output, r.Draw(frame, m.Picture().Preset))
}

func (c *explainCmd) options() (opts []explain.Option) {
	if c.Layer != "" {
		opts = append(opts, explain.Layer(c.Layer))
	}
	if c.Patch != 0 || c.Stride != 0 {
		if c.Patch == 0 {
			c.Patch = 4 * c.Stride
		}
		if c.Stride == 0 {
			c.Stride = max(1, c.Patch/4)
		}
		opts = append(opts, explain.Patch(c.Patch, c.Stride))
	}
	return append(opts, explain.Batch(c.Batch))
}

// findClass returns the class of that number, label or WordNet id, and −1 for none.
func findClass(m *vgg.Model, name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	n := m.Config().Classes()
	if i, err := strconv.Atoi(name); err == nil {
		if i < 0 || i >= n {
			return 0, fmt.Errorf("--class %d: the network has the classes 0 to %d", i, n-1)
		}
		return i, nil
	}
	found := -1
	for i := range n {
		label := m.Label(i)
		id, rest, _ := strings.Cut(label, " ")
		if !strings.EqualFold(name, label) && name != id && !strings.EqualFold(name, rest) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("--class %s: %d and %d have this label: give the number", name, found, i)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("--class %s: no class has this label", name)
	}
	return found, nil
}

// checkPictureFile refuses names of pictures whose format is not clear.
func checkPictureFile(flag, path string) error {
	if _, err := pictureEncoder(path); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// pictureEncoder returns what writes a picture of the format that the name of its file
// says.
func pictureEncoder(path string) (func(io.Writer, image.Image) error, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png":
		return png.Encode, nil
	case ".jpg", ".jpeg":
		return func(w io.Writer, img image.Image) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 92}) }, nil
	}
	return nil, errors.New(path + ": want a name that ends in .png or .jpg")
}

// writePicture writes a picture in the format that the name of its file says.
func writePicture(path string, img image.Image) error {
	encode, err := pictureEncoder(path)
	if err != nil {
		return err
	}
	return outfile.Write(path, func(w io.Writer) error { return encode(w, img) })
}
