package vgg

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// profiledSession is a session of a small network on two workers.
func profiledSession(t *testing.T, opts ...SessionOption) (s *Session, dst, src []float32) {
	t.Helper()
	cfg, err := Lookup("A-LRN")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithSize(32).WithClasses(10)
	weights, err := Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := New(cfg, weights)
	require.NoError(t, err)
	s, err = m.NewSession(append(opts, Workers(2))...)
	require.NoError(t, err)
	return s, make([]float32, 10), make([]float32, 3*32*32)
}

func TestProfiled(t *testing.T) {
	s, dst, src := profiledSession(t, Profiled())
	plain, want, _ := profiledSession(t)
	require.NoError(t, plain.Run(context.Background(), want, src))
	run := func() { require.NoError(t, s.Run(context.Background(), dst, src)) }
	run()
	require.Equal(t, want, dst)

	var out bytes.Buffer
	require.NoError(t, s.WriteTrace(&out))
	var trace struct{ TraceEvents []traceEvent }
	require.NoError(t, json.Unmarshal(out.Bytes(), &trace))
	layers, work := map[string]traceEvent{}, map[string]int{}
	for _, e := range trace.TraceEvents {
		switch {
		case e.Phase == "X" && e.TID == 0:
			layers[e.Name] = e
		case e.Phase == "X":
			l, ok := layers[e.Name]
			require.True(t, ok, "worker %d works on %s, which is no layer", e.TID, e.Name)
			require.GreaterOrEqual(t, e.Time, l.Time)
			require.LessOrEqual(t, e.Time+e.Dur, l.Time+l.Dur+1e-3)
			work[e.Name]++
		}
	}
	for _, l := range s.LayerTimes() {
		require.Contains(t, layers, l.Layer)
		require.Positive(t, work[l.Layer], "nobody worked on %s", l.Layer)
	}

	for range 20 { // which worker does how much varies, and so do their lists
		run()
	}
	require.Less(t, testutil.AllocsPerRun(20, run), 2.0)
	require.Error(t, plain.WriteTrace(&out))
}

// TestLayerTimes: which layers have an entry depends on the plan alone. A clock may not
// tell the shortest of them: that of a browser does not.
func TestLayerTimes(t *testing.T) {
	s, dst, src := profiledSession(t)
	before := s.LayerTimes()
	require.NoError(t, s.Run(context.Background(), dst, src))
	after := s.LayerTimes()
	want := []string{"conv1_1", "lrn1", "pool1", "conv2_1", "pool2", "conv3_1", "conv3_2", "conv4_1", "conv4_2", "conv5_1", "conv5_2", "fc6", "fc7", "fc8"}
	require.Len(t, before, len(want))
	require.Len(t, after, len(want))
	for i, layer := range want {
		require.Equal(t, LayerTime{Layer: layer}, before[i])
		require.Equal(t, layer, after[i].Layer)
	}
}

// labelAt looks at the labels of the goroutine that works on a layer.
type labelAt struct {
	*profiler
	seen chan string
}

func (l labelAt) Begin(worker int) {
	l.profiler.Begin(worker)
	var out bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&out, 1)
	name := l.names[l.layer]
	layer, _, _ := strings.Cut(name, " ") // of a trainer with its pass
	if bytes.Contains(out.Bytes(), []byte(`"layer":"`+layer+`"`)) {
		l.seen <- name
	}
}

// TestProfileLabels finds each layer's label in the profile of goroutines while
// it is worked on, and none afterwards.
func TestProfileLabels(t *testing.T) {
	s, dst, src := profiledSession(t, Profiled())
	l := labelAt{s.profiler, make(chan string, 10000)}
	s.team.Observe(l)
	require.NoError(t, s.Run(context.Background(), dst, src))
	close(l.seen)
	seen := map[string]bool{}
	for name := range l.seen {
		seen[name] = true
	}
	for _, lt := range s.LayerTimes() {
		require.True(t, seen[lt.Layer], "no goroutine carried the label of %s", lt.Layer)
	}
	testutil.Wait(t, "helpers that leave", func() bool {
		var out bytes.Buffer
		return pprof.Lookup("goroutine").WriteTo(&out, 1) == nil && !bytes.Contains(out.Bytes(), []byte(`"layer":"`))
	})
}

// TestProfiledSteps: the goroutines of a Trainer carry the labels of layer and pass,
// and lose them; the trace has each pass of each layer; no bit changes.
func TestProfiledSteps(t *testing.T) {
	tr, plain := newTrainer(t, "A", 16, 2, TrainWorkers(2), ProfiledSteps()), newTrainer(t, "A", 16, 2)
	seen := map[string]bool{}
	l := labelAt{tr.profiler, make(chan string, 100000)}
	tr.team.Observe(l)
	x, targets := testutil.Normal(1, 2*3*32*32), []int{1, 2}
	for range 2 {
		for _, tr := range []*Trainer{tr, plain} {
			_, err := tr.Gradients(context.Background(), x, targets)
			require.NoError(t, err)
			tr.Update(SGD{Rate: 0.1, Momentum: 0.9})
		}
	}
	tr.Grads()
	close(l.seen)
	for name := range l.seen {
		seen[name] = true
	}
	for _, name := range []string{"conv1_1 forward", "conv1_1 backward", "pool1 backward", "conv5_2 update", "fc6 forward", "fc6 backward", "fc6 update"} {
		require.True(t, seen[name], name)
	}
	for i, p := range tr.Params() {
		testutil.CheckBits(t, "weights", p.Name, tr.Weights()[i], plain.Weights()[i])
	}
	testutil.Wait(t, "helpers that leave", func() bool {
		var out bytes.Buffer
		return pprof.Lookup("goroutine").WriteTo(&out, 1) == nil && !bytes.Contains(out.Bytes(), []byte(`"layer":"`))
	})
	var out bytes.Buffer
	require.NoError(t, tr.WriteTrace(&out))
	for _, name := range []string{"conv1_1 forward", "conv1_1 backward", "update", "fc6 update"} {
		require.Contains(t, out.String(), `"`+name+`"`)
	}
	require.Error(t, plain.WriteTrace(&out))
}
