package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An int8ISA is what differs between instruction sets in exact products of 16 by 8 bits.
//
// Register budget, accumulators and:
//
//	AVX2:   3·4 + 2 of A + 1 of B + 1 product = 16 of 16 YMM; the third row of A is read again for each vector
//	AVX512: 4·2 + 4 of A + 1 of B + 1 product = 14 of 32 ZMM
//	VNNI:   8·2, or 4·2·2, + 1 of B = 17 of 32 ZMM; A is broadcast by the multiplication itself
type int8ISA struct {
	suffix string
	lanes  int // of 32 bits
	mr     int // rows of the tallest tile
	held   int // rows of A in registers
	vnni   bool
	regs   []reg.VecPhysical
}

var int8ISAs = []int8ISA{
	{"AVX2", 8, 3, 2, false, ymm},
	{"AVX512", 16, 4, 4, false, zmm},
	{"VNNI", 16, 8, 0, true, zmm},
}

// int8Ahead is how many bytes of B before their use are fetched. For one row memory is the
// limit, for more the first tile's rows wait for it. fc6 of VGG with AVX2 and two threads of
// Zen 3 (AMD EPYC, 2026-11-29), ms, three rounds in turn:
//
//	ahead   1 input         8 inputs
//	0       3.6  3.7  3.9   9.5  8.4  8.3
//	1024    4.0  3.1  3.2   8.3  7.0  7.0
//	4096    4.0  3.7  3.7   6.9  7.6  12.0
const int8Ahead = 1024

// blockedInt8Kernels emits package ukernel's BlockedInt8 for tiles of every number of rows.
func blockedInt8Kernels(c *build.Context) {
	for _, isa := range int8ISAs {
		for mr := isa.mr; mr >= 1; mr-- {
			blockedInt8Tile(c, isa, mr)
		}
	}
}

// blockedInt8Tile emits C[i][j] += Σ_p A[i][p]·B[p][j] for i < mr and 32 columns. Its Go form
// is ukernel.blockedInt8Generic.
func blockedInt8Tile(c *build.Context, isa int8ISA, mr int) {
	name := fmt.Sprintf("blocked%dx32Int8%s", mr, isa.suffix)
	c.Function(name)
	c.Doc(fmt.Sprintf("%s adds a tile of %d×32; see BlockedInt8.", name, mr))
	c.Pragma("noescape")
	c.Signature(callSignature("blockedInt8Call"))
	args := loadCall(c, reg.R15)
	blocks := args.load("blocks", reg.RCX)
	a := args.load("a", reg.RSI)
	aBlock := args.load("aBlock", reg.RDX)
	b := args.load("b", reg.RDI)
	out := args.load("c", reg.RBX)
	c.SHLQ(Imm(1), aBlock)
	t := int8Tile{isa: isa, mr: mr, vecs: 32 / isa.lanes, sets: 1}
	if isa.vnni && mr <= 4 {
		t.sets = 2 // a multiply-add waits some cycles for the one before
	}

	left := reg.RAX // of the blocks that are summed in 32 bits
	c.Label("sum")
	c.MOVQ(U32(32), left)
	c.CMPQ(blocks, left)
	c.JGE(LabelRef("some"))
	c.MOVQ(blocks, left)
	c.Label("some")
	c.SUBQ(left, blocks)
	for _, r := range t.accumulators() {
		zero(c, r)
	}
	align(c)
	c.Label("block")
	for p := range 8 {
		c.Comment(fmt.Sprintf("Channels %d and %d: acc[i] += A[i]·B", 2*p, 2*p+1))
		t.pair(c, p, a, b)
	}
	c.ADDQ(aBlock, a)
	c.ADDQ(U32(8*64), b)
	c.DECQ(left)
	c.JNZ(LabelRef("block"))
	c.Comment("C += acc, in 64 bits")
	t.flush(c, out)
	c.TESTQ(blocks, blocks)
	c.JNZ(LabelRef("sum"))
	c.VZEROUPPER()
	c.RET()
}

// An int8Tile knows which registers a tile has.
type int8Tile struct {
	isa  int8ISA
	mr   int
	vecs int // of a row of C
	sets int // of accumulators, which pairs of channels take in turn
}

func (t int8Tile) acc(set, i, v int) reg.VecPhysical {
	return t.isa.regs[(set*t.mr+i)*t.vecs+v]
}

func (t int8Tile) accumulators() []reg.VecPhysical { return t.isa.regs[:t.sets*t.mr*t.vecs] }

// others returns the registers that are no accumulators.
func (t int8Tile) others() []reg.VecPhysical { return t.isa.regs[t.sets*t.mr*t.vecs:] }

// pair emits the multiply-adds of pair p of a block's channels.
func (t int8Tile) pair(c *build.Context, p int, a, b reg.Register) {
	c.PREFETCHT0(Mem{Base: b, Disp: 64*p + int8Ahead})
	bv, product, av := t.others()[0], t.others()[1], t.others()[2:]
	row := func(i int) Mem { return Mem{Base: a, Disp: 32*i + 4*p} }
	held := min(t.isa.held, t.mr)
	for i := range held {
		c.VPBROADCASTD(row(i), av[i])
	}
	for v := range t.vecs {
		c.VPMOVSXBW(Mem{Base: b, Disp: 64*p + 2*t.isa.lanes*v}, bv)
		for i := range t.mr {
			acc := t.acc(p%t.sets, i, v)
			switch {
			case t.isa.vnni:
				c.VPDPWSSD_BCST(row(i), bv, acc)
			case i < held:
				c.VPMADDWD(av[i], bv, product)
				c.VPADDD(product, acc, acc)
			default:
				c.VPBROADCASTD(row(i), product)
				c.VPMADDWD(product, bv, product)
				c.VPADDD(product, acc, acc)
			}
		}
	}
}

// flush emits C += acc.
func (t int8Tile) flush(c *build.Context, out reg.Register) {
	half, wide := t.others()[0], t.others()[1]
	for i := range t.mr {
		for v := range t.vecs {
			acc := t.acc(0, i, v)
			if t.sets == 2 {
				c.VPADDD(t.acc(1, i, v), acc, acc)
			}
			at := Mem{Base: out, Disp: 8 * (32*i + t.isa.lanes*v)}
			upper := at.Offset(4 * t.isa.lanes)
			if t.isa.lanes == 16 {
				c.VEXTRACTI64X4(Imm(1), acc, half.AsY())
				c.VPMOVSXDQ(acc.AsY(), acc)
				c.VPMOVSXDQ(half.AsY(), wide)
				c.VPADDQ(at, acc, acc)
				c.VPADDQ(upper, wide, wide)
				c.VMOVDQU64(acc, at)
				c.VMOVDQU64(wide, upper)
				continue
			}
			c.VEXTRACTI128(Imm(1), acc, half.AsX())
			c.VPMOVSXDQ(acc.AsX(), acc)
			c.VPMOVSXDQ(half.AsX(), wide)
			c.VPADDQ(at, acc, acc)
			c.VPADDQ(upper, wide, wide)
			c.VMOVDQU(acc, at)
			c.VMOVDQU(wide, upper)
		}
	}
}
