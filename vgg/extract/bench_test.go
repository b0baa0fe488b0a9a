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
	count int // of shards, the first of which is computed
	model func(testing.TB) *vgg.Model
}{
	{"cifar10", func(t testing.TB) string { return testutil.Shared(t, "data/cifar10-train.tar") }, 50, func(t testing.TB) *vgg.Model {
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
// on pictures that are prepared, in alternation. It reports the rate of the Job, and medians
// of its ratio to that of the session, and to the most that the cores allow: pictures are
// decoded on the same ones, so that none is to spare while the session computes.
func BenchmarkThroughput(b *testing.B) {
	for _, x := range throughputs {
		b.Run("net="+x.name, func(b *testing.B) {
			m, d := x.model(b), data(b, x.data(b))
			s, err := m.NewSession(vgg.Batch(8))
			require.NoError(b, err)
			h, w := m.Config().Input()
			in, out := make([]float32, 8*3*h*w), make([]float32, 8*s.OutputShape().Len())
			var ratios, bounds, rates []float64
			for b.Loop() {
				j := job(b.TempDir())
				j.Spec, j.Batch, j.Shard = Spec{Layers: []string{""}}, 8, shard.Shard{Count: x.count}
				begin := time.Now()
				n := run(b, j, m, d).Pictures
				extract := time.Since(begin).Seconds()
				begin = time.Now()
				for range n / 8 {
					require.NoError(b, s.Run(b.Context(), out, in))
				}
				session := time.Since(begin).Seconds() / float64(n/8*8) * float64(n)
				least := session + decodeSeconds(b, m, d, j.Shard)/float64(s.Workers())
				ratios, bounds, rates = append(ratios, session/extract), append(bounds, least/extract), append(rates, float64(n)/extract)
			}
			slices.Sort(ratios)
			slices.Sort(bounds)
			slices.Sort(rates)
			b.ReportMetric(ratios[len(ratios)/2], "of-session")
			b.ReportMetric(bounds[len(bounds)/2], "of-cores")
			b.ReportMetric(rates[len(rates)/2], "pictures/s")
		})
	}
}

// decodeSeconds returns how long one core decodes and prepares the pictures of a shard.
func decodeSeconds(b *testing.B, m *vgg.Model, d *Data, s shard.Shard) (seconds float64) {
	t, err := Transform(m)
	require.NoError(b, err)
	h, w := m.Config().Input()
	one := newBatch(1, 3*h*w)
	for in, err := range d.each(s, 0) {
		require.NoError(b, err)
		begin := time.Now()
		one.decoded.Add(1)
		task{one, 0, in}.decode(t, 3*h*w)
		seconds += time.Since(begin).Seconds()
	}
	return seconds
}
