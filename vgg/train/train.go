package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
)

// Recipe says how a network is trained.
type Recipe struct {
	Config     vgg.Config
	Picture    vgg.Picture
	Init       vgg.Init // of weights that Start does not give
	Start      string   // a file of weights to begin with, as far as names and shapes agree
	StartConvs int      // of Start's convolutions take the first of this number, or all if negative
	Freeze     string   // this layer and all before it keep their weights
	Epochs     int
	Batch      int // pictures of a step
	Micro      int // pictures that are computed together; a divisor of Batch, 0 for all
	Momentum   float64
	Decay      float64
	Dropout    float64
	Schedule   Schedule
	Augment    Augment
	Validation float64 // fraction of the data that is set apart if no other data validate
	Seed       uint64
}

// Epoch is what an epoch came to.
type Epoch struct {
	Epoch      int     `json:"epoch"` // from 1
	Rate       float64 `json:"rate"`  // of its last step
	Loss       float64 `json:"loss"`  // mean over the training pictures as they were seen
	Accuracy   float64 `json:"accuracy"`
	Validation float64 `json:"validation_accuracy"`
	ValLoss    float64 `json:"validation_loss"`
	Seconds    float64 `json:"seconds"` // since the beginning of training
	PerSecond  float64 `json:"pictures_per_second"`
}

// Progress is where a run stands.
type Progress struct {
	Epoch, Epochs   int
	Step, Steps     int // of the epoch
	Loss, Accuracy  float64
	PerSecond       float64
	Remaining       time.Duration
	ValidationError float64 // best so far
}

// Run says what to train on and where to put what comes of it.
type Run struct {
	Recipe
	Data       *Dataset
	Validate   *Dataset // nil: a part of Data
	Workers    int      // 0: GOMAXPROCS
	Checkpoint string   // file that is replaced after each epoch, and every Save; empty for none
	Save       time.Duration
	Resume     bool // go on from Checkpoint if it exists
	// Cache is the memory, in bytes, for activations that never change: where all
	// layers before the fully connected ones are frozen and nothing is random about
	// the pictures, they are computed once, if they fit. The weights become the
	// same bits. 0 for none.
	Cache      int64
	OnEpoch    func(Epoch) error
	OnProgress func(Progress)
	OnNote     func(string) // what the user should know about the run
}

// trainer is a run under way.
type trainer struct {
	Run
	t       *vgg.Trainer
	state   *state
	train   *Dataset
	val     *Dataset
	colours *picture.ColourPCA
	begun   time.Time
	saved   time.Time

	cached                     string // layer whose activations are kept, if any
	features                   int    // of a picture
	trainFeatures, valFeatures []float32
}

// Train trains a network and returns the Trainer with the final weights and the
// history of its epochs. When ctx ends it writes a checkpoint of the last whole step
// and returns ctx's error. So it does for an unreadable picture, with an error that
// names it. What else ends a run leaves the last checkpoint as it is.
func Train(ctx context.Context, run Run) (*vgg.Trainer, []Epoch, error) {
	r := &trainer{Run: run}
	if err := r.prepare(); err != nil {
		return nil, nil, err
	}
	if r.cached != "" && !r.state.Done {
		if err := r.fillCache(ctx, r.cached); err != nil {
			return r.t, r.state.History, err
		}
	}
	for !r.state.Done {
		if err := r.epoch(ctx); err != nil {
			if ctx.Err() != nil || errors.As(err, new(pictureError)) {
				err = errors.Join(err, r.save())
			}
			return r.t, r.state.History, err
		}
	}
	return r.t, r.state.History, nil
}

// pictureError is about a picture, and not about the network.
type pictureError struct{ error }

func (e pictureError) Unwrap() error { return e.error }

