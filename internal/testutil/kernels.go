package testutil

import (
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
)

// EachKernel runs f as a subtest for each kernel of a table, and skips those whose
// instruction set this process does not have. of tells a kernel's name and
// instruction set.
func EachKernel[K any](t *testing.T, table []K, of func(k *K) (name string, isa cpu.ISA), f func(t *testing.T, k *K)) {
	t.Helper()
	for i := range table {
		name, isa := of(&table[i])
		t.Run(name, func(t *testing.T) {
			if !cpu.Has(isa) {
				t.Skipf("this machine lacks %v", isa)
			}
			f(t, &table[i])
		})
	}
}
