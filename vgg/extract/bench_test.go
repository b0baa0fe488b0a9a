package extract

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/shard"
)

// throughputs are networks with pictures for them.
var throughputs = []struct {
	name  string
	data  func(testing.TB) string
	count int // of shards, one of which is computed
	model func(testing.TB) *vgg.Model
}{
	{"cifar10", func(t testing.TB) string { return testutil.Shared(t, "data/cifar10-train.tar") }, 100, func(t testing.TB) *vgg.Model {
		m, err := pretrained.CIFAR10()
		require.NoError(t, err)
		return m
	}},
	{"vgg16", photos, 1, func(t testing.TB) *vgg.Model {
		cfg, err := vgg.Lookup("D")
		require.NoError(t, err)
		src, err := vgg.Seeded(cfg, 1)
		require.NoError(t, err)
		m, err := vgg.New(cfg, src)
		require.NoError(t, err)
		return m
	}},
}

// photos is a directory with eight copies of each photograph.
func photos(t testing.TB) string {
	dir := t.TempDir()
	for i := range 8 {
		require.NoError(t, os.CopyFS(filepath.Join(dir, strconv.Itoa(i)), os.DirFS(testutil.Shared(t, "data/photos"))))
	}
	return dir
}

// BenchmarkThroughput compares a Job with a Session that runs batches of the same size
// on pictures that are prepared, in alternation. It reports the median of the ratio of
// their rates, and the rate of the Job.
func BenchmarkThroughput(b *testing.B) {
	for _, x := range throughputs {
		b.Run("net="+x.name, func(b *testing.B) {
			m, d := x.model(b), data(b, x.data(b))
			s, err := m.NewSession(vgg.Batch(8))
			require.NoError(b, err)
			h, w := m.Config().Input()
			in, out := make([]float32, 8*3*h*w), make([]float32, 8*s.OutputShape().Len())
			var ratios, rates []float64
			for b.Loop() {
				j := job(b.TempDir())
				j.Spec, j.Batch, j.Shard = Spec{Layers: []string{""}}, 8, shard.Shard{Index: len(ratios) % x.count, Count: x.count}
				begin := time.Now()
				n := run(b, j, m, d).Pictures
				extract := time.Since(begin).Seconds()
				begin = time.Now()
				for range n / 8 {
					require.NoError(b, s.Run(b.Context(), out, in))
				}
				session := time.Since(begin).Seconds() / float64(n/8*8) * float64(n)
				ratios, rates = append(ratios, session/extract), append(rates, float64(n)/extract)
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[len(ratios)/2], "of-session")
			b.ReportMetric(rates[len(rates)/2], "pictures/s")
		})
	}
}
