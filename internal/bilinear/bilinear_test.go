package bilinear

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func vec(rng *rand.Rand, n int) []*big.Rat {
	v := make([]*big.Rat, n)
	for i := range v {
		v[i] = rat(rng.Int64N(2001)-1000, rng.Int64N(50)+1)
	}
	return v
}

func (m Matrix) times(x []*big.Rat) []*big.Rat {
	y := make([]*big.Rat, len(m))
	for i, row := range m {
		y[i] = new(big.Rat)
		for j, v := range row {
			y[i].Add(y[i], new(big.Rat).Mul(v, x[j]))
		}
	}
	return y
}

// run evaluates p exactly.
func (p Program) run(x []*big.Rat) []*big.Rat {
	v := append([]*big.Rat(nil), x...)
	for _, op := range p.Ops {
		r := new(big.Rat)
		c := new(big.Rat)
		c.SetFloat64(float64(op.C))
		switch op.Kind {
		case Add:
			r.Add(v[op.X], v[op.Y])
		case Sub:
			r.Sub(v[op.X], v[op.Y])
		case Mul:
			r.Mul(c, v[op.X])
		case FMA:
			r.Add(r.Mul(c, v[op.X]), v[op.Y])
		}
		v = append(v, r)
	}
	var out []*big.Rat
	for _, o := range p.Outputs {
		out = append(out, v[o])
	}
	return out
}

func requireEqual(t *testing.T, want, got []*big.Rat, msg string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Zero(t, want[i].Cmp(got[i]), "%s: element %d: want %v, got %v", msg, i, want[i], got[i])
	}
}

// TestIsCorrelation proves in exact arithmetic that the algorithms compute the
// correlation: both sides are bilinear, so agreement on a basis is agreement
// everywhere.
func TestIsCorrelation(t *testing.T) {
	t.Parallel()
	for m := range points {
		a := New(m)
		for i := range a.Alpha {
			for j := range R {
				d, g := make([]*big.Rat, a.Alpha), make([]*big.Rat, R)
				for k := range d {
					d[k] = new(big.Rat)
				}
				for k := range g {
					g[k] = new(big.Rat)
				}
				d[i].SetInt64(1)
				g[j].SetInt64(1)
				u, v := a.G.times(g), a.BT.times(d)
				for k := range u {
					u[k].Mul(u[k], v[k])
				}
				y := a.AT.times(u)
				for k := range y {
					want := rat(0, 1)
					if k+j == i {
						want = rat(1, 1)
					}
					require.Zero(t, want.Cmp(y[k]), "F(%d,3): d[%d] g[%d] y[%d] = %v", m, i, j, k, y[k])
				}
			}
		}
	}
}

// TestProgramsAreMatrices checks every compiled program against its matrix.
func TestProgramsAreMatrices(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for m := range points {
		a := New(m)
		for name, mat := range map[string]Matrix{"BT": a.BT, "AT": a.AT, "A": a.AT.Transpose()} {
			p := Compile(mat)
			for range 20 {
				x := vec(rng, len(mat[0]))
				requireEqual(t, mat.times(x), p.run(x), name)
			}
		}
	}
}

// TestOperationCount holds the numbers of operations that the kernels' speed
// rests on: 12 for each one-dimensional transform of F(4,3).
func TestOperationCount(t *testing.T) {
	t.Parallel()
	require.Len(t, Compile(New(4).BT).Ops, 12)
	require.Len(t, Compile(New(4).AT).Ops, 12)
	require.Len(t, Compile(New(2).BT).Ops, 4)
	require.Len(t, Compile(New(2).AT).Ops, 4)
}

// TestKnownMatrices compares with the matrices as published for F(2,3) (up to
// the signs that a row of Bᵀ and its row of G share) and with hand-computed
// entries of F(4,3).
func TestKnownMatrices(t *testing.T) {
	t.Parallel()
	require.Equal(t, [][]float64{{-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}}, New(2).BT.Float64())
	require.Equal(t, [][]float64{{-1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}, New(2).G.Float64())
	require.Equal(t, [][]float64{{1, 1, 1, 0}, {0, 1, -1, 1}}, New(2).AT.Float64())
	f4 := New(4)
	require.Equal(t, []float64{.87890625, 0, -2.640625, 0, 1, 0}, f4.BT.Float64()[0])
	require.Equal(t, []float64{0, .244140625, -.244140625, 3.375, -3.375, 1}, f4.AT.Float64()[3])
	require.Zero(t, rat(256, 225).Cmp(f4.G[0][0]))
	require.Zero(t, rat(-2048, 2975).Cmp(f4.G[1][0]))
}
