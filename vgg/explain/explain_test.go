package explain

import (
	"context"
	"image"
	"image/color"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/pretrained"
)

// network is a configuration of the paper with a sixteenth of the channels for 32×32
// pixels, and the same in float64.
func network(t testing.TB, name string) (*vgg.Model, *ref.Net[float64]) {
	t.Helper()
	cfg, err := vgg.Lookup(name)
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithSize(32).WithClasses(10)
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src)
	require.NoError(t, err)
	params, err := cfg.Params()
	require.NoError(t, err)
	next := func() []float64 {
		w, err := src.Tensor(params[0].Name, params[0].Shape)
		require.NoError(t, err)
		params = params[1:]
		return ref.Float64(w)
	}
	net := &ref.Net[float64]{C: 3, H: 32, W: 32}
	for _, l := range cfg.Layers {
		r := ref.Layer[float64]{Name: l.Name, Out: l.Out, ReLU: l.ReLU}
		switch l.Kind {
		case vgg.Pool:
			r.Kind = ref.KindMaxPool
		case vgg.LRN:
			r.Kind, r.LRN = ref.KindLRN, ref.VGGLRN
		case vgg.FC:
			r.Kind = ref.KindLinear
			r.Weight, r.Bias = next(), next()
		default:
			r.Kind, r.Kernel, r.Pad = ref.KindConv, l.Kernel, l.Kernel/2
			r.Weight, r.Bias = next(), next()
		}
		net.Layers = append(net.Layers, r)
	}
	return m, net
}

// float64s is a run of the network in float64 whose ReLUs and pools choose as the model's
// activations do, and its gradients of a logit.
func float64s(t testing.TB, m *vgg.Model, net *ref.Net[float64], input []float32, class int) (*ref.Run[float64], ref.Grads) {
	t.Helper()
	run := net.Forward(1, ref.Float64(input))
	own := map[string][]float64{"input": ref.Float64(input)}
	for _, l := range m.Config().Layers {
		s, err := m.NewSession(vgg.Output(l.Name))
		require.NoError(t, err)
		y := make([]float32, s.OutputShape().Len())
		require.NoError(t, s.Run(context.Background(), y, input))
		own[l.Name] = ref.Float64(y)
	}
	run.Replace(own)
	dy := make([]float64, 10)
	dy[class] = 1
	return run, run.Backward(dy)
}

// explainWith explains one class.
func explainWith(t testing.TB, m *vgg.Model, method Method, input []float32, class int, opts ...Option) *Map {
	t.Helper()
	e, err := New(m, method, opts...)
	require.NoError(t, err)
	r, err := e.Explain(context.Background(), input, class)
	require.NoError(t, err)
	return r
}

func TestGradientsInFloat64(t *testing.T) {
	input := testutil.Normal(5, 3*32*32)
	for _, name := range vgg.Names() {
		m, net := network(t, name)
		maps := 0 // Grad-CAM's that are not 0 everywhere
		for class := 0; class < 10; class += 3 {
			run, grads := float64s(t, m, net, input, class)
			checkSaliency(t, name, explainWith(t, m, Saliency, input, class), run, grads)

			layer, err := lastConvolution(m.Config())
			require.NoError(t, err)
			s := run.Shape[layer]
			want := camInFloat64(run.Act[layer], grads["act."+layer], s[1], s[2]*s[3])
			if slices.Max(want) > 0 {
				maps++
			}
			wide := resize(ref.Float32(want), s[2], s[3], 32, 32)
			r := explainWith(t, m, GradCAM, input, class)
			most, _ := testutil.RelErrors(r.Heat, ref.Float64(wide))
			require.Less(t, most, 1e-4, "Grad-CAM of class %d of %s at %s", class, name, layer)
		}
		require.Positive(t, maps, name)
	}
}

func checkSaliency(t *testing.T, name string, r *Map, run *ref.Run[float64], grads ref.Grads) {
	t.Helper()
	most, _ := testutil.RelErrors(r.Gradient, grads["act.input"])
	require.Less(t, most, 1e-4, "gradient of class %d of %s", r.Class, name)
	heat := make([]float64, r.H*r.W)
	for i, v := range grads["act.input"] {
		heat[i%len(heat)] = max(heat[i%len(heat)], math.Abs(v))
	}
	most, _ = testutil.RelErrors(r.Heat, heat)
	require.Less(t, most, 1e-4, "saliency of class %d of %s", r.Class, name)
	require.InDelta(t, ref.Softmax(1, 10, run.Output())[r.Class], r.Probability, 1e-5)
}

