package extract

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Spec says what is computed of each picture.
type Spec struct {
	Layers []string `json:"layers,omitempty"` // whose activations are wanted; "" is the network's result
	Top    int      `json:"top,omitempty"`    // how many of the most probable classes are wanted
	Reduce          // of the activations
}

// Column is one value of a row: an activation by the name of its layer, class (the
// numbers of the most probable classes, best first) or probability (theirs).
type Column struct {
	Name  string        `json:"name"`
	DType weights.DType `json:"dtype"` // F32 or I32
	Shape []int         `json:"shape"` // [C], or [C H W]
}

// Len returns the number of the column's values in a row.
func (c Column) Len() int {
	n := 1
	for _, d := range c.Shape {
		n *= d
	}
	return n
}

const classColumn = "class"

// ClassColumns returns the columns for the top most probable classes: class and
// probability.
func ClassColumns(top int) []Column {
	return []Column{{classColumn, weights.I32, []int{top}}, {"probability", weights.F32, []int{top}}}
}

// Row is what came of one picture.
type Row struct {
	// Data holds the columns one after the other, little-endian.
	Data []byte
	// Err says why there is no Data: the picture could not be read, or the network's
	// result is not finite.
	Err error
}

// Float32s sets dst to the values of a column of type F32, which begins at the byte
// offset of Data.
func float32s(dst []float32, data []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// Computer computes rows of batches. It is for one goroutine at a time. A row depends
// on neither the batch nor the number of workers, bit for bit.
type Computer struct {
	model   *vgg.Model
	spec    Spec
	session *vgg.Session
	batch   int
	shapes  []vgg.Shape
	columns []Column
	logits  int         // the output that has them, or −1
	out     [][]float32 // for a batch
	reduced []float32
	p       []float64
}

// NewComputer plans the computation of batches of up to batch pictures on workers
// goroutines; 0 is GOMAXPROCS. Errors wrap vgg.ErrConfig or vgg.ErrShape.
func NewComputer(m *vgg.Model, spec Spec, batch, workers int) (*Computer, error) {
	c := &Computer{model: m, spec: spec, batch: batch, logits: -1}
	outputs, err := c.outputs()
	if err != nil {
		return nil, fmt.Errorf("extract: %w", err)
	}
	opts := []vgg.SessionOption{vgg.Batch(batch), vgg.Outputs(outputs...)}
	if workers > 0 {
		opts = append(opts, vgg.Workers(workers))
	}
	if c.session, err = m.NewSession(opts...); err != nil {
		return nil, err
	}
	c.shapes = c.session.OutputShapes()
	for i, shape := range c.shapes {
		c.out = append(c.out, make([]float32, batch*shape.Len()))
		if i < len(spec.Layers) {
			c.columns = append(c.columns, Column{outputs[i], weights.F32, dims(spec.Shape(shape))})
		}
	}
	if spec.Top > 0 {
		c.p = make([]float64, m.Config().Classes())
		c.columns = append(c.columns, ClassColumns(spec.Top)...)
	}
	return c, nil
}

// outputs lists the layers of the session: those of the spec, and the last where
// classes are wanted.
func (c *Computer) outputs() ([]string, error) {
	cfg := c.model.Config()
	last := cfg.Layers[len(cfg.Layers)-1].Name
	list := slices.Clone(c.spec.Layers)
	for i, name := range list {
		if name == "" {
			list[i] = last
		}
	}
	switch classes := cfg.Classes(); {
	case c.spec.Top == 0 && len(list) == 0:
		return nil, fmt.Errorf("neither a layer nor classes are wanted: %w", vgg.ErrConfig)
	case c.spec.Top < 0 || c.spec.Top > classes:
		return nil, fmt.Errorf("the %d most probable of %d classes: %w", c.spec.Top, classes, vgg.ErrConfig)
	}
	if c.spec.Top > 0 {
		if c.logits = slices.Index(list, last); c.logits < 0 {
			c.logits, list = len(list), append(list, last)
		}
	}
	return list, nil
}

func dims(s vgg.Shape) []int {
	if s.H == 1 && s.W == 1 {
		return []int{s.C}
	}
	return []int{s.C, s.H, s.W}
}

// Columns lists the columns of a row. The slice must not be changed.
func (c *Computer) Columns() []Column { return c.columns }

// RowLen returns the bytes of a row.
func (c *Computer) RowLen() int { return rowLen(c.columns) }

func rowLen(columns []Column) (n int) {
	for _, col := range columns {
		n += col.Len() * col.DType.Size()
	}
	return n
}

// Transform returns what prepares pictures for the model. Each goroutine needs its
// own.
func Transform(m *vgg.Model) (*picture.Transform, error) {
	cfg, pic := m.Config(), m.Picture()
	if cfg.Channels != 3 {
		return nil, fmt.Errorf("extract: the network takes %d channels, a picture has 3: %w", cfg.Channels, vgg.ErrShape)
	}
	return &picture.Transform{Side: pic.Side, Size: cfg.Size, Width: cfg.Width, Preset: pic.Preset}, nil
}

// Compute sets rows to the results of prepared pictures, [len(rows)][3][h][w]. It
// keeps the memory of rows' Data where that suffices. A row that has an Err already
// keeps it. The error is the context's, or wraps vgg.ErrShape for wrong lengths.
func (c *Computer) Compute(ctx context.Context, rows []Row, input []float32) error {
	n := len(rows)
	if n < 1 || n > c.batch {
		return fmt.Errorf("extract: %d pictures, want 1 to %d: %w", n, c.batch, vgg.ErrShape)
	}
	for i, shape := range c.shapes {
		c.out[i] = c.out[i][:n*shape.Len()]
	}
	if err := c.session.RunOutputs(ctx, c.out, input); err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Err == nil {
			rows[i].Data, rows[i].Err = c.row(rows[i].Data[:0], i)
		}
	}
	return nil
}