func (r *trainer) prepare() error {
	if r.Micro == 0 {
		r.Micro = r.Batch
	}
	if err := r.Schedule.validate(); err != nil {
		return err
	}
	a := r.Augment
	switch {
	case r.Epochs < 1 || r.Batch < 1 || r.Micro < 1 || r.Batch%r.Micro != 0:
		return fmt.Errorf("train: %d epochs of batches of %d in parts of %d: want positive numbers, the parts of one size", r.Epochs, r.Batch, r.Micro)
	case r.Config.Classes() != len(r.Data.Classes):
		return fmt.Errorf("train: the network has %d classes, %s has %d: %w", r.Config.Classes(), r.Data.Name, len(r.Data.Classes), vgg.ErrShape)
	case a.Max > 0 && (a.Min < r.Config.Size || a.Max < a.Min), a.Pad < 0, a.Cutout < 0:
		return fmt.Errorf("train: augmentation %+v does not fit a network of %d×%d pictures: %w", a, r.Config.Size, r.Config.Size, vgg.ErrShape)
	}
	r.train, r.val = r.Data, r.Validate
	if r.val == nil {
		r.val, r.train = r.Data.Split(r.Validation)
	} else if !slices.Equal(r.val.Classes, r.Data.Classes) {
		return fmt.Errorf("train: %s and %s have different classes: %w", r.Data.Name, r.val.Name, ErrData)
	}
	if len(r.train.Examples) < r.Batch {
		return fmt.Errorf("train: %d pictures to train on fill no batch of %d: %w", len(r.train.Examples), r.Batch, ErrData)
	}
	src, err := vgg.Initial(r.Config, r.Init, r.Seed)
	if err == nil && r.Start != "" {
		src, err = vgg.StartFrom(r.Config, r.Start, r.StartConvs, src)
	}
	if err != nil {
		return err
	}
	if r.cached, err = r.planCache(); err != nil {
		return err
	}
	opts := []vgg.TrainerOption{vgg.Dropout(r.Dropout, r.Seed), vgg.Freeze(r.Freeze), vgg.Features(r.cached)}
	if r.Workers > 0 {
		opts = append(opts, vgg.TrainWorkers(r.Workers))
	}
	if r.t, err = vgg.NewTrainer(r.Config, src, r.Micro, opts...); err != nil {
		return err
	}
	return r.begin()
}

// begin makes the state of a new run, or reads that of an interrupted one.
func (r *trainer) begin() error {
	recipe, err := json.Marshal(r.Recipe)
	if err != nil {
		return err
	}
	r.sweep()
	r.state = &state{Recipe: recipe, Classes: r.Data.Classes, Plateau: plateau{Best: 2}}
	if r.Resume && r.Checkpoint != "" {
		s, err := load(r.Checkpoint, r.t)
		switch {
		case errors.Is(err, fs.ErrNotExist): // begin anew
		case err != nil:
			return err
		case !bytes.Equal(s.Recipe, recipe) || !slices.Equal(s.Classes, r.Data.Classes):
			return fmt.Errorf("train: %s was made by another recipe or for other classes, and cannot be resumed by this one", r.Checkpoint)
		default:
			r.state = s
		}
	}
	if r.Augment.Colour > 0 {
		if err := r.colour(); err != nil {
			return err
		}
	}
	r.begun = time.Now().Add(-time.Duration(r.state.Seconds * float64(time.Second)))
	r.saved = time.Now()
	return nil
}

// sweep removes what killed runs have left of checkpoints that they were writing.
func (r *trainer) sweep() {
	if r.Checkpoint == "" {
		return
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.Checkpoint), "."+filepath.Base(r.Checkpoint)+".????????????????.tmp"))
	for _, name := range left {
		_ = os.Remove(name) // it only takes room
	}
}

// colour computes the principal components of the training pixels' colours.
func (r *trainer) colour() error {
	var stats picture.ColourStats
	var rgb picture.RGB
	// Some ten thousand pictures give them to three digits.
	for i := 0; i < len(r.train.Examples); i += max(1, len(r.train.Examples)/10000) {
		img, err := r.train.Picture(i)
		if err != nil {
			return err
		}
		rgb.SetImage(img)
		stats.Add(&rgb)
	}
	pca := stats.PCA()
	r.colours = &pca
	return nil
}

func (r *trainer) save() error {
	r.state.Seconds = time.Since(r.begun).Seconds()
	r.state.Batches = r.t.Batches()
	r.saved = time.Now()
	if r.Checkpoint == "" {
		return nil
	}
	return r.state.save(r.Checkpoint, r.t, vgg.Labels(r.Data.Classes), vgg.Pictures(r.Picture))
}

// epoch trains what is left of the epoch that is under way, validates and saves.
func (r *trainer) epoch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := r.state
	l := &loader{data: r.train, cfg: r.Config, pic: r.Picture, augment: &r.Augment, colours: r.colours, seed: r.Seed,
		epoch: s.Epoch, order: shuffled(len(r.train.Examples), r.Seed, s.Epoch), batch: r.Micro, features: r.trainFeatures}
	steps, parts := len(r.train.Examples)/r.Batch, r.Batch/r.Micro
	next, giveBack := l.batches(ctx, s.Step*parts, (steps-s.Step)*parts)
	start, from := time.Now(), s.Seen
	for ; s.Step < steps; s.Step++ {
		rate := r.Schedule.rate(float64(s.Epoch)+float64(s.Step+1)/float64(steps), r.Epochs, s.Plateau)
		if err := r.step(ctx, parts, rate, next, giveBack); err != nil {
			return err
		}
		r.progress(steps, float64(s.Seen-from)/time.Since(start).Seconds())
		if r.Save > 0 && time.Since(r.saved) > r.Save {
			s.Step++
			err := r.save()
			s.Step--
			if err != nil {
				return err
			}
		}
	}
	return r.finish(ctx, float64(s.Seen-from)/time.Since(start).Seconds())
}

