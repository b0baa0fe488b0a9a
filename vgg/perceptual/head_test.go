package perceptual

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

// smallHeads are both heads for small shapes, with spans that are not full.
func smallHeads() (shapes []vgg.Shape, heads map[string]head) {
	shapes = []vgg.Shape{{C: 4, H: 17, W: 19}, {C: 6, H: 3, W: 5}, {C: 2, H: 1, W: 1}}
	lpips, dists := &lpipsHead{}, &distsHead{}
	for i, s := range shapes {
		random := testutil.Uniform(uint64(10+i), 3*s.C)
		w := make([]float64, 3*s.C)
		for j, v := range random {
			w[j] = math.Abs(float64(v))
		}
		lpips.weights = append(lpips.weights, w[:s.C])
		dists.alpha, dists.beta = append(dists.alpha, w[s.C:2*s.C]), append(dists.beta, w[2*s.C:])
	}
	return shapes, map[string]head{"lpips": lpips, "dists": dists}
}

// smallActs are activations behind a ReLU.
func smallActs(seed uint64, shapes []vgg.Shape) (list [][]float32) {
	for i, s := range shapes {
		x := testutil.Normal(seed+uint64(i), s.Len())
		for j := range x {
			x[j] = max(0, x[j]+0.5)
		}
		list = append(list, x)
	}
	return list
}

// lpipsByDefinition is the formula of the package's comment.
func lpipsByDefinition(w []float64, f, g []float32, s vgg.Shape) float64 {
	plane, total := s.H*s.W, 0.0
	for p := range plane {
		nf, ng := 0.0, 0.0
		for c := range s.C {
			nf += float64(f[c*plane+p]) * float64(f[c*plane+p])
			ng += float64(g[c*plane+p]) * float64(g[c*plane+p])
		}
		for c := range s.C {
			d := float64(f[c*plane+p])/(math.Sqrt(nf)+1e-10) - float64(g[c*plane+p])/(math.Sqrt(ng)+1e-10)
			total += w[c] * d * d
		}
	}
	return total / float64(plane)
}

func TestLPIPSDefinition(t *testing.T) {
	shapes, heads := smallHeads()
	f, g := smallActs(1, shapes), smallActs(2, shapes)
	parts := make([]float64, len(shapes))
	require.NoError(t, heads["lpips"].newPass(shapes, parallel.NewTeam(2)).parts(context.Background(), parts, f, g))
	for l, s := range shapes {
		require.InEpsilon(t, lpipsByDefinition(heads["lpips"].(*lpipsHead).weights[l], f[l], g[l], s), parts[l], 1e-6)
	}
}

// TestHeadGradients compares with central differences.
func TestHeadGradients(t *testing.T) {
	ctx := context.Background()
	shapes, heads := smallHeads()
	for name, h := range heads {
		f, g := smallActs(1, shapes), smallActs(2, shapes)
		p := h.newPass(shapes, parallel.NewTeam(2))
		df := smallActs(3, shapes)
		require.NoError(t, p.gradient(ctx, df, f, g))
		parts := make([]float64, len(shapes))
		at := func(x *float32, v float32) float64 {
			old := *x
			*x = v
			defer func() { *x = old }()
			if lpips, ok := h.(*lpipsHead); ok { // whose parts are float32
				for l, s := range shapes {
					parts[l] = lpipsByDefinition(lpips.weights[l], f[l], g[l], s)
				}
				return sum(parts)
			}
			require.NoError(t, p.parts(ctx, parts, f, g))
			return sum(parts)
		}
		for l := range f {
			for i := 0; i < len(f[l]); i += 7 {
				x := f[l][i]
				if x == 0 {
					continue
				}
				lo, hi := x-x/256, x+x/256
				want := (at(&f[l][i], hi) - at(&f[l][i], lo)) / (float64(hi) - float64(lo))
				require.InDelta(t, want, float64(df[l][i]), 2e-4*(math.Abs(want)+1e-3), "%s, stage %d, element %d", name, l, i)
			}
		}
	}
}

// TestL2Pool compares with the definition, and its gradient with central differences.
func TestL2Pool(t *testing.T) {
	ctx := context.Background()
	for _, s := range []vgg.Shape{{C: 3, H: 1, W: 1}, {C: 2, H: 2, W: 5}, {C: 5, H: 7, W: 4}, {C: 1, H: 6, W: 6}} {
		p := newL2Pool(s.C, s.H, s.W, parallel.NewTeam(2))
		x := testutil.Normal(1, s.Len())
		y := make([]float32, s.C*p.oh*p.ow)
		require.NoError(t, p.run(ctx, y, x))
		g := [3]float64{1, 2, 1}
		for i, got := range y {
			plane, r0, c0 := i/(p.oh*p.ow), i/p.ow%p.oh*2, i%p.ow*2
			want := 1e-12
			for r := -1; r <= 1; r++ {
				for c := -1; c <= 1; c++ {
					if r0+r >= 0 && r0+r < s.H && c0+c >= 0 && c0+c < s.W {
						v := float64(x[(plane*s.H+r0+r)*s.W+c0+c])
						want += g[r+1] * g[c+1] / 16 * v * v
					}
				}
			}
			require.InEpsilon(t, math.Sqrt(want), float64(got), 1e-7, "%v, element %d", s, i)
		}
		dy := testutil.Normal(2, len(y))
		dx := make([]float32, len(x))
		require.NoError(t, p.addGrad(ctx, dx, x, y, dy))
		loss := func() (total float64) {
			require.NoError(t, p.run(ctx, y, x))
			for i, v := range dy {
				total += float64(v) * float64(y[i])
			}
			return total
		}
		for i, v := range x {
			x[i] = v + 1.0/128
			up := loss()
			x[i] = v - 1.0/128
			down := loss()
			x[i] = v
			require.InDelta(t, (up-down)*64, float64(dx[i]), 1e-3, "%v, element %d", s, i)
		}
	}
}
