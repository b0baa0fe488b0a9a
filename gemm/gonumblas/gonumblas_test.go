package gonumblas

import (
	"fmt"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
)

// TestSgemm compares with gonum's own on integers, where all sums are exact.
func TestSgemm(t *testing.T) {
	for _, tA := range []blas.Transpose{blas.NoTrans, blas.Trans} {
		for _, tB := range []blas.Transpose{blas.NoTrans, blas.ConjTrans} {
			const m, n, k, ld = 9, 20, 33, 40
			a, b, c := testutil.Ints(1, ld*ld, -3, 3), testutil.Ints(2, ld*ld, -3, 3), testutil.Ints(3, ld*ld, -3, 3)
			want := append([]float32(nil), c...)
			gonum.Implementation{}.Sgemm(tA, tB, m, n, k, 2, a, ld, b, ld, -1, want, ld)
			Implementation{}.Sgemm(tA, tB, m, n, k, 2, a, ld, b, ld, -1, c, ld)
			require.Equal(t, want, c)
		}
	}
	require.Panics(t, func() { Implementation{}.Sgemm(7, blas.NoTrans, 0, 0, 0, 1, nil, 1, nil, 1, 0, nil, 1) })
}

func Example() {
	blas32.Use(Implementation{})
	defer blas32.Use(gonum.Implementation{})
	a := blas32.General{Rows: 1, Cols: 2, Stride: 2, Data: []float32{1, 2}}
	b := blas32.General{Rows: 2, Cols: 1, Stride: 1, Data: []float32{3, 4}}
	c := blas32.General{Rows: 1, Cols: 1, Stride: 1, Data: []float32{0}}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, a, b, 0, c)
	fmt.Println(c.Data)
	// Output: [11]
}
