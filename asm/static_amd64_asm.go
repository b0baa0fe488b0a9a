package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func bits(k float32) uint32 { return math.Float32bits(k) }

// statics remembers the constants that each file has defined.
var statics = map[*build.Context]map[string]Mem{}

// static returns n copies of k in read-only memory of the file, defined once.
func static(c *build.Context, name string, k float32, n int) Mem {
	return staticData(c, name, 4, n, U32(bits(k)))
}

// static64 is static for float64.
func static64(c *build.Context, k float64, n int) Mem {
	b := math.Float64bits(k)
	return staticData(c, fmt.Sprintf("d%dx%016x", n, b), 8, n, U64(b))
}

func staticData(c *build.Context, name string, size, n int, v Constant) Mem {
	if statics[c] == nil {
		statics[c] = map[string]Mem{}
	}
	m, ok := statics[c][name]
	if !ok {
		m = c.StaticGlobal(name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range n {
			c.AddDatum(size*i, v)
		}
		statics[c][name] = m
	}
	return m
}
