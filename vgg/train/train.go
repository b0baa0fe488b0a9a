package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/nonet-go/nonet/internal/outfile"
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
	// Source gives all initial weights, in place of Init and Start: for fine-tuning a
	// network that vgg.Describe has found, or one of the program's own. Train reads it
	// before the first step and does not keep it. A checkpoint identifies it by its name.
	Source vgg.Source `json:"-"`
	// FreshClassifier begins the layer that gives the classes anew, from Init. Without it
	// that layer comes from Start or Source if they have as many classes, even other ones.
	FreshClassifier bool
	Freeze          string // this layer and all before it keep their weights
	Epochs          int
	Batch           int // pictures of a step
	Micro           int // pictures that are computed together; a divisor of Batch, 0 for all
	Momentum        float64
	Decay           float64
	Dropout         float64
	Schedule        Schedule
	Augment         Augment
	Validation      float64 // fraction of the data that is set apart if no other data validate
	Seed            uint64
}

// Epoch is the result of an epoch.
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

// Progress is the state of a run.
type Progress struct {
	Epoch, Epochs   int
	Step, Steps     int // of the epoch
	Loss, Accuracy  float64
	PerSecond       float64
	Remaining       time.Duration
	ValidationError float64 // best so far
}

// Run says what to train on and where to put the results.
type Run struct {
	Recipe
	Data       *Dataset
	Validate   *Dataset // nil: a part of Data
	Workers    int      // 0: GOMAXPROCS
	Checkpoint string   // file that is replaced after each epoch, and every Save; empty for none
	Save       time.Duration
	Resume     bool // continue from Checkpoint if it exists
	Overwrite  bool // else begin anew even if it exists
	// Cache is the memory, in bytes, for activations that never change. If all layers before
	// the fully connected ones are frozen and nothing is random about the pictures, their
	// activations are computed once, if they fit. The final weights are the same bits. 0 is
	// none.
	Cache      int64
	OnBegin    func(history []Epoch) error // before the first step, with the epochs that the checkpoint holds
	OnEpoch    func(Epoch) error           // when the checkpoint holds it
	OnProgress func(Progress)
	OnNote     func(string) // what the user should know about the run
}

// trainer is a run in progress.
type trainer struct {
	Run
	t       *vgg.Trainer
	state   *state
	train   *Dataset
	val     *Dataset
	colours *picture.ColourPCA
	begun   time.Time
	saved   time.Time
	lock    *outfile.Lock
	onDisk  string // what the checkpoint holds, if it is this run's

	cached                     string // layer whose activations are kept, if any
	features                   int    // of a picture
	trainFeatures, valFeatures []float32
}

// A Stopped error says why a run ended early, and that a checkpoint holds it. Err is the
// context's error, or that of a picture.
type Stopped struct {
	Checkpoint string
	Holds      string // "2 epochs and 17 steps"
	Err        error
}

func (e *Stopped) Error() string {
	return fmt.Sprintf("%v; %s holds %s", e.Err, e.Checkpoint, e.Holds)
}

func (e *Stopped) Unwrap() error { return e.Err }

// Train trains a network and returns the Trainer with the final weights and the history of
// its epochs.
//
// If Resume is not set it begins anew. It refuses with an *ExistsError to replace an
// existing checkpoint, unless Overwrite is set. With Resume it continues from a
// checkpoint if there is one. That must be of the same recipe and the same data; Epochs may be larger. One
// run at a time may use a checkpoint: another gets an *outfile.HeldError, which names the
// process.
//
// When ctx ends, Train writes a checkpoint of the last whole step and returns ctx's error in
// a *Stopped. It does the same for an unreadable picture, with an error that names it. Any
// other error leaves the last checkpoint unchanged.
func Train(ctx context.Context, run Run) (*vgg.Trainer, []Epoch, error) {
	r := &trainer{Run: run}
	defer func() { r.lock.Release() }()
	if err := r.prepare(ctx); err != nil {
		return nil, nil, err
	}
	if r.cached != "" && !r.state.Done {
		if err := r.fillCache(ctx, r.cached); err != nil {
			return r.t, r.state.History, r.stopped(ctx, err)
		}
	}
	if r.OnBegin != nil {
		if err := r.OnBegin(r.state.History); err != nil {
			return r.t, r.state.History, err
		}
	}
	for !r.state.Done {
		if err := r.epoch(ctx); err != nil {
			return r.t, r.state.History, r.stopped(ctx, err)
		}
	}
	return r.t, r.state.History, nil
}

