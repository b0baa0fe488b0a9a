package vgg

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/nonet-go/nonet/winograd"
)

// storedConv is a convolution of a file, in fixed point.
type storedConv struct{ c, k int }

// elements are those of a transformed filter, one input and one output channel.
const elements = 36

// blocks returns the number of blocks of 16 outputs.
func (p storedConv) blocks() int { return layout.Blocks(p.k) }

// shape returns the shape of the stored filters.
func (p storedConv) shape() []int { return []int{p.blocks(), elements, layout.Blocks(p.c) * 8, 16, 2} }

// addConv reads an item of the metadata, such as 64:128, and checks the tensors.
func (f *fixedFile) addConv(name, dims string) error {
	in, out, _ := strings.Cut(dims, ":")
	c, errC := strconv.Atoi(in)
	k, errK := strconv.Atoi(out)
	if errC != nil || errK != nil || c < 1 || k < 1 || c > maxWidth || k > maxWidth {
		return fmt.Errorf("want the channels of input and output, as 64:128: %w", weights.ErrFormat)
	}
	p := storedConv{c, k}
	if !shape.Fits(p.blocks(), elements, layout.Blocks(c), 256, 4) {
		return fmt.Errorf("%d×%d filters: %w", k, c, ErrShape)
	}
	for _, t := range []struct {
		name  string
		dtype weights.DType
		shape []int
	}{{name, weights.I16, p.shape()}, {name + scaleSuffix, weights.F32, []int{p.blocks(), elements, 16}}} {
		dtype, have, err := f.Source.Info(t.name)
		if err != nil {
			return err
		}
		if dtype != t.dtype || !slices.Equal(have, t.shape) {
			return fmt.Errorf("tensor %q is %s %v, want %s %v: %w", t.name, dtype, have, t.dtype, t.shape, ErrShape)
		}
	}
	f.convs[name] = p
	return nil
}

// filter makes the filter of a convolution.
func (f *fixedFile) filter(name string, p storedConv, bias []float32, team *parallel.Team) (*conv3x3.Filter, error) {
	u, err := f.Source.Tensor(name)
	if err != nil {
		return nil, err
	}
	defer u.Release()
	scale, err := f.Source.Tensor(name + scaleSuffix)
	if err != nil {
		return nil, err
	}
	return conv3x3.NewStoredFilter(p.c, p.k, func(kb int, b winograd.StoredBlock) error {
		if err := scale.Float32sAt(b.Scale, kb*len(b.Scale)); err != nil {
			return err
		}
		for i, v := range b.Scale {
			if !(math.Abs(float64(v)) <= math.MaxFloat32) {
				return fmt.Errorf("tensor %q, element %d is %v: %w", scale.Name, kb*len(b.Scale)+i, v, ErrNotFinite)
			}
		}
		return u.Int16sAt(b.U, kb*len(b.U))
	}, bias, team)
}

// convFloats computes the filters from their transforms.
func (f *fixedFile) convFloats(name string, p storedConv) (weights.Tensor, error) {
	filter, err := f.filter(name, p, nil, nil)
	if err != nil {
		return weights.Tensor{}, err
	}
	var data []byte
	for _, v := range filter.Weights(nil) {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return weights.Tensor{Name: name, DType: weights.F32, Shape: []int{p.k, p.c, 3, 3}, Data: data}, nil
}

// storedFilter makes convolution l with c input channels of the stored filters of src; nil if it has
// none.
func storedFilter(src Source, l Layer, c int, bias []float32, team *parallel.Team) (*conv3x3.Filter, error) {
	s, ok := src.(*fileSource)
	if !ok {
		return nil, nil
	}
	f, ok := s.file.(*fixedFile)
	if !ok {
		return nil, nil
	}
	name := l.Name + ".weight"
	p, ok := f.convs[name]
	if own, plain := s.tensors.Plain(l.Name); !ok || !plain || own != name || p != (storedConv{c, l.Out}) || l.Kernel != 3 || l.Stride == 2 {
		return nil, nil // from the floats, whose shape is checked
	}
	filter, err := f.filter(name, p, bias, team)
	return filter, fileError(f, err)
}

// savedConv returns the tensors of a convolution of c input channels to an output of some shape in fixed point, and the item
// of the metadata that says so; nil if it is not for fixed point.
func savedConv(l Layer, c int, shape Shape, src Source) (out []weights.Out, item string, err error) {
	w, err := src.Tensor(l.Name+".weight", []int{l.Out, c, 3, 3})
	if err != nil {
		return nil, "", err
	}
	f, err := conv3x3.NewFilter(c, l.Out, w, nil, nil, algorithm{fixed: true}.options(l, c, shape)...)
	if err != nil || !f.Stores() {
		return nil, "", err
	}
	p := storedConv{c, l.Out}
	var scales []float32
	block := winograd.NewStoredBlock(c)
	for kb := range p.blocks() {
		f.StoreFixed(kb, block)
		scales = append(scales, block.Scale...)
	}
	for _, v := range scales {
		if v != v {
			return nil, "", fmt.Errorf("vgg: %s: %s.weight: %w", src.Name(), l.Name, ErrNotFinite)
		}
	}
	stream := func(w io.Writer) error {
		for kb := range p.blocks() {
			f.StoreFixed(kb, block)
			var data []byte
			for _, v := range block.U {
				data = binary.LittleEndian.AppendUint16(data, uint16(v))
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		return nil
	}
	return []weights.Out{
		{Name: l.Name + ".weight", DType: weights.I16, Shape: p.shape(), Stream: stream},
		{Name: l.Name + ".weight" + scaleSuffix, DType: weights.F32, Shape: []int{p.blocks(), elements, 16}, Floats: scales},
	}, fmt.Sprintf("%s %d:%d", l.Name, c, l.Out), nil
}
