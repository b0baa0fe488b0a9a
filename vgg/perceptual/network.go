package perceptual

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// A network gives the activations that a head compares.
type network interface {
	forward(h, w int, opts []vgg.SessionOption) (forward, error)
	backward(h, w int, opts []vgg.SessionOption) (backward, error)
	// bytes returns the memory of weights that no Model of the caller's has.
	bytes() int64
}

// A forward computes the stages of a picture. One goroutine at a time may use it.
type forward interface {
	shapes() []vgg.Shape
	team() *parallel.Team
	// run sets dst[l] to stage l of input, which is normalised. If stage 0 is the
	// picture itself, dst[0] is left alone.
	run(ctx context.Context, dst [][]float32, input []float32) error
}

// A backward can go back.
type backward interface {
	forward
	// back sets dx to the gradient with respect to the input of the last run, where
	// grads[l] is the one with respect to stage l, but for a stage that is the picture
	// itself. It changes grads.
	back(ctx context.Context, dx []float32, grads [][]float32) error
}

// tapped is a model whose activations are read at the stages.
type tapped struct{ model *vgg.Model }

func (t *tapped) bytes() int64 { return 0 }

func (t *tapped) forward(h, w int, opts []vgg.SessionOption) (forward, error) {
	s, err := t.model.NewSession(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(h, w), vgg.Outputs(stages...))...)
	if err != nil {
		return nil, err
	}
	return &tappedForward{s, s.OutputShapes(), parallel.NewTeam(s.Workers())}, nil
}

type tappedForward struct {
	session *vgg.Session
	outputs []vgg.Shape
	workers *parallel.Team
}

func (f *tappedForward) shapes() []vgg.Shape  { return f.outputs }
func (f *tappedForward) team() *parallel.Team { return f.workers }

func (f *tappedForward) run(ctx context.Context, dst [][]float32, input []float32) error {
	return f.session.RunOutputs(ctx, dst, input)
}

// staged is the five blocks of convolutions as networks of their own, with L2 pools
// between them.
type staged struct{ blocks []*vgg.Model }

func newStaged(n *vgg.Network, opts []vgg.Option) (*staged, error) {
	s := &staged{}
	first, channels := 0, n.Config.Channels
	for i, l := range n.Config.Layers {
		if !slices.Contains(stages, l.Name) {
			continue
		}
		cfg := n.Config
		cfg.Channels, cfg.Layers = channels, n.Config.Layers[first:i+1]
		m, err := vgg.New(cfg, n.Source, opts...)
		if err != nil {
			return nil, err
		}
		s.blocks = append(s.blocks, m)
		first, channels = i+2, l.Out // behind the pool
	}
	return s, nil
}

func (s *staged) bytes() (n int64) {
	for _, m := range s.blocks {
		n += m.Bytes()
	}
	return n
}

// channels lists those of the picture and of the stages.
func (s *staged) channels() []int {
	list := []int{3}
	for _, m := range s.blocks {
		layers := m.Config().Layers
		list = append(list, layers[len(layers)-1].Out)
	}
	return list
}

// sizes returns the shapes of the picture and of the stages.
func (s *staged) sizes(h, w int) (list []vgg.Shape) {
	for i, c := range s.channels() {
		if i > 1 { // stage 1 is before the first pool
			h, w = (h+1)/2, (w+1)/2
		}
		list = append(list, vgg.Shape{C: c, H: h, W: w})
	}
	return list
}

func (s *staged) forward(h, w int, opts []vgg.SessionOption) (forward, error) {
	f := &stagedForward{list: s.sizes(h, w)}
	for i, m := range s.blocks {
		in := f.list[i+1]
		session, err := m.NewSession(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(in.H, in.W))...)
		if err != nil {
			return nil, err
		}
		f.sessions = append(f.sessions, session)
	}
	f.workers = parallel.NewTeam(f.sessions[0].Workers())
	f.pools, f.pooled = l2Pools(f.list[1:], f.workers)
	return f, nil
}

// l2Pools returns the pools behind all stages but the last, and memory for their results.
func l2Pools(stages []vgg.Shape, team *parallel.Team) (pools []*l2Pool, pooled [][]float32) {
	for i, s := range stages[:len(stages)-1] {
		pools = append(pools, newL2Pool(s.C, s.H, s.W, team))
		pooled = append(pooled, layout.Alloc(s.C*stages[i+1].H*stages[i+1].W))
	}
	return pools, pooled
}

type stagedForward struct {
	list     []vgg.Shape // of the picture and of the stages
	workers  *parallel.Team
	sessions []*vgg.Session
	pools    []*l2Pool   // behind each but the last
	pooled   [][]float32 // their results
}

func (f *stagedForward) shapes() []vgg.Shape  { return f.list }
func (f *stagedForward) team() *parallel.Team { return f.workers }

func (f *stagedForward) run(ctx context.Context, dst [][]float32, input []float32) error {
	for i, s := range f.sessions {
		if i > 0 {
			input = f.pooled[i-1]
			if err := f.pools[i-1].run(ctx, input, dst[i]); err != nil {
				return err
			}
		}
		if err := s.Run(ctx, dst[i+1], input); err != nil {
			return err
		}
	}
	return nil
}
