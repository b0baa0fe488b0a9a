package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/vgg"
	lpips "github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/weights"
)

// sides are the times of works that take turns, by round, so that what else the machine
// does meets all of them.
type sides struct {
	names []string
	times [][]float64 // ms
}

// turns lets works take turns for as many rounds as b wants.
func turns(b *testing.B, names []string, works ...func() (time.Duration, error)) *sides {
	s := &sides{names, make([][]float64, len(works))}
	for _, work := range works { // caches, and what is packed on first use
		_, err := work()
		require.NoError(b, err)
	}
	for round := 0; b.Loop(); round++ {
		for i := range works {
			if round%2 == 1 { // the other way round
				i = len(works) - 1 - i
			}
			d, err := works[i]()
			require.NoError(b, err)
			s.times[i] = append(s.times[i], float64(d)/1e6)
		}
	}
	for i, name := range names {
		b.ReportMetric(quantile(s.times[i], 0.5), name+"-ms")
	}
	return s
}

// ratio reports the median of a ratio of each round and its quartiles. f gets the times of
// a round.
func (s *sides) ratio(b *testing.B, name string, f func(ms []float64) float64) {
	var ratios []float64
	for r := range s.times[0] {
		var round []float64
		for _, t := range s.times {
			round = append(round, t[r])
		}
		ratios = append(ratios, f(round))
	}
	b.ReportMetric(quantile(ratios, 0.5), name)
	b.ReportMetric(quantile(ratios, 0.25), name+"-q1")
	b.ReportMetric(quantile(ratios, 0.75), name+"-q3")
}

func quantile(list []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// timed measures a call.
func timed(f func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		start := time.Now()
		err := f()
		return time.Since(start), err
	}
}

// perceptual are the layers of VGG-16 that LPIPS compares.
var perceptual = []string{"relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"}

func seededModel(b *testing.B, name string) *vgg.Model {
	cfg, err := vgg.Lookup(name)
	require.NoError(b, err)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(b, err)
	m, err := vgg.New(cfg, src)
	require.NoError(b, err)
	return m
}

// BenchmarkOutputs runs a pass that gives five layers beside one that gives the last of
// them. The ratio is that of the first pass to the second with the copies of the other
// four layers into [C][H][W], which are measured by themselves.
func BenchmarkOutputs(b *testing.B) {
	m := seededModel(b, "D")
	ctx := context.Background()
	for _, batch := range []int{1, 4} {
		for _, threads := range threadCounts() {
			b.Run(fmt.Sprintf("config=D/batch=%d/threads=%d/isa=%v", batch, threads, cpu.Best()), func(b *testing.B) {
				last := perceptual[len(perceptual)-1]
				one, err := m.NewSession(vgg.Batch(batch), vgg.Workers(threads), vgg.Output(last))
				require.NoError(b, err)
				several, err := m.NewSession(vgg.Batch(batch), vgg.Workers(threads), vgg.Outputs(perceptual...))
				require.NoError(b, err)
				x := random(batch*3*224*224, 1000)
				var dst, blocked [][]float32
				shapes := several.OutputShapes()
				for _, s := range shapes {
					dst = append(dst, make([]float32, batch*s.Len()))
					blocked = append(blocked, layout.Alloc(batch*layout.Len(s.C, s.H, s.W)))
				}
				copies := func() error {
					for i, s := range shapes[:len(shapes)-1] {
						for p := range batch {
							n := layout.Len(s.C, s.H, s.W)
							layout.ToNCHW(s.C, s.H, s.W, dst[i][p*s.Len():][:s.Len()], blocked[i][p*n:][:n])
						}
					}
					return nil
				}
				s := turns(b, []string{"one", "several", "copies"},
					timed(func() error { return one.Run(ctx, dst[len(dst)-1], x) }),
					timed(func() error { return several.RunOutputs(ctx, dst, x) }),
					timed(copies))
				s.ratio(b, "ratio", func(ms []float64) float64 { return ms[1] / (ms[0] + ms[2]) })
			})
		}
	}
}

// BenchmarkLPIPS compares two pictures of 224×224 by LPIPS beside one pass through the
// convolutions of the same network. The weights of the metric are all one half.
func BenchmarkLPIPS(b *testing.B) {
	m := seededModel(b, "D")
	ctx := context.Background()
	var list []weights.Out
	for i, c := range []int{64, 128, 256, 512, 512} {
		half := slices.Repeat([]float32{0.5}, c)
		list = append(list, weights.Out{Name: fmt.Sprintf("lin%d.model.1.weight", i), DType: weights.F32, Shape: []int{1, c, 1, 1}, Floats: half})
	}
	path := filepath.Join(b.TempDir(), "linear.safetensors")
	f, err := os.Create(path)
	require.NoError(b, err)
	require.NoError(b, weights.Write(f, list, nil))
	require.NoError(b, f.Close())
	linear, err := weights.Open(path)
	require.NoError(b, err)
	defer linear.Close()
	metric, err := lpips.NewLPIPS(m, linear)
	require.NoError(b, err)
	for _, threads := range threadCounts() {
		b.Run(fmt.Sprintf("config=D/threads=%d/isa=%v", threads, cpu.Best()), func(b *testing.B) {
			one, err := m.NewSession(vgg.Workers(threads), vgg.Output("conv5_3"))
			require.NoError(b, err)
			two, err := metric.NewSession(224, 224, vgg.Workers(threads))
			require.NoError(b, err)
			x, y, dst := random(3*224*224, 1000), random(3*224*224, 1001), make([]float32, one.OutputShape().Len())
			s := turns(b, []string{"forward", "lpips"}, timed(func() error { return one.Run(ctx, dst, x) }),
				timed(func() error { _, err := two.Distance(ctx, x, y); return err }))
			s.ratio(b, "ratio", func(ms []float64) float64 { return ms[1] / ms[0] })
		})
	}
}

// BenchmarkGradient runs a Gradient, of the logits by the pictures, beside the same part
// of a step of training: forward, and backward with respect to activations.
func BenchmarkGradient(b *testing.B) {
	m := seededModel(b, "D")
	cfg := m.Config()
	ctx := context.Background()
	for _, batch := range []int{1, 8} {
		for _, threads := range threadCounts() {
			b.Run(fmt.Sprintf("config=D/batch=%d/threads=%d/isa=%v", batch, threads, cpu.Best()), func(b *testing.B) {
				src, err := vgg.Seeded(cfg, 1)
				require.NoError(b, err)
				t, err := vgg.NewTrainer(cfg, src, batch, vgg.TrainWorkers(threads), vgg.InputGrad())
				require.NoError(b, err)
				g, err := m.NewGradient(vgg.Batch(batch), vgg.Workers(threads))
				require.NoError(b, err)
				x, dx := random(batch*3*224*224, 1000), make([]float32, batch*3*224*224)
				cotangent := random(batch*1000, 1001)
				step := func() (time.Duration, error) {
					_, err := t.Gradients(ctx, x, make([]int, batch))
					all, _ := t.Times()
					t.Update(vgg.SGD{}) // forgets the gradients; the weights stay
					t.Times()
					return all.Forward + all.BackwardData, err
				}
				s := turns(b, []string{"training", "gradient"}, step, timed(func() error {
					if err := g.Forward(ctx, nil, x); err != nil {
						return err
					}
					return g.Backward(ctx, [][]float32{dx}, [][]float32{cotangent})
				}))
				s.ratio(b, "ratio", func(ms []float64) float64 { return ms[1] / ms[0] })
			})
		}
	}
}
