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

// TestScheduleLimits: each number is checked where the schedule takes it, and may be its limit.
func TestScheduleLimits(t *testing.T) {
	plateau, step, cosine := Schedule{Kind: "plateau", Rate: 1, Factor: 2}, Schedule{Kind: "step", Rate: 1, Factor: 2, Every: 1}, Schedule{Kind: "cosine", Rate: 1}
	change := func(s Schedule, f func(s *Schedule)) Schedule { f(&s); return s }
	tiny, huge := math.SmallestNonzeroFloat64, 2.0*math.MaxFloat32
	for _, c := range []struct {
		Schedule
		refused string
	}{
		{plateau, ""}, {step, ""}, {cosine, ""}, {Schedule{Kind: "constant", Rate: 1}, ""},
		{Schedule{}, "learning rate 0"}, {Schedule{Rate: 1}, `schedule ""`}, {Schedule{Kind: "Step", Rate: 1}, `"Step": want plateau`},
		{change(cosine, func(s *Schedule) { s.Rate = tiny }), ""},
		{change(cosine, func(s *Schedule) { s.Rate = math.MaxFloat32 }), ""},
		{change(cosine, func(s *Schedule) { s.Rate = huge }), "learning rate 6.8"},
		{change(cosine, func(s *Schedule) { s.Warmup = tiny }), ""},
		{change(cosine, func(s *Schedule) { s.Warmup = math.Inf(1) }), "warm-up of +Inf"},
		{change(cosine, func(s *Schedule) { s.Warmup = -tiny }), "warm-up of -"},
		{change(step, func(s *Schedule) { s.Factor = 1 }), "schedule step: factor 1"},
		{change(plateau, func(s *Schedule) { s.Factor = 1 }), "schedule plateau: factor 1"},
		{change(step, func(s *Schedule) { s.Factor = math.Nextafter(1, 2) }), ""},
		{change(cosine, func(s *Schedule) { s.Factor = 1 }), ""},
		{change(plateau, func(s *Schedule) { s.Patience = -1 }), "patience -1, 0 drops"},
		{change(plateau, func(s *Schedule) { s.Drops = -1 }), "patience 0, -1 drops"},
		{change(step, func(s *Schedule) { s.Patience, s.Drops = -1, -1 }), ""},
		{change(step, func(s *Schedule) { s.Every = 0 }), "divided every 0 epochs"},
		{change(plateau, func(s *Schedule) { s.Every = -1 }), ""},
	} {
		err := c.validate()
		if c.refused == "" {
			require.NoError(t, err, "%+v", c.Schedule)
		} else {
			require.ErrorContains(t, err, c.refused, "%+v", c.Schedule)
		}
	}
}

// TestPlateauLeast: the rate falls by no less than 10⁻⁸, as with PyTorch.
func TestPlateauLeast(t *testing.T) {
	s := Schedule{Kind: "plateau", Rate: 3e-8, Factor: 2, Drops: 9}
	for drops, want := range []float64{3e-8, 1.5e-8, 1.5e-8, 1.5e-8} {
		require.InEpsilon(t, want, s.rate(0, 1, 1, plateau{Drops: drops}), 1e-12)
	}
}

// TestPlateauAfter: an error counts as better if it is below the best by a ten-thousandth of
// it. Only the plateau's own schedule drops the rate and ends.
func TestPlateauAfter(t *testing.T) {
	s := Schedule{Kind: "plateau", Patience: 1, Drops: 1}
	p := plateau{Best: 0.5}
	for _, c := range []struct {
		err  float64
		want plateau
		done bool
	}{
		{0.4999, plateau{0.4999, 0, 0}, false},
		{0.49986, plateau{0.4999, 1, 0}, false},
		{0.49984, plateau{0.49984, 0, 0}, false},
		{0.6, plateau{0.49984, 1, 0}, false},
		{0.6, plateau{0.49984, 0, 1}, false},
		{0.6, plateau{0.49984, 1, 1}, false},
		{0.6, plateau{0.49984, 0, 2}, true},
	} {
		require.Equal(t, c.done, p.after(s, c.err))
		require.Equal(t, c.want, p)
	}
	require.True(t, p.over(s))
	s.Kind = "step"
	require.False(t, p.over(s))
	for range 5 {
		require.False(t, p.after(s, 0.6))
	}
	require.Equal(t, plateau{0.49984, 5, 2}, p)
}

// TestCosineWarmup: a warm-up as long as the run leaves no cosine.
func TestCosineWarmup(t *testing.T) {
	for _, warmup := range []float64{3, 4} {
		s := Schedule{Kind: "cosine", Rate: 1, Warmup: warmup}
		require.InDelta(t, 3/warmup, s.rate(2, 1, 3, plateau{}), 1e-12)
	}
}
