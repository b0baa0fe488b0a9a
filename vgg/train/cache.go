package train

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nonet-go/nonet/vgg"
)

// cachedLayer returns the layer whose activations never change in a run: the last one before
// the fully connected ones, if it is frozen. why says why they cannot be kept, if so.
func (r *Run) cachedLayer() (layer, why string) {
	frozen := slices.IndexFunc(r.Config.Layers, func(l vgg.Layer) bool { return l.Name == r.Freeze })
	last := slices.IndexFunc(r.Config.Layers, func(l vgg.Layer) bool { return l.Kind == vgg.FC }) - 1
	if last < 0 || frozen < last {
		return "", ""
	}
	a := r.Augment
	for _, random := range []struct {
		on   bool
		what string
	}{{a.Max > 0, "cut out"}, {a.Pad > 0, "moved"}, {a.Flip, "mirrored"}, {a.Cutout > 0, "painted over"}, {a.Colour > 0, "coloured"}} {
		if random.on {
			return r.Config.Layers[last].Name, "pictures are " + random.what + " at random"
		}
	}
	return r.Config.Layers[last].Name, ""
}

// planCache decides whether activations are computed once, and tells the user. It returns
// the layer, or nothing.
func (r *trainer) planCache() (string, error) {
	layer, why := r.cachedLayer()
	if layer == "" || r.Cache <= 0 {
		return "", nil
	}
	if why == "" {
		cfg, err := r.Config.Until(layer)
		if err != nil {
			return "", err
		}
		shapes, err := cfg.Shapes(cfg.Input())
		if err != nil {
			return "", err
		}
		r.features = shapes[len(shapes)-1].Len()
		n := len(r.train.Examples) + len(r.val.Examples)
		need := 4 * int64(n) * int64(r.features)
		if need <= r.Cache {
			r.note("%s and all before it are frozen, and nothing is random before: its activations of %d pictures, %d MiB, are computed once", layer, n, (need+1<<20-1)>>20)
			return layer, nil
		}
		why = fmt.Sprintf("those of %d pictures take %d MiB, more than the %d MiB for them", n, (need+1<<20-1)>>20, r.Cache>>20)
	}
	r.note("%s and all before it are frozen, but its activations are computed anew in each epoch: %s", layer, why)
	return "", nil
}

func (r *trainer) note(format string, args ...any) {
	if r.OnNote != nil {
		r.OnNote(fmt.Sprintf(format, args...))
	}
}

// fillCache computes the activations of all pictures: the same bits as those of the Trainer.
func (r *trainer) fillCache(ctx context.Context, layer string) error {
	cfg, err := r.Config.Until(layer)
	if err != nil {
		return err
	}
	m, err := vgg.New(cfg, r.t.Source())
	if err != nil {
		return err
	}
	opts := []vgg.SessionOption{vgg.Batch(r.Micro)}
	if r.Workers > 0 {
		opts = append(opts, vgg.Workers(r.Workers))
	}
	s, err := m.NewSession(opts...)
	if err != nil {
		return err
	}
	if r.trainFeatures, err = r.compute(ctx, s.Run, r.train, &r.Augment); err != nil {
		return err
	}
	r.valFeatures, err = r.compute(ctx, s.Run, r.val, nil)
	return err
}

// compute returns the activations of a data set's pictures, which run computes of a batch.
func (r *trainer) compute(ctx context.Context, run func(ctx context.Context, dst, src []float32) error, d *Dataset, augment *Augment) ([]float32, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, size := len(d.Examples), r.features
	l := &loader{data: d, cfg: r.Config, pic: r.Picture, augment: augment, order: inOrder(n), batch: r.Micro}
	next, giveBack := l.batches(ctx, 0, l.count())
	all, dst, told := make([]float32, n*size), make([]float32, r.Micro*size), time.Now()
	for i := range l.count() {
		b := next()
		if b.err != nil {
			return nil, b.err
		}
		if err := run(ctx, dst, b.Input); err != nil {
			return nil, err
		}
		copy(all[i*r.Micro*size:], dst)
		giveBack(b)
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			r.note("activations of %d of %d pictures of %s", min((i+1)*r.Micro, n), n, d.Name)
		}
	}
	return all, nil
}

// inOrder returns 0 … n−1.
func inOrder(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}