// row appends the columns of picture i of the last batch to b.
func (c *Computer) row(b []byte, i int) ([]byte, error) {
	for k := range c.spec.Layers {
		shape := c.shapes[k]
		src := c.out[k][i*shape.Len():][:shape.Len()]
		c.reduced = slices.Grow(c.reduced[:0], shape.Len())[:c.spec.Shape(shape).Len()]
		c.spec.Apply(c.reduced, src, shape)
		for _, v := range c.reduced {
			if math.IsNaN(float64(v - v)) {
				return b[:0], fmt.Errorf("the activation of %s is NaN or infinite: %w", c.columns[k].Name, vgg.ErrNotFinite)
			}
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	if c.spec.Top == 0 {
		return b, nil
	}
	vgg.Softmax(c.p, c.out[c.logits][i*len(c.p):][:len(c.p)])
	if math.IsNaN(c.p[0]) { // then all are
		return b[:0], fmt.Errorf("the network's result is NaN or infinite: %w", vgg.ErrNotFinite)
	}
	top := c.model.Rank(c.p, c.spec.Top)
	for _, p := range top {
		b = binary.LittleEndian.AppendUint32(b, uint32(p.Class))
	}
	for _, p := range top {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(p.Probability)))
	}
	return b, nil
}

// errRow is wrapped by errors about rows of the wrong length.
var errRow = errors.New("a row of the wrong length")

// Values takes a row apart: each column's values as []float32 or []int32, new.
func Values(columns []Column, data []byte) ([]any, error) {
	if len(data) != rowLen(columns) {
		return nil, fmt.Errorf("extract: %d bytes, the columns have %d: %w", len(data), rowLen(columns), errRow)
	}
	var list []any
	for _, col := range columns {
		n := col.Len()
		switch col.DType {
		case weights.I32:
			x := make([]int32, n)
			for i := range x {
				x[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
			}
			list = append(list, x)
		default:
			x := make([]float32, n)
			float32s(x, data)
			list = append(list, x)
		}
		data = data[4*n:]
	}
	return list, nil
}
