package ref_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
)

// TestTrainedNets runs networks that others have trained, on pictures: a Tiny VGG
// without padding, and a narrow VGG-19 as far as relu5_1.
func TestTrainedNets(t *testing.T) {
	t.Parallel()
	t.Run("tinyvgg", func(t *testing.T) {
		t.Parallel()
		weights := testutil.Tensors(t, testutil.Shared(t, "data", "nets", "tinyvgg_cnn-explainer.safetensors"))
		golden := testutil.Tensors(t, testutil.Shared(t, "data", "nets", "tinyvgg_golden.safetensors"))
		net := trainedNet(weights, 3, 64, 0, "conv_1_1 conv_1_2 M conv_2_1 conv_2_2 M output=")
		run := net.Forward(20, planes(golden["images_u8_nhwc"], 20, 64*64))
		near(t, "logits", run.Output(), golden["logits_f64"], tol64)
	})
	for _, picture := range []string{"astronaut", "chelsea", "coffee"} {
		t.Run("vgg19_16x "+picture, func(t *testing.T) {
			t.Parallel()
			weights := testutil.Tensors(t, testutil.Shared(t, "data", "nets", "vgg19_16x_encoder_relu5_1.safetensors"))
			golden := testutil.Tensors(t, testutil.Shared(t, "data", "nets", "vgg19_16x_golden_"+picture+".safetensors"))
			net := trainedNet(weights, 3, 224, 1,
				"conv0= conv11 conv12 M conv21 conv22 M conv31 conv32 conv33 conv34 M conv41 conv42 conv43 conv44 M conv51")
			run := net.Forward(1, planes(golden["image_u8_224"], 1, 224*224))
			near(t, "relu1_2, channel 0", run.Act["conv12"][:224*224], golden["zeropad.relu1_2.c0"], tol64)
			near(t, "pool3", run.Act["pool3"], golden["zeropad.pool3"], 1e-7)
			near(t, "relu5_1", run.Output(), golden["zeropad.relu5_1"], tol64)
		})
	}
}

// trainedNet builds a network from the names of its weights; M is a pool, and =
// leaves the ReLU out.
func trainedNet(weights map[string][]float64, channels, side, pad int, layers string) *ref.Net[float64] {
	net := &ref.Net[float64]{C: channels, H: side, W: side}
	in, pools := channels, 0
	for _, name := range strings.Fields(layers) {
		if name == "M" {
			pools++
			net.Layers = append(net.Layers, ref.Layer[float64]{Kind: ref.KindMaxPool, Name: fmt.Sprint("pool", pools)})
			continue
		}
		relu := name[len(name)-1] != '='
		if !relu {
			name = name[:len(name)-1]
		}
		l := ref.Layer[float64]{Name: name, ReLU: relu, Weight: weights[name+".weight"], Bias: weights[name+".bias"]}
		l.Out = len(l.Bias)
		switch len(l.Weight) / (l.Out * in) {
		case 1:
			l.Kernel = 1
		case 9:
			l.Kernel, l.Pad = 3, pad
		default:
			l.Kind = ref.KindLinear
		}
		net.Layers = append(net.Layers, l)
		in = l.Out
	}
	return net
}

// planes turns n pictures of interleaved bytes into planes in [0, 1].
func planes(bytes []float64, n, pixels int) []float64 {
	x := make([]float64, len(bytes))
	for i, v := range bytes {
		picture, pixel, c := i/(3*pixels), i/3%pixels, i%3
		x[(picture*3+c)*pixels+pixel] = v / 255
	}
	return x
}