// stopped saves the run's progress, unless the error is about the network, and returns an
// error that says so.
func (r *trainer) stopped(ctx context.Context, err error) error {
	var p pictureError
	switch {
	case errors.As(err, &p):
		r.state.Unreadable = append(r.state.Unreadable, p.data.unreadable(p.example, p.data == r.Validate))
	case ctx.Err() == nil:
		return err
	}
	if r.Checkpoint == "" || r.onDisk == "" && r.state.Epoch == 0 && r.state.Step == 0 {
		return err // there is nothing to save
	}
	if len(r.state.Unreadable) > 0 {
		// The picture may have changed since the run began.
		if failed := r.identify(context.WithoutCancel(ctx)); failed != nil {
			return errors.Join(err, failed)
		}
	}
	if r.onDisk != r.state.holds() || len(r.state.Unreadable) > 0 {
		if failed := r.save(); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return &Stopped{r.Checkpoint, r.state.holds(), err}
}

// pictureError is an error about a picture, not about the network.
type pictureError struct {
	error
	data    *Dataset
	example int
}

func (e pictureError) Unwrap() error { return e.error }

// validateRecipe returns an error for a recipe that makes no sense, or that the data do not
// fit.
func (r *trainer) validateRecipe() error {
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
	case r.Source != nil && r.Start != "":
		return fmt.Errorf("train: weights to begin with from %s and from %s: want one of them", r.Source.Name(), r.Start)
	case r.FreshClassifier && r.Source == nil && r.Start == "":
		return errors.New("train: a fresh classifier is for weights to begin with, and there are none")
	case !(r.Momentum >= 0 && r.Momentum < 1):
		return fmt.Errorf("train: momentum %v: want at least 0 and less than 1", r.Momentum)
	case !(r.Decay >= 0 && r.Decay <= math.MaxFloat32):
		return fmt.Errorf("train: weight decay %v: want a number that is not negative", r.Decay)
	case !(r.Dropout >= 0 && r.Dropout < 1):
		return fmt.Errorf("train: dropout %v: want at least 0 and less than 1", r.Dropout)
	case !(r.Validation >= 0 && r.Validation < 1):
		return fmt.Errorf("train: %v of the pictures set apart for the validation: want at least 0 and less than 1", r.Validation)
	case !(a.Colour >= 0 && a.Colour <= math.MaxFloat32):
		return fmt.Errorf("train: shift of colours %v: want a number that is not negative", a.Colour)
	case r.Config.Classes() != len(r.Data.Classes):
		return fmt.Errorf("train: the network has %d classes, %s has %d: %w", r.Config.Classes(), r.Data.Name, len(r.Data.Classes), vgg.ErrShape)
	case a.Max > 0 && r.Config.Width != 0:
		return fmt.Errorf("train: pictures of random scales are cut to squares, the network takes %d×%d: %w", r.Config.Size, r.Config.Width, vgg.ErrShape)
	case a.Max > 0 && (a.Min < r.Config.Size || a.Max < a.Min), a.Max == 0 && a.Min > 0, a.Pad < 0, a.Cutout < 0:
		return fmt.Errorf("train: augmentation %+v does not fit a network of %d×%d pictures: %w", a, r.Config.Size, r.Config.Size, vgg.ErrShape)
	}
	// What cannot be written is an error now, not at the first checkpoint.
	_, err := vgg.Metadata(r.Config, vgg.Labels(r.Data.Classes), vgg.Pictures(r.Picture))
	return err
}

// splitData finds the pictures to train on and those to validate with.
func (r *trainer) splitData() error {
	r.train, r.val = r.Data, r.Validate
	if r.val == nil {
		r.val, r.train = r.Data.Split(r.Validation)
	} else if !slices.Equal(r.val.Classes, r.Data.Classes) {
		return fmt.Errorf("train: %s and %s have different classes: %w", r.Data.Name, r.val.Name, ErrData)
	}
	switch {
	case len(r.train.Examples) < r.Batch:
		return fmt.Errorf("train: %d pictures to train on fill no batch of %d: %w", len(r.train.Examples), r.Batch, ErrData)
	case len(r.val.Examples) == 0 && r.Schedule.Kind == "plateau":
		return fmt.Errorf("train: no picture of %s is set apart for the validation, whose error schedule plateau follows: %w", r.Data.Name, ErrData)
	}
	return nil
}

// source returns the weights to begin with.
func (r *trainer) source() (vgg.Source, error) {
	initial, err := vgg.Initial(r.Config, r.Init, r.Seed)
	if err != nil {
		return nil, err
	}
	src := initial
	switch {
	case r.Source != nil:
		src = r.Source
	case r.Start != "":
		if src, err = vgg.StartFrom(r.Config, r.Start, r.StartConvs, initial); err != nil {
			return nil, err
		}
	}
	if r.FreshClassifier {
		return vgg.NewClassifier(r.Config, src, initial)
	}
	return src, nil
}

