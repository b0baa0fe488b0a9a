package picture

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGrid(t *testing.T) {
	views := Grid(nil, 384, 256, 224, 5)
	require.Len(t, views, 50)
	for i, v := range views {
		require.Equal(t, View{384, 256, 40 * (i / 2 % 5), 8 * (i / 10), 224, 224, i%2 == 1}, v)
	}
	require.Equal(t, View{255, 300, 16, 38, 224, 224, false}, Grid(nil, 255, 300, 224, 3)[8]) // 31/2 = 15.5 → 16 at j=1
}

func TestGridCorners(t *testing.T) {
	for _, s := range [][2]int{{224, 224}, {225, 231}, {1000, 237}} {
		v := Grid(nil, s[0], s[1], 224, 5)
		require.Len(t, v, 50)
		require.Equal(t, [2]int{0, 0}, [2]int{v[0].X, v[0].Y})
		require.Equal(t, [2]int{s[0] - 224, s[1] - 224}, [2]int{v[49].X, v[49].Y})
	}
	require.Equal(t, 16, Grid(nil, 256, 256, 224, 1)[0].X)
	require.Empty(t, Grid(nil, 223, 300, 224, 5))
	require.Empty(t, Grid(nil, 300, 300, 224, 0))
}

func TestView(t *testing.T) {
	src := noise(4, 90, 70)
	var z Resizer
	got := new(RGB)
	for _, v := range Grid(nil, 60, 48, 32, 3) {
		z.View(got, src, v)
		want := Crop(Resize(src, v.RW, v.RH), v.X, v.Y, v.W, v.H)
		if v.Flip {
			FlipHorizontal(want)
		}
		requireSame(t, want, got)
	}
}

func TestJitter(t *testing.T) {
	j := Jitter{Min: 256, Max: 512, Size: 224}
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 40000
	scales, flips, left, lefts := map[int]int{}, 0, 0, 0
	for range n {
		v := j.Sample(rng, 500, 375)
		require.Equal(t, [2]int{224, 224}, [2]int{v.W, v.H})
		require.True(t, 256 <= v.RH && v.RH <= 512)
		require.Equal(t, v.RH*500/375, v.RW)
		require.True(t, v.X >= 0 && v.Y >= 0 && v.X <= v.RW-224 && v.Y <= v.RH-224, "%+v", v)
		scales[v.RH]++
		if v.Flip {
			flips++
		}
		if v.X == 0 {
			left++
		}
		if v.X == v.RW-224 {
			lefts++
		}
	}
	require.Len(t, scales, 257, "every scale occurs")
	require.InDelta(t, n/2, flips, 5*math.Sqrt(n)/2)
	require.True(t, left > 0 && lefts > 0, "both edges occur")
	require.Panics(t, func() { Jitter{Min: 200, Max: 512, Size: 224}.Sample(rng, 10, 10) })
}

// A seed means the same views, whatever the size of the pictures before.
func TestJitterStream(t *testing.T) {
	j := Jitter{Min: 64, Max: 80, Size: 56}
	a, b := rand.New(rand.NewPCG(7, 7)), rand.New(rand.NewPCG(7, 7))
	j.Sample(a, 500, 375)
	j.Sample(b, 31, 1000)
	require.Equal(t, j.Sample(a, 100, 90), j.Sample(b, 100, 90))
}

func TestPadCrop(t *testing.T) {
	src := numbered(6, 5)
	dst := new(RGB)
	for _, border := range []Border{Zero, Reflect} {
		for x := 0; x <= 8; x++ {
			for y := 0; y <= 8; y++ {
				PadCrop(dst, src, 4, x, y, border, false)
				for j := range 5 {
					for i := range 6 {
						sx, sy := i+x-4, j+y-4
						want := [3]uint8{}
						if border == Reflect {
							sx, sy = mirror(sx, 6), mirror(sy, 5)
						}
						if sx >= 0 && sx < 6 && sy >= 0 && sy < 5 {
							want = [3]uint8{uint8(sx), uint8(sy), 100}
						}
						require.Equal(t, want, at(dst, i, j))
					}
				}
			}
		}
	}
	PadCrop(dst, src, 4, 4, 4, Zero, true)
	FlipHorizontal(dst)
	require.Equal(t, src, dst)
	require.Panics(t, func() { PadCrop(dst, src, 4, 9, 0, Zero, false) })
	require.Panics(t, func() { PadCrop(dst, src, 5, 0, 0, Reflect, false) })
	require.Panics(t, func() { PadCrop(src, src, 4, 0, 0, Zero, false) })
}

