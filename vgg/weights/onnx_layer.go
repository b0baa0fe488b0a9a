package weights

import (
	"fmt"
	"slices"
	"strconv"
	"unsafe"
)

// The kinds of layers of a chain.
const (
	onnxConv byte = iota
	onnxFC
	onnxScale
	onnxMax
	onnxAverage
	onnxGlobal
	onnxLRN
)

// onnxLayer is a layer of the chain. Conv and FC compute
//
//	y[o] = scale[o]·Σ w[o][i]·(before.scale[i]·x[i] + before.shift[i]) + shift[o]
//
// and a scale layer y = scale·x + shift, each then maybe ReLU.
type onnxLayer struct {
	kind   byte
	kernel int
	out    int
	relu   bool
	weight onnxWeight
	affine onnxAffine
	before onnxAffine // of what the first fully connected layer reads
}

// linear reports whether what follows a layer can be folded into it.
func (l *onnxLayer) linear() bool { return l.kind <= onnxScale && !l.relu }

// word is the layer as vgg.ParseLayers reads it. The last fully connected layer
// has no ReLU unless it says so, the others have one unless they say so.
func (l *onnxLayer) word(lastFC bool) string {
	relu := ""
	if l.relu {
		relu = "+"
	}
	switch l.kind {
	case onnxConv, onnxFC:
		s := strconv.Itoa(l.out)
		if l.kind == onnxFC {
			s = "F" + s
		} else if l.kernel == 1 {
			s += "/1"
		}
		if lastFC {
			return s + relu
		}
		if !l.relu {
			s = "=" + s
		}
		return s
	case onnxScale:
		return "S" + relu
	}
	return map[byte]string{onnxMax: "M", onnxAverage: "A", onnxGlobal: "G", onnxLRN: "N"}[l.kind]
}

// names returns what vgg.ParseLayers calls the layers that have tensors.
func (g *onnxGraph) names() []string {
	names := make([]string, len(g.layers))
	block, conv, fc, scale := 1, 0, 0, 0
	for i, l := range g.layers {
		switch l.kind {
		case onnxMax, onnxAverage:
			block, conv = block+1, 0
		case onnxGlobal:
			if conv > 0 {
				block, conv = block+1, 0
			}
		case onnxFC:
			if conv > 0 && fc == 0 {
				block++
			}
			names[i] = fmt.Sprintf("fc%d", block+fc)
			fc++
		case onnxScale:
			scale++
			names[i] = fmt.Sprintf("scale%d", scale)
		case onnxConv:
			if i == 0 && l.kernel == 1 && !l.relu {
				names[i] = "conv0"
				continue
			}
			conv++
			names[i] = fmt.Sprintf("conv%d_%d", block, conv)
		}
	}
	return names
}

// add appends a layer. All layers together may take a little more memory than the
// file: one tensor can be used by many.
func (g *onnxGraph) add(n *onnxNode, l *onnxLayer) error {
	if len(g.layers) == maxLayers {
		return n.failf("is layer %d, want at most %d", maxLayers+1, maxLayers)
	}
	if l.out < 1 || l.out > maxWidth {
		return n.failf("%d outputs, want 1 to %d", l.out, maxWidth)
	}
	if l.kind <= onnxScale {
		if err := g.take(n, 16*int64(l.out)+4*int64(l.weight.len())); err != nil {
			return err
		}
	}
	g.layers = append(g.layers, l)
	return nil
}

// take counts memory that a layer needs.
func (g *onnxGraph) take(n *onnxNode, bytes int64) error {
	if g.budget -= bytes; g.budget < 0 {
		return n.failf("the layers so far hold many times what the file does: some tensor is used by many of them")
	}
	return nil
}

// last returns the last layer, or nil.
func (g *onnxGraph) last() *onnxLayer {
	if len(g.layers) == 0 {
		return nil
	}
	return g.layers[len(g.layers)-1]
}

// onnxAffine is scale·x + shift; one number stands for a vector of equal ones, and
// nil for ones or zeros.
type onnxAffine struct{ scale, shift []float64 }

func (a onnxAffine) identity() bool { return a.scale == nil && a.shift == nil }

// vector reports whether a has one number for each channel.
func (a onnxAffine) vector() int { return max(len(a.scale), len(a.shift)) }

// at returns element i of list, which may be short.
func at(list []float64, i int, otherwise float64) float64 {
	switch len(list) {
	case 0:
		return otherwise
	case 1:
		return list[0]
	}
	return list[i]
}

// then returns what b makes of a's result.
func (a onnxAffine) then(b onnxAffine) onnxAffine {
	n := max(a.vector(), b.vector())
	c := onnxAffine{}
	if a.scale != nil || b.scale != nil {
		c.scale = make([]float64, max(len(a.scale), len(b.scale)))
		for i := range c.scale {
			c.scale[i] = at(a.scale, i, 1) * at(b.scale, i, 1)
		}
	}
	if a.shift != nil || b.shift != nil {
		if b.scale == nil || a.shift == nil {
			n = max(len(a.shift), len(b.shift))
		}
		c.shift = make([]float64, n)
		for i := range c.shift {
			c.shift[i] = float64(at(a.shift, i, 0)*at(b.scale, i, 1)) + at(b.shift, i, 0)
		}
	}
	return c
}

// widen makes both vectors n long.
func (a *onnxAffine) widen(n *onnxNode, width int) error {
	if v := a.vector(); v > 1 && v != width {
		return n.failf("%d channels, but the constants before it have %d", width, v)
	}
	for _, p := range []struct {
		list      *[]float64
		otherwise float64
	}{{&a.scale, 1}, {&a.shift, 0}} {
		if len(*p.list) == width && width > 1 {
			continue
		}
		*p.list = slices.Repeat([]float64{at(*p.list, 0, p.otherwise)}, width)
	}
	return nil
}

