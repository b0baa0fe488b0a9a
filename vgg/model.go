package vgg

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
	"github.com/nonet-go/nonet/vgg/picture"
)

// A Source gives the tensors of a network by name, as Config.Params lists them.
type Source interface {
	// Name says where the tensors come from, for error messages: the path of a file.
	Name() string
	// Tensor returns a tensor's elements, or a *TensorError if its shape is not want. The
	// caller neither changes nor keeps the slice.
	Tensor(name string, want []int) ([]float32, error)
	// Release says that the tensors given so far are no longer needed.
	Release()
}

// Model is a network with its weights, packed for the kernels of this machine.
// It is immutable: any number of goroutines and sessions may share it.
type Model struct {
	cfg      Config
	opts     modelOptions
	layers   []packedLayer // one for each layer of cfg
	sessions *sessions
	grads    gradFilters
}

type modelOptions struct {
	config    *Config
	key       string
	algorithm algorithm
	half      bool
	fixedFC   bool
	labels    []string
	picture   Picture
	sessions  *int // see MaxSessions
}

// An Option changes how a Model is made.
type Option func(*modelOptions)

// Direct forbids Winograd: every 3×3 convolution is computed from the definition. It is
// slower, and serves comparisons.
func Direct() Option {
	return func(o *modelOptions) { o.algorithm.direct = true }
}

// Winograd computes the 3×3 convolutions of 7 and more input channels and with stride 1 by
// F(m×m, 3×3), m = 2 or 4. Without this option nonet chooses by the layer's shape for pictures
// of the configuration's size: F(2×2,3×3) for maps of up to 6×6 or 7×7, else F(4×4,3×3).
func Winograd(m int) Option {
	return func(o *modelOptions) { o.algorithm.tile = m }
}

// HalfFC stores the weights of the fully connected layers in IEEE half precision. That
// halves their memory and memory traffic, and rounds each weight to 11 bits. The arithmetic
// stays float32. Results are no longer those of a float32 model.
func HalfFC() Option { return func(o *modelOptions) { o.half = true } }

// FixedFC stores the weights of the fully connected layers as whole numbers of 8 bits with a
// scale for each output, and multiplies them by inputs of 16 bits with a scale for each picture:
// see gemm.Fixed, which has the error. That takes a quarter of the memory. The sums are exact,
// and results of these layers are the same bits for the same input on every machine. Results are
// no longer those of a float32 model. FixedFC goes before HalfFC.
func FixedFC() Option { return func(o *modelOptions) { o.fixedFC = true } }

// Fixed computes in fixed point what gains by it, with a third of the memory for weights:
// fully connected layers of at least 2¹⁸ weights as FixedFC, and 3×3 convolutions of 16 and more
// input channels with integers of 16 bits, those with stride 1 by F(4×4,3×3) (package winograd)
// and those with stride 2 directly (package conv3x3). All other layers stay float32. No calibration is needed. The same input of such a layer gives the same bits on
// every machine. Logits differ from those of a float32 model by some 5e-3 of their root mean
// square; docs/numerics.md has the bound, and says when not to use it. Fixed excludes Direct
// and Winograd(2), and goes before HalfFC.
func Fixed() Option { return func(o *modelOptions) { o.algorithm.fixed, o.fixedFC = true, true } }

// fixesFC reports whether a fully connected layer is in fixed point. With Fixed, small layers
// are not: their weights stay in the caches, so that they would lose accuracy for nothing.
func (o *modelOptions) fixesFC(out, in int) bool {
	const least = 1 << 18
	return o.fixedFC && (!o.algorithm.fixed || out >= (least+in-1)/in)
}

// Labels names the classes. There are as many labels as classes.
func Labels(labels []string) Option { return func(o *modelOptions) { o.labels = labels } }

// Pictures says how pictures are prepared for the network.
func Pictures(p Picture) Option { return func(o *modelOptions) { o.picture = p } }

// New packs the tensors of src for the network cfg. It keeps nothing of src. Its error wraps
// ErrConfig, ErrShape or an error of src, or says that NONET_ISA names no instruction set.
func New(cfg Config, src Source, opts ...Option) (*Model, error) {
	if err := errors.Join(cpu.Err(), cfg.Validate()); err != nil {
		return nil, err
	}
	m := &Model{cfg: cfg, opts: modelOptions{picture: cfg.DefaultPicture()}}
	for _, o := range opts {
		o(&m.opts)
	}
	var err error
	if m.sessions, err = newSessions(m.opts); err != nil {
		return nil, err
	}
	if n := len(m.opts.labels); n > 0 && n != cfg.Classes() {
		return nil, fmt.Errorf("vgg: %s: %d labels for %d classes: %w", src.Name(), n, cfg.Classes(), ErrShape)
	}
	team := parallel.NewTeam(runtime.GOMAXPROCS(0))
	team.Begin()
	defer team.End()
	if f, ok := src.(*fileSource); ok {
		f.tensors.Team = team
		defer func() { f.tensors.Team = nil }()
	}
	in, shapes, err := cfg.nominal()
	if err != nil {
		return nil, err
	}
	for i := range cfg.Layers {
		p, err := m.pack(i, in, shapes[i], src, team)
		if err != nil {
			return nil, err
		}
		m.layers = append(m.layers, p)
		src.Release()
		in = shapes[i]
	}
	return m, unchanged(src)
}

