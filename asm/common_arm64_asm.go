package main

import "github.com/nonet-go/nonet/asm/neon"

// What the generators for arm64 share.

// loopsNEON emits loops over blocks of 16 floats, one function a method. One register
// counts the blocks, and the operands lie behind three others.
type loopsNEON struct{ *neon.Context }

const loopCount, loopX, loopY, loopZ neon.R = 0, 1, 2, 3

// begin begins a function whose parameter n, which it loads, counts blocks or pixels.
func (c loopsNEON) begin(name, doc, signature string) {
	c.Function(name)
	c.Doc(name + " " + doc)
	c.Pragma("noescape")
	c.SignatureExpr(signature)
	c.Load("n", loopCount)
}

// next moves pointers on by a block of 16 floats and closes the loop over n blocks.
func (c loopsNEON) next(label string, pointers ...neon.R) {
	for _, p := range pointers {
		c.ADD(neon.Imm(64), p, p)
	}
	c.SUBS(neon.Imm(1), loopCount, loopCount)
	c.Branch("BNE", label)
}

// rowsFrom sets where rows begin, ld elements apart.
func (c loopsNEON) rowsFrom(rows int, base, ld string) (from []neon.R) {
	const distance neon.R = 3
	from = []neon.R{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22}[:rows]
	c.Load(base, from[0])
	c.Load(ld, distance)
	for r := 1; r < rows; r++ {
		c.ADDShift(distance, 2, from[r-1], from[r])
	}
	return from
}
