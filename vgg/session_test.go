package vgg

import (
	"context"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// small is configuration D at a sixteenth of its channels, for 32×32 pictures.
func small(t testing.TB, name string, opts ...Option) *Model {
	t.Helper()
	cfg, err := Lookup(name)
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithClasses(10).WithSize(32)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

func runSession(t testing.TB, m *Model, x []float32, opts ...SessionOption) []float32 {
	t.Helper()
	s, err := m.NewSession(opts...)
	require.NoError(t, err)
	out := testutil.NaNGuarded(t, s.batch*s.OutputShape().Len())
	require.NoError(t, s.Run(context.Background(), out, x))
	return append([]float32(nil), out...)
}

// TestBits compares batches and numbers of workers bit for bit, for every kind of
// layer and storage.
func TestBits(t *testing.T) {
	const size = 3 * 32 * 32
	n, batches := 32, []int{1, 7, 32}
	if testing.Short() { // emulated processors
		n, batches = 7, []int{1, 7}
	}
	x := testutil.Normal(1, n*size)
	for _, m := range []*Model{small(t, "D"), small(t, "A-LRN"), small(t, "C"), small(t, "B", Direct()), small(t, "E", Winograd(2)), small(t, "A", HalfFC()), small(t, "A", FixedFC()), small(t, "E", Fixed())} {
		for _, layer := range []string{"", "conv3_2", "pool4", "fc7"} {
			want := runSession(t, m, x, Batch(n), Workers(1), Output(layer))
			length := len(want) / n
			for _, batch := range batches {
				for _, workers := range []int{1, 2, 3} {
					got := runSession(t, m, x[:batch*size], Batch(batch), Workers(workers), Output(layer))
					testutil.CheckBits(t, m.cfg.Name+" "+layer, []int{batch, workers}, got, want[:batch*length])
				}
			}
		}
	}
}

// TestBitsUnderLoad runs a session on more workers than there are processors,
// beside goroutines that want the processors for themselves.
func TestBitsUnderLoad(t *testing.T) {
	m := small(t, "D")
	x := testutil.Normal(1, 5*3*32*32)
	want := runSession(t, m, x, Batch(5), Workers(1))
	defer burn(2 * runtime.GOMAXPROCS(0))()
	for range 20 {
		testutil.CheckBits(t, "under load", "logits", runSession(t, m, x, Batch(5), Workers(4)), want)
	}
}

// burn keeps that many goroutines busy until the function that it returns is
// called.
func burn(goroutines int) (stop func()) {
	var wg sync.WaitGroup
	var done atomic.Bool
	for range goroutines {
		wg.Go(func() {
			for x := 1.0; !done.Load(); x = math.Sqrt(x + 1) {
			}
		})
	}
	return func() { done.Store(true); wg.Wait() }
}

// TestOneProcessor: GOMAXPROCS, which the runtime takes from a container's limit,
// says how many workers there are, and what is not there is not missed.
func TestOneProcessor(t *testing.T) {
	m := small(t, "D")
	x := testutil.Normal(1, 3*32*32)
	want := runSession(t, m, x, Workers(3))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s, err := m.NewSession()
	require.NoError(t, err)
	require.Equal(t, 1, s.Workers())
	require.Equal(t, 1, newTrainer(t, "A", 16, 1).team.Workers())
	testutil.CheckBits(t, "default", 1, runSession(t, m, x), want)
	testutil.CheckBits(t, "three workers on one processor", 1, runSession(t, m, x, Workers(3)), want)
}

// TestSharedModel runs eight sessions of one model at the same time.
func TestSharedModel(t *testing.T) {
	m := small(t, "D")
	x := testutil.Normal(1, 3*32*32)
	want := runSession(t, m, x)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := m.NewSession(Workers(2))
			if err != nil {
				t.Error(err)
				return
			}
			out := make([]float32, 10)
			for range 5 {
				if err := s.Run(context.Background(), out, x); err != nil {
					t.Error(err)
				}
				testutil.CheckBits(t, "shared", "logits", out, want)
			}
		})
	}
	wg.Wait()
}

