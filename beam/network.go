package beam

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
)

// Network says which network a worker opens.
type Network struct {
	// Weights is the path of a file that every worker has, in its image for instance;
	// empty for the small network that comes with nonet.
	Weights string
}

// Open opens the network. A process does so once for each Network; the Model is shared.
func (n Network) Open() (*vgg.Model, error) {
	open, _ := models.LoadOrStore(n, sync.OnceValues(func() (*vgg.Model, error) {
		if n.Weights == "" {
			return pretrained.CIFAR10()
		}
		return vgg.Open(n.Weights)
	}))
	return open.(func() (*vgg.Model, error))()
}

var models sync.Map // Network to func() (*vgg.Model, error)

// engine computes rows for all bundles of a process. One bundle at a time computes, on
// all cores, while others decode.
type engine struct {
	mu       sync.Mutex
	computer *extract.Computer
	model    *vgg.Model
	size     int // of a prepared picture
	// transforms are idle *picture.Transform.
	transforms sync.Pool
}

var engines sync.Map // the JSON of a computation to func() (*engine, error)

// newEngine returns the process's engine for a computation.
func newEngine(n Network, spec extract.Spec, batch int) (*engine, error) {
	key, err := json.Marshal([]any{n, spec, batch})
	if err != nil {
		return nil, err
	}
	open, _ := engines.LoadOrStore(string(key), sync.OnceValues(func() (*engine, error) {
		m, err := n.Open()
		if err != nil {
			return nil, err
		}
		if _, err := extract.Transform(m); err != nil {
			return nil, err
		}
		c, err := extract.NewComputer(m, spec, batch, runtime.GOMAXPROCS(0))
		if err != nil {
			return nil, err
		}
		h, w := m.Config().Input()
		return &engine{computer: c, model: m, size: 3 * h * w}, nil
	}))
	return open.(func() (*engine, error))()
}

// compute sets the rows of prepared pictures.
func (e *engine) compute(ctx context.Context, rows []extract.Row, input []float32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.computer.Compute(ctx, rows, input)
}

// decode prepares a picture.
func (e *engine) decode(dst []float32, key string, data []byte) error {
	img, err := picture.Decode(key, bytes.NewReader(data))
	if err != nil {
		return err
	}
	t, ok := e.transforms.Get().(*picture.Transform)
	if !ok {
		if t, err = extract.Transform(e.model); err != nil {
			return err
		}
	}
	defer e.transforms.Put(t)
	return t.Apply(dst, img)
}

// header describes the columns for the formats.
func (e *engine) header(spec extract.Spec) extract.Header {
	h := extract.Header{Spec: spec, Columns: e.computer.Columns()}
	if spec.Top > 0 {
		h.Labels = e.model.Labels()
	}
	return h
}

// Failure is a picture that could not be computed, and why.
type Failure struct {
	Key   string `json:"path"`
	Error string `json:"error"`
}

// checkBatch refuses batches that no worker has the memory for.
func checkBatch(n int) error {
	if n < 1 || n > 4096 {
		return fmt.Errorf("beam: batch of %d, want 1 to 4096", n)
	}
	return nil
}
