// Package parquet writes features as Apache Parquet.
package parquet

import (
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/internal/collection"
)

// Format has a column path, and a list of required elements for each column of the
// table: float for activations and probabilities, int32 for classes. Where the classes
// have names, a list label has them. Pages are compressed with Snappy, and a group of
// rows has some 16 MiB.
var Format extract.Format = format{}

type format struct{}

func (format) Name() string                      { return "parquet" }
func (format) Endings([]extract.Column) []string { return []string{".parquet"} }

const (
	groupBytes  = 16 << 20
	classColumn = "class"
	labelColumn = "label"
	pathColumn  = "path"
)

func (format) Write(w io.Writer, _ int, t extract.Table) error {
	rowBytes := 64
	for _, c := range t.Header.Columns {
		rowBytes += 4 * c.Len()
	}
	schema := Schema(t.Header)
	out := parquet.NewWriter(w, schema, parquet.MaxRowsPerRowGroup(int64(max(1, groupBytes/rowBytes))))
	rows := newRows(schema, t.Header)
	for rec, err := range t.Records {
		if err == nil {
			err = rows.set(rec)
		}
		if err == nil {
			_, err = out.WriteRows([]parquet.Row{rows.row})
		}
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// Schema returns the columns of a file.
func Schema(h extract.Header) *parquet.Schema {
	snappy := func(n parquet.Node) parquet.Node { return parquet.Compressed(n, &parquet.Snappy) }
	g := parquet.Group{pathColumn: snappy(parquet.String())}
	for _, c := range h.Columns {
		element := parquet.Leaf(parquet.FloatType)
		if c.DType == "I32" {
			element = parquet.Leaf(parquet.Int32Type)
		}
		g[c.Name] = parquet.List(snappy(element))
		if c.Name == classColumn && h.Labels != nil {
			g[labelColumn] = parquet.List(snappy(parquet.String()))
		}
	}
	return parquet.NewSchema("features", g)
}

// rows makes one row after the other, in the same memory.
type rows struct {
	h      extract.Header
	places map[string]int // of the columns, which are in ascending order
	lists  [][]parquet.Value
	row    parquet.Row
}

func newRows(s *parquet.Schema, h extract.Header) *rows {
	r := &rows{h: h, places: map[string]int{}}
	for i, path := range s.Columns() {
		r.places[path[0]] = i
	}
	r.lists = make([][]parquet.Value, len(r.places))
	return r
}

// set makes the row of a record.
func (r *rows) set(rec extract.Record) error {
	values, err := extract.Values(r.h.Columns, rec.Data)
	if err != nil {
		return err
	}
	for i := range r.lists {
		r.lists[i] = r.lists[i][:0]
	}
	for i, c := range r.h.Columns {
		list := &r.lists[r.places[c.Name]]
		switch x := values[i].(type) {
		case []float32:
			for _, v := range x {
				*list = append(*list, parquet.FloatValue(v))
			}
		case []int32:
			for _, v := range x {
				*list = append(*list, parquet.Int32Value(v))
			}
			if c.Name == classColumn {
				r.labels(x)
			}
		}
	}
	path := r.places[pathColumn]
	r.lists[path] = append(r.lists[path], parquet.ByteArrayValue([]byte(collection.Quote(rec.Path))))
	r.row = r.row[:0]
	for column, list := range r.lists {
		definition := 1 // an element of a list
		if column == path {
			definition = 0
		}
		for k, v := range list {
			r.row = append(r.row, v.Level(min(k, 1), definition, column))
		}
	}
	return nil
}

// labels adds the names of the classes, if they have any.
func (r *rows) labels(classes []int32) {
	at, ok := r.places[labelColumn]
	if !ok {
		return
	}
	for _, class := range classes {
		r.lists[at] = append(r.lists[at], parquet.ByteArrayValue([]byte(r.h.Labels[class])))
	}
}
