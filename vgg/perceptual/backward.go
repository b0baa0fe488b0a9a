package perceptual

import (
	"context"

	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

func (t *tapped) backward(h, w int, opts []vgg.SessionOption) (backward, error) {
	g, err := t.model.NewGradient(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(h, w), vgg.Outputs(stages...))...)
	if err != nil {
		return nil, err
	}
	return &tappedBackward{gradient: g, outputs: g.OutputShapes(), workers: parallel.NewTeam(g.Workers())}, nil
}

type tappedBackward struct {
	gradient *vgg.Gradient
	outputs  []vgg.Shape
	workers  *parallel.Team
	dx       [1][]float32
}

func (b *tappedBackward) shapes() []vgg.Shape  { return b.outputs }
func (b *tappedBackward) team() *parallel.Team { return b.workers }

func (b *tappedBackward) run(ctx context.Context, dst [][]float32, input []float32) error {
	return b.gradient.Forward(ctx, dst, input)
}

func (b *tappedBackward) back(ctx context.Context, dx []float32, grads [][]float32) error {
	b.dx[0] = dx
	return b.gradient.Backward(ctx, b.dx[:], grads)
}

func (s *staged) backward(h, w int, opts []vgg.SessionOption) (backward, error) {
	b := &stagedBackward{list: s.sizes(h, w)}
	for i, m := range s.blocks {
		in := b.list[i+1]
		g, err := m.NewGradient(append(opts[:len(opts):len(opts)], vgg.Batch(1), vgg.InputSize(in.H, in.W))...)
		if err != nil {
			return nil, err
		}
		b.gradients = append(b.gradients, g)
	}
	b.workers = parallel.NewTeam(b.gradients[0].Workers())
	b.pools, b.pooled = l2Pools(b.list[1:], b.workers)
	_, b.grads = l2Pools(b.list[1:], b.workers)
	b.acts = make([][]float32, len(b.list))
	return b, nil
}

type stagedBackward struct {
	list      []vgg.Shape // of the picture and of the stages
	workers   *parallel.Team
	gradients []*vgg.Gradient
	pools     []*l2Pool   // behind each but the last
	pooled    [][]float32 // their results
	grads     [][]float32 // of the loss, with respect to pooled
	acts      [][]float32 // the stages of the last run
	one       [2][1][]float32
}

func (b *stagedBackward) shapes() []vgg.Shape  { return b.list }
func (b *stagedBackward) team() *parallel.Team { return b.workers }

func (b *stagedBackward) run(ctx context.Context, dst [][]float32, input []float32) error {
	copy(b.acts, dst)
	for i, g := range b.gradients {
		if i > 0 {
			input = b.pooled[i-1]
			if err := b.pools[i-1].run(ctx, input, dst[i]); err != nil {
				return err
			}
		}
		b.one[0][0] = dst[i+1]
		if err := g.Forward(ctx, b.one[0][:], input); err != nil {
			return err
		}
	}
	return nil
}

func (b *stagedBackward) back(ctx context.Context, dx []float32, grads [][]float32) error {
	for i := len(b.gradients) - 1; i >= 0; i-- {
		b.one[0][0], b.one[1][0] = dx, grads[i+1]
		if i > 0 {
			b.one[0][0] = b.grads[i-1]
		}
		if err := b.gradients[i].Backward(ctx, b.one[0][:], b.one[1][:]); err != nil {
			return err
		}
		if i == 0 {
			return nil
		}
		if err := b.pools[i-1].addGrad(ctx, grads[i], b.acts[i], b.pooled[i-1], b.grads[i-1]); err != nil {
			return err
		}
	}
	return nil
}
