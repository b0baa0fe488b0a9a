package conv3x3_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/act"
	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/pool"
	"github.com/stretchr/testify/require"
)

// must returns v, or panics.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// step computes one blocked activation from another.
type step func(ctx context.Context, dst, src []float32) error

// convolution plans a 3×3 convolution of one picture.
func convolution(c, k, h, w int, weights, bias []float32, e fuse.Epilogue, team *parallel.Team) *conv3x3.Exec {
	f := must(conv3x3.NewFilter(c, k, weights, bias, team))
	spec := conv3x3.Spec{N: 1, H: h, W: w, Pad: 1, Epilogue: e}
	scratch := layout.Alloc(must(f.ScratchLen(spec, team.Workers())))
	return must(f.NewExec(spec, scratch, team))
}

// residualBlock plans y = ReLU(conv2(ReLU(conv1(x))) + x). The second convolution adds x in
// its last step.
func residualBlock(c, h, w int, weights, bias [2][]float32, team *parallel.Team) step {
	first := convolution(c, c, h, w, weights[0], bias[0], fuse.Epilogue{ReLU: true}, team)
	second := convolution(c, c, h, w, weights[1], bias[1], fuse.Epilogue{Add: true, ReLU: true}, team)
	mid := layout.Alloc(layout.Len(c, h, w))
	return func(ctx context.Context, y, x []float32) error {
		if err := first.Run(ctx, mid, x); err != nil {
			return err
		}
		return second.RunAdd(ctx, y, mid, x)
	}
}

// A residual block of one's own.
func Example_residualBlock() {
	const c, h, w = 16, 4, 4
	team := parallel.NewTeam(2)
	average := make([]float32, c*c*9) // each output is the mean of its inputs
	for i := range average {
		average[i] = 1.0 / (9 * c)
	}
	bias := make([]float32, c)
	block := residualBlock(c, h, w, [2][]float32{average, average}, [2][]float32{bias, bias}, team)

	x, y := layout.Alloc(layout.Len(c, h, w)), layout.Alloc(layout.Len(c, h, w))
	for i := range x {
		x[i] = 1
	}
	team.Begin()
	defer team.End()
	if err := block(context.Background(), y, x); err != nil {
		panic(err)
	}
	planes := make([]float32, c*h*w)
	layout.ToNCHW(c, h, w, planes, y)
	for row := range h {
		fmt.Printf("%.3f\n", planes[row*w:][:w])
	}
	// Output:
	// [1.309 1.494 1.494 1.309]
	// [1.494 1.790 1.790 1.494]
	// [1.494 1.790 1.790 1.494]
	// [1.309 1.494 1.494 1.309]
}

// The channels of a small U-Net.
const (
	inputs  = 3
	wide    = 16 // at full size
	deep    = 32 // at half size
	classes = 5
)

// unetWeights are those of its four convolutions.
type unetWeights struct {
	encode, middle, decode, classify []float32 // OIHW
	bias                             [4][]float32
}

// newUNet plans a U-Net of two sizes: probabilities [classes][h][w] of each pixel of a
// picture [inputs][h][w], whose sides are even.
func newUNet(h, w int, u unetWeights, team *parallel.Team) step {
	relu := fuse.Epilogue{ReLU: true}
	encode := convolution(inputs, wide, h, w, u.encode, u.bias[0], relu, team)
	down := must(pool.NewMaxPool(1, wide, h, w, team))
	middle := convolution(wide, deep, h/2, w/2, u.middle, u.bias[1], relu, team)
	up := must(pool.NewBilinear(1, deep, h/2, w/2, h, w, layout.Alloc(pool.BilinearScratchLen(w/2, team.Workers())), team))
	skip := must(pool.NewConcat(1, wide, deep, h, w, team))
	decode := convolution(wide+deep, wide, h, w, u.decode, u.bias[2], relu, team)
	classify := must(must(gemm.NewPointwise(wide, classes, u.classify, u.bias[3])).NewExec(1, h, w, fuse.Epilogue{}, team))
	softmax := must(act.NewSoftmax(1, classes, h, w, team))

	blocks := func(c, h, w int) []float32 { return layout.Alloc(layout.Len(c, h, w)) }
	in, encoded, half, deepest := blocks(inputs, h, w), blocks(wide, h, w), blocks(wide, h/2, w/2), blocks(deep, h/2, w/2)
	large, both, decoded, logits := blocks(deep, h, w), blocks(wide+deep, h, w), blocks(wide, h, w), blocks(classes, h, w)
	return func(ctx context.Context, dst, src []float32) error {
		layout.FromNCHW(inputs, h, w, in, src)
		for _, run := range []func() error{
			func() error { return encode.Run(ctx, encoded, in) },
			func() error { return down.Run(ctx, half, encoded) },
			func() error { return middle.Run(ctx, deepest, half) },
			func() error { return up.Run(ctx, large, deepest) },
			func() error { return skip.Run(ctx, both, encoded, large) },
			func() error { return decode.Run(ctx, decoded, both) },
			func() error { return classify.Run(ctx, logits, decoded) },
		} {
			if err := run(); err != nil {
				return err
			}
		}
		layout.ToNCHW(classes, h, w, dst, logits)
		return softmax.Run(ctx, dst, dst)
	}
}

