package train

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSchedules compares the rates of epochs with those of PyTorch's schedulers.
func TestSchedules(t *testing.T) {
	text, err := os.ReadFile("testdata/schedules.json")
	require.NoError(t, err)
	var table struct {
		Cases []struct {
			Scheduler string
			Schedule  Schedule
			Epochs    int
			Rates     []float64
			Errors    []float64 // of the validation, for plateau
		}
	}
	require.NoError(t, json.Unmarshal(text, &table))
	require.Len(t, table.Cases, 15)
	for i, c := range table.Cases {
		require.NoError(t, c.Schedule.validate())
		p := plateau{Best: 2}
		for epoch, want := range c.Rates {
			for _, part := range []float64{0.01, 0.5, 1} {
				got := c.Schedule.rate(epoch, part, c.Epochs, p)
				require.InEpsilon(t, want, got, 1e-12, "case %d: %s %+v, epoch %d", i, c.Scheduler, c.Schedule, epoch)
			}
			if c.Errors != nil {
				require.False(t, p.after(c.Schedule, c.Errors[epoch]))
			}
		}
	}
}

// TestPaper: three falls, and the end where the fourth would be.
func TestPaper(t *testing.T) {
	p, rates, done := plateau{Best: 2}, []float64{}, false
	for !done {
		rates = append(rates, Paper.rate(0, 1, 0, p))
		done = p.after(Paper, 0.5)
	}
	require.Len(t, rates, 1+4*4)
	require.InEpsilon(t, 1e-5, rates[16], 1e-12)
}

func TestWarmup(t *testing.T) {
	s := Schedule{Kind: "cosine", Rate: 1, Warmup: 2}
	require.InDelta(t, 0.05, s.rate(0, 0.1, 10, plateau{}), 1e-12)
	require.InDelta(t, 0.5, s.rate(0, 1, 10, plateau{}), 1e-12)
	require.InDelta(t, 1, s.rate(1, 1, 10, plateau{}), 1e-12)
	require.InDelta(t, 1, s.rate(2, 0.1, 10, plateau{}), 1e-12)
	require.InDelta(t, 0.5, s.rate(6, 1, 10, plateau{}), 1e-12)
	require.Positive(t, s.rate(9, 1, 10, plateau{}))
}

// TestStepRate measures the rate of each step by what it does to the weights, and
// compares it with the one that is told.
func TestStepRate(t *testing.T) {
	run := smallRun(t, openFolder(t, 12))
	run.Momentum, run.Decay, run.Dropout, run.Augment = 0, 0, 0, Augment{}
	run.Schedule, run.Epochs = Schedule{Kind: "step", Rate: 0.01, Factor: 10, Every: 2}, 3
	_, history, err := Train(context.Background(), run)
	require.NoError(t, err)
	for i, want := range []float64{0.01, 0.01, 0.001} {
		require.InEpsilon(t, want, history[i].Rate, 1e-12)
	}
	// The whole of an epoch with a rate of 0.01: the same weights as without a fall.
	run.Epochs = 2
	a, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	run.Schedule.Kind = "constant"
	b, _, err := Train(context.Background(), run)
	require.NoError(t, err)
	requireSame(t, "two epochs of step", b, a)
}

func TestSenseless(t *testing.T) {
	d := openFolder(t, 12)
	for name, change := range map[string]func(r *Run, x float64){
		"momentum":       func(r *Run, x float64) { r.Momentum = x },
		"decay":          func(r *Run, x float64) { r.Decay = x },
		"dropout":        func(r *Run, x float64) { r.Dropout = x },
		"learning rate":  func(r *Run, x float64) { r.Schedule.Rate = x },
		"warm-up":        func(r *Run, x float64) { r.Schedule.Warmup = x },
		"factor":         func(r *Run, x float64) { r.Schedule.Kind, r.Schedule.Factor = "plateau", x },
		"shift":          func(r *Run, x float64) { r.Augment.Colour = x },
		"pictures set a": func(r *Run, x float64) { r.Validation = x },
	} {
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
			run := smallRun(t, d)
			change(&run, x)
			_, _, err := Train(context.Background(), run)
			require.ErrorContains(t, err, name, "%v", x)
		}
	}
	run := smallRun(t, d)
	run.Schedule, run.Validation = Paper, 0
	_, _, err := Train(context.Background(), run)
	require.ErrorContains(t, err, "plateau")
	run = smallRun(t, d)
	run.Picture.Side = 4
	_, _, err = Train(context.Background(), run)
	require.ErrorContains(t, err, "resize")
}
