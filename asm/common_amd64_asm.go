package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// What the generators for amd64 share: lists of instruction sets and registers,
// constants, addresses.

// A vecISA is what differs between instruction sets in loops over vectors of floats.
type vecISA struct {
	suffix string
	lanes  int
	regs   []reg.VecPhysical
}

var vecISAs = []vecISA{{"AVX2", 8, ymm}, {"AVX512", 16, zmm}}

// A ukernelISA is what differs between instruction sets in the micro-kernels.
//
// Register budget, mr·vecs accumulators and:
//
//	AVX512: 7·4 + 3 of B + 1 of A = 32 of 32 ZMM; the fourth vector of B is read from memory by each FMA
//	AVX2:   6·2 + 2 of B + 1 of A = 15 of 16 YMM
type ukernelISA struct {
	suffix string
	lanes  int
	mr     int // rows of the tallest tile
	vecs   int // vectors of the widest panel
	vec    func(i int) reg.VecPhysical
}

var ukernelISAs = []ukernelISA{
	{"AVX2", 8, 6, 2, func(i int) reg.VecPhysical { return ymm[i] }},
	{"AVX512", 16, 7, 4, func(i int) reg.VecPhysical { return zmm[i] }},
}

var (
	ymm = []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}
	zmm = []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}
)

// each prints body for every vector of a block of 16 floats.
func (isa vecISA) each(body func(off int)) {
	for off := 0; off < 64; off += 4 * isa.lanes {
		body(off)
	}
}

// begin begins a function whose parameter n, which it loads, counts blocks or pixels.
func begin(c *build.Context, isa vecISA, name, doc, signature string) (n reg.Register) {
	c.Function(name + isa.suffix)
	c.Doc(name + isa.suffix + " " + doc)
	c.Pragma("noescape")
	c.SignatureExpr(signature)
	return c.Load(c.Param("n"), reg.RCX)
}

// next moves pointers on by a block of 16 floats and closes the loop over n blocks.
func next(c *build.Context, n reg.Register, label string, pointers ...reg.Register) {
	for _, p := range pointers {
		c.ADDQ(Imm(64), p)
	}
	c.DECQ(n)
	c.JNZ(LabelRef(label))
}

// zero clears a vector register by an instruction that every level of AVX-512
// has: VXORPS of ZMM needs DQ.
func zero(c *build.Context, r reg.VecPhysical) {
	x := r.AsX()
	if r.Size() == 64 {
		c.VPXORD(r, r, r)
		return
	}
	c.VXORPS(x, x, x)
}

// align places the next instruction, the head of a hot loop, on a cache line.
func align(c *build.Context) {
	c.Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []Op{Imm(64)}})
}

// broadcast loads a float parameter into all lanes.
func broadcast(c *build.Context, param string, to reg.VecPhysical) {
	m, err := c.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	c.VBROADCASTSS(m.Addr, to)
}

// eachStrided visits n addresses of those that strided returns, and moves their base
// on where they do not reach.
func eachStrided(c *build.Context, n int, from []Mem, f func(i int, m Mem)) {
	for i := range n {
		if i < len(from) {
			f(i, from[i])
			continue
		}
		if i%4 == len(from)%4 {
			c.LEAQ(from[4], from[0].Base)
		}
		f(i, from[len(from)-4+(i-len(from))%4])
	}
}

// strided returns the addresses at, at + s, … at + 6·s, where s3 and s5 hold
// multiples of s.
func strided(at, s, s3, s5 reg.Register) []Mem {
	return []Mem{
		{Base: at},
		{Base: at, Index: s, Scale: 1},
		{Base: at, Index: s, Scale: 2},
		{Base: at, Index: s3, Scale: 1},
		{Base: at, Index: s, Scale: 4},
		{Base: at, Index: s5, Scale: 1},
		{Base: at, Index: s3, Scale: 2},
	}
}

// rowsFrom returns the addresses of rows that are ld elements apart, and how to move them
// on. It takes R9 and, for every 4 rows after the first, a register from R10 on.
func rowsFrom(c *build.Context, base, ld reg.Register, rows int) (from []Mem, step func(bytes int)) {
	ld3 := reg.R9
	c.SHLQ(Imm(2), ld)
	c.LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	bases := []reg.Register{base, reg.R10, reg.R11, reg.R12}[:(rows+3)/4]
	for i, b := range bases {
		if i > 0 {
			c.LEAQ(Mem{Base: bases[i-1], Index: ld, Scale: 4}, b)
		}
		from = append(from, strided(b, ld, ld3, nil)[:4]...)
	}
	return from, func(bytes int) {
		for _, b := range bases {
			c.ADDQ(Imm(uint64(bytes)), b)
		}
	}
}

// scaled returns the address base + i·one + disp for i up to 5, where three and five hold
// multiples of one.
func scaled(base, one, three, five reg.Register, i, disp int) Mem {
	switch i {
	case 0:
		return Mem{Base: base, Disp: disp}
	case 1, 2, 4:
		return Mem{Base: base, Index: one, Scale: uint8(i), Disp: disp}
	case 3:
		return Mem{Base: base, Index: three, Scale: 1, Disp: disp}
	}
	return Mem{Base: base, Index: five, Scale: 1, Disp: disp}
}

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
