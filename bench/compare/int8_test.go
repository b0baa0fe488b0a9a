package main

import (
	"strconv"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// TestInputScale: pictures have a sign, activations behind a ReLU have none.
func TestInputScale(t *testing.T) {
	most := []float32{1.27, 2.55}
	require.InDelta(t, 0.01, inputScale(most, 0), 1e-9)
	require.InDelta(t, 0.01, inputScale(most, 1), 1e-9)
	require.Equal(t, float32(3), largest([]float32{1, -3, 2}))
	require.Contains(t, []int{63, 127}, int8Levels())
}

// TestONNXInt8Model walks the model's protobuf: the weights cover their file from end to end,
// every node reads what an earlier one wrote, and each tensor between layers is rounded.
func TestONNXInt8Model(t *testing.T) {
	t.Parallel()
	c, err := vgg.Lookup("A")
	require.NoError(t, err)
	params, err := c.Params()
	require.NoError(t, err)
	total := 0
	for i, p := range params {
		total += p.Len() * (1 + 3*(i%2)) // bytes, and biases of 4
	}
	most := []float32{1}
	var scales [][]float32
	for _, l := range weighted(c) {
		most, scales = append(most, 1), append(scales, make([]float32, l.Out))
	}
	m, err := onnxInt8Model("A", 1, "w.i8", most, scales)
	require.NoError(t, err)
	known, ops := map[string]bool{"input": true}, map[string]int{}
	offset, last := 0, ""
	graph := fields(t, fields(t, m)[7][0])
	for _, w := range graph[graphWeights] {
		tensor := fields(t, w)
		known[string(tensor[8][0])] = true
		for _, kv := range tensor[13] {
			pair := fields(t, kv)
			switch value := string(pair[2][0]); string(pair[1][0]) {
			case "offset":
				require.Equal(t, itoa(offset), value)
			case "length":
				n, err := strconv.Atoi(value)
				require.NoError(t, err)
				offset += n
			}
		}
	}
	for _, node := range graph[graphNode] {
		nf := fields(t, node)
		for _, in := range nf[1] {
			require.True(t, known[string(in)], "%s is read before it is written", in)
		}
		last = string(nf[2][0])
		known[last] = true
		ops[string(nf[4][0])]++
	}
	require.Equal(t, total, offset)
	require.Equal(t, "logits", last)
	layers, pools, fcs := len(scales), 5, 3
	rounded := 1 + layers - 1 + pools + fcs // the pictures, the results but the last, pools, flattened
	require.Equal(t, map[string]int{"Conv": layers - fcs, "Gemm": fcs, "MaxPool": pools, "Flatten": fcs, "Relu": layers - 1,
		"QuantizeLinear": rounded, "DequantizeLinear": rounded + 2*layers}, ops)
}