func (r *trainer) prepare(ctx context.Context) error {
	if err := r.validateRecipe(); err != nil {
		return err
	}
	if err := r.splitData(); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	src, err := r.source()
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
	if r.onDisk != "" {
		if err := r.state.load(r.Checkpoint, r.t); err != nil {
			return err
		}
	}
	if r.Augment.Colour > 0 {
		if err := r.colour(ctx); err != nil {
			return err
		}
	}
	r.begun = time.Now().Add(-time.Duration(r.state.Seconds * float64(time.Second)))
	r.saved = time.Now()
	return nil
}

// begin locks the checkpoint, and makes the state of a new run or reads that of an
// interrupted one.
func (r *trainer) begin(ctx context.Context) error {
	identity := struct {
		Recipe
		Source string `json:",omitempty"`
	}{Recipe: r.Recipe}
	if r.Source != nil {
		identity.Source = r.Source.Name()
	}
	recipe, err := json.Marshal(identity)
	if err != nil {
		return err
	}
	r.state = &state{Version: stateVersion, Recipe: recipe, Classes: r.Data.Classes, Plateau: plateau{Best: 2}}
	if err := r.openCheckpoint(); err != nil || r.Checkpoint == "" {
		return err
	}
	if err := r.identify(ctx); err != nil {
		return err
	}
	s, err := r.inspect(r.state)
	if err != nil || s == nil {
		return err
	}
	s.Done = s.Epoch >= r.Epochs || s.Plateau.over(r.Schedule)
	r.state, r.onDisk = s, s.holds()
	return nil
}

// identify records in the state which data the run has.
func (r *trainer) identify(ctx context.Context) (err error) {
	if r.state.Data, err = r.Data.identify(ctx); err == nil && r.Validate != nil {
		r.state.Validate, err = r.Validate.identify(ctx)
	}
	return err
}

// openCheckpoint checks that the checkpoint can be written, and locks it for this run. A
// device, such as /dev/null, keeps no checkpoint.
func (r *trainer) openCheckpoint() error {
	if r.Checkpoint == "" {
		return nil
	}
	if err := outfile.Check(r.Checkpoint); err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	if info, err := os.Stat(r.Checkpoint); err == nil && !info.Mode().IsRegular() {
		r.Checkpoint = ""
		return nil
	}
	var err error
	if r.lock, err = outfile.Acquire(r.Checkpoint); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// colour computes the principal components of the training pixels' colours.
func (r *trainer) colour(ctx context.Context) error {
	var stats picture.ColourStats
	var rgb picture.RGB
	// Some ten thousand pictures give them to three digits.
	for i := 0; i < len(r.train.Examples); i += max(1, len(r.train.Examples)/10000) {
		if err := ctx.Err(); err != nil {
			return err
		}
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
	if err := r.state.save(r.Checkpoint, r.t, vgg.Labels(r.Data.Classes), vgg.Pictures(r.Picture)); err != nil {
		return err
	}
	r.onDisk = r.state.holds()
	return nil
}

// epoch trains the rest of the present epoch, validates and saves.
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
		rate := r.Schedule.rate(s.Epoch, float64(s.Step+1)/float64(steps), r.Epochs, s.Plateau)
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

// step takes one step, of several parts. The state changes only after a whole step. An
// interrupted step is taken again, with the same dropout.
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
	e := Epoch{Epoch: s.Epoch + 1, Rate: r.Schedule.rate(s.Epoch, 1, r.Epochs, s.Plateau), Loss: s.Loss / float64(s.Seen), Accuracy: float64(s.Correct) / float64(s.Seen), PerSecond: perSecond}
	var err error
	if len(r.val.Examples) > 0 {
		if e.ValLoss, e.Validation, err = r.validate(ctx); err != nil {
			return err
		}
		if math.IsNaN(e.ValLoss) || math.IsInf(e.ValLoss, 0) {
			return fmt.Errorf("train: the loss of the validation is %v in epoch %d: the learning rate of %.3g is too high", e.ValLoss, e.Epoch, e.Rate)
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
	next, giveBack := l.batches(ctx, 0, l.count())
	classes := r.Config.Classes()
	logits := make([]float32, r.Micro*classes)
	p := make([]float64, classes)
	correct := 0
	for range l.count() {
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

// Stuck returns a warning if an epoch's loss is ln(classes): then the network has learnt
// nothing.
func Stuck(e Epoch, classes int) string {
	if chance := math.Log(float64(classes)); e.Loss > 0.995*chance && e.Loss < 1.005*chance {
		return fmt.Sprintf("after epoch %d the loss of %.3f is ln(%d), that of guessing: nothing has been learnt yet. "+
			"A deep network may need other initial weights (he, or those of a shallower network), or another learning rate.", e.Epoch, e.Loss, classes)
	}
	return ""
}