// TestRunAllocates covers every kind of layer, every algorithm, and the two ways
// that weights are stored.
func TestRunAllocates(t *testing.T) {
	for _, m := range []*Model{small(t, "A-LRN"), small(t, "B", Winograd(2)), small(t, "C"), small(t, "D", Direct()), small(t, "E"), small(t, "D", HalfFC()), small(t, "D", FixedFC()), small(t, "B", Fixed())} {
		for _, opts := range [][]SessionOption{{Batch(1), Workers(1)}, {Batch(5), Workers(2)}, {Batch(2), Workers(3), Output("conv2_1")}} {
			s, err := m.NewSession(opts...)
			require.NoError(t, err)
			x, out := testutil.Normal(1, s.batch*3*32*32), make([]float32, s.batch*s.OutputShape().Len())
			ctx := context.Background()
			require.Zero(t, testutil.AllocsPerRun(5, func() { _ = s.Run(ctx, out, x) }), "%s, batch %d", m.cfg.Name, s.batch)
		}
	}
}

// convolutions returns the convolutional part of configuration D at the paper's
// size.
func convolutions(t testing.TB) *Model {
	t.Helper()
	if testing.Short() {
		t.Skip("packs 230 MB of weights: needs a run without -short")
	}
	cfg, err := Lookup("D")
	require.NoError(t, err)
	cfg, err = cfg.Until("pool5")
	require.NoError(t, err)
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src)
	require.NoError(t, err)
	return m
}

// canceller is an observer of a team that ends a context when an item begins.
type canceller struct {
	at     int64 // the item, counted from 1; 0: none
	cancel func()
	begun  atomic.Int64
	ended  atomic.Bool
	late   int // items that the caller began after the end
}

func (c *canceller) Begin(worker int) {
	if worker == 0 && c.ended.Load() {
		c.late++
	}
	if c.begun.Add(1) == c.at {
		c.cancel()
		c.ended.Store(true)
	}
}

func (c *canceller) End(int) {}

// checkCancel ends the context of run, on a team, at five of its items. Run returns with the
// error of the context after the item that the caller is at, or one more that it has claimed.
func checkCancel(t testing.TB, team *parallel.Team, run func(ctx context.Context) error) {
	t.Helper()
	var all canceller
	team.Observe(&all)
	defer team.Observe(nil)
	require.NoError(t, run(context.Background()))
	for i := range int64(5) {
		c := canceller{at: 1 + i*all.begun.Load()/5}
		ctx, cancel := context.WithCancel(context.Background())
		c.cancel = cancel
		team.Observe(&c)
		require.ErrorIs(t, run(ctx), context.Canceled)
		require.LessOrEqual(t, c.late, 1, "item %d of %d, %d workers", c.at, all.begun.Load(), team.Workers())
	}
}

// longest is an observer of a team of one that finds the item that takes most.
type longest struct{ begun, item time.Duration }

func (l *longest) Begin(int) { l.begun = testutil.ProcessorTime() }
func (l *longest) End(int)   { l.item = max(l.item, testutil.ProcessorTime()-l.begun) }

// checkItems: of the processor time of run, on a team of one, no item takes more than a
// twentieth. What holds in one of some runs is the code's.
func checkItems(t testing.TB, team *parallel.Team, run func(ctx context.Context) error) {
	t.Helper()
	least := 1.0
	for try := 0; try < 10 && least > 0.05; try++ {
		var l longest
		team.Observe(&l)
		_, all := testutil.Spent(func() { require.NoError(t, run(context.Background())) })
		least = min(least, l.item.Seconds()/all.Seconds())
	}
	team.Observe(nil)
	t.Logf("the longest item has %.4f of the time", least)
	require.LessOrEqual(t, least, 0.05)
}

