package train

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// state is everything but tensors that a run needs to continue as if it had not been
// interrupted. The random numbers are functions of it.
type state struct {
	Version    int             `json:"version"` // 0 for files without data and checksum
	Recipe     json.RawMessage `json:"recipe"`
	Classes    []string        `json:"classes"`
	Data       *identity       `json:"data,omitempty"`
	Validate   *identity       `json:"validate,omitempty"` // nil if a part of Data validates
	Unreadable []unreadable    `json:"unreadable,omitempty"`
	Epoch      int             `json:"epoch"`   // that is under way, from 0
	Step       int             `json:"step"`    // batches of it that are done
	Loss       float64         `json:"loss"`    // summed over them
	Correct    int             `json:"correct"` // likewise
	Seen       int             `json:"seen"`    // pictures of them
	Batches    uint64          `json:"batches"` // of all epochs, for dropout
	Seconds    float64         `json:"seconds"` // of training so far
	Plateau    plateau         `json:"plateau"`
	History    []Epoch         `json:"history"` // epochs that are done
	Done       bool            `json:"done"`
	old        bool            // the file has no checksum
}

const (
	stateVersion   = 2
	stateKey       = "nonet.training"
	checksumKey    = "nonet.checksum"
	momentumPrefix = "momentum."
)

// An ExistsError refuses to begin a run that would replace another run's checkpoint. It
// wraps fs.ErrExist.
type ExistsError struct {
	Checkpoint string
	Holds      string // "2 epochs and 17 steps", or empty if it is no checkpoint
}

func (e *ExistsError) Error() string {
	if e.Holds == "" {
		return fmt.Sprintf("train: %s is there already, and is no checkpoint", e.Checkpoint)
	}
	return fmt.Sprintf("train: %s holds %s of another run, which a new one would replace", e.Checkpoint, e.Holds)
}

func (e *ExistsError) Unwrap() error { return fs.ErrExist }

// holds says how much training a state has.
func (s *state) holds() string {
	return fmt.Sprintf("%d epochs and %d steps", s.Epoch, s.Step)
}

// tensors lists what a checkpoint holds, as a view of the Trainer's memory.
func tensors(t *vgg.Trainer) (out []weights.Out) {
	for i, p := range t.Params() {
		out = append(out,
			weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: t.Weights()[i]},
			weights.Out{Name: momentumPrefix + p.Name, DType: weights.F32, Shape: p.Shape, Floats: t.Momentum()[i]})
	}
	return out
}

// checksum is the SHA-256 of the file without it.
func checksum(out []weights.Out, metadata map[string]string) (string, error) {
	metadata = maps.Clone(metadata)
	delete(metadata, checksumKey)
	h := sha256.New()
	err := weights.Write(h, out, metadata)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// save writes a checkpoint: a file of weights that vgg.Open reads as well, with the momentum
// and the state. path keeps its old content until the new file is complete and on the disk.
func (s *state) save(path string, t *vgg.Trainer, opts ...vgg.Option) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	meta, err := vgg.Metadata(t.Config(), opts...)
	if err != nil {
		return err
	}
	meta[stateKey] = string(text)
	out := tensors(t)
	if meta[checksumKey], err = checksum(out, meta); err != nil {
		return err
	}
	return weights.WriteFile(path, out, meta)
}

// load reads the tensors of a checkpoint into t, which has the same configuration.
func (s *state) load(path string, t *vgg.Trainer) error {
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := tensors(t)
	for _, o := range out {
		tensor, err := f.Tensor(o.Name)
		if err == nil {
			err = tensor.CheckShape(o.Shape...)
		}
		if err == nil {
			err = tensor.Float32s(o.Floats)
		}
		if err != nil {
			return err
		}
	}
	if want := f.Metadata()[checksumKey]; want != "" || !s.old {
		got, err := checksum(out, f.Metadata())
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("train: %s is damaged: its checksum is %.16s…, that of what it holds %.16s…: %w", path, want, got, weights.ErrFormat)
		}
	}
	t.Changed()
	t.SetBatches(s.Batches)
	return nil
}

// readState reads the state of a checkpoint.
func readState(path string) (*state, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, ok := f.Metadata()[stateKey]
	if !ok {
		return nil, fmt.Errorf("train: %s is no checkpoint: its metadata have no %s: %w", path, stateKey, weights.ErrFormat)
	}
	s := &state{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("train: %s: metadata %s: %v: %w", path, stateKey, err, weights.ErrFormat)
	}
	if s.Version > stateVersion {
		return nil, fmt.Errorf("train: %s is a checkpoint of version %d, this program knows those up to %d: %w", path, s.Version, stateVersion, weights.ErrUnsupported)
	}
	return s, nil
}

// same returns an error if a run of now cannot continue from the state s. A picture that has
// ended the run may have been replaced.
func (s *state) same(path string, now *state, d, validate *Dataset) error {
	list, err := recipeDifferences(s.Recipe, now.Recipe)
	if err != nil {
		return fmt.Errorf("train: %s: recipe: %v: %w", path, err, weights.ErrFormat)
	}
	if !slices.Equal(s.Classes, now.Classes) {
		list = append(list, fmt.Sprintf("the classes are %.200q in the checkpoint and %.200q now", s.Classes, now.Classes))
	}
	if len(list) > 0 {
		more := ""
		if n := len(list) - 4; n > 0 {
			list, more = list[:4], fmt.Sprintf("; and %d others", n)
		}
		return fmt.Errorf("train: %s was made by another recipe and cannot be resumed by this one: %s%s", path, strings.Join(list, "; "), more)
	}
	if s.Version == 0 {
		return nil // it does not know its data
	}
	if s.Data == nil || (s.Validate == nil) != (now.Validate == nil) {
		return fmt.Errorf("train: %s was validated with other data and cannot be resumed", path)
	}
	difference := s.Data.difference(d.mended(*now.Data, s.Unreadable, false))
	if difference == "" && s.Validate != nil {
		difference = s.Validate.difference(validate.mended(*now.Validate, s.Unreadable, true))
	}
	if difference != "" {
		return fmt.Errorf("train: %s was made with other data and cannot be resumed with these: %s", path, difference)
	}
	return nil
}

// inspect looks for a checkpoint. It returns the state to continue from, or nil to begin
// anew.
func (r *trainer) inspect(now *state) (*state, error) {
	if r.Checkpoint == "" {
		return nil, nil
	}
	s, err := readState(r.Checkpoint)
	switch {
	case errors.Is(err, fs.ErrNotExist) || r.Overwrite && !r.Resume:
		return nil, nil
	case !r.Resume && errors.Is(err, fs.ErrPermission):
		return nil, err
	case !r.Resume && err != nil:
		return nil, &ExistsError{Checkpoint: r.Checkpoint}
	case !r.Resume:
		return nil, &ExistsError{r.Checkpoint, s.holds()}
	case err != nil:
		return nil, err
	}
	if err := s.same(r.Checkpoint, now, r.Data, r.Validate); err != nil {
		return nil, err
	}
	if s.old = s.Version == 0; s.old {
		r.note("%s was written without a checksum and does not know its data: both are taken on trust", r.Checkpoint)
	}
	s.Version, s.Recipe, s.Data, s.Validate = now.Version, now.Recipe, now.Data, now.Validate
	s.Unreadable = nil
	return s, nil
}
