package act

import (
	"context"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/parallel"
)

// AddExec adds two activations on a team. One goroutine at a time may use it.
type AddExec struct {
	n         int
	relu      bool
	team      *parallel.Team
	item      func(worker, item int)
	dst, a, b []float32
}

// An item of Add has addItem elements, and is done addPiece elements at a time: these stay
// in the first-level cache between the sum and the ReLU.
const (
	addItem  = 1 << 15
	addPiece = 1 << 10
)

// NewAdd plans the sum of n elements on a team, which may be nil. Of the epilogue, ReLU
// counts: it takes max(sum, 0). Errors wrap ErrShape.
func NewAdd(n int, e fuse.Epilogue, team *parallel.Team) (*AddExec, error) {
	if n < 1 || !shape.Fits(n) || e.Pool || e.Add {
		return nil, shape.Errorf("act: sum of %d elements with %+v", n, e)
	}
	x := &AddExec{n: n, relu: e.ReLU, team: team}
	x.item = x.add
	return x, nil
}

// Run sets dst[i] = a[i] + b[i], rounded once, and then takes the ReLU if there is one: −0
// and what is below become 0, NaN stays NaN. dst may be a or b, but must not overlap them
// otherwise. It returns an error if a length is not n, or when ctx ends. It does not
// allocate.
func (e *AddExec) Run(ctx context.Context, dst, a, b []float32) error {
	if len(dst) != e.n || len(a) != e.n || len(b) != e.n {
		return shape.Errorf("act: operands of %d, %d and %d floats, want %d", len(dst), len(a), len(b), e.n)
	}
	if &dst[0] == &b[0] {
		a, b = b, a // the sum is the same, and b is read after dst is written
	}
	e.dst, e.a, e.b = dst, a, b
	err := e.team.Run(ctx, (e.n+addItem-1)/addItem, e.item)
	e.dst, e.a, e.b = nil, nil, nil
	return err
}

func (e *AddExec) add(_, item int) {
	for at, end := item*addItem, min((item+1)*addItem, e.n); at < end; at += addPiece {
		next := min(at+addPiece, end)
		dst := e.dst[at:next]
		copy(dst, e.a[at:next])
		activation.Add(dst, e.b[at:next])
		if e.relu {
			activation.ReLU(dst)
		}
	}
}
