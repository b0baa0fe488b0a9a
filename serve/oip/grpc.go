package oip

import (
	"bytes"

	"github.com/nonet-go/nonet/serve/oip/inference"
)

// FromGRPC returns a request that came over gRPC. Its data are in m's memory where they
// are texts. Errors are as Decode's.
func FromGRPC(m *inference.ModelInferRequest, limits Limits) (*Request, error) {
	if len(m.Inputs) > maxInputs || len(m.Outputs) > maxOutputs {
		return nil, largeErrorf("%d inputs and %d outputs, the limits are %d and %d", len(m.Inputs), len(m.Outputs), maxInputs, maxOutputs)
	}
	if n := len(m.RawInputContents); n > 0 && n != len(m.Inputs) {
		return nil, formatErrorf("%d inputs, and raw contents of %d", len(m.Inputs), n)
	}
	r := &Request{ID: m.Id, Parameters: parametersOf(m.Parameters)}
	for i, in := range m.Inputs {
		t := Tensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Parameters: parametersOf(in.Parameters)}
		var err error
		if len(m.RawInputContents) > 0 {
			if in.Contents != nil {
				return nil, formatErrorf("input %s has contents, and raw contents", in.Name)
			}
			err = t.fromRaw(m.RawInputContents[i], &limits)
		} else {
			err = t.fromContents(in.Contents, &limits)
		}
		if err != nil {
			return nil, err
		}
		r.Inputs = append(r.Inputs, t)
	}
	for _, o := range m.Outputs {
		r.Outputs = append(r.Outputs, Output{Name: o.Name, Parameters: parametersOf(o.Parameters)})
	}
	return r, r.check()
}

// fromRaw sets the elements, which are little-endian, or have their lengths in front.
func (t *Tensor) fromRaw(raw []byte, limits *Limits) (err error) {
	d := decoder{limits: *limits}
	if t.Datatype == FP32 || t.Datatype == BYTES {
		err = d.raw(bytes.NewReader(raw), t, int64(len(raw)))
	} else {
		err = formatErrorf("input %s has datatype %s, want %s or %s", t.Name, t.Datatype, FP32, BYTES)
	}
	*limits = d.limits
	return err
}

// fromContents sets the elements, which are in the field of their type.
func (t *Tensor) fromContents(c *inference.InferTensorContents, limits *Limits) error {
	t.Floats, t.Strings = c.GetFp32Contents(), c.GetBytesContents()
	switch {
	case t.Datatype != FP32 && t.Floats != nil, t.Datatype != BYTES && t.Strings != nil:
		return formatErrorf("the contents of input %s are not of its datatype, %s", t.Name, t.Datatype)
	case len(t.Floats) > limits.Numbers:
		return largeErrorf("input %s has %d numbers, the limit is %d", t.Name, len(t.Floats), limits.Numbers)
	case len(t.Strings) > limits.Strings:
		return largeErrorf("more than %d elements", limits.Strings)
	}
	limits.Numbers -= len(t.Floats)
	limits.Strings -= len(t.Strings)
	return nil
}

// parametersOf returns the values of parameters.
func parametersOf(m map[string]*inference.InferParameter) Parameters {
	p := Parameters{}
	for name, v := range m {
		switch v := v.GetParameterChoice().(type) {
		case *inference.InferParameter_BoolParam:
			p[name] = v.BoolParam
		case *inference.InferParameter_Int64Param:
			p[name] = v.Int64Param
		case *inference.InferParameter_Uint64Param:
			p[name] = float64(v.Uint64Param)
			if v.Uint64Param < 1<<63 {
				p[name] = int64(v.Uint64Param)
			}
		case *inference.InferParameter_DoubleParam:
			p[name] = v.DoubleParam
		case *inference.InferParameter_StringParam:
			p[name] = v.StringParam
		}
	}
	return p
}

// ToGRPC returns the message of a response, with raw contents.
func ToGRPC(r *Response) *inference.ModelInferResponse {
	m := &inference.ModelInferResponse{ModelName: r.ModelName, ModelVersion: r.ModelVersion, Id: r.ID}
	for i := range r.Outputs {
		t := &r.Outputs[i]
		m.Outputs = append(m.Outputs, &inference.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape})
		var raw bytes.Buffer
		raw.Grow(t.binarySize())
		t.writeRaw(&errWriter{w: &raw}) // never fails
		m.RawOutputContents = append(m.RawOutputContents, raw.Bytes())
	}
	return m
}