// TestCancel stops a network of the paper's size at five moments, and finds no item of work
// that keeps it from being stopped.
func TestCancel(t *testing.T) {
	m := convolutions(t)
	for _, workers := range []int{1, 2} {
		s, err := m.NewSession(Batch(2), Workers(workers))
		require.NoError(t, err)
		x, out := make([]float32, 2*3*224*224), make([]float32, 2*s.OutputShape().Len())
		run := func(ctx context.Context) error { return s.Run(ctx, out, x) }
		if workers == 1 {
			checkItems(t, s.team, run)
		}
		checkCancel(t, s.team, run)
		require.NoError(t, s.Run(context.Background(), out, x), "the session stays usable")
	}
}

// TestPauses bounds the time in which the collector cannot begin because a call
// of assembly cannot be stopped: the runtime's own histogram of how long it took
// to stop all goroutines, while a network of the paper's size runs on every
// processor. A call of assembly takes 200 µs at worst, so that a pause above 1 ms
// means that the system has taken a processor away. On a loaded machine it does
// that to any program: the network is then compared with loops of Go, which can be
// stopped everywhere. Were there a call of 2 ms, half of the pauses in it would be
// longer than 1 ms, and a call over a whole layer takes ten.
func TestPauses(t *testing.T) {
	m := convolutions(t)
	s, err := m.NewSession(Batch(2))
	require.NoError(t, err)
	x, out := make([]float32, 2*3*224*224), make([]float32, 2*s.OutputShape().Len())
	holds := func() bool {
		var took time.Duration
		short, total := pausesWhile(t, func() {
			start := time.Now()
			for range 6 {
				require.NoError(t, s.Run(context.Background(), out, x))
			}
			took = time.Since(start)
		})
		share := float64(short) / float64(max(total, 1))
		t.Logf("%d of %d pauses within 1 ms", short, total)
		if total <= 20 || share > 0.75 {
			return total > 20
		}
		short, total = pausesWhile(t, func() { spin(took) })
		t.Logf("of loops in Go: %d of %d", short, total)
		return share > 0.75*float64(short)/float64(max(total, 1))
	}
	for range 50 { // others may take the processors away, but not each time
		if holds() {
			return
		}
	}
	t.Error("did not hold in fifty runs")
}

// spin computes in Go on every processor for some time.
func spin(d time.Duration) {
	var wg sync.WaitGroup
	var done atomic.Bool
	time.AfterFunc(d, func() { done.Store(true) })
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for x := 1.0; !done.Load(); {
				for range 1000 {
					x = x*1.0000001 + 1e-9
				}
			}
		})
	}
	wg.Wait()
}

// pausesWhile collects garbage all the time that f runs, and returns how many
// pauses were within 1 ms, of how many.
func pausesWhile(t testing.TB, f func()) (short, total uint64) {
	var done atomic.Bool
	var wg sync.WaitGroup
	before := pauses(t)
	wg.Go(func() {
		for !done.Load() {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	})
	f()
	done.Store(true)
	wg.Wait()
	after := pauses(t)
	for i, n := range after.Counts {
		n -= before.Counts[i]
		total += n
		if after.Buckets[i+1] <= 1e-3 {
			short += n
		}
	}
	return short, total
}

// pauses reads how long the runtime waited for goroutines to stop.
func pauses(t testing.TB) *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	require.Equal(t, metrics.KindFloat64Histogram, sample[0].Value.Kind())
	h := sample[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: h.Buckets}
}

// TestEveryBatch plans every size of the last, smaller part of a batch: its
// scratch may be larger than that of a full part.
func TestEveryBatch(t *testing.T) {
	for _, name := range Names() {
		m := small(t, name)
		for batch := 1; batch <= 12; batch++ {
			for _, workers := range []int{1, 2, 5} {
				_, err := m.NewSession(Batch(batch), Workers(workers))
				require.NoError(t, err, "%s, batch %d, %d workers", name, batch, workers)
			}
		}
	}
}

