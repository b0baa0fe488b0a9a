package vgg

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/activation"
	"github.com/nonet-go/nonet/internal/optimiser"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/pool"
	"github.com/stretchr/testify/require"
)

// onnxNot lists the cases of the ONNX project that nonet does not compute, by
// reason.
var onnxNot = map[string]string{
	"no average pool": `averagepool_1d_default averagepool_2d_ceil averagepool_2d_ceil_last_window_starts_on_pad averagepool_2d_default
		averagepool_2d_dilations averagepool_2d_pads averagepool_2d_pads_count_include_pad averagepool_2d_precomputed_pads
		averagepool_2d_precomputed_pads_count_include_pad averagepool_2d_precomputed_same_upper averagepool_2d_precomputed_strides
		averagepool_2d_same_lower averagepool_2d_same_upper averagepool_2d_strides averagepool_3d_default
		averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
		averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True
		averagepool_3d_dilations_small globalaveragepool globalaveragepool_precomputed AvgPool2d AvgPool2d_stride`,
	"no batch normalisation": `batchnorm_epsilon batchnorm_epsilon_training_mode batchnorm_example batchnorm_example_training_mode
		BatchNorm2d_eval BatchNorm2d_momentum_eval`,
	"convolutions have stride 1": `conv_with_autopad_same conv_with_strides_and_asymmetric_padding conv_with_strides_no_padding
		conv_with_strides_padding Conv2d_dilated Conv2d_padding Conv2d_strided`,
	"filters are 3×3 or 1×1, not 3×2": `Conv2d Conv2d_no_bias Conv2d_groups Conv2d_groups_thnn`,
	"convolutions have one group":     `Conv2d_depthwise Conv2d_depthwise_padded Conv2d_depthwise_strided Conv2d_depthwise_with_multiplier`,
	"dropout draws from nonet's own stream; without training there is none to compute": `dropout_default dropout_default_mask
		dropout_default_mask_ratio dropout_default_old dropout_default_ratio dropout_random_old training_dropout training_dropout_default
		training_dropout_default_mask training_dropout_mask training_dropout_zero_ratio training_dropout_zero_ratio_mask`,
	"flattening changes a shape and no number": `flatten_axis0 flatten_axis1 flatten_axis2 flatten_axis3 flatten_default_axis
		flatten_negative_axis1 flatten_negative_axis2 flatten_negative_axis3 flatten_negative_axis4`,
	"the normalisation is VGG's: size 5, β 3/4, k 2": `lrn lrn_default`,
	"the maximum is over 2×2 with stride 2": `maxpool_1d_default maxpool_2d_ceil maxpool_2d_ceil_output_size_reduce_by_one
		maxpool_2d_default maxpool_2d_dilations maxpool_2d_pads maxpool_2d_precomputed_pads maxpool_2d_precomputed_same_upper
		maxpool_2d_same_lower maxpool_2d_same_upper maxpool_2d_strides maxpool_2d_uint8 maxpool_3d_default maxpool_3d_dilations
		maxpool_3d_dilations_use_ref_impl maxpool_3d_dilations_use_ref_impl_large maxpool_with_argmax_2d_precomputed_pads
		MaxPool2d operator_maxpool`,
	"no Nesterov momentum": `nesterov_momentum`,
	"the loss takes logits, not logarithms of probabilities": `nllloss_NC nllloss_NCd1 nllloss_NCd1_ii nllloss_NCd1_mean_weight_negative_ii
		nllloss_NCd1_weight nllloss_NCd1_weight_ii nllloss_NCd1d2 nllloss_NCd1d2_no_weight_reduction_mean_ii nllloss_NCd1d2_reduction_mean
		nllloss_NCd1d2_reduction_sum nllloss_NCd1d2_with_weight nllloss_NCd1d2_with_weight_reduction_mean nllloss_NCd1d2_with_weight_reduction_sum
		nllloss_NCd1d2_with_weight_reduction_sum_ii nllloss_NCd1d2d3_none_no_weight_negative_ii nllloss_NCd1d2d3_sum_weight_high_ii
		nllloss_NCd1d2d3d4d5_mean_weight nllloss_NCd1d2d3d4d5_none_no_weight`,
	"the loss weighs all classes and leaves no picture out": `sce_NCd1_mean_weight_negative_ii sce_NCd1_mean_weight_negative_ii_log_prob
		sce_NCd1d2d3_none_no_weight_negative_ii sce_NCd1d2d3_none_no_weight_negative_ii_log_prob sce_NCd1d2d3_sum_weight_high_ii
		sce_NCd1d2d3_sum_weight_high_ii_log_prob sce_NCd1d2d3d4d5_mean_weight sce_NCd1d2d3d4d5_mean_weight_log_prob sce_mean_no_weight_ii
		sce_mean_no_weight_ii_3d sce_mean_no_weight_ii_3d_log_prob sce_mean_no_weight_ii_4d sce_mean_no_weight_ii_4d_log_prob
		sce_mean_no_weight_ii_log_prob sce_mean_weight sce_mean_weight_ii sce_mean_weight_ii_3d sce_mean_weight_ii_3d_log_prob
		sce_mean_weight_ii_4d sce_mean_weight_ii_4d_log_prob sce_mean_weight_ii_log_prob sce_mean_weight_log_prob sce_none_weights
		sce_none_weights_log_prob`,
	"Top gives the largest": `top_k_smallest`,
}

