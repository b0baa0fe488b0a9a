package conv3x3

import (
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/winograd"
)

// InFixedPoint reports whether f is in fixed point: whether Fixed was given, and the convolution is
// one of those that it is for.
func (f *Filter) InFixedPoint() bool { return f.fixed != nil || f.Stores() }

// Stores reports whether f is in fixed point by Winograd, whose filters StoreFixed gives.
func (f *Filter) Stores() bool { return f.wino != nil && f.wino.Fixed() }

// StoreFixed sets b to the filters of block kb of 16 outputs, of a filter that Stores.
func (f *Filter) StoreFixed(kb int, b winograd.StoredBlock) { f.wino.StoreFixed(kb, b) }

// NewStoredFilter is NewFilter with the option Fixed for filters that StoreFixed gave, see
// winograd.NewStoredFilter. Biases may be nil and are not kept.
func NewStoredFilter(c, k int, read func(kb int, b winograd.StoredBlock) error, bias []float32, team *parallel.Team) (*Filter, error) {
	if c < layout.Block || k < 1 || bias != nil && len(bias) != k {
		return nil, shape.Errorf("conv3x3: %d biases for stored filters of %d channels and %d outputs", len(bias), c, k)
	}
	f := &Filter{c: c, k: k, stride: 1, tile: 4, bias: make([]float32, k)}
	copy(f.bias, bias)
	var err error
	if f.wino, err = winograd.NewStoredFilter(c, k, read, team); err != nil {
		return nil, err
	}
	return f, nil
}
