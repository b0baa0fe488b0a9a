package bilinear

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// pointSets are points for F(4,3) that others have used, and ours.
var pointSets = []struct {
	name   string
	points []*big.Rat
}{
	{"0, ±5/8, ±3/2 (ours)", points[4]},
	{"0, ±1, ±2", []*big.Rat{rat(0, 1), rat(1, 1), rat(-1, 1), rat(2, 1), rat(-2, 1)}},
	{"0, ±1, ±1/2", []*big.Rat{rat(0, 1), rat(1, 1), rat(-1, 1), rat(1, 2), rat(-1, 2)}},
	{"0, ±1/2, ±2", []*big.Rat{rat(0, 1), rat(1, 2), rat(-1, 2), rat(2, 1), rat(-2, 1)}},
	{"0, ±3/4, ±5/4", []*big.Rat{rat(0, 1), rat(3, 4), rat(-3, 4), rat(5, 4), rat(-5, 4)}},
}

// TestPoints measures the rounding errors that sets of points bring, over 256
// channels in float32 with filters transformed in float64, as nonet does it. Run
// with -v it prints the table of docs/numerics.md.
func TestPoints(t *testing.T) {
	errors := map[string]float64{}
	for _, set := range pointSets {
		largest, rms := tileErrors(FromPoints(4, set.points), 60, 256)
		t.Logf("%-22s largest %.1e, root mean square %.1e", set.name, largest, rms)
		errors[set.name] = rms
	}
	require.Less(t, errors[pointSets[0].name], 0.7*errors["0, ±1, ±2"])
}

// tileErrors computes tiles of random data, and returns the errors in units of
// the root mean square of the result.
func tileErrors(a Algorithm, tiles, channels int) (largest, rms float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	bt, g, at := a.BT.Float64(), a.G.Float64(), a.AT.Float64()
	var squares, scale float64
	for range tiles {
		d, w := grid(a.Alpha), grid(R)
		m, want := grid(a.Alpha), grid(a.M)
		for range channels {
			fill(d, rng, 1)
			fill(w, rng, math.Sqrt(2/(9*float64(channels))))
			u, v := sandwich(g, w, false), sandwich(bt, d, true)
			for i := range m {
				for j := range m {
					m[i][j] = float64(float32(float64(float32(u[i][j]))*v[i][j] + m[i][j])) // a fused multiply-add
				}
			}
			for i := range want {
				for j := range want {
					for p := range R {
						for q := range R {
							want[i][j] += d[i+p][j+q] * w[p][q]
						}
					}
				}
			}
		}
		for i, row := range sandwich(at, m, true) {
			for j, y := range row {
				e := math.Abs(y - want[i][j])
				largest = max(largest, e)
				squares += e * e
				scale += want[i][j] * want[i][j]
			}
		}
	}
	n := float64(tiles * a.M * a.M)
	unit := math.Sqrt(scale / n)
	return largest / unit, math.Sqrt(squares/n) / unit
}

func grid(n int) [][]float64 {
	g := make([][]float64, n)
	for i := range g {
		g[i] = make([]float64, n)
	}
	return g
}

// fill sets x to normal numbers that are exact in float32.
func fill(x [][]float64, rng *rand.Rand, deviation float64) {
	for _, row := range x {
		for j := range row {
			row[j] = float64(float32(deviation * rng.NormFloat64()))
		}
	}
}

// sandwich returns m·x·mᵀ, rounded to float32 after each multiply-add if single.
func sandwich(m, x [][]float64, single bool) [][]float64 {
	times := func(m, x [][]float64) [][]float64 { // m·xᵀ
		y := make([][]float64, len(m))
		for i, row := range m {
			y[i] = make([]float64, len(x))
			for j := range x {
				sum := 0.0
				for k, c := range row {
					sum += c * x[j][k]
					if single {
						sum = float64(float32(sum))
					}
				}
				y[i][j] = sum
			}
		}
		return y
	}
	return times(m, times(m, x)) // (m·(m·xᵀ)ᵀ)… = m·x·mᵀ
}
