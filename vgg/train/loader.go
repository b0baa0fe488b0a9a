package train

import (
	"context"
	"image"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Augment says how training pictures differ from epoch to epoch.
type Augment struct {
	// Min and Max bound the shorter side to which a picture is scaled before a random crop.
	// With Max of 0 there is neither, but the network's own preparation.
	Min int `json:"scale_min,omitempty"`
	Max int `json:"scale_max,omitempty"`
	// Pad is the largest distance, in pixels, by which a prepared picture is moved, with
	// black around it. It is meant for small pictures, without Min and Max.
	Pad int `json:"pad,omitempty"`
	// Flip mirrors one half of the pictures. Min and Max, and Pad, imply it.
	Flip bool `json:"flip,omitempty"`
	// Colour is the standard deviation of the shift along the principal components of the
	// training pixels' colours; 0.1 in the paper.
	Colour float64 `json:"colour,omitempty"`
	// Cutout is the side, in pixels, of a square that is painted over.
	Cutout int `json:"cutout,omitempty"`
}

// Batch is the product of a loader: prepared pictures, or activations of them, and their
// classes.
type Batch struct {
	Input   []float32 // [n][3][size][size], or [n][C][H][W] of a layer
	Targets []int
	err     error
}

// loader prepares batches ahead of their use, on several goroutines, in order.
type loader struct {
	data    *Dataset
	cfg     vgg.Config
	pic     vgg.Picture
	augment *Augment // nil: the network's preparation, as in a test
	colours *picture.ColourPCA
	seed    uint64
	epoch   int
	order   []int // of the examples
	batch   int

	features []float32 // of all examples, if they take the pictures' place
}

// size returns the floats of one picture.
func (l *loader) size() int {
	if l.features != nil {
		return len(l.features) / len(l.data.Examples)
	}
	h, w := l.cfg.Input()
	return 3 * h * w
}

// count returns the number of batches of all examples.
func (l *loader) count() int { return (len(l.order) + l.batch - 1) / l.batch }

// batches deliver count batches of the epoch from the first on, until ctx ends. The caller
// returns each after use.
func (l *loader) batches(ctx context.Context, first, count int) (next func() *Batch, giveBack func(*Batch)) {
	workers := runtime.GOMAXPROCS(0)
	ahead := workers + 2
	ready := make([]chan *Batch, ahead)
	free := make(chan *Batch, ahead)
	for i := range ready {
		ready[i] = make(chan *Batch, 1)
		free <- &Batch{Input: make([]float32, l.batch*l.size()), Targets: make([]int, l.batch)}
	}
	var mu sync.Mutex
	issued := first
	// A worker takes the number and the memory of a batch together. So the next batch in
	// order always has memory.
	take := func() (int, *Batch) {
		mu.Lock()
		defer mu.Unlock()
		if issued >= first+count {
			return -1, nil
		}
		select {
		case b := <-free:
			issued++
			return issued - 1, b
		case <-ctx.Done():
			return -1, nil
		}
	}
	for range workers {
		go func() {
			w := newPreparer(l)
			for {
				i, b := take()
				if b == nil {
					return
				}
				w.fill(b, i)
				ready[i%ahead] <- b // at most ahead batches are out: there is room
			}
		}()
	}
	at := first
	next = func() *Batch {
		at++
		select {
		case b := <-ready[(at-1)%ahead]:
			return b
		case <-ctx.Done():
			return &Batch{err: ctx.Err()}
		}
	}
	return next, func(b *Batch) { free <- b }
}

// preparer is one goroutine's scratch.
type preparer struct {
	l         *loader
	transform picture.Transform
	resizer   picture.Resizer
	rgb, crop picture.RGB
}

func newPreparer(l *loader) *preparer {
	return &preparer{l: l, transform: picture.Transform{Side: l.pic.Side, Size: l.cfg.Size, Width: l.cfg.Width, Preset: l.pic.Preset}}
}

// fill prepares batch i.
func (p *preparer) fill(b *Batch, i int) {
	l := p.l
	n := l.size()
	b.err = nil
	b.Targets = b.Targets[:0]
	for j := i * l.batch; j < min((i+1)*l.batch, len(l.order)); j++ {
		example := l.order[j]
		if err := p.input(b.Input[(j-i*l.batch)*n:][:n], example); err != nil {
			b.err = pictureError{err, l.data, example}
			return
		}
		b.Targets = append(b.Targets, l.data.Examples[example].Class)
	}
}

// input writes what the network takes of one example.
func (p *preparer) input(dst []float32, example int) error {
	if f := p.l.features; f != nil {
		copy(dst, f[example*len(dst):])
		return nil
	}
	img, err := p.l.data.Picture(example)
	if err != nil {
		return err
	}
	return p.prepare(dst, img, example)
}

// prepare writes one picture. What is random depends on the seed, the epoch and
// the number of the example.
func (p *preparer) prepare(dst []float32, img image.Image, example int) error {
	l, a := p.l, p.l.augment
	if a == nil {
		return p.transform.Apply(dst, img)
	}
	stream := seeded.NewStream(l.seed, uint64(l.epoch)<<32|uint64(example))
	rng := rand.New(&stream)
	if img.Bounds().Empty() {
		return p.transform.Apply(dst, img) // which says so
	}
	p.rgb.SetImage(img)
	switch {
	case a.Max > 0:
		view := picture.Jitter{Min: a.Min, Max: a.Max, Size: l.cfg.Size}.Sample(rng, p.rgb.W, p.rgb.H)
		p.resizer.View(&p.crop, &p.rgb, view)
	case a.Pad > 0:
		if err := p.centre(); err != nil {
			return err
		}
		x, y, flip := picture.SamplePadCrop(rng, a.Pad)
		picture.PadCrop(&p.rgb, &p.crop, a.Pad, x, y, picture.Zero, flip)
		p.rgb, p.crop = p.crop, p.rgb
	default:
		if err := p.centre(); err != nil {
			return err
		}
		if a.Flip && rng.Uint64()>>63 == 1 {
			picture.FlipHorizontal(&p.crop)
		}
	}
	if a.Cutout > 0 {
		picture.Cutout(&p.crop, rng.IntN(p.crop.W), rng.IntN(p.crop.H), a.Cutout, [3]uint8{128, 128, 128})
	}
	var shift [3]float32
	if a.Colour > 0 && l.colours != nil {
		shift = l.colours.Sample(rng, a.Colour)
	}
	l.pic.Preset.TensorShift(dst, &p.crop, shift)
	return nil
}

// centre sets crop to the network's own view of rgb.
func (p *preparer) centre() error {
	h, w := p.l.cfg.Input()
	return p.resizer.CoverCrop(&p.crop, &p.rgb, p.l.pic.Side, w, h)
}

// shuffled returns 0 … n−1 in the order of an epoch.
func shuffled(n int, seed uint64, epoch int) []int {
	stream := seeded.NewStream(seed, uint64(epoch)<<32|0xffffffff)
	return rand.New(&stream).Perm(n)
}
