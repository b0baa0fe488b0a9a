package vgg

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg/weights"
)

// A file may hold the weights of fully connected layers as gemm.Fixed packs them, and those of
// convolutions in blocks of 16 outputs, see winograd.StoredBlock. Its metadata name these layers,
// with the shape of their inputs, or the channels of input and output:
//
//	nonet.fixed           conv1_2 64:64,fc6 512x7x7,fc7 4096
//	conv1_2.weight        I16 [64/16][36][64/2][16][2]
//	conv1_2.weight_scale  F32 [64/16][36][16]
//	fc6.weight            I8 [4096/32][25088/2][32][2], see gemm.Linear.FixedWeights
//	fc6.weight_scale      F32 [4096]
//
// The columns of fc6 stand in the order of a blocked activation. To what reads the file, weights
// are floats of their ordinary shapes, [64][64][3][3] and [4096][25088]; a model takes the whole
// numbers.

// scaleSuffix follows the name of packed weights.
const scaleSuffix = "_scale"

// fixedFile presents a file with packed weights as one of floats.
type fixedFile struct {
	weights.Source
	hwc    bool
	packed map[string]packedFC   // by the name of the weights
	convs  map[string]storedConv // likewise
}

// packedFC is a fully connected layer of a file.
type packedFC struct {
	in      Shape
	out     int
	blocked bool // its input lies in blocks of 16 channels: it is the first such layer
}

// unpacked returns file itself unless it has packed weights.
func unpacked(file weights.Source) (weights.Source, error) {
	text, ok := file.Metadata()[weights.KeyFixed]
	if !ok {
		return file, nil
	}
	meta, err := evidence(file)
	if err != nil {
		return nil, err
	}
	f := &fixedFile{Source: file, hwc: meta.Flatten == weights.FlattenHWC, packed: map[string]packedFC{}, convs: map[string]storedConv{}}
	for item := range strings.SplitSeq(text, ",") {
		if err := f.add(item); err != nil {
			return nil, fmt.Errorf("metadata %s, %q: %w", weights.KeyFixed, item, err)
		}
	}
	return f, nil
}

// add reads an item of the metadata, and checks the tensors.
func (f *fixedFile) add(item string) error {
	name, dims, _ := strings.Cut(item, " ")
	if strings.Contains(dims, ":") {
		return f.addConv(name+".weight", dims)
	}
	p, err := parsePacked(dims)
	if err != nil {
		return err
	}
	name += ".weight"
	dtype, scales, err := f.Source.Info(name + scaleSuffix)
	if err != nil {
		return err
	}
	if dtype != weights.F32 || len(scales) != 1 {
		return fmt.Errorf("tensor %q is %s %v, want F32 of one dimension: %w", name+scaleSuffix, dtype, scales, ErrShape)
	}
	p.out = scales[0]
	want, err := p.packedShape()
	if err != nil {
		return err
	}
	dtype, have, err := f.Source.Info(name)
	if err != nil {
		return err
	}
	if dtype != weights.I8 || !slices.Equal(have, want) {
		return fmt.Errorf("tensor %q is %s %v, want I8 %v: %w", name, dtype, have, want, ErrShape)
	}
	f.packed[name] = p
	return nil
}

// parsePacked reads the shape of an input: 512x7x7 of the first layer, and 4096 of others.
func parsePacked(s string) (p packedFC, err error) {
	list := []int{}
	for word := range strings.SplitSeq(s, "x") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 1<<20 {
			return p, fmt.Errorf("want the shape of an input, as 512x7x7: %w", weights.ErrFormat)
		}
		list = append(list, n)
	}
	switch len(list) {
	case 1:
		return packedFC{in: Shape{C: list[0], H: 1, W: 1}}, nil
	case 3:
		return packedFC{in: Shape{C: list[0], H: list[1], W: list[2]}, blocked: true}, nil
	}
	return p, fmt.Errorf("%d sizes, want 1 or 3: %w", len(list), weights.ErrFormat)
}

