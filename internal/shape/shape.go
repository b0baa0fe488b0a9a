// Package shape multiplies sizes without overflow, and holds the one error about
// sizes that do not fit.
package shape

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Err is the ErrShape of every package, so that errors.Is works across them.
var Err = errors.New("wrong shape")

// Max is the most elements of an operand: 2⁴⁰, or 2²⁸ where an int has 32 bits. The
// lengths of some operands can be added up, and multiplied by 4 bytes.
const Max = 1 << (28 + 12*(bits.UintSize/64))

// TooMany is what Product returns for more than Max. No slice is as long.
const TooMany = math.MaxInt

// Product returns the product of sizes, or TooMany if it is more than Max or if a
// size is negative.
func Product(sizes ...int) int {
	n := uint(1)
	for i, s := range sizes {
		hi, lo := bits.Mul(n, uint(s))
		if s < 0 || hi > 0 || lo > Max {
			return rest(sizes[i:])
		}
		n = lo
	}
	return int(n)
}

// rest is the product of sizes that are too many but for a 0 among them.
func rest(sizes []int) int {
	n := TooMany
	for _, s := range sizes {
		if s < 0 {
			return TooMany
		}
		if s == 0 {
			n = 0
		}
	}
	return n
}

// Fits reports whether the product of sizes, none of them negative, is at most Max.
func Fits(sizes ...int) bool { return Product(sizes...) <= Max }

// Holds reports whether n elements hold a matrix of rows × cols whose rows begin ld
// elements apart, ld at least cols. An empty matrix fits everywhere.
func Holds(n, rows, cols, ld int) bool {
	if rows == 0 || cols == 0 {
		return true
	}
	return n >= cols && (rows == 1 || (n-cols)/ld >= rows-1)
}

// Errorf returns an error that wraps Err and whose text is the sentence alone.
func Errorf(format string, args ...any) error {
	return &sentence{fmt.Sprintf(format, args...)}
}

type sentence struct{ text string }

func (s *sentence) Error() string { return s.text }
func (s *sentence) Unwrap() error { return Err }