func mirror(i, n int) int {
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		} else {
			i = 2*n - 2 - i
		}
	}
	return i
}

func TestSamplePadCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[[2]int]bool{}
	for range 5000 {
		x, y, _ := SamplePadCrop(rng, 4)
		seen[[2]int{x, y}] = true
	}
	require.Len(t, seen, 81)
}

func TestCutout(t *testing.T) {
	p := numbered(8, 8)
	Cutout(p, 0, 7, 4, [3]uint8{1, 2, 3})
	painted := 0
	for i := 0; i < len(p.Pix); i += 3 {
		if p.Pix[i+2] == 3 {
			painted++
		}
	}
	require.Equal(t, 2*3, painted)
	require.Equal(t, [3]uint8{1, 2, 3}, at(p, 1, 5))
	Cutout(p, -100, 100, 4, [3]uint8{})
}

func TestColourStats(t *testing.T) {
	a, b := noise(1, 31, 17), scene(23, 29)
	var whole, one, two ColourStats
	whole.Add(a)
	whole.Add(b)
	two.Add(b)
	one.Add(a)
	two.Merge(&one)
	require.Equal(t, whole, two)

	pixels := append(append([]uint8(nil), a.Pix...), b.Pix...)
	n := float64(len(pixels) / 3)
	var mean [3]float64
	var cov [3][3]float64
	for i, v := range pixels {
		mean[i%3] += float64(v) / 255 / n
	}
	for i := 0; i < len(pixels); i += 3 {
		for p := range 3 {
			for q := range 3 {
				cov[p][q] += (float64(pixels[i+p])/255 - mean[p]) * (float64(pixels[i+q])/255 - mean[q]) / n
			}
		}
	}
	for p := range 3 {
		require.InDelta(t, mean[p], whole.Mean()[p], 1e-12)
		require.InDelta(t, math.Sqrt(cov[p][p]), whole.Std()[p], 1e-12)
		for q := range 3 {
			require.InDelta(t, cov[p][q], whole.Covariance()[p][q], 1e-12)
		}
	}
	var none ColourStats
	require.Zero(t, none.Mean())
	require.Zero(t, none.Covariance())
}

func TestPCA(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	cases := [][3][3]float64{{}, {{2, 0, 0}, {0, 3, 0}, {0, 0, 1}}, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {{1, 1e-9, 0}, {1e-9, 1, 0}, {0, 0, 1}}}
	for range 200 {
		var b, a [3][3]float64
		for i := range 3 {
			for j := range 3 {
				b[i][j] = rng.NormFloat64() * math.Pow(10, -4*rng.Float64())
			}
		}
		for i := range 3 {
			for j := range 3 {
				for k := range 3 {
					a[i][j] += b[i][k] * b[j][k]
				}
			}
		}
		cases = append(cases, a)
	}
	for _, a := range cases {
		e := eigen3(a)
		norm := a[0][0] + a[1][1] + a[2][2]
		require.True(t, e.Values[0] >= e.Values[1] && e.Values[1] >= e.Values[2])
		for i, v := range e.Vectors {
			require.Positive(t, max(v[0], v[1], v[2]))
			for j, u := range e.Vectors {
				dot := v[0]*u[0] + v[1]*u[1] + v[2]*u[2]
				want := 0.0
				if i == j {
					want = 1
				}
				require.InDelta(t, want, dot, 1e-14)
			}
			for r := range 3 { // A·v = λ·v
				av := a[r][0]*v[0] + a[r][1]*v[1] + a[r][2]*v[2]
				require.InDelta(t, e.Values[i]*v[r], av, 1e-14*norm)
			}
		}
	}
}

// The shift's covariance is Σ (sigma·λ)² p·pᵀ.
func TestColourSample(t *testing.T) {
	e := eigen3([3][3]float64{{0.08, 0.06, 0.05}, {0.06, 0.07, 0.06}, {0.05, 0.06, 0.08}})
	rng := rand.New(rand.NewPCG(1, 9))
	const n = 100000
	var got, want [3][3]float64
	for range n {
		s := e.Sample(rng, 0.1)
		for i := range 3 {
			for j := range 3 {
				got[i][j] += float64(s[i]) * float64(s[j]) / n
			}
		}
	}
	for i := range 3 {
		for j := range 3 {
			for k, l := range e.Values {
				want[i][j] += 0.01 * l * l * e.Vectors[k][i] * e.Vectors[k][j]
			}
			require.InEpsilon(t, want[i][j], got[i][j], 0.03)
		}
	}
	require.Zero(t, e.Sample(rng, 0))
}