// columns returns how many packed columns the layer has.
func (p packedFC) columns() int {
	if !p.blocked {
		return p.in.C
	}
	return layout.Len(p.in.C, p.in.H, p.in.W)
}

// order returns which column of the floats each packed one is, −1 for none.
func (p packedFC) order(hwc bool) []int32 {
	if p.blocked {
		return blockedColumns(p.in, hwc)
	}
	order := make([]int32, p.in.C)
	for i := range order {
		order[i] = int32(i)
	}
	return order
}

// packedShape returns the shape of the packed weights.
func (p packedFC) packedShape() ([]int, error) {
	if !shape.Fits(layout.Blocks(p.in.C), 16, p.in.H, p.in.W, 4) || !shape.Fits(p.in.Len(), p.out, 4) {
		return nil, fmt.Errorf("%d outputs of %v: %w", p.out, p.in, ErrShape)
	}
	if _, err := gemm.FixedLen(p.columns(), p.out); err != nil {
		return nil, err
	}
	return []int{(p.out + 31) / 32, layout.Blocks(p.columns()) * 8, 32, 2}, nil
}

// Names leaves the scales out.
func (f *fixedFile) Names() []string {
	return slices.DeleteFunc(f.Source.Names(), func(name string) bool {
		of, ok := strings.CutSuffix(name, scaleSuffix)
		_, fc := f.packed[of]
		_, conv := f.convs[of]
		return ok && (fc || conv)
	})
}

// Info returns type and shape of the floats.
func (f *fixedFile) Info(name string) (weights.DType, []int, error) {
	if p, ok := f.packed[name]; ok {
		return weights.F32, []int{p.out, p.in.Len()}, nil
	}
	if p, ok := f.convs[name]; ok {
		return weights.F32, []int{p.k, p.c, 3, 3}, nil
	}
	return f.Source.Info(name)
}

// Tensor computes the floats.
func (f *fixedFile) Tensor(name string) (weights.Tensor, error) {
	if c, ok := f.convs[name]; ok {
		return f.convFloats(name, c)
	}
	p, ok := f.packed[name]
	if !ok {
		return f.Source.Tensor(name)
	}
	q, scale, err := f.read(name, p)
	if err != nil {
		return weights.Tensor{}, err
	}
	w := make([]int8, q.Len())
	if err := q.Int8sAt(w, 0); err != nil {
		return weights.Tensor{}, err
	}
	data := make([]byte, 4*p.out*p.in.Len())
	row, order := make([]float32, p.columns()), p.order(f.hwc)
	for k, s := range scale {
		gemm.UnpackFixed(k, row, w, s)
		for i, v := range row {
			if order[i] >= 0 {
				binary.LittleEndian.PutUint32(data[4*(k*p.in.Len()+int(order[i])):], math.Float32bits(v))
			}
		}
	}
	return weights.Tensor{Name: name, DType: weights.F32, Shape: []int{p.out, p.in.Len()}, Data: data}, nil
}

// read returns the packed weights and the scales.
func (f *fixedFile) read(name string, p packedFC) (q weights.Tensor, scale []float32, err error) {
	if q, err = f.Source.Tensor(name); err != nil {
		return q, nil, err
	}
	s, err := f.Source.Tensor(name + scaleSuffix)
	if err != nil {
		return q, nil, err
	}
	scale = make([]float32, p.out)
	if err := s.Float32s(scale); err != nil {
		return q, nil, err
	}
	for k, v := range scale {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return q, nil, fmt.Errorf("tensor %q, element %d is %v: %w", s.Name, k, v, ErrNotFinite)
		}
	}
	return q, scale, nil
}

// Unchanged is that of the file.
func (f *fixedFile) Unchanged() error {
	if s, ok := f.Source.(interface{ Unchanged() error }); ok {
		return s.Unchanged()
	}
	return nil
}