// step takes one step, of several parts. The state changes with a whole step alone:
// one that is broken off is taken again, with the same dropout.
func (r *trainer) step(ctx context.Context, parts int, rate float64, next func() *Batch, giveBack func(*Batch)) (err error) {
	s, batches := *r.state, r.t.Batches()
	defer func() {
		if err != nil {
			r.t.SetBatches(batches)
		}
	}()
	for range parts {
		b := next()
		if b.err != nil {
			return b.err
		}
		res, err := r.t.Gradients(ctx, b.Input, b.Targets)
		if err != nil {
			return err
		}
		if math.IsNaN(res.Loss) || math.IsInf(res.Loss, 0) {
			return fmt.Errorf("train: the loss is %v in step %d of epoch %d: the learning rate of %.3g is too high", res.Loss, s.Step+1, s.Epoch+1, rate)
		}
		s.Loss += res.Loss * float64(len(b.Targets))
		s.Correct += res.Correct
		s.Seen += len(b.Targets)
		giveBack(b)
	}
	r.t.Update(vgg.SGD{Rate: rate, Momentum: r.Momentum, Decay: r.Decay})
	*r.state = s
	return nil
}

// finish validates and closes an epoch.
func (r *trainer) finish(ctx context.Context, perSecond float64) error {
	s := r.state
	e := Epoch{Epoch: s.Epoch + 1, Rate: r.Schedule.rate(float64(s.Epoch+1), r.Epochs, s.Plateau), Loss: s.Loss / float64(s.Seen), Accuracy: float64(s.Correct) / float64(s.Seen), PerSecond: perSecond}
	var err error
	if len(r.val.Examples) > 0 {
		if e.ValLoss, e.Validation, err = r.validate(ctx); err != nil {
			return err
		}
	}
	e.Seconds = time.Since(r.begun).Seconds()
	s.Done = s.Plateau.after(r.Schedule, 1-e.Validation) || s.Epoch+1 >= r.Epochs
	s.History = append(s.History, e)
	s.Epoch, s.Step, s.Loss, s.Correct, s.Seen = s.Epoch+1, 0, 0, 0, 0
	if err := r.save(); err != nil {
		return err
	}
	if r.OnEpoch != nil {
		return r.OnEpoch(e)
	}
	return nil
}

// validate computes loss and accuracy of the pictures set apart.
func (r *trainer) validate(ctx context.Context) (loss, accuracy float64, err error) {
	n := len(r.val.Examples)
	l := &loader{data: r.val, cfg: r.Config, pic: r.Picture, order: inOrder(n), batch: r.Micro, features: r.valFeatures}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	count := (n + r.Micro - 1) / r.Micro
	next, giveBack := l.batches(ctx, 0, count)
	classes := r.Config.Classes()
	logits := make([]float32, r.Micro*classes)
	p := make([]float64, classes)
	correct := 0
	for range count {
		b := next()
		if b.err != nil {
			return 0, 0, b.err
		}
		if err := r.t.Logits(ctx, logits, b.Input); err != nil {
			return 0, 0, err
		}
		for i, target := range b.Targets {
			row := logits[i*classes:][:classes]
			vgg.Softmax(p, row)
			loss -= math.Log(max(p[target], math.SmallestNonzeroFloat64)) / float64(n)
			if slices.Max(row) == row[target] {
				correct++
			}
		}
		giveBack(b)
	}
	return loss, float64(correct) / float64(n), nil
}

func (r *trainer) progress(steps int, perSecond float64) {
	if r.OnProgress == nil {
		return
	}
	s := r.state
	left := (steps - s.Step - 1 + (r.Epochs-s.Epoch-1)*steps) * r.Batch
	r.OnProgress(Progress{Epoch: s.Epoch + 1, Epochs: r.Epochs, Step: s.Step + 1, Steps: steps,
		Loss: s.Loss / float64(s.Seen), Accuracy: float64(s.Correct) / float64(s.Seen), PerSecond: perSecond,
		Remaining: time.Duration(float64(left) / perSecond * float64(time.Second)), ValidationError: s.Plateau.Best})
}

// Stuck returns a warning if an epoch's loss is that of a network which has
// learnt nothing: ln(classes).
func Stuck(e Epoch, classes int) string {
	if chance := math.Log(float64(classes)); e.Loss > 0.995*chance && e.Loss < 1.005*chance {
		return fmt.Sprintf("after epoch %d the loss of %.3f is ln(%d), that of guessing: nothing has been learnt yet. "+
			"A deep network may need other initial weights (he, or those of a shallower network), or another learning rate.", e.Epoch, e.Loss, classes)
	}
	return ""
}
