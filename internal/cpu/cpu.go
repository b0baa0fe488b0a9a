// Package cpu decides which instruction sets the kernels may use. It is the
// only package that reads CPU flags.
//
// The environment variable NONET_ISA (generic, avx2, avx512, avx512vnni or neon) caps the
// choice at program start: it removes instruction sets and never adds one.
// GODEBUG=cpu.<feature>=off works as well, because the flags come from
// golang.org/x/sys/cpu.
package cpu

import (
	"fmt"
	"os"
)

// ISA is an instruction set that kernels are written for.
type ISA uint8

const (
	Generic ISA = iota // portable Go
	AVX2               // AVX2, FMA and F16C
	AVX512             // AVX-512 F, VL, BW and DQ, and all of AVX2
	VNNI               // AVX-512 VNNI, products of integers, and all of AVX512
	NEON               // arm64 ASIMD
)

var names = [...]string{Generic: "generic", AVX2: "avx2", AVX512: "avx512", VNNI: "avx512vnni", NEON: "neon"}

func (i ISA) String() string { return names[i] }

var (
	has [len(names)]bool
	err error
)

func init() { has, err = choose(detect(), os.Getenv("NONET_ISA")) }

// choose applies the cap to what the machine has. Instruction sets of one
// architecture are ordered: a cap keeps itself and everything before it.
func choose(machine [len(names)]bool, limit string) ([len(names)]bool, error) {
	machine[Generic] = true
	if limit == "" {
		return machine, nil
	}
	for i, name := range names {
		if name != limit {
			continue
		}
		for j := range machine {
			if j > i || (ISA(i) == NEON && ISA(j) != Generic && ISA(j) != NEON) {
				machine[j] = false
			}
		}
		return machine, nil
	}
	return machine, fmt.Errorf("NONET_ISA=%q: unknown instruction set; want generic, avx2, avx512, avx512vnni or neon", limit)
}

// Has reports whether kernels for isa may run in this process.
func Has(isa ISA) bool { return has[isa] }

// First returns the first entry of a table of kernels that this process may run. isa tells
// an entry's instruction set. Tables list the portable kernel last.
func First[K any](table []K, isa func(*K) ISA) *K {
	for i := range table {
		if Has(isa(&table[i])) {
			return &table[i]
		}
	}
	panic("cpu: a table of kernels has no portable one")
}

// Best returns the instruction set that kernels of floating point prefer in this process:
// never VNNI, which has none.
func Best() ISA {
	for i := len(has) - 1; i > 0; i-- {
		if has[i] && ISA(i) != VNNI {
			return ISA(i)
		}
	}
	return Generic
}

// Features names the processor's extensions that the choice looks at, and AVX-VNNI, if it
// has them, whatever NONET_ISA says.
func Features() (names []string) {
	for _, f := range features() {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

// feature is an extension under the name that GODEBUG=cpu.<name>=off takes.
type feature struct {
	name string
	has  bool
}

// Err reports an unknown value of NONET_ISA, which is otherwise ignored.
func Err() error { return err }
