package vgg

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// kindNets hold every kind of layer in varied orders, inputs that are no squares, and
// columns in HWC order.
var kindNets = []Config{
	{Channels: 3, Size: 16, Pad: 1, Layers: mustLayers("16 S M =32 S+ A 32 G F10")},
	{Channels: 3, Size: 12, Width: 8, Pad: 1, Layers: mustLayers("8 S 8 A F24 S =F16 F10")},
	{Channels: 5, Size: 12, Width: 20, Pad: 1, HWC: true, Layers: mustLayers("S+ 24 N A =20 S+ M =F17 S+ F10 S")},
	{Channels: 1, Size: 24, Width: 16, Pad: 1, Layers: mustLayers("16 A 18 M =10/1 S G")},
	{Channels: 3, Size: 29, Width: 22, Pad: 1, Layers: mustLayers("16/2 20/2 =24 40/2 G F10")},
	{Channels: 4, Size: 27, Width: 38, Layers: mustLayers("6 =17/2 S+ 33/2 M F12 F10")},
	{Channels: 3, Size: 21, Width: 27, HWC: true, Layers: mustLayers("=3/1 S 16 M A 19 S F11 F10+")},
}

func mustLayers(s string) []Layer {
	layers, err := ParseLayers(s)
	if err != nil {
		panic(err)
	}
	return layers
}

