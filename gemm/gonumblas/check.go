package gonumblas

import "gonum.org/v1/gonum/blas"

// gonum's messages, which it does not export.
const (
	zeroIncX     = "blas: zero x index increment"
	zeroIncY     = "blas: zero y index increment"
	mLT0         = "blas: m < 0"
	nLT0         = "blas: n < 0"
	kLT0         = "blas: k < 0"
	badUplo      = "blas: illegal triangle"
	badTranspose = "blas: illegal transpose"
	badDiag      = "blas: illegal diagonal"
	badSide      = "blas: illegal side"
	badLdA       = "blas: bad leading dimension of A"
	badLdB       = "blas: bad leading dimension of B"
	badLdC       = "blas: bad leading dimension of C"
	shortX       = "blas: insufficient length of x"
	shortY       = "blas: insufficient length of y"
	shortA       = "blas: insufficient length of a"
	shortB       = "blas: insufficient length of b"
	shortC       = "blas: insufficient length of c"
)

func transposed(t blas.Transpose) bool {
	switch t {
	case blas.NoTrans:
		return false
	case blas.Trans, blas.ConjTrans:
		return true
	}
	panic(badTranspose)
}

func lower(ul blas.Uplo) bool {
	switch ul {
	case blas.Lower:
		return true
	case blas.Upper:
		return false
	}
	panic(badUplo)
}

func left(s blas.Side) bool {
	switch s {
	case blas.Left:
		return true
	case blas.Right:
		return false
	}
	panic(badSide)
}

// shape returns the rows and columns in which an operand of rows×cols, or its transpose, is
// stored.
func shape(trans bool, rows, cols int) (int, int) {
	if trans {
		return cols, rows
	}
	return rows, cols
}

func checkSizes(m, n, k int) {
	switch {
	case m < 0:
		panic(mLT0)
	case n < 0:
		panic(nLT0)
	case k < 0:
		panic(kLT0)
	}
}

func checkLD(ld, cols int, message string) {
	if ld < max(1, cols) {
		panic(message)
	}
}

// checkLen compares as gonum does: it takes no account of overflow, since a leading
// dimension that large has no slice.
func checkLen(x []float32, rows, cols, ld int, message string) {
	if len(x) < (rows-1)*ld+cols {
		panic(message)
	}
}

func checkVector(x []float32, n, inc int, message string) {
	if inc > 0 && (n-1)*inc >= len(x) || inc < 0 && (1-n)*inc >= len(x) {
		panic(message)
	}
}
