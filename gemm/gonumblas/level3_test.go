package gonumblas

import (
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// gonum's float64 routines are the reference: its own suite, blas/testblas, tests those.
var reference gonum.Implementation

var (
	sides  = []blas.Side{blas.Left, blas.Right}
	uplos  = []blas.Uplo{blas.Lower, blas.Upper}
	transs = []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}
	diags  = []blas.Diag{blas.NonUnit, blas.Unit}
	nan    = float32(math.NaN())
)

// sizes are those around base, on which triangles are divided once, twice and unevenly.
var sizes = []int{1, 2, 31, 32, 33, 64, 65, 97, 130}

// A matrix is rows×cols of numbers that are NaN in the gaps behind its rows.
type matrix struct {
	rows, cols, ld int
	data           []float32
}

func newMatrix(seed uint64, rows, cols, gap int) matrix {
	x := matrix{rows, cols, cols + gap, testutil.Normal(seed, (rows-1)*(cols+gap)+cols)}
	for i := range x.data {
		if i%x.ld >= cols {
			x.data[i] = nan
		}
	}
	return x
}

// triangle sets to NaN what a routine must not read: the other triangle, and the diagonal
// if it is that of blas.Unit.
func (x matrix) triangle(ul blas.Uplo, d blas.Diag) matrix {
	for i := range x.rows {
		for j := range x.cols {
			if ul == blas.Lower && j > i || ul == blas.Upper && j < i || i == j && d == blas.Unit {
				x.data[i*x.ld+j] = nan
			}
		}
	}
	return x
}

// dominant makes a triangle one that solutions do not grow with.
func (x matrix) dominant() matrix {
	for i := range x.data {
		x.data[i] /= float32(x.rows)
	}
	for i := range x.rows {
		x.data[i*x.ld+i] += 2
	}
	return x
}

func (x matrix) fill(v float32) {
	for i := range x.data {
		x.data[i] = v
	}
}

func (x matrix) clone() matrix {
	x.data = append([]float32(nil), x.data...)
	return x
}

// check compares got with want within the bound of sums of so many terms. What is NaN in
// want was not to be written, or is NaN rightly.
func check(t *testing.T, name string, terms int, got []float32, want, mag []float64) {
	t.Helper()
	for i, w := range want {
		g := float64(got[i])
		if math.IsNaN(w) != math.IsNaN(g) || math.Abs(g-w) > ref.Gamma(terms+24)*mag[i]+1e-40 {
			t.Fatalf("%s: element %d is %v, want %v within %g", name, i, g, w, ref.Gamma(terms+24)*mag[i])
		}
	}
}

func TestSsyrk(t *testing.T) {
	for _, ul := range uplos {
		for _, tA := range transs {
			for _, n := range sizes {
				for i, k := range []int{1, 7, 70} {
					alpha, beta := [3]float32{1, -2.5, 0}[i], [3]float32{0, 0.5, -1}[(i+n)%3]
					rows, cols := shape(tA != blas.NoTrans, n, k)
					a, c := newMatrix(1, rows, cols, n%3), newMatrix(2, n, n, i).triangle(ul, blas.NonUnit)
					before := c.clone()
					if beta == 0 { // where gonum's reads C all the same if A is transposed
						for j := range c.data {
							before.data[j] *= 0
						}
						c.fill(nan)
					}
					want, mag := ref.Float64(before.data), ref.Abs(ref.Float64(before.data))
					reference.Dsyrk(ul, tA, n, k, float64(alpha), ref.Float64(a.data), a.ld, float64(beta), want, c.ld)
					reference.Dsyrk(ul, tA, n, k, math.Abs(float64(alpha)), ref.Abs(ref.Float64(a.data)), a.ld, math.Abs(float64(beta)), mag, c.ld)
					Implementation{}.Ssyrk(ul, tA, n, k, alpha, a.data, a.ld, beta, c.data, c.ld)
					check(t, fmt.Sprintf("Ssyrk(%c, %c, %d, %d, %v, %v)", ul, tA, n, k, alpha, beta), k, c.data, want, mag)
				}
			}
		}
	}
}

func TestSsymm(t *testing.T) {
	for _, s := range sides {
		for _, ul := range uplos {
			for i, m := range sizes {
				for j, n := range []int{1, 33, 70} {
					alpha, beta := [3]float32{1, -2.5, 0}[j], [3]float32{0, 0.5, 1}[(i+j)%3]
					k := n
					if s == blas.Left {
						k = m
					}
					a, b, c := newMatrix(1, k, k, i%3).triangle(ul, blas.NonUnit), newMatrix(2, m, n, j), newMatrix(3, m, n, 2)
					if beta == 0 {
						c.fill(nan)
					}
					want, mag := ref.Float64(c.data), ref.Abs(ref.Float64(c.data))
					reference.Dsymm(s, ul, m, n, float64(alpha), ref.Float64(a.data), a.ld, ref.Float64(b.data), b.ld, float64(beta), want, c.ld)
					reference.Dsymm(s, ul, m, n, math.Abs(float64(alpha)), ref.Abs(ref.Float64(a.data)), a.ld, ref.Abs(ref.Float64(b.data)), b.ld, float64(beta), mag, c.ld)
					Implementation{}.Ssymm(s, ul, m, n, alpha, a.data, a.ld, b.data, b.ld, beta, c.data, c.ld)
					check(t, fmt.Sprintf("Ssymm(%c, %c, %d, %d, %v, %v)", s, ul, m, n, alpha, beta), k, c.data, want, mag)
				}
			}
		}
	}
}

