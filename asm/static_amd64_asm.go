package main

import (
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
	if statics[c] == nil {
		statics[c] = map[string]Mem{}
	}
	m, ok := statics[c][name]
	if !ok {
		m = c.StaticGlobal(name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range n {
			c.AddDatum(4*i, U32(bits(k)))
		}
		statics[c][name] = m
	}
	return m
}