// pack reads and packs the tensors of layer i with input in and result out.
func (m *Model) pack(i int, in, out Shape, src Source, team *parallel.Team) (p packedLayer, err error) {
	l := m.cfg.Layers[i]
	var shape []int
	switch l.Kind {
	case Conv:
		shape = []int{l.Out, in.C, l.Kernel, l.Kernel}
	case FC:
		shape = []int{l.Out, in.Len()}
	case Scale:
		shape = []int{in.C}
	default:
		return p, nil
	}
	if l.Kind == FC {
		p.linear, err = m.packLinear(i, in, shape, src, team)
		return p, err
	}
	bias, err := src.Tensor(l.Name+".bias", shape[:1])
	if err != nil {
		return p, err
	}
	if l.Kind == Conv && m.opts.algorithm.fixed {
		if p.conv, err = storedFilter(src, l, in.C, bias, team); p.conv != nil || err != nil {
			return p, err
		}
	}
	weight, err := src.Tensor(l.Name+".weight", shape)
	if err != nil {
		return p, err
	}
	switch {
	case l.Kind == Scale:
		p.scale, err = pool.NewScale(in.C, weight, bias, fuse.Epilogue{ReLU: l.ReLU})
	case l.Kernel == 1:
		p.pointwise, err = gemm.NewPointwise(in.C, l.Out, weight, bias)
	default:
		p.conv, err = conv3x3.NewFilter(in.C, l.Out, weight, bias, team, m.opts.algorithm.options(l, in.C, out)...)
	}
	if err != nil {
		err = fmt.Errorf("vgg: %s: %s: %w", src.Name(), l.Name, err)
	}
	return p, err
}

// packLinear reads and packs the tensors of fully connected layer i. It reads the weights by
// rows if the source has them.
func (m *Model) packLinear(i int, in Shape, shape []int, src Source, team *parallel.Team) (*gemm.Linear, error) {
	if m.opts.fixesFC(shape[0], shape[1]) {
		if p, err := m.packedLinear(i, in, src, team); p != nil || err != nil {
			return p, err
		}
	}
	l := m.cfg.Layers[i]
	var opts []gemm.Option
	if i == m.cfg.firstFC() { // reads a blocked activation
		opts = append(opts, gemm.Columns(blockedColumns(in, m.cfg.HWC)))
	}
	switch {
	case m.opts.fixesFC(shape[0], shape[1]):
		opts = append(opts, gemm.Fixed())
	case m.opts.half:
		opts = append(opts, gemm.Half())
	}
	if l.ReLU {
		opts = append(opts, gemm.ReLU())
	}
	read, err := readRows(src, l.Name+".weight", shape)
	if err != nil {
		return nil, err
	}
	bias, err := src.Tensor(l.Name+".bias", []int{l.Out})
	if err != nil {
		return nil, err
	}
	return gemm.NewLinearFrom(shape[1], shape[0], read, bias, team, opts...)
}

// blockedColumns maps each element of a blocked activation to its place in CHW or HWC
// order, which the columns of a fully connected layer's weights have. Padded
// channels map to -1.
func blockedColumns(s Shape, hwc bool) []int32 {
	cols := make([]int32, layout.Len(s.C, s.H, s.W))
	plane := s.H * s.W
	for i := range cols {
		lane, pixel, block := i%layout.Block, i/layout.Block%plane, i/layout.Block/plane
		cols[i] = -1
		switch c := block*layout.Block + lane; {
		case c >= s.C:
		case hwc:
			cols[i] = int32(pixel*s.C + c)
		default:
			cols[i] = int32(c*plane + pixel)
		}
	}
	return cols
}

// Config returns the network's configuration.
func (m *Model) Config() Config { return m.cfg }

// Labels returns the names of the classes, or nil. The caller must not change the slice.
func (m *Model) Labels() []string { return m.opts.labels }

// Picture says how pictures are prepared for the model.
func (m *Model) Picture() Picture { return m.opts.picture }

// Bytes returns the memory of the packed weights, with those that the first Gradient has
// packed for the gradients of its inputs.
func (m *Model) Bytes() int64 {
	n := m.grads.size()
	for _, p := range m.layers {
		n += p.bytes()
	}
	return n
}

// Summary is Config.Summary with the algorithm of each layer.
func (m *Model) Summary() Summary {
	sum, _ := m.cfg.Summary() // the configuration has been validated
	for i, p := range m.layers {
		if p.conv != nil {
			sum.Layers[i].Algorithm = p.conv.Algorithm()
		}
	}
	return sum
}

// transform returns what prepares one picture at a time.
func (m *Model) transform() *picture.Transform {
	return &picture.Transform{Side: m.opts.picture.Side, Size: m.cfg.Size, Width: m.cfg.Width, Preset: m.opts.picture.Preset}
}