// eachTriangular calls f for all cases of Strmm and Strsm and a k×k triangle.
func eachTriangular(f func(name string, s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n, k int, alpha float32)) {
	for _, s := range sides {
		for _, ul := range uplos {
			for _, tA := range transs {
				for _, d := range diags {
					for i, k := range sizes {
						for _, other := range []int{1, 40} {
							m, n := k, other
							if s == blas.Right {
								m, n = other, k
							}
							alpha := [3]float32{1, -0.5, 0}[(i+other)%3]
							f(fmt.Sprintf("(%c, %c, %c, %c, %d, %d, %v)", s, ul, tA, d, m, n, alpha), s, ul, tA, d, m, n, k, alpha)
						}
					}
				}
			}
		}
	}
}

func TestStrmm(t *testing.T) {
	eachTriangular(func(name string, s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n, k int, alpha float32) {
		a, b := newMatrix(1, k, k, k%3).triangle(ul, d), newMatrix(2, m, n, k%2)
		want, mag := ref.Float64(b.data), ref.Abs(ref.Float64(b.data))
		reference.Dtrmm(s, ul, tA, d, m, n, float64(alpha), ref.Float64(a.data), a.ld, want, b.ld)
		reference.Dtrmm(s, ul, tA, d, m, n, math.Abs(float64(alpha)), ref.Abs(ref.Float64(a.data)), a.ld, mag, b.ld)
		Implementation{}.Strmm(s, ul, tA, d, m, n, alpha, a.data, a.ld, b.data, b.ld)
		check(t, "Strmm"+name, k, b.data, want, mag)
	})
}

// TestStrsm multiplies the solution by A: op(A)·X is alpha·B within a bound of |op(A)|·|X|.
func TestStrsm(t *testing.T) {
	eachTriangular(func(name string, s blas.Side, ul blas.Uplo, tA blas.Transpose, d blas.Diag, m, n, k int, alpha float32) {
		a, b := newMatrix(1, k, k, k%3).dominant().triangle(ul, d), newMatrix(2, m, n, k%2)
		x := b.clone()
		Implementation{}.Strsm(s, ul, tA, d, m, n, alpha, a.data, a.ld, x.data, x.ld)
		product, mag := ref.Float64(x.data), ref.Abs(ref.Float64(x.data))
		reference.Dtrmm(s, ul, tA, d, m, n, 1, ref.Float64(a.data), a.ld, product, x.ld)
		reference.Dtrmm(s, ul, tA, d, m, n, 1, ref.Abs(ref.Float64(a.data)), a.ld, mag, x.ld)
		want := ref.Float64(b.data)
		for i := range want {
			want[i] *= float64(alpha)
			mag[i] += math.Abs(want[i])
		}
		for i, w := range want {
			if math.IsNaN(w) != math.IsNaN(product[i]) || math.Abs(product[i]-w) > ref.Gamma(k+24)*mag[i] {
				t.Fatalf("Strsm%s: element %d of A·X is %v, want %v within %g", name, i, product[i], w, ref.Gamma(k+24)*mag[i])
			}
		}
	})
}

func TestSgemv(t *testing.T) {
	for _, tA := range transs {
		for i, incX := range []int{1, -1, 3, -2} {
			for j, incY := range []int{1, -3, 2} {
				for _, s := range []struct{ m, n int }{{1, 1}, {5, 70}, {70, 5}, {33, 34}, {300, 17}} {
					alpha, beta := [4]float32{1, -2.5, 0, 0.5}[i], [3]float32{0, 0.5, 1}[j]
					lenY, lenX := shape(tA != blas.NoTrans, s.m, s.n)
					a := newMatrix(1, s.m, s.n, j)
					x := newMatrix(2, lenX, 1, max(incX, -incX)-1).data
					y := newMatrix(3, lenY, 1, max(incY, -incY)-1).data
					if beta == 0 {
						matrix{data: y}.fill(nan)
					}
					want, mag := ref.Float64(y), ref.Abs(ref.Float64(y))
					reference.Dgemv(tA, s.m, s.n, float64(alpha), ref.Float64(a.data), a.ld, ref.Float64(x), incX, float64(beta), want, incY)
					reference.Dgemv(tA, s.m, s.n, math.Abs(float64(alpha)), ref.Abs(ref.Float64(a.data)), a.ld, ref.Abs(ref.Float64(x)), incX, float64(beta), mag, incY)
					Implementation{}.Sgemv(tA, s.m, s.n, alpha, a.data, a.ld, x, incX, beta, y, incY)
					check(t, fmt.Sprintf("Sgemv(%c, %v, %d, %d)", tA, s, incX, incY), lenX, y, want, mag)
				}
			}
		}
	}
}