// seededUNet has random weights.
func seededUNet() (u unetWeights) {
	scaled := func(seed uint64, k, c, taps int) []float32 {
		x := testutil.Normal(seed, k*c*taps)
		for i := range x {
			x[i] *= 0.1
		}
		return x
	}
	u.encode, u.middle, u.decode, u.classify = scaled(1, wide, inputs, 9), scaled(2, deep, wide, 9), scaled(3, wide, wide+deep, 9), scaled(4, classes, wide, 1)
	for i, k := range []int{wide, deep, wide, classes} {
		u.bias[i] = scaled(uint64(10+i), k, 1, 1)
	}
	return u
}

// A small U-Net: probabilities of classes for each pixel.
func Example_uNet() {
	const h, w = 20, 28
	team := parallel.NewTeam(2)
	net := newUNet(h, w, seededUNet(), team)
	picture, probabilities := testutil.Normal(7, inputs*h*w), make([]float32, classes*h*w)
	team.Begin()
	defer team.End()
	if err := net(context.Background(), probabilities, picture); err != nil {
		panic(err)
	}
	var count [classes]int
	for p := range h * w {
		best := 0
		for c := range classes {
			if probabilities[c*h*w+p] > probabilities[best*h*w+p] {
				best = c
			}
		}
		count[best]++
	}
	fmt.Println("pixels of each class:", count)
	// Output: pixels of each class: [3 31 0 526 0]
}

// TestNetworks compares the residual block and the U-Net with the reference in float64.
func TestNetworks(t *testing.T) {
	const h, w = 10, 14
	conv := func(c, k, h, w, kernel int, x []float64, weights, bias []float32) []float64 {
		y, _ := ref.Conv2D(ref.ConvShape{N: 1, C: c, H: h, W: w, K: k, KH: kernel, KW: kernel, Pad: kernel / 2}, x, ref.Float64(weights), ref.Float64(bias))
		return y
	}
	var bits [2][]float32
	for _, workers := range []int{1, 3} {
		team := parallel.NewTeam(workers)
		team.Begin()
		u, x := seededUNet(), testutil.Normal(1, wide*h*w)
		weights := [2][]float32{testutil.Normal(2, wide*wide*9), testutil.Normal(3, wide*wide*9)}
		bias := [2][]float32{testutil.Normal(4, wide), testutil.Normal(5, wide)}
		src, dst := layout.Alloc(layout.Len(wide, h, w)), layout.Alloc(layout.Len(wide, h, w))
		layout.FromNCHW(wide, h, w, src, x)
		require.NoError(t, residualBlock(wide, h, w, weights, bias, team)(context.Background(), dst, src))
		y := make([]float32, len(x))
		layout.ToNCHW(wide, h, w, y, dst)
		want := conv(wide, wide, h, w, 3, ref.ReLU(conv(wide, wide, h, w, 3, ref.Float64(x), weights[0], bias[0])), weights[1], bias[1])
		for i := range want {
			want[i] = max(want[i]+float64(x[i]), 0)
		}
		largest, _ := testutil.RelErrors(y, want)
		require.Less(t, largest, 3e-5)

		picture, p := testutil.Normal(6, inputs*h*w), make([]float32, classes*h*w)
		require.NoError(t, newUNet(h, w, u, team)(context.Background(), p, picture))
		encoded := ref.ReLU(conv(inputs, wide, h, w, 3, ref.Float64(picture), u.encode, u.bias[0]))
		half, _ := ref.MaxPool2x2(wide, h, w, encoded)
		large, _ := ref.Bilinear(deep, h/2, w/2, h, w, ref.ReLU(conv(wide, deep, h/2, w/2, 3, half, u.middle, u.bias[1])))
		decoded := ref.ReLU(conv(wide+deep, wide, h, w, 3, append(encoded, large...), u.decode, u.bias[2]))
		logits := conv(wide, classes, h, w, 1, decoded, u.classify, u.bias[3])
		for i := range h * w {
			row := make([]float64, classes)
			for c := range row {
				row[c] = logits[c*h*w+i]
			}
			for c, v := range ref.Softmax(1, classes, row) {
				require.InDelta(t, v, p[c*h*w+i], 1e-5)
			}
		}
		if bits[0] != nil {
			testutil.CheckBits(t, "residual block", workers, y, bits[0])
			testutil.CheckBits(t, "U-Net", workers, p, bits[1])
		}
		bits = [2][]float32{y, p}
		team.End()
	}
}