// onnxWeight is a tensor of weights as [out][in][rows][columns], wherever its
// elements are. Of a fully connected layer, rows are the elements of a channel.
type onnxWeight struct {
	from    *onnxConstant
	shape   [4]int
	strides [4]int
	column  [2]int // where the column of a channel and of an element of it is, if the order is HWC
}

func (w *onnxWeight) len() int {
	if w.from == nil {
		return 0
	}
	return w.shape[0] * w.shape[1] * w.shape[2] * w.shape[3]
}

// contiguous reports whether the elements lie in order and without gaps.
func (w *onnxWeight) contiguous() bool {
	n := 1
	for i := 3; i >= 0; i-- {
		if w.shape[i] != 1 && w.strides[i] != n {
			return false
		}
		n *= w.shape[i]
	}
	return true
}

// entries returns the tensors of all layers.
func (g *onnxGraph) entries() (map[string]entry, error) {
	entries := map[string]entry{}
	for i, name := range g.names() {
		l := g.layers[i]
		switch {
		case name == "":
			continue
		case l.kind == onnxScale:
			entries[name+".weight"] = vectorEntry(l.affine.scale)
			entries[name+".bias"] = vectorEntry(l.affine.shift)
			continue
		}
		w, err := l.weightEntry(g.file)
		if err != nil {
			return nil, err
		}
		shift, err := l.bias(g.file)
		if err != nil {
			return nil, err
		}
		entries[name+".weight"], entries[name+".bias"] = w, vectorEntry(shift)
	}
	return entries, nil
}

// vectorEntry holds numbers, each rounded once.
func vectorEntry(list []float64) entry {
	short := make([]float32, len(list))
	for i, v := range list {
		short[i] = float32(v)
	}
	b := make([]byte, 4*len(list))
	putFloats(b, F32, short)
	return entry{dtype: F32, shape: []int{len(list)}, length: int64(len(b)), own: b}
}

// weightEntry is a view of the file if nothing has to be computed.
func (l *onnxLayer) weightEntry(f *File) (entry, error) {
	w := &l.weight
	source, err := w.from.place()
	if err != nil {
		return entry{}, err
	}
	e := source
	e.shape = w.shape[:]
	if l.kind == onnxFC {
		e.shape = []int{w.shape[0], w.shape[1] * w.shape[2] * w.shape[3]}
	}
	if w.contiguous() && l.affine.scale == nil && l.before.scale == nil {
		return e, nil
	}
	e = entry{dtype: F32, shape: e.shape, length: 4 * int64(w.len())}
	e.compute = func() ([]byte, error) {
		data, err := f.entryData(source)
		if err != nil {
			return nil, err
		}
		out := make([]float32, w.len())
		if err := guard(func() { l.fold(out, elements(source.dtype, data)) }); err != nil {
			return nil, err
		}
		if littleEndian {
			return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), 4*len(out)), nil
		}
		b := make([]byte, 4*len(out))
		putFloats(b, F32, out)
		return b, nil
	}
	return e, nil
}

// fold computes the weights in the order [out][in][rows][columns], each rounded
// once, in tiles: the outputs of a transposed matrix are neighbours in the file, and
// the inputs are in dst.
func (l *onnxLayer) fold(dst []float32, read func(dst []float64, i, stride int)) {
	w := &l.weight
	each := w.shape[1] * w.shape[2] * w.shape[3]
	var tile [16][16]float64
	for from := 0; from < w.shape[0]; from += len(tile[0]) {
		outputs := min(len(tile[0]), w.shape[0]-from)
		k := 0
		for i := range w.shape[1] {
			for y := range w.shape[2] {
				for x := range w.shape[3] {
					row := tile[k%len(tile)][:outputs]
					read(row, from*w.strides[0]+i*w.strides[1]+y*w.strides[2]+x*w.strides[3], w.strides[0])
					if l.before.scale != nil || l.affine.scale != nil {
						l.scaleRow(row, from, i*w.column[0]+y*w.column[1])
					}
					if k++; k%len(tile) > 0 && k < each {
						continue
					}
					first := (k - 1) / len(tile) * len(tile)
					for o := range outputs {
						for j := range dst[(from+o)*each+first : (from+o)*each+k] {
							dst[(from+o)*each+first+j] = float32(tile[j][o])
						}
					}
				}
			}
		}
	}
}

// scaleRow scales weights of some outputs for one input.
func (l *onnxLayer) scaleRow(row []float64, from, column int) {
	before := at(l.before.scale, column, 1)
	for o := range row {
		row[o] *= before * at(l.affine.scale, from+o, 1)
	}
}

// bias returns what the layer adds.
func (l *onnxLayer) bias(f *File) ([]float64, error) {
	shift := make([]float64, l.out)
	for i := range shift {
		shift[i] = at(l.affine.shift, i, 0)
	}
	if l.before.shift == nil {
		return shift, nil
	}
	source, err := l.weight.from.place()
	if err != nil {
		return nil, err
	}
	data, err := f.entryData(source)
	if err != nil {
		return nil, err
	}
	w := &l.weight
	return shift, guard(func() {
		elem := element(source.dtype, data)
		for o := range shift {
			sum := 0.0
			for i := range w.shape[1] {
				for y := range w.shape[2] {
					sum += elem(o*w.strides[0]+i*w.strides[1]+y*w.strides[2]) * at(l.before.shift, i*w.column[0]+y*w.column[1], 0)
				}
			}
			shift[o] += float64(sum * at(l.affine.scale, o, 1))
		}
	})
}