// TestPanics: where gonum's routine panics ours does, with the same message, and nowhere
// else.
func TestPanics(t *testing.T) {
	of := func(f func()) (message any) {
		defer func() { message = recover() }()
		f()
		return nil
	}
	x := make([]float32, 11)
	seen := map[any]bool{}
	for _, s := range []blas.Side{blas.Left, blas.Right, 0} {
		for _, ul := range []blas.Uplo{blas.Lower, blas.Upper, 0} {
			for _, tr := range []blas.Transpose{blas.NoTrans, blas.Trans, 0} {
				for _, d := range []blas.Diag{blas.Unit, 0} {
					for _, m := range []int{-1, 0, 2, 3} {
						for _, n := range []int{-1, 0, 3} {
							for _, ld := range []int{1, 3, 5, 6} {
								for _, inc := range []int{0, 1, -6} {
									for name, f := range map[string]func(blas.Float32){
										"Sgemm": func(b blas.Float32) { b.Sgemm(tr, tr, m, n, inc, 1, x, ld, x, ld, 0, make([]float32, 11), ld) },
										"Ssyrk": func(b blas.Float32) { b.Ssyrk(ul, tr, n, m, 1, x, ld, 0, make([]float32, 11), ld) },
										"Ssymm": func(b blas.Float32) { b.Ssymm(s, ul, m, n, 1, x, ld, x, ld, 0, make([]float32, 11), ld) },
										"Strmm": func(b blas.Float32) { b.Strmm(s, ul, tr, d, m, n, 1, x, ld, make([]float32, 11), ld) },
										"Strsm": func(b blas.Float32) { b.Strsm(s, ul, tr, d, m, n, 1, x, ld, make([]float32, 11), ld) },
										"Sgemv": func(b blas.Float32) { b.Sgemv(tr, m, n, 1, x, ld, x, inc, 0, make([]float32, 11), 1-inc) },
									} {
										want := of(func() { f(gonum.Implementation{}) })
										require.Equal(t, want, of(func() { f(Implementation{}) }), "%s side=%d uplo=%d trans=%d diag=%d m=%d n=%d ld=%d inc=%d", name, s, ul, tr, d, m, n, ld, inc)
										seen[want] = true
									}
								}
							}
						}
					}
				}
			}
		}
	}
	require.Len(t, seen, 18, "each message, and none: %v", seen)
}

// BenchmarkLevel3 compares with gonum's own on square matrices.
func BenchmarkLevel3(b *testing.B) {
	const n = 512
	a := newMatrix(1, n, n, 0).dominant()
	x, y := newMatrix(2, n, n, 0), newMatrix(3, n, n, 0)
	for _, op := range []struct {
		name  string
		flops float64
		f     func(blas.Float32)
	}{
		{"Sgemm", 2, func(i blas.Float32) {
			i.Sgemm(blas.NoTrans, blas.NoTrans, n, n, n, 1, a.data, n, x.data, n, 0, y.data, n)
		}},
		{"Ssyrk", 1, func(i blas.Float32) { i.Ssyrk(blas.Lower, blas.NoTrans, n, n, 1, a.data, n, 0, y.data, n) }},
		{"Ssymm", 2, func(i blas.Float32) { i.Ssymm(blas.Left, blas.Lower, n, n, 1, a.data, n, x.data, n, 0, y.data, n) }},
		{"Strmm", 1, func(i blas.Float32) {
			copy(y.data, x.data)
			i.Strmm(blas.Left, blas.Lower, blas.NoTrans, blas.NonUnit, n, n, 1, a.data, n, y.data, n)
		}},
		{"Strsm", 1, func(i blas.Float32) {
			copy(y.data, x.data)
			i.Strsm(blas.Left, blas.Lower, blas.NoTrans, blas.NonUnit, n, n, 1, a.data, n, y.data, n)
		}},
		{"Sgemv", 2. / n, func(i blas.Float32) { i.Sgemv(blas.NoTrans, n, n, 1, a.data, n, x.data, 1, 0, y.data, 1) }},
	} {
		for _, by := range []struct {
			name string
			blas.Float32
		}{{"gonum", gonum.Implementation{}}, {"nonet", Implementation{}}} {
			b.Run(fmt.Sprintf("op=%s/n=%d/by=%s", op.name, n, by.name), func(b *testing.B) {
				for b.Loop() {
					op.f(by.Float32)
				}
				b.ReportMetric(op.flops*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
