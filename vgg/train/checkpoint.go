package train

import (
	"encoding/json"
	"fmt"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// state is everything but tensors that a run needs to go on as if it had not
// been interrupted. The random numbers are functions of it.
type state struct {
	Recipe  json.RawMessage `json:"recipe"`
	Classes []string        `json:"classes"`
	Epoch   int             `json:"epoch"`   // that is under way, from 0
	Step    int             `json:"step"`    // batches of it that are done
	Loss    float64         `json:"loss"`    // summed over them
	Correct int             `json:"correct"` // likewise
	Seen    int             `json:"seen"`    // pictures of them
	Batches uint64          `json:"batches"` // of all epochs, for dropout
	Seconds float64         `json:"seconds"` // of training so far
	Plateau plateau         `json:"plateau"`
	History []Epoch         `json:"history"` // epochs that are done
	Done    bool            `json:"done"`
}

const (
	stateKey     = "nonet.training"
	momentPrefix = "momentum."
)

// save writes a checkpoint: a file of weights that vgg.Open reads as well, with
// the momentum and the state beside them. path names the old file until the new
// one is whole and on the disk.
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
	var out []weights.Out
	for i, p := range t.Params() {
		out = append(out,
			weights.Out{Name: p.Name, DType: weights.F32, Shape: p.Shape, Floats: t.Weights()[i]},
			weights.Out{Name: momentPrefix + p.Name, DType: weights.F32, Shape: p.Shape, Floats: t.Moments()[i]})
	}
	return weights.WriteFile(path, out, meta)
}

// load reads a checkpoint into t, which has the same configuration.
func load(path string, t *vgg.Trainer) (*state, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := readState(f)
	if err != nil {
		return nil, err
	}
	for i, p := range t.Params() {
		for name, to := range map[string][]float32{p.Name: t.Weights()[i], momentPrefix + p.Name: t.Moments()[i]} {
			tensor, err := f.Tensor(name)
			if err == nil {
				err = tensor.CheckShape(p.Shape...)
			}
			if err == nil {
				err = tensor.Float32s(to)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	t.Changed()
	t.SetBatches(s.Batches)
	return s, nil
}

func readState(f *weights.File) (*state, error) {
	text, ok := f.Metadata()[stateKey]
	if !ok {
		return nil, fmt.Errorf("train: %s is no checkpoint: its metadata have no %s: %w", f.Name(), stateKey, weights.ErrFormat)
	}
	s := &state{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("train: %s: metadata %s: %v: %w", f.Name(), stateKey, err, weights.ErrFormat)
	}
	return s, nil
}
