package netfile

import (
	"context"
	"slices"

	"github.com/nonet-go/nonet/vgg/weights"
)

// pieceLen is how many elements of a tensor a worker reads at a time.
const pieceLen = 1 << 16

// read returns a copy of the elements of a tensor, which are finite: the file may be cut
// short later.
func (t *Tensors) read(from tensor) ([]float32, error) {
	x, err := t.open(from)
	if err != nil {
		return nil, err
	}
	w := make([]float32, x.Len())
	pieces := (len(w) + pieceLen - 1) / pieceLen
	errs := make([]error, pieces)
	// The error is a context's, and this one never ends.
	_ = t.Team.Run(context.Background(), pieces, func(_, i int) {
		at := i * pieceLen
		errs[i] = readPart(w[at:min(at+pieceLen, len(w))], x, at)
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Rows returns a function that sets dst to whole rows, from row first on, of the weights of
// a fully connected layer. Several goroutines may call it. Rows returns nil if the weights
// are computed from other tensors.
func (t *Tensors) Rows(layer string, want []int) (read func(dst []float32, first int) error, err error) {
	l := t.layers[layer]
	if _, plain := t.Plain(layer); !plain || l.Kind != FC {
		return nil, nil
	}
	if err := l.fits(Want{layer, l.Kind, want}); err != nil {
		return nil, err
	}
	x, err := t.open(l.parts[weight])
	if err != nil {
		return nil, err
	}
	return func(dst []float32, first int) error { return readPart(dst, x, first*want[1]) }, nil
}

// open returns a tensor of the file, whose elements are floats.
func (t *Tensors) open(from tensor) (weights.Tensor, error) {
	x, err := t.file.src.Tensor(from.name)
	switch {
	case err != nil:
		return x, &TensorError{Tensor: from.name, Want: from.shape, Err: err}
	case !slices.Equal(x.Shape, from.shape):
		return x, &TensorError{Tensor: from.name, Want: from.shape, Got: x.Shape}
	case !x.DType.IsFloat():
		return x, &TensorError{Tensor: from.name, Want: from.shape, Err: x.Float32s(nil)}
	}
	return x, nil
}

// readPart reads the elements from element first on, which must be finite.
func readPart(dst []float32, x weights.Tensor, first int) error {
	if err := x.Float32sAt(dst, first); err != nil {
		return &TensorError{Tensor: x.Name, Want: x.Shape, Err: err}
	}
	if i := weights.NotFinite(dst); i >= 0 {
		return notFinitef("tensor %s of shape %v: element %v is %v", Quote(x.Name), x.Shape, indexOf(first+i, x.Shape), dst[i])
	}
	return nil
}

// finite returns an error for NaN or infinity that was computed from finite elements.
func finite(name string, w []float32, err error) ([]float32, error) {
	if err != nil {
		return nil, err
	}
	if i := weights.NotFinite(w); i >= 0 {
		return nil, notFinitef("%s: element %d becomes %v by the normalisation in the file", name, i, w[i])
	}
	return w, nil
}

// indexOf returns the index in each dimension of the i-th element.
func indexOf(i int, shape []int) []int {
	index := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		index[d], i = i%shape[d], i/shape[d]
	}
	return index
}