func kindModel(t testing.TB, cfg Config, opts ...Option) *Model {
	t.Helper()
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

func (c Config) inputLen() int {
	h, w := c.Input()
	return c.Channels * h * w
}

// TestKindBits: a picture's activations are the same bits in every batch and for every
// number of workers, after every layer.
func TestKindBits(t *testing.T) {
	for _, cfg := range kindNets {
		m := kindModel(t, cfg)
		x := testutil.Normal(1, 7*cfg.inputLen())
		for _, l := range cfg.Layers {
			want := runSession(t, m, x, Batch(7), Workers(1), Output(l.Name))
			for _, batch := range []int{1, 3, 6} {
				got := runSession(t, m, x[:batch*cfg.inputLen()], Batch(batch), Workers(batch), Output(l.Name))
				testutil.CheckBits(t, l.Name, batch, got, want[:len(got)])
			}
		}
	}
}

func TestKindAllocates(t *testing.T) {
	for _, cfg := range kindNets {
		m := kindModel(t, cfg, HalfFC())
		require.Positive(t, m.Bytes())
		for _, opts := range [][]SessionOption{{Batch(1), Workers(1)}, {Batch(5), Workers(2)}, {Batch(2), Workers(2), Dense()}} {
			s, err := m.NewSession(opts...)
			require.NoError(t, err)
			x, out := testutil.Normal(1, s.batch*cfg.inputLen()), make([]float32, s.batch*s.OutputShape().Len())
			ctx := context.Background()
			require.Zero(t, testutil.AllocsPerRun(5, func() { _ = s.Run(ctx, out, x) }), "%s", cfg.LayerString())
		}
	}
}

// TestKindDense slides a network without padding, whose crops the class map must equal:
// scales between and behind the fully connected layers, HWC columns, no square.
func TestKindDense(t *testing.T) {
	for _, layers := range []string{"=3/1 S 16 A F11 S =F7 S+ F10 S", "8 S+ M F10"} {
		for _, hwc := range []bool{false, true} {
			cfg := Config{Channels: 3, Size: 8, Width: 12, HWC: hwc, Layers: mustLayers(layers)}
			m := kindModel(t, cfg)
			const H, W = 12, 14 // 3×2 positions, two pixels apart
			x := testutil.Normal(2, 3*H*W)
			dense, err := m.NewSession(Dense(), InputSize(H, W))
			require.NoError(t, err)
			require.Equal(t, Shape{10, 3, 2}, dense.OutputShape())
			got := make([]float32, dense.OutputShape().Len())
			require.NoError(t, dense.Run(context.Background(), got, x))
			for i := range 3 {
				for j := range 2 {
					want := runSession(t, m, cropPlanes(x, H, W, 2*i, 2*j, 8, 12))
					for c, v := range want {
						require.InDelta(t, v, got[(c*3+i)*2+j], 1e-5, "%s, class %d at %d, %d", layers, c, i, j)
					}
				}
			}
		}
	}
}

// cropPlanes cuts h×w pixels at y, x out of three planes.
func cropPlanes(src []float32, H, W, y, x, h, w int) (crop []float32) {
	for c := range 3 {
		for i := range h {
			crop = append(crop, src[(c*H+y+i)*W+x:][:w]...)
		}
	}
	return crop
}

// TestGlobalAnySize: a network with a global pool takes pictures of any size, because
// its fully connected layers always get one mean of each channel.
func TestGlobalAnySize(t *testing.T) {
	m := kindModel(t, kindNets[0])
	s, err := m.NewSession(InputSize(40, 24))
	require.NoError(t, err)
	require.Equal(t, Shape{10, 1, 1}, s.OutputShape())
	x := testutil.Normal(1, 3*40*24)
	testutil.CheckBits(t, "dense", "40×24", runSession(t, m, x, Dense(), InputSize(40, 24)), runSession(t, m, x, InputSize(40, 24)))
	_, err = kindModel(t, kindNets[1]).NewSession(InputSize(8, 12))
	require.ErrorIs(t, err, ErrShape, "height and width are not exchanged")
	require.ErrorContains(t, err, "12×8")
}

// TestHWCColumns: the weights with their columns in CHW order give the same bits.
func TestHWCColumns(t *testing.T) {
	hwc := Config{Channels: 3, Size: 6, Width: 10, Pad: 1, HWC: true, Layers: mustLayers("19 M F5 F4")}
	chw := hwc
	chw.HWC = false
	src, err := Seeded(hwc, 1)
	require.NoError(t, err)
	a, err := New(hwc, src)
	require.NoError(t, err)
	b, err := New(chw, permuted{src})
	require.NoError(t, err)
	x := testutil.Normal(1, 2*hwc.inputLen())
	testutil.CheckBits(t, "logits", "HWC", runSession(t, a, x, Batch(2)), runSession(t, b, x, Batch(2)))
}

// permuted gives the columns of fc2, 3×5×19, in the order 19×3×5.
type permuted struct{ Source }

func (p permuted) Tensor(name string, want []int) ([]float32, error) {
	w, err := p.Source.Tensor(name, want)
	if name != "fc2.weight" || err != nil {
		return w, err
	}
	out := make([]float32, len(w))
	for i, v := range w {
		row, pixel, c := i/(15*19), i/19%15, i%19
		out[row*15*19+c*15+pixel] = v
	}
	return out, nil
}

func kindTrainer(t testing.TB, cfg Config, batch int, opts ...TrainerOption) *Trainer {
	t.Helper()
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	tr, err := NewTrainer(cfg, src, batch, opts...)
	require.NoError(t, err)
	return tr
}

// TestKindTraining: steps give the same bits for any number of workers, with dropout,
// and change every tensor; afterwards Trainer and Session agree about the logits.
func TestKindTraining(t *testing.T) {
	for _, cfg := range kindNets {
		x, targets := testutil.Normal(5, 3*cfg.inputLen()), []int{1, 2, 3}
		step := func(workers int) *Trainer {
			tr := kindTrainer(t, cfg, 3, TrainWorkers(workers), Dropout(0.5, 9))
			for range 3 {
				for range 2 { // gradients of two batches are added
					_, err := tr.Gradients(context.Background(), x, targets)
					require.NoError(t, err)
				}
				tr.Update(SGD{Rate: 0.01, Momentum: 0.9, Decay: 5e-4})
			}
			return tr
		}
		one, three := step(1), step(3)
		fresh := kindTrainer(t, cfg, 3)
		for i, p := range one.Params() {
			testutil.CheckBits(t, cfg.LayerString(), p.Name, three.Weights()[i], one.Weights()[i])
			require.NotEqual(t, fresh.Weights()[i], one.Weights()[i], "%s %s", cfg.LayerString(), p.Name)
		}
		m, err := New(cfg, one.Source())
		require.NoError(t, err)
		want := runSession(t, m, x, Batch(3))
		got := make([]float32, len(want))
		require.NoError(t, one.Logits(context.Background(), got, x))
		require.InDeltaSlice(t, want, got, 1e-3)
	}
}

// TestKindDirection compares gradients, with respect to the input and every tensor,
// with central differences of the loss in one direction.
func TestKindDirection(t *testing.T) {
	for _, cfg := range kindNets {
		tr := kindTrainer(t, cfg, 2, InputGrad())
		x, targets := testutil.Normal(5, 2*cfg.inputLen()), []int{4, 2}
		_, err := tr.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		loss := func() float64 {
			tr.Changed()
			r, err := tr.Gradients(context.Background(), x, targets)
			require.NoError(t, err)
			return r.Loss
		}
		var tensors, grads [][]float32
		for i := range tr.Params() {
			tensors, grads = append(tensors, tr.Weights()[i]), append(grads, append([]float32(nil), tr.Grads()[i]...))
		}
		tensors, grads = append(tensors, x), append(grads, tr.InputGradient())
		for i, w := range tensors {
			direction, slope, squares := testutil.Normal(uint64(i), len(w)), 0.0, 0.0
			for j, d := range direction {
				slope += float64(d) * float64(grads[i][j])
				squares += float64(grads[i][j]) * float64(grads[i][j])
			}
			const step = 2e-4
			move := func(by float32) {
				for j, d := range direction {
					w[j] += by * d
				}
			}
			move(step)
			up := loss()
			move(-2 * step)
			down := loss()
			move(step)
			require.NotZero(t, squares, "%s tensor %d", cfg.LayerString(), i)
			require.InDelta(t, slope, (up-down)/(2*step), 0.02+0.1*max(slope, -slope), "%s tensor %d", cfg.LayerString(), i)
		}
	}
}

// TestKindFreeze trains what stands behind a frozen scale, and on the features of a
// global pool.
func TestKindFreeze(t *testing.T) {
	cfg := kindNets[0]
	x, targets := testutil.Normal(5, 2*cfg.inputLen()), []int{1, 2}
	whole, head := kindTrainer(t, cfg, 2, Freeze("gap")), kindTrainer(t, cfg, 2, Features("gap"))
	f := runSession(t, kindModel(t, cfg), x, Batch(2), Output("gap"))
	for range 2 {
		a, err := whole.Gradients(context.Background(), x, targets)
		require.NoError(t, err)
		b, err := head.Gradients(context.Background(), f, targets)
		require.NoError(t, err)
		require.InDelta(t, a.Loss, b.Loss, 1e-6)
		whole.Update(SGD{Rate: 0.1})
		head.Update(SGD{Rate: 0.1})
	}
	for i, p := range whole.Params() {
		largest, _ := testutil.RelErrors(head.Weights()[i], wide(whole.Weights()[i]))
		require.Less(t, largest, 1e-5, p.Name)
	}
	for _, layer := range []string{"fc3", "gap"} { // behind an F; the last of all
		_, err := NewTrainer(kindNets[map[string]int{"fc3": 2, "gap": 3}[layer]], head.Source(), 1, Features(layer))
		require.Error(t, err)
	}
	frozen := kindTrainer(t, kindNets[2], 2, Freeze("scale3"))
	x = testutil.Normal(5, 2*kindNets[2].inputLen())
	before := append([]float32(nil), frozen.Weights()[10]...)
	_, err := frozen.Gradients(context.Background(), x, targets)
	require.NoError(t, err)
	frozen.Update(SGD{Rate: 0.1})
	require.Equal(t, "scale3.weight", frozen.Params()[10].Name)
	testutil.CheckBits(t, "frozen", "scale3", frozen.Weights()[10], before)
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// TestKindSave writes each network and opens it again without a word about it.
func TestKindSave(t *testing.T) {
	for _, cfg := range kindNets {
		cfg.Name = "custom"
		src, err := Seeded(cfg, 1)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "net.safetensors")
		require.NoError(t, Save(path, cfg, src, false))
		m, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, cfg, m.Config())
		x := testutil.Normal(1, cfg.inputLen())
		testutil.CheckBits(t, "logits", cfg.LayerString(), runSession(t, m, x), runSession(t, kindModel(t, cfg), x))
	}
}

// TestKindClassifier: new classes replace the head and the scales behind it.
func TestKindClassifier(t *testing.T) {
	for layers, fresh := range map[string][]string{
		"4 S M F6 S F5 S": {"fc3.weight", "fc3.bias", "scale3.weight", "scale3.bias"},
		"4 M 5/1 S G":     {"conv2_1.weight", "conv2_1.bias", "scale1.weight", "scale1.bias"},
	} {
		cfg := Config{Channels: 3, Size: 4, Pad: 1, Layers: mustLayers(layers)}
		old, err := Seeded(cfg, 1)
		require.NoError(t, err)
		rest, err := Initial(cfg, InitHe, 2)
		require.NoError(t, err)
		src, err := NewClassifier(cfg, old, rest)
		require.NoError(t, err)
		params, err := cfg.Params()
		require.NoError(t, err)
		var taken []string
		for _, p := range params {
			w, err := src.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			was, err := old.Tensor(p.Name, p.Shape)
			require.NoError(t, err)
			if w[0] != was[0] {
				taken = append(taken, p.Name)
			}
		}
		require.Equal(t, fresh, taken)
	}
}