// camInFloat64 is the formula of the package's comment.
func camInFloat64(act, grad []float64, channels, plane int) []float64 {
	heat := make([]float64, plane)
	for k := range channels {
		alpha := 0.0
		for _, v := range grad[k*plane:][:plane] {
			alpha += v
		}
		for i, v := range act[k*plane:][:plane] {
			heat[i] += alpha / float64(plane) * v
		}
	}
	return ref.ReLU(heat)
}

// TestGuided: by its definition, one ReLU after the other.
func TestGuided(t *testing.T) {
	input := testutil.Normal(6, 3*32*32)
	for _, name := range vgg.Names() {
		m, net := network(t, name)
		const class = 7
		run, _ := float64s(t, m, net, input, class)
		dy := make([]float64, 10)
		dy[class] = 1
		want := run.BackwardFrom(map[string][]float64{"fc8": dy}, ref.GuidedReLUGrad)["act.input"]
		most, _ := testutil.RelErrors(explainWith(t, m, Guided, input, class).Gradient, want)
		require.Less(t, most, 1e-4, name)
	}
}

// TestOcclusion: squares by hand; neither batch nor workers change a bit.
func TestOcclusion(t *testing.T) {
	ctx := context.Background()
	m, _ := network(t, "A")
	input := testutil.Normal(7, 3*32*32)
	r := explainWith(t, m, Occlusion, input, 2, Patch(16, 16))
	s, err := m.NewSession()
	require.NoError(t, err)
	probability := func(x []float32) float64 {
		logits := make([]float32, 10)
		require.NoError(t, s.Run(ctx, logits, x))
		p := make([]float64, 10)
		vgg.Softmax(p, logits)
		return p[2]
	}
	colour := means(input, 32*32)
	for square := range 4 {
		top, left := square/2*16, square%2*16
		x := slices.Clone(input)
		for c := range 3 {
			for y := top; y < top+16; y++ {
				for i := left; i < left+16; i++ {
					x[(c*32+y)*32+i] = colour[c]
				}
			}
		}
		want := probability(input) - probability(x)
		require.InDelta(t, want, float64(r.Heat[top*32+left]), 1e-7)
		require.InDelta(t, want, float64(r.Heat[(top+15)*32+left+15]), 1e-7)
	}
	for _, opts := range [][]Option{{Batch(1), Workers(1)}, {Batch(5), Workers(3)}, nil} {
		testutil.CheckBits(t, "occlusion", opts, explainWith(t, m, Occlusion, input, 2, opts...).Heat, explainWith(t, m, Occlusion, input, 2).Heat)
	}
}

func TestPlaces(t *testing.T) {
	require.Equal(t, []int{0, 2, 4, 5}, places(8, 3, 2))
	require.Equal(t, []int{0}, places(8, 8, 3))
}

func TestResize(t *testing.T) {
	require.Equal(t, []float32{0, 0.25, 0.75, 1}, resize([]float32{0, 1}, 1, 2, 1, 4))
	require.Equal(t, []float32{3, 3, 3, 3, 3, 3}, resize([]float32{3}, 1, 1, 2, 3))
}