// TestSmallerPart plans a session whose last, smaller part of a batch needs more scratch than
// a whole one, and compares pictures in it with pictures alone.
func TestSmallerPart(t *testing.T) {
	layers, err := ParseLayers("16 16 M F3")
	require.NoError(t, err)
	cfg := Config{Name: "test", Channels: 3, Size: 16, Pad: 1, Layers: layers}
	src, err := Initial(cfg, InitHe, 1)
	require.NoError(t, err)
	m, err := New(cfg, src)
	require.NoError(t, err)
	need := func(n int) int {
		floats, err := m.layers[1].conv.ScratchLen(conv3x3.Spec{N: n, H: 16, W: 16, Pad: 1, Epilogue: fuse.Epilogue{ReLU: true, Pool: true}}, 1)
		require.NoError(t, err)
		return floats
	}
	most, rest := 0, 0 // fewer pictures, whose tiles fall into fewer, larger blocks
	for n := 64; n > 1 && rest == 0; n-- {
		for _, part := range segmentSizes(n) {
			if need(part) > need(n) {
				most, rest = n, part
			}
		}
	}
	if rest == 0 {
		t.Skip("no smaller part needs more scratch with this kernel")
	}
	x, got, one := testutil.Normal(2, rest*3*16*16), make([]float32, rest*3), make([]float32, 3)
	s, err := m.NewSession(Batch(most), Workers(1))
	require.NoError(t, err)
	require.Equal(t, most, s.segments[0].pictures)
	require.NoError(t, s.RunN(context.Background(), rest, got, x))
	alone, err := m.NewSession(Workers(1))
	require.NoError(t, err)
	for i := range rest {
		require.NoError(t, alone.Run(context.Background(), one, x[i*3*16*16:][:3*16*16]))
		testutil.CheckBits(t, "picture", i, got[3*i:][:3], one)
	}
}

// TestChunk: the pictures that are computed at a time have activations, written and read, of
// as many bytes as the filters. The parts of a batch are even.
func TestChunk(t *testing.T) {
	for _, c := range []struct {
		layers                string
		size, batch, at, most int
	}{
		{"64 M 64 M F10", 224, 16, 224, 1},         // small filters, large pictures
		{"16 M F10", 8, 100, 8, 50},                // what the caches hold, and even parts
		{"16 M 256 256 256 M F10", 16, 12, 16, 12}, // large filters
		{"16 M 256 256 256 G F10", 16, 12, 640, 1}, // and pictures larger than the configuration's
	} {
		layers, err := ParseLayers(c.layers)
		require.NoError(t, err)
		src, err := Seeded(Config{Name: "test", Channels: 3, Size: c.size, Pad: 1, Layers: layers}, 1)
		require.NoError(t, err)
		m, err := New(Config{Name: "test", Channels: 3, Size: c.size, Pad: 1, Layers: layers}, src)
		require.NoError(t, err)
		s, err := m.NewSession(Batch(c.batch), InputSize(c.at, c.at))
		require.NoError(t, err)
		require.Equal(t, c.most, s.segments[0].pictures, c.layers)
	}
	for most := 1; most <= mostChunk; most++ {
		sizes := segmentSizes(most)
		require.Equal(t, most, sizes[0])
		require.Equal(t, 1, sizes[len(sizes)-1])
		require.True(t, slices.IsSortedFunc(sizes, func(a, b int) int { return b - a }))
	}
}

