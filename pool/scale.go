package pool

import (
	"context"

	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
)

// Scale holds a factor and a summand for each channel: y = weight[c]·x + bias[c], which
// is what batch normalisation does in inference. It is immutable and may be shared.
type Scale struct {
	c            int
	weight, bias []float32 // padded with zeros to blocks
	relu         bool
}

// NewScale copies c weights and c biases. The epilogue may be a ReLU. Errors wrap
// ErrShape.
func NewScale(c int, weight, bias []float32, e fuse.Epilogue) (*Scale, error) {
	switch {
	case c < 1 || len(weight) != c || len(bias) != c:
		return nil, shape.Errorf("pool: %d weights and %d biases for %d channels", len(weight), len(bias), c)
	case e.Pool || e.Add:
		return nil, shape.Errorf("pool: a scale has neither a pool nor a residual")
	}
	s := &Scale{c: c, relu: e.ReLU, weight: make([]float32, layout.Blocks(c)*16), bias: make([]float32, layout.Blocks(c)*16)}
	s.Set(weight, bias)
	return s, nil
}

// Set replaces the weights and biases, c of each. Nothing else may use s meanwhile.
func (s *Scale) Set(weight, bias []float32) {
	copy(s.weight, weight[:s.c])
	copy(s.bias, bias[:s.c])
}

// Weights returns the factors of the channels, which must not be changed.
func (s *Scale) Weights() []float32 { return s.weight[:s.c] }

// Bytes returns the memory that the weights and biases take.
func (s *Scale) Bytes() int64 { return 4 * int64(len(s.weight)+len(s.bias)) }

// run sets dst to the scaled src, 16 floats for 16 channels from block b on.
func (s *Scale) run(dst, src []float32, b int) {
	w, k := (*[16]float32)(s.weight[16*b:]), (*[16]float32)(s.bias[16*b:])
	for at := 0; at < len(dst); at += 16 {
		to, from := (*[16]float32)(dst[at:]), (*[16]float32)(src[at:])
		for l := range to {
			v := float32(w[l]*from[l]) + k[l] // not fused: the same anywhere
			if s.relu {
				v = max(v, 0)
			}
			to[l] = v
		}
	}
}

// NewExec plans s for n blocked pictures of c×h×w on a team, which may be nil. Run may
// be given the same slice twice. Each result is rounded twice. Errors wrap ErrShape.
func (s *Scale) NewExec(n, h, w int, team *parallel.Team) (*Exec, error) {
	if err := checkSize("scale", n, s.c, h, w, 1); err != nil {
		return nil, err
	}
	blocks := layout.Blocks(s.c)
	return newPlanes(n*blocks, h*w, h*w, func(plane int, dst, src []float32) { s.run(dst, src, plane%blocks) }, team), nil
}

// Rows computes dst from src, matrices of n rows of c adjacent channels, as between
// fully connected layers. They are the same or apart, and have n·c elements. Errors wrap
// ErrShape. It does not allocate.
func (s *Scale) Rows(n int, dst, src []float32) error {
	if n < 0 || len(dst) != len(src) || len(dst)%s.c != 0 || len(dst)/s.c != n {
		return shape.Errorf("pool: operands of %d and %d floats, want %d×%d", len(dst), len(src), n, s.c)
	}
	for i, x := range src {
		v := float32(s.weight[i%s.c]*x) + s.bias[i%s.c]
		if s.relu {
			v = max(v, 0)
		}
		dst[i] = v
	}
	return nil
}

// ScaleGradExec computes the gradients of a scale on a team. One goroutine at a time
// may use it.
type ScaleGradExec struct {
	team      *parallel.Team
	n, c      int
	pixels    int
	item      func(worker, item int)
	weight    []float32
	dw, db    []float32
	dx, x, dy []float32
}

// NewScaleGrad plans the gradients for n pictures of c×h×w. Errors wrap ErrShape.
func NewScaleGrad(n, c, h, w int, team *parallel.Team) (*ScaleGradExec, error) {
	if err := checkSize("gradients of the scale", n, c, h, w, 1); err != nil {
		return nil, err
	}
	e := &ScaleGradExec{team: team, n: n, c: c, pixels: h * w}
	e.item = e.block
	return e, nil
}

// Run sets dw and db, of c elements each, and dx from the scale's input x, its weights
// and the gradient dy of its result before the ReLU; x, dx and dy are blocked. dx, or
// dw with db, may be nil. Sums are taken in float64, in one order whatever the team. It
// returns an error if a length is wrong or when ctx ends. It does not allocate.
//
//	dx = weight[c]·dy    dw[c] = Σ dy·x    db[c] = Σ dy
func (e *ScaleGradExec) Run(ctx context.Context, dx, dw, db, weight, x, dy []float32) error {
	blocks := layout.Blocks(e.c)
	want := e.n * blocks * 16 * e.pixels
	if dx != nil && len(dx) != want || len(x) != want || len(dy) != want || len(weight) != e.c || len(dw) != len(db) || dw != nil && len(dw) != e.c {
		return shape.Errorf("pool: operands of %d, %d, %d, %d, %d and %d floats for %d pictures of %d channels", len(dx), len(dw), len(db), len(weight), len(x), len(dy), e.n, e.c)
	}
	e.dx, e.dw, e.db, e.weight, e.x, e.dy = dx, dw, db, weight, x, dy
	err := e.team.Run(ctx, blocks, e.item)
	e.dx, e.dw, e.db, e.weight, e.x, e.dy = nil, nil, nil, nil, nil, nil
	return err
}

// block computes 16 channels of all pictures.
func (e *ScaleGradExec) block(_, b int) {
	var w [16]float32
	valid := copy(w[:], e.weight[16*b:])
	var dw, db [16]float64
	for n := range e.n {
		start := (n*layout.Blocks(e.c) + b) * 16 * e.pixels
		for at := start; at < start+16*e.pixels; at += 16 {
			x, dy := (*[16]float32)(e.x[at:]), (*[16]float32)(e.dy[at:])
			if e.dw != nil {
				for l := range dy {
					dw[l] += float64(dy[l]) * float64(x[l])
					db[l] += float64(dy[l])
				}
			}
			if e.dx != nil {
				dx := (*[16]float32)(e.dx[at:])
				for l := range dx {
					dx[l] = w[l] * dy[l]
				}
			}
		}
	}
	if e.dw == nil {
		return
	}
	for l := range valid {
		e.dw[16*b+l], e.db[16*b+l] = float32(dw[l]), float32(db[l])
	}
}