// TestMostProbable: a negative class is the most probable one.
func TestMostProbable(t *testing.T) {
	m, _ := network(t, "A")
	input := testutil.Normal(8, 3*32*32)
	want := 0
	for class := range 10 {
		if explainWith(t, m, Saliency, input, class).Probability > explainWith(t, m, Saliency, input, want).Probability {
			want = class
		}
	}
	for _, method := range Methods() {
		require.Equal(t, want, explainWith(t, m, method, input, -1).Class)
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	m, _ := network(t, "A")
	_, err := New(m, "magic")
	require.ErrorIs(t, err, vgg.ErrConfig)
	require.ErrorContains(t, err, "gradcam, saliency, guided, occlusion")
	_, err = New(m, Saliency, Layer("conv1_1"))
	require.ErrorIs(t, err, vgg.ErrConfig)
	_, err = New(m, GradCAM, Layer("nowhere"))
	require.ErrorIs(t, err, vgg.ErrConfig)
	for _, p := range [][2]int{{0, 1}, {33, 1}, {4, 0}, {4, 5}} {
		_, err = New(m, Occlusion, Patch(p[0], p[1]))
		require.ErrorIs(t, err, ErrShape)
	}
	_, err = New(m, Occlusion, Batch(0))
	require.ErrorIs(t, err, ErrShape)
	cfg, err := m.Config().Until("pool5")
	require.NoError(t, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	features, err := vgg.New(cfg, src)
	require.NoError(t, err)
	_, err = New(features, Saliency)
	require.ErrorIs(t, err, vgg.ErrConfig)

	for _, method := range Methods() {
		e, err := New(m, method)
		require.NoError(t, err)
		_, err = e.Explain(ctx, make([]float32, 5), 0)
		require.ErrorIs(t, err, ErrShape)
		_, err = e.Explain(ctx, make([]float32, 3*32*32), 10)
		require.ErrorIs(t, err, vgg.ErrConfig)
		nan := make([]float32, 3*32*32)
		nan[7] = float32(math.NaN())
		_, err = e.Explain(ctx, nan, -1)
		require.ErrorIs(t, err, vgg.ErrNotFinite)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = e.Explain(ended, make([]float32, 3*32*32), 0)
		require.ErrorIs(t, err, context.Canceled)
	}
}

// TestDraw: the frame is what the network sees, and colours go from blue to red.
func TestDraw(t *testing.T) {
	m, _ := network(t, "A") // 32 of a shorter side of 36
	photo := image.NewRGBA(image.Rect(0, 0, 720, 360))
	for y := range 360 {
		for x := range 720 {
			photo.Set(x, y, color.RGBA{uint8(x / 3), uint8(y / 2), 0, 255})
		}
	}
	frame, err := Frame(m, photo)
	require.NoError(t, err)
	require.Equal(t, 320, frame.W)
	require.Equal(t, 320, frame.H)
	require.InDelta(t, 200.0/3, float64(frame.Pix[0]), 1)
	require.InDelta(t, 10, float64(frame.Pix[1]), 1)
	small, err := Frame(m, picture.NewRGB(20, 10))
	require.NoError(t, err)
	require.Equal(t, 224, small.W)
	_, err = Frame(m, picture.NewRGB(0, 0))
	require.ErrorIs(t, err, picture.ErrSize)

	r := &Map{Method: GradCAM, H: 1, W: 3, Heat: []float32{-1, 1, 2}}
	p := r.Draw(picture.NewRGB(3, 1), picture.Torch)
	require.Equal(t, []uint8{0, 0, 64, 64, 128, 64, 64, 0, 0}, p.Pix)
	r = &Map{Method: Saliency, H: 1, W: 2, Heat: []float32{0, 2}}
	require.Equal(t, []uint8{0, 0, 0, 255, 255, 255}, r.Draw(picture.NewRGB(2, 1), picture.Torch).Pix)
	r = &Map{Method: Guided, H: 1, W: 1, Heat: []float32{1}, Gradient: []float32{-1, 0, 1}}
	require.Equal(t, []uint8{0, 128, 255}, r.Draw(picture.NewRGB(1, 1), picture.Torch).Pix)
	require.Equal(t, []uint8{255, 128, 0}, r.Draw(picture.NewRGB(1, 1), picture.Caffe).Pix)
}

// BenchmarkOcclusion says at which part of the rate of a session of 32 pictures occlusion
// computes its own.
func BenchmarkOcclusion(b *testing.B) {
	ctx := context.Background()
	m, err := pretrained.CIFAR10()
	require.NoError(b, err)
	input := testutil.Normal(1, 3*32*32)
	e, err := New(m, Occlusion)
	require.NoError(b, err)
	s, err := m.NewSession(vgg.Batch(32))
	require.NoError(b, err)
	batch, logits := testutil.Normal(2, 32*3*32*32), make([]float32, 32*10)
	squares := len(places(32, 4, 1)) * len(places(32, 4, 1))
	var own, rate []float64 // seconds a picture
	for b.Loop() {
		begin := time.Now()
		_, err := e.Explain(ctx, input, 3)
		require.NoError(b, err)
		own = append(own, time.Since(begin).Seconds()/float64(squares))
		begin = time.Now()
		for range squares / 32 {
			require.NoError(b, s.Run(ctx, logits, batch))
		}
		rate = append(rate, time.Since(begin).Seconds()/float64(squares/32*32))
	}
	slices.Sort(own)
	slices.Sort(rate)
	b.ReportMetric(rate[len(rate)/2]/own[len(own)/2], "of-the-batch-rate")
}
