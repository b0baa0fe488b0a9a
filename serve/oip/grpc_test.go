package oip

import (
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nonet-go/nonet/serve/oip/inference"
)

type inputTensor = inference.ModelInferRequest_InferInputTensor

// TestGRPC: both ways in which contents may come, and the answer.
func TestGRPC(t *testing.T) {
	in := &inputTensor{Name: "x", Datatype: FP32, Shape: []int64{2}}
	raw := &inference.ModelInferRequest{Id: "7", Inputs: []*inputTensor{in}, RawInputContents: [][]byte{{0, 0, 128, 63, 0, 0, 0, 64}},
		Outputs: []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "logits"}},
		Parameters: map[string]*inference.InferParameter{
			"i": {ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: 3}}, "b": {ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: true}},
			"s": {ParameterChoice: &inference.InferParameter_StringParam{StringParam: "v"}}, "d": {ParameterChoice: &inference.InferParameter_DoubleParam{DoubleParam: 0.5}},
			"u": {ParameterChoice: &inference.InferParameter_Uint64Param{Uint64Param: 9}}, "n": {}, "w": {ParameterChoice: &inference.InferParameter_Uint64Param{Uint64Param: math.MaxUint64}},
		}}
	typed := proto.Clone(raw).(*inference.ModelInferRequest)
	typed.RawInputContents, typed.Inputs[0].Contents = nil, &inference.InferTensorContents{Fp32Contents: []float32{1, 2}}
	for _, m := range []*inference.ModelInferRequest{raw, typed} {
		r, err := FromGRPC(m, limits)
		require.NoError(t, err)
		require.Equal(t, []float32{1, 2}, r.Inputs[0].Floats)
		require.Equal(t, []Output{{Name: "logits", Parameters: Parameters{}}}, r.Outputs)
		require.Equal(t, Parameters{"i": int64(3), "b": true, "s": "v", "d": 0.5, "u": int64(9), "w": float64(math.MaxUint64)}, r.Parameters)
	}
	text := &inference.ModelInferRequest{Inputs: []*inputTensor{{Name: "p", Datatype: BYTES, Shape: []int64{1}}}, RawInputContents: [][]byte{{1, 0, 0, 0, 'a'}}}
	r, err := FromGRPC(text, limits)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("a")}, r.Inputs[0].Strings)

	m := ToGRPC(&Response{ModelName: "m", Outputs: []Tensor{{Name: "y", Datatype: FP32, Shape: []int64{1}, Floats: []float32{2}}, {Name: "l", Datatype: BYTES, Strings: [][]byte{[]byte("b")}}}})
	require.Equal(t, [][]byte{{0, 0, 0, 64}, {1, 0, 0, 0, 'b'}}, m.RawOutputContents)
}

func TestGRPCRefused(t *testing.T) {
	input := func(datatype string, shape ...int64) []*inputTensor {
		return []*inputTensor{{Name: "x", Datatype: datatype, Shape: shape}}
	}
	many := make([]*inputTensor, 20)
	contents := func(in []*inputTensor, c *inference.InferTensorContents) []*inputTensor {
		in[0].Contents = c
		return in
	}
	for _, c := range []struct {
		says string
		is   error
		m    *inference.ModelInferRequest
	}{
		{"no inputs", ErrFormat, &inference.ModelInferRequest{}},
		{"20 inputs", ErrTooLarge, &inference.ModelInferRequest{Inputs: many}},
		{"raw contents of 2", ErrFormat, &inference.ModelInferRequest{Inputs: input(FP32, 1), RawInputContents: make([][]byte, 2)}},
		{"takes 4", ErrFormat, &inference.ModelInferRequest{Inputs: input(FP32, 1), RawInputContents: [][]byte{{1}}}},
		{"INT8", ErrFormat, &inference.ModelInferRequest{Inputs: input("INT8", 1), RawInputContents: [][]byte{{1}}}},
		{"shape [-1]", ErrFormat, &inference.ModelInferRequest{Inputs: input(FP32, -1), RawInputContents: [][]byte{{1}}}},
		{"within an element", ErrFormat, &inference.ModelInferRequest{Inputs: input(BYTES, 1), RawInputContents: [][]byte{{9, 0, 0, 0}}}},
		{"2000 numbers", ErrTooLarge, &inference.ModelInferRequest{Inputs: input(FP32, 2000), RawInputContents: [][]byte{make([]byte, 8000)}}},
		{"0 elements", ErrFormat, &inference.ModelInferRequest{Inputs: input(FP32, 1)}},
		{"and raw contents", ErrFormat, &inference.ModelInferRequest{Inputs: contents(input(FP32, 1), &inference.InferTensorContents{}), RawInputContents: [][]byte{{1, 2, 3, 4}}}},
		{"not of its datatype", ErrFormat, &inference.ModelInferRequest{Inputs: contents(input(BYTES, 1), &inference.InferTensorContents{Fp32Contents: []float32{1}})}},
		{"limit is 1000", ErrTooLarge, &inference.ModelInferRequest{Inputs: contents(input(FP32, 1), &inference.InferTensorContents{Fp32Contents: make([]float32, 1001)})}},
		{"10 elements", ErrTooLarge, &inference.ModelInferRequest{Inputs: contents(input(BYTES, 1), &inference.InferTensorContents{BytesContents: make([][]byte, 11)})}},
	} {
		_, err := FromGRPC(c.m, limits)
		require.ErrorIs(t, err, c.is)
		require.ErrorContains(t, err, c.says)
	}
}

// FuzzFromGRPC: no message makes FromGRPC panic.
func FuzzFromGRPC(f *testing.F) {
	seed, err := proto.Marshal(&inference.ModelInferRequest{Inputs: []*inputTensor{{Name: "x", Datatype: FP32, Shape: []int64{1}}}, RawInputContents: [][]byte{{0, 0, 0, 0}}})
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m inference.ModelInferRequest
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		var r *Request
		err := testutil.Bounded(t, len(b), func() (_ int64, err error) {
			r, err = FromGRPC(&m, limits)
			return 0, err
		})
		if err == nil {
			require.NoError(t, r.check())
		}
	})
}