// packedLinear makes fully connected layer i, whose input has that shape, of the packed weights of
// src; nil if src has none.
func (m *Model) packedLinear(i int, in Shape, src Source, team *parallel.Team) (*gemm.Linear, error) {
	l := m.cfg.Layers[i]
	s, ok := src.(*fileSource)
	if !ok {
		return nil, nil
	}
	f, ok := s.file.(*fixedFile)
	if !ok {
		return nil, nil
	}
	name := l.Name + ".weight"
	p, ok := f.packed[name]
	if own, plain := s.tensors.Plain(l.Name); !ok || !plain || own != name || p.out != l.Out || p.in != in || p.blocked != (i == m.cfg.firstFC()) || p.blocked && f.hwc != m.cfg.HWC {
		return nil, nil // from the floats, whose shape is checked
	}
	bias, err := src.Tensor(l.Name+".bias", []int{l.Out})
	if err != nil {
		return nil, err
	}
	q, scale, err := f.read(name, p)
	if err != nil {
		return nil, fileError(f, err)
	}
	var opts []gemm.Option
	if l.ReLU {
		opts = append(opts, gemm.ReLU())
	}
	linear, err := gemm.NewFixedLinear(p.columns(), p.out, q.Int8sAt, scale, bias, team, opts...)
	q.Release()
	return linear, fileError(f, err)
}

// savedFC returns the tensors of a fully connected layer with input in, to be written as whole
// numbers, and the item of the metadata that says so.
func savedFC(cfg Config, i int, in Shape, src Source) (out []weights.Out, item string, err error) {
	m := &Model{cfg: cfg, opts: modelOptions{fixedFC: true}}
	l := cfg.Layers[i]
	p := packedFC{in, l.Out, i == cfg.firstFC()}
	if item = fmt.Sprintf("%s %d", l.Name, in.Len()); p.blocked {
		item = fmt.Sprintf("%s %dx%dx%d", l.Name, in.C, in.H, in.W)
	}
	linear, err := m.packLinear(i, in, []int{l.Out, in.Len()}, src, nil)
	if err != nil {
		return nil, "", err
	}
	q, scale := linear.FixedWeights()
	for k, v := range scale {
		if v != v {
			return nil, "", fmt.Errorf("vgg: %s: %s.weight, row %d: %w", src.Name(), l.Name, k, ErrNotFinite)
		}
	}
	dims, err := p.packedShape()
	if err != nil {
		return nil, "", err
	}
	data := unsafe.Slice((*byte)(unsafe.Pointer(&q[0])), len(q))
	return []weights.Out{
		{Name: l.Name + ".weight", DType: weights.I8, Shape: dims, Data: data},
		{Name: l.Name + ".weight" + scaleSuffix, DType: weights.F32, Shape: []int{l.Out}, Floats: scale},
	}, item, nil
}

// fixedTensors returns what savedFC and, for Fixed, savedConv do for all layers, by the name of
// their weights, and the metadata.
func fixedTensors(ctx context.Context, cfg Config, src Source, o *modelOptions) (tensors map[string][]weights.Out, meta string, err error) {
	in, shapes, err := cfg.nominal()
	if err != nil {
		return nil, "", err
	}
	tensors = map[string][]weights.Out{}
	var items []string
	for i, l := range cfg.Layers {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		var out []weights.Out
		var item string
		switch {
		case l.Kind == FC && o.fixesFC(l.Out, in.Len()):
			out, item, err = savedFC(cfg, i, in, src)
		case l.Kind == Conv && l.Kernel == 3 && o.algorithm.fixed:
			out, item, err = savedConv(l, in.C, shapes[i], src)
		}
		if err != nil {
			return nil, "", err
		}
		if out != nil {
			tensors[l.Name+".weight"], items = out, append(items, item)
			src.Release()
		}
		in = shapes[i]
	}
	return tensors, strings.Join(items, ","), nil
}