// TestUnknownISA: an instruction set that NONET_ISA can't mean is told, not
// ignored. The variable is read when a program begins, and so this is another one.
func TestUnknownISA(t *testing.T) {
	if os.Getenv("NONET_ISA") == "sse9" {
		cfg, err := Lookup("A")
		require.NoError(t, err)
		_, err = New(cfg, nil)
		require.ErrorContains(t, err, `NONET_ISA="sse9"`)
		_, err = NewTrainer(cfg, nil, 1)
		require.ErrorContains(t, err, `NONET_ISA="sse9"`)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run", "^TestUnknownISA$", "-test.v")
	cmd.Env = append(os.Environ(), "NONET_ISA=sse9")
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(err.Error(), "exec format") {
		t.Skip("the test program runs in an emulator and can't start itself")
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS: TestUnknownISA")
}

// TestConnectedWidths computes fully connected layers whose widths are no
// multiple of a block, by themselves and behind a convolution, and compares with
// the reference.
func TestConnectedWidths(t *testing.T) {
	layers, err := ParseLayers("3 M F5 F17 F2")
	require.NoError(t, err)
	cfg := Config{Name: "odd", Channels: 3, Size: 6, Pad: 1, Layers: layers}
	src, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, src)
	require.NoError(t, err)
	x := testutil.Normal(1, 4*3*6*6)
	tensor := func(name string, shape ...int) []float32 {
		w, err := src.Tensor(name, shape)
		require.NoError(t, err)
		return w
	}
	conv, _ := ref.Conv2D(ref.ConvShape{N: 4, C: 3, H: 6, W: 6, K: 3, KH: 3, KW: 3, Pad: 1}, x, tensor("conv1_1.weight", 3, 3, 3, 3), tensor("conv1_1.bias", 3))
	y, _ := ref.MaxPool2x2(12, 6, 6, ref.ReLU(conv))
	in := 27
	for i, out := range []int{5, 17, 2} {
		name := layers[2+i].Name
		y, _ = ref.Linear(4, in, out, ref.Float32(y), tensor(name+".weight", out, in), tensor(name+".bias", out))
		if i < 2 {
			y = ref.ReLU(y)
		}
		in = out
		for _, batch := range []int{1, 4} {
			got := runSession(t, m, x[:batch*108], Batch(batch), Output(name))
			largest, _ := testutil.RelErrors(got, y[:len(got)])
			require.Less(t, largest, 1e-5, "%s, batch %d", name, batch)
		}
	}
}

func TestSessionErrors(t *testing.T) {
	m := small(t, "D")
	_, err := m.NewSession(Output("conv9_1"))
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "conv3_2", "the message lists the layers")
	_, err = m.NewSession(Batch(0))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(64, 64))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(1<<30, 1))
	require.ErrorIs(t, err, ErrShape)
	_, err = m.NewSession(InputSize(64, 48), Output("pool5"))
	require.NoError(t, err, "without the fully connected layers any size does")
	_, err = m.NewSession(InputSize(16, 16), Output("pool3"))
	require.NoError(t, err, "what comes after the output does not matter")
	s, err := m.NewSession()
	require.NoError(t, err)
	require.ErrorIs(t, s.Run(context.Background(), make([]float32, 9), make([]float32, 3072)), ErrShape)
	require.ErrorIs(t, s.Run(context.Background(), make([]float32, 10), make([]float32, 3071)), ErrShape)
}

// TestFixedFC: the error of a network with fully connected layers in whole numbers. Each weight
// is rounded by half of a 127th of its row's largest, and the errors of a sum average out.
func TestFixedFC(t *testing.T) {
	x := testutil.Normal(1, 3*32*32)
	full, fixed := small(t, "D"), small(t, "D", FixedFC(), HalfFC()) // the first goes before
	want := runSession(t, full, x)
	wide := make([]float64, len(want))
	for i, v := range want {
		wide[i] = float64(v)
	}
	largest, rms := testutil.RelErrors(runSession(t, fixed, x), wide)
	require.NotZero(t, rms, "whole numbers are not float32")
	require.Less(t, rms, 1e-2)
	require.Less(t, largest, 3e-2)
	require.Less(t, fixed.Bytes(), small(t, "D", HalfFC()).Bytes())
}

// TestHalfFC bounds the error of half-precision weights: each is rounded by
// 2⁻¹², relatively, and the errors of a sum average out.
func TestHalfFC(t *testing.T) {
	x := testutil.Normal(1, 3*32*32)
	full, half := small(t, "D"), small(t, "D", HalfFC())
	want := runSession(t, full, x)
	got := runSession(t, half, x)
	wide := make([]float64, len(want))
	for i, v := range want {
		wide[i] = float64(v)
	}
	largest, rms := testutil.RelErrors(got, wide)
	require.NotZero(t, rms, "half precision is not float32")
	require.Less(t, largest, 2e-3)
	require.Less(t, half.Bytes(), full.Bytes())
}
