package extract

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Table is a shard that is to be written.
type Table struct {
	Header Header
	Rows   int
	// Records lists the pictures that have a row, in order. It may be used several
	// times; a Record's Data is valid until the next one.
	Records iter.Seq2[Record, error]
}

// Format writes a Table as files. All depends on the table alone, so that the same
// table gives the same bytes.
type Format interface {
	Name() string // such as safetensors
	// Endings lists the ends of the names of the files.
	Endings(columns []Column) []string
	// Write writes the file with the ending number i, in the memory of some rows.
	Write(w io.Writer, i int, t Table) error
}

// The formats that need no further packages; package extract/parquet has another.
var (
	// Safetensors has a tensor [rows][…] for each column.
	Safetensors Format = safetensors{}
	// NPY has a file for each column, an array [rows][…] that numpy.load maps.
	NPY Format = npy{}
	// JSONL has an object a line: the path, the columns as flat lists by their names,
	// and label, the names of the classes, if there are any.
	JSONL Format = jsonl{}
	// CSV has a line for each picture: the path and all values. A first line names the
	// columns: path, and those of fc7 are fc7.0, fc7.1, …
	CSV Format = csvFormat{}
)

// layout returns the bytes of a column in a row: from first to end.
func layout(columns []Column, i int) (first, end int) {
	first = rowLen(columns[:i])
	return first, first + rowLen(columns[i:i+1])
}

// column writes a column of all rows.
func (t Table) column(w io.Writer, i int) error {
	first, end := layout(t.Header.Columns, i)
	for rec, err := range t.Records {
		if err != nil {
			return err
		}
		if _, err := w.Write(rec.Data[first:end]); err != nil {
			return err
		}
	}
	return nil
}

// shape is that of a column of all rows.
func (t Table) shape(i int) []int { return append([]int{t.Rows}, t.Header.Columns[i].Shape...) }

type safetensors struct{}

func (safetensors) Name() string              { return "safetensors" }
func (safetensors) Endings([]Column) []string { return []string{".safetensors"} }

func (safetensors) Write(w io.Writer, _ int, t Table) error {
	var list []weights.Out
	for i, c := range t.Header.Columns {
		list = append(list, weights.Out{Name: c.Name, DType: c.DType, Shape: t.shape(i), Stream: func(w io.Writer) error { return t.column(w, i) }})
	}
	return weights.Write(w, list, nil)
}

type npy struct{}

func (npy) Name() string { return "npy" }

func (npy) Endings(columns []Column) []string {
	var list []string
	for _, c := range columns {
		list = append(list, "."+c.Name+".npy")
	}
	return list
}

// Write writes version 1.0 of the format: the header is padded to 64 bytes.
func (npy) Write(w io.Writer, i int, t Table) error {
	descr := "<f4"
	if t.Header.Columns[i].DType == weights.I32 {
		descr = "<i4"
	}
	var dims []string
	for _, d := range t.shape(i) {
		dims = append(dims, strconv.Itoa(d))
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, strings.Join(dims, ", "))
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	b := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(head)))
	if _, err := w.Write(append(b, head...)); err != nil {
		return err
	}
	return t.column(w, i)
}

type jsonl struct{}

func (jsonl) Name() string              { return "jsonl" }
func (jsonl) Endings([]Column) []string { return []string{".jsonl"} }

func (jsonl) Write(w io.Writer, _ int, t Table) error {
	var b []byte
	for rec, err := range t.Records {
		if err == nil {
			b, err = AppendJSON(b[:0], t.Header.Columns, t.Header.Labels, rec)
		}
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// AppendJSON appends a record as a line of JSON: see JSONL. A record that failed has
// path and error.
func AppendJSON(b []byte, columns []Column, labels []string, rec Record) ([]byte, error) {
	b = appendText(append(b, `{"path":`...), collection.Quote(rec.Path))
	if rec.Err != "" {
		b = appendText(append(b, `,"error":`...), collection.Quote(rec.Err))
		return append(b, "}\n"...), nil
	}
	values, err := Values(columns, rec.Data)
	if err != nil {
		return b, err
	}
	for i, c := range columns {
		b = append(appendText(append(b, ','), c.Name), ":["...)
		switch x := values[i].(type) {
		case []int32:
			for _, v := range x {
				b = append(strconv.AppendInt(b, int64(v), 10), ',')
			}
			if c.Name == classColumn && labels != nil {
				b = append(b[:len(b)-1], `],"label":[`...)
				for _, v := range x {
					b = append(appendText(b, labels[v]), ',')
				}
			}
		case []float32:
			for _, v := range x {
				b = append(strconv.AppendFloat(b, float64(v), 'g', -1, 32), ',')
			}
		}
		b[len(b)-1] = ']' // a column has a value
	}
	return append(b, "}\n"...), nil
}

// appendText appends a string of JSON.
func appendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always encodes
	return append(b, text...)
}

type csvFormat struct{}

func (csvFormat) Name() string              { return "csv" }
func (csvFormat) Endings([]Column) []string { return []string{".csv"} }

func (csvFormat) Write(w io.Writer, _ int, t Table) error {
	c := csv.NewWriter(w)
	line := []string{"path"}
	for _, col := range t.Header.Columns {
		for i := range col.Len() {
			line = append(line, fmt.Sprintf("%s.%d", col.Name, i))
		}
	}
	if err := c.Write(line); err != nil {
		return err
	}
	for rec, err := range t.Records {
		if err != nil {
			return err
		}
		values, err := Values(t.Header.Columns, rec.Data)
		if err != nil {
			return err
		}
		line = append(line[:0], collection.Quote(rec.Path))
		for _, column := range values {
			switch x := column.(type) {
			case []int32:
				for _, v := range x {
					line = append(line, strconv.Itoa(int(v)))
				}
			case []float32:
				for _, v := range x {
					line = append(line, strconv.FormatFloat(float64(v), 'g', -1, 32))
				}
			}
		}
		if err := c.Write(line); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
