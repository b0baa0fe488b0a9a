package oip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// IsBinary reports whether the data of any output follow the JSON.
func (r *Response) IsBinary() bool {
	for _, b := range r.Binary {
		if b {
			return true
		}
	}
	return false
}

// Head returns the JSON of a response, behind which WriteBinary writes the data of its
// binary outputs.
func (r *Response) Head() ([]byte, error) {
	var b bytes.Buffer
	err := r.WriteJSON(&b)
	return b.Bytes(), err
}

// WriteJSON writes the JSON of a response, piece by piece. All numbers are to be finite.
func (r *Response) WriteJSON(w io.Writer) error {
	head := map[string]any{"model_name": r.ModelName, "model_version": r.ModelVersion}
	if r.ID != "" {
		head["id"] = r.ID
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	out := &errWriter{w: w}
	out.write(append(text[:len(text)-1], `,"outputs":[`...))
	for i := range r.Outputs {
		if i > 0 {
			out.write([]byte{','})
		}
		r.writeOutput(out, i)
	}
	out.write([]byte("]}"))
	return out.err
}

// errWriter keeps the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) write(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (r *Response) writeOutput(out *errWriter, i int) {
	t := &r.Outputs[i]
	head := map[string]any{"name": t.Name, "datatype": t.Datatype, "shape": t.Shape}
	if r.Binary[i] {
		head["parameters"] = map[string]any{"binary_data_size": t.binarySize()}
	}
	text, err := json.Marshal(head)
	if err != nil {
		out.err = err
		return
	}
	if r.Binary[i] {
		out.write(text)
		return
	}
	out.write(append(text[:len(text)-1], `,"data":`...))
	if t.Datatype == BYTES {
		list := make([]string, len(t.Strings))
		for j, s := range t.Strings {
			list[j] = string(s)
		}
		text, err = json.Marshal(list)
		if err != nil {
			out.err = err
			return
		}
		out.write(append(text, '}'))
		return
	}
	WriteFloats(out.w, t.Floats, &out.err)
	out.write([]byte{'}'})
}

// WriteFloats writes a JSON array of numbers unless err is set, which it sets to w's error.
func WriteFloats(w io.Writer, x []float32, err *error) {
	out := &errWriter{w, *err}
	b := []byte{'['}
	for i, v := range x {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(v), 'g', -1, 32)
		if len(b) > scanBuffer {
			out.write(b)
			b = b[:0]
		}
	}
	out.write(append(b, ']'))
	*err = out.err
}

// binarySize returns the length of the tensor's binary data.
func (t *Tensor) binarySize() int {
	n := 4 * (len(t.Floats) + len(t.Strings))
	for _, s := range t.Strings {
		n += len(s)
	}
	return n
}

// BinarySize returns how many bytes WriteBinary writes.
func (r *Response) BinarySize() (n int) {
	for i := range r.Outputs {
		if r.Binary[i] {
			n += r.Outputs[i].binarySize()
		}
	}
	return n
}

// WriteBinary writes the data of the binary outputs.
func (r *Response) WriteBinary(w io.Writer) error {
	out := &errWriter{w: w}
	for i := range r.Outputs {
		if r.Binary[i] {
			r.Outputs[i].writeRaw(out)
		}
	}
	return out.err
}

func (t *Tensor) writeRaw(out *errWriter) {
	b := make([]byte, 0, min(t.binarySize(), scanBuffer)+8)
	for _, v := range t.Floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		if len(b) >= scanBuffer {
			out.write(b)
			b = b[:0]
		}
	}
	for _, s := range t.Strings {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	out.write(b)
}
