package perceptual

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// BenchmarkDistance compares two pictures of 224×224, beside one forward pass of the
// convolutions.
func BenchmarkDistance(b *testing.B) {
	ctx := context.Background()
	n := seeded(b, 11)
	m, err := n.Model()
	require.NoError(b, err)
	x, y := testutil.Uniform(1, 3*224*224), testutil.Uniform(2, 3*224*224)
	b.Run("forward", func(b *testing.B) {
		s, err := m.NewSession()
		require.NoError(b, err)
		dst := make([]float32, s.OutputShape().Len())
		for b.Loop() {
			require.NoError(b, s.Run(ctx, dst, x))
		}
	})
	for name, metric := range metrics(b) {
		b.Run(name, func(b *testing.B) {
			s, err := metric.NewSession(224, 224)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.Distance(ctx, x, y)
				require.NoError(b, err)
			}
		})
	}
}