// TestONNX computes every case that applies with nonet's kernels. Each of the
// project's cases is either computed or in onnxNot, with a reason.
func TestONNX(t *testing.T) {
	reason := map[string]string{}
	for why, names := range onnxNot {
		for _, name := range strings.Fields(names) {
			reason["test_"+name] = why
		}
	}
	cases := testutil.ONNXCases(t)
	require.Len(t, cases, 195)
	ran := 0
	for _, c := range cases {
		if why, ok := reason[c.Name]; ok {
			require.NotEmpty(t, why)
			delete(reason, c.Name)
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			for _, n := range c.Nodes {
				run := onnxOps[n.Op]
				require.NotNil(t, run, "%s is neither computed nor listed with a reason", n.Op)
				for i, got := range run(t, &c, n) {
					if want, ok := c.Want[n.Outputs[i]]; ok {
						testutil.Check(t, n.Op, n.Outputs[i], got, want, func(i int) float64 { return 2e-6 * (1 + math.Abs(want[i])) })
					}
					c.Values[n.Outputs[i]] = ref.Float64(got)
				}
			}
		})
		ran++
	}
	require.Empty(t, reason, "listed, but not among the cases")
	t.Logf("%d cases computed", ran)
}

// onnxOps computes the outputs of a node, as many as nonet has.
var onnxOps = map[string]func(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32{
	"Conv":                    onnxConv,
	"Gemm":                    onnxGemm,
	"LogSoftmax":              onnxLogSoftmax,
	"MatMul":                  onnxMatMul,
	"MaxPool":                 onnxMaxPool,
	"Momentum":                onnxMomentum,
	"Relu":                    onnxReLU,
	"Softmax":                 onnxSoftmax,
	"SoftmaxCrossEntropyLoss": onnxCrossEntropy,
	"TopK":                    onnxTopK,
}

// onnxConv computes by each algorithm, which must agree.
func onnxConv(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	x, w := c.Dims(n.Inputs[0]), c.Dims(n.Inputs[1])
	pad := 0
	if len(n.Attrs.Pads) > 0 {
		pad = n.Attrs.Pads[0]
	}
	// Filled up to 16 channels of zeros, so that Winograd takes it.
	channels := layout.Block
	s := conv3x3.Shape{N: x[0], C: channels, H: x[2], W: x[3], K: w[0], Pad: pad}
	require.Equal(t, 1, x[0])
	src, weights := make([]float32, channels*x[2]*x[3]), make([]float32, w[0]*channels*9)
	copy(src, ref.Float32(c.Values[n.Inputs[0]]))
	for k := range w[0] {
		copy(weights[k*channels*9:], ref.Float32(c.Values[n.Inputs[1]][k*w[1]*9:][:w[1]*9]))
	}
	var first []float32
	for _, algorithm := range [][]conv3x3.Option{{conv3x3.Direct()}, {conv3x3.Winograd(2)}, {conv3x3.Winograd(4)}} {
		p, err := conv3x3.NewPlan(s, weights, nil, algorithm...)
		require.NoError(t, err)
		y := make([]float32, s.K*s.OH()*s.OW())
		require.NoError(t, p.Forward(y, src))
		if first == nil {
			first = y
		}
		testutil.Check(t, "algorithms", s, y, ref.Float64(first), func(i int) float64 { return 1e-6 * (1 + math.Abs(float64(first[i]))) })
	}
	return [][]float32{first}
}

func onnxGemm(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	a, b := c.Dims(n.Inputs[0]), c.Dims(n.Inputs[1])
	m, k, cols := a[0], a[1], b[1]
	if n.Attrs.TransA == 1 {
		m, k = k, m
	}
	if n.Attrs.TransB == 1 {
		cols = b[0]
	}
	y := make([]float32, m*cols)
	if len(n.Inputs) > 2 {
		bias := ref.Float32(c.Values[n.Inputs[2]])
		for i := range y {
			y[i] = bias[i%len(bias)]
		}
	}
	gemm.SGEMM(n.Attrs.TransA == 1, n.Attrs.TransB == 1, m, cols, k, float32(testutil.Or(n.Attrs.Alpha, 1)),
		ref.Float32(c.Values[n.Inputs[0]]), a[1], ref.Float32(c.Values[n.Inputs[1]]), b[1], float32(testutil.Or(n.Attrs.Beta, 1)), y, cols)
	return [][]float32{y}
}

// onnxMatMul follows numpy: vectors become matrices, and what stands before the
// last two dimensions is a batch, of which those of 1 are repeated.
func onnxMatMul(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	da, db := c.Dims(n.Inputs[0]), c.Dims(n.Inputs[1])
	if len(da) == 1 {
		da = []int{1, da[0]}
	}
	if len(db) == 1 {
		db = []int{db[0], 1}
	}
	m, k, cols := da[len(da)-2], da[len(da)-1], db[len(db)-1]
	rank := max(len(da), len(db))
	outer := func(d []int) []int { return append(slices.Repeat([]int{1}, rank-len(d)), d[:len(d)-2]...) }
	oa, ob := outer(da), outer(db)
	a, b := ref.Float32(c.Values[n.Inputs[0]]), ref.Float32(c.Values[n.Inputs[1]])
	count := 1
	for i := range oa {
		count *= max(oa[i], ob[i])
	}
	y := make([]float32, count*m*cols)
	for i := range count {
		ia, ib, stepA, stepB, rest := 0, 0, 1, 1, i
		for d := len(oa) - 1; d >= 0; d-- {
			at := rest % max(oa[d], ob[d])
			rest /= max(oa[d], ob[d])
			ia, ib = ia+at%oa[d]*stepA, ib+at%ob[d]*stepB
			stepA, stepB = stepA*oa[d], stepB*ob[d]
		}
		gemm.SGEMM(false, false, m, cols, k, 1, a[ia*m*k:], k, b[ib*k*cols:], cols, 0, y[i*m*cols:], cols)
	}
	return [][]float32{y}
}

// onnxMaxPool has no indices: only the values are compared.
func onnxMaxPool(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	d := c.Dims(n.Inputs[0])
	e, err := pool.NewMaxPool(d[0], d[1], d[2], d[3], nil)
	require.NoError(t, err)
	src, dst := layout.Alloc(d[0]*layout.Len(d[1], d[2], d[3])), layout.Alloc(d[0]*layout.Len(d[1], d[2]/2, d[3]/2))
	y := make([]float32, d[0]*d[1]*(d[2]/2)*(d[3]/2))
	require.Equal(t, 1, d[0])
	layout.FromNCHW(d[1], d[2], d[3], src, ref.Float32(c.Values[n.Inputs[0]]))
	require.NoError(t, e.Run(context.Background(), dst, src))
	layout.ToNCHW(d[1], d[2]/2, d[3]/2, y, dst)
	return [][]float32{y}
}

// onnxMomentum: rate, count of steps, then all weights, gradients and moments. In
// the first step, and so here, ONNX's gradient is not damped.
func onnxMomentum(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	require.Zero(t, c.Values["T"][0])
	count := (len(n.Inputs) - 2) / 3
	outputs := make([][]float32, 2*count)
	for i := range count {
		tensor := func(kind int) []float32 { return ref.Float32(c.Values[n.Inputs[2+kind*count+i]]) }
		w, g, v := tensor(0), tensor(1), tensor(2)
		optimiser.SGD(w, v, g, optimiser.Rule{Rate: float32(c.Values["R"][0]), Momentum: float32(testutil.Or(n.Attrs.Alpha, 0)), Decay: float32(n.Attrs.NormCoefficient)})
		outputs[i], outputs[count+i] = w, v
	}
	return outputs
}

func onnxReLU(_ *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	x := ref.Float32(c.Values[n.Inputs[0]])
	activation.ReLU(x)
	return [][]float32{x}
}

// alongAxis calls f with each vector of x along an axis and writes back what it
// leaves in it.
func alongAxis(x []float32, dims []int, axis int, f func(row []float32)) {
	if axis < 0 {
		axis += len(dims)
	}
	step := 1
	for _, d := range dims[axis+1:] {
		step *= d
	}
	n := dims[axis]
	row := make([]float32, n)
	for i := range len(x) / n {
		at := i/step*step*n + i%step
		for j := range row {
			row[j] = x[at+j*step]
		}
		f(row)
		for j, v := range row {
			x[at+j*step] = v
		}
	}
}

func onnxSoftmax(_ *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	x := ref.Float32(c.Values[n.Inputs[0]])
	alongAxis(x, c.Dims(n.Inputs[0]), testutil.Or(n.Attrs.Axis, -1), func(row []float32) {
		p := make([]float64, len(row))
		Softmax(p, row)
		copy(row, ref.Float32(p))
	})
	return [][]float32{x}
}

// logSoftmax sets row to the logarithms of its softmax: the losses of each target.
func logSoftmax(row []float32) {
	logits, d := slices.Clone(row), make([]float32, len(row))
	for j := range row {
		row[j] = float32(-crossEntropy(d, logits, []int{j}, len(logits)).Loss)
	}
}

func onnxLogSoftmax(_ *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	x := ref.Float32(c.Values[n.Inputs[0]])
	alongAxis(x, c.Dims(n.Inputs[0]), testutil.Or(n.Attrs.Axis, -1), logSoftmax)
	return [][]float32{x}
}

// onnxCrossEntropy takes the classes along axis 1, as rows of a batch.
func onnxCrossEntropy(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	dims := c.Dims(n.Inputs[0])
	x := ref.Float32(c.Values[n.Inputs[0]])
	var logits []float32
	var targets []int
	for _, v := range c.Values[n.Inputs[1]] {
		targets = append(targets, int(v))
	}
	logProb := slices.Clone(x)
	alongAxis(x, dims, 1, func(row []float32) { logits = append(logits, row...) })
	alongAxis(logProb, dims, 1, logSoftmax)
	classes, d := dims[1], make([]float32, len(x))
	mean := float32(crossEntropy(d, logits, targets, classes).Loss)
	loss := []float32{mean}
	switch n.Attrs.Reduction {
	case "sum":
		loss[0] *= float32(len(targets))
	case "none":
		loss = nil
		for i, target := range targets {
			loss = append(loss, float32(crossEntropy(d, logits[i*classes:][:classes], []int{target}, classes).Loss))
		}
	}
	return [][]float32{loss, logProb}[:len(n.Outputs)]
}

// onnxTopK takes the last axis, as all cases do.
func onnxTopK(t *testing.T, c *testutil.ONNXCase, n testutil.ONNXNode) [][]float32 {
	dims := c.Dims(n.Inputs[0])
	x, k := ref.Float32(c.Values[n.Inputs[0]]), int(c.Values[n.Inputs[1]][0])
	var values, indices []float32
	for row := range slices.Chunk(x, dims[len(dims)-1]) {
		for _, p := range (&Model{}).Top(row, k) {
			values, indices = append(values, row[p.Class]), append(indices, float32(p.Class))
		}
	}
	return [][]float32{values, indices}
}
