package neon

import (
	"fmt"
	"go/types"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
)

// word emits an instruction of the table.
func (c *Context) word(op opcode, m V, lane int, n, d V) {
	e := encodings[op]
	lanes, registers := e.shape.limits()
	if m >= registers || n > 31 || d > 31 || lane < 0 || lane >= lanes {
		c.fail("%s: no such register or lane", e.text(m, lane, n, d))
	}
	c.Op("WORD", raw(fmt.Sprintf("$0x%08x // %s", e.word(m, lane, n, d), e.text(m, lane, n, d))))
}

// VFADD: d = n + m.
func (c *Context) VFADD(m, n, d V) { c.word(vfadd, m, 0, n, d) }

// VFSUB: d = n − m.
func (c *Context) VFSUB(m, n, d V) { c.word(vfsub, m, 0, n, d) }

// VFMUL: d = n · m.
func (c *Context) VFMUL(m, n, d V) { c.word(vfmul, m, 0, n, d) }

// VFDIV: d = n / m.
func (c *Context) VFDIV(m, n, d V) { c.word(vfdiv, m, 0, n, d) }

// VFMAX: d = max(n, m), NaN if either is.
func (c *Context) VFMAX(m, n, d V) { c.word(vfmax, m, 0, n, d) }

// VFCMGT: d = n > m ? all ones : 0.
func (c *Context) VFCMGT(m, n, d V) { c.word(vfcmgt, m, 0, n, d) }

// VFCMEQ: d = n == m ? all ones : 0.
func (c *Context) VFCMEQ(m, n, d V) { c.word(vfcmeq, m, 0, n, d) }

// VFMLAElem: d += n · m[lane], rounded once.
func (c *Context) VFMLAElem(m V, lane int, n, d V) { c.word(vfmlaElem, m, lane, n, d) }

// VFMLSElem: d −= n · m[lane], rounded once.
func (c *Context) VFMLSElem(m V, lane int, n, d V) { c.word(vfmlsElem, m, lane, n, d) }

// VFMULElem: d = n · m[lane].
func (c *Context) VFMULElem(m V, lane int, n, d V) { c.word(vfmulElem, m, lane, n, d) }

// VFNEG: d = −n.
func (c *Context) VFNEG(n, d V) { c.word(vfneg, 0, 0, n, d) }

// VFSQRT: d = √n.
func (c *Context) VFSQRT(n, d V) { c.word(vfsqrt, 0, 0, n, d) }

// VFCMLEZero: d = n <= 0 ? all ones : 0.
func (c *Context) VFCMLEZero(n, d V) { c.word(vfcmleZero, 0, 0, n, d) }

// VFCVTL: d = the lower four halves of n.
func (c *Context) VFCVTL(n, d V) { c.word(vfcvtl, 0, 0, n, d) }

// VFCVTL2: d = the upper four halves of n.
func (c *Context) VFCVTL2(n, d V) { c.word(vfcvtl2, 0, 0, n, d) }

// VFCVTLS: d = the lower two float32 of n, as float64.
func (c *Context) VFCVTLS(n, d V) { c.word(vfcvtlS, 0, 0, n, d) }

// VFCVTL2S: d = the upper two float32 of n, as float64.
func (c *Context) VFCVTL2S(n, d V) { c.word(vfcvtl2S, 0, 0, n, d) }

// VFCVTND: lower half of d = n's float64 rounded to float32; the upper half becomes 0.
func (c *Context) VFCVTND(n, d V) { c.word(vfcvtnD, 0, 0, n, d) }

// VFCVTN2D: upper half of d = n's float64 rounded to float32.
func (c *Context) VFCVTN2D(n, d V) { c.word(vfcvtn2D, 0, 0, n, d) }

// VSMLAL: d += the lower four int16 of n · those of m, in 32 bits.
func (c *Context) VSMLAL(m, n, d V) { c.word(vsmlal, m, 0, n, d) }

// VSMLAL2: d += the upper four int16 of n · those of m, in 32 bits.
func (c *Context) VSMLAL2(m, n, d V) { c.word(vsmlal2, m, 0, n, d) }

// VSXTL: d = the lower eight int8 of n, as int16.
func (c *Context) VSXTL(n, d V) { c.word(vsxtl, 0, 0, n, d) }

// VSXTL2: d = the upper eight int8 of n, as int16.
func (c *Context) VSXTL2(n, d V) { c.word(vsxtl2, 0, 0, n, d) }

// VSADALP: d += n[0] + n[1], n[2] + n[3], from 32 to 64 bits.
func (c *Context) VSADALP(n, d V) { c.word(vsadalp, 0, 0, n, d) }

// VUADALP: d += n[0] + n[1], n[2] + n[3] and so on, from 16 to 32 bits without sign.
func (c *Context) VUADALP(n, d V) { c.word(vuadalp, 0, 0, n, d) }

// VABSH: d = |n| of eight int16; −32768 stays, and is 32768 without sign.
func (c *Context) VABSH(n, d V) { c.word(vabsH, 0, 0, n, d) }

// VSMAX: d = max(n, m), as int32.
func (c *Context) VSMAX(m, n, d V) { c.word(vsmax, m, 0, n, d) }

// VFCVTNS: d = n rounded to int32, halves to even.
func (c *Context) VFCVTNS(n, d V) { c.word(vfcvtns, 0, 0, n, d) }

// VSQXTN: lower half of d = n's int32 as int16; the upper half becomes 0.
func (c *Context) VSQXTN(n, d V) { c.word(vsqxtn, 0, 0, n, d) }

// VSQXTN2: upper half of d = n's int32 as int16.
func (c *Context) VSQXTN2(n, d V) { c.word(vsqxtn2, 0, 0, n, d) }

// VUMAX: d = max(n, m), as uint32.
func (c *Context) VUMAX(m, n, d V) { c.word(vumax, m, 0, n, d) }

// VSCVTF: d = n's int32 as float32.
func (c *Context) VSCVTF(n, d V) { c.word(vscvtf, 0, 0, n, d) }

// VSMLALElem: d += the lower four int16 of n · m[lane], in 32 bits. m is below V16.
func (c *Context) VSMLALElem(m V, lane int, n, d V) { c.word(vsmlalElem, m, lane, n, d) }

// VSMLAL2Elem: d += the upper four int16 of n · m[lane], in 32 bits. m is below V16.
func (c *Context) VSMLAL2Elem(m V, lane int, n, d V) { c.word(vsmlal2Elem, m, lane, n, d) }

// VFMLAD is VFMLA for two float64.
func (c *Context) VFMLAD(m, n, d V) { c.Op("VFMLA", d2(m), d2(n), d2(d)) }

// VFMULD is VFMUL for two float64.
func (c *Context) VFMULD(m, n, d V) { c.word(vfmulD, m, 0, n, d) }

// VDUPRD: both float64 of d = the 64 bits of r.
func (c *Context) VDUPRD(r R, d V) { c.Op("VDUP", r, d2(d)) }

// VFMLA: d += n · m, rounded once.
func (c *Context) VFMLA(m, n, d V) { c.Op("VFMLA", s4(m), s4(n), s4(d)) }

// VFMLS: d −= n · m, rounded once.
func (c *Context) VFMLS(m, n, d V) { c.Op("VFMLS", s4(m), s4(n), s4(d)) }

// VEOR: d = n ^ m.
func (c *Context) VEOR(m, n, d V) { c.Op("VEOR", b16(m), b16(n), b16(d)) }

// VAND: d = n & m.
func (c *Context) VAND(m, n, d V) { c.Op("VAND", b16(m), b16(n), b16(d)) }

// VBIT: the bits of d that m has set become those of n.
func (c *Context) VBIT(m, n, d V) { c.Op("VBIT", b16(m), b16(n), b16(d)) }

// VMOV: d = n.
func (c *Context) VMOV(n, d V) { c.Op("VMOV", b16(n), b16(d)) }

// VZIP1: d = n[0] m[0] n[1] m[1].
func (c *Context) VZIP1(m, n, d V) { c.Op("VZIP1", s4(m), s4(n), s4(d)) }

// VZIP2: d = n[2] m[2] n[3] m[3].
func (c *Context) VZIP2(m, n, d V) { c.Op("VZIP2", s4(m), s4(n), s4(d)) }

// VDUP: every lane of d = n[lane].
func (c *Context) VDUP(n V, lane int, d V) {
	c.Op("VDUP", raw(fmt.Sprintf("V%d.S[%d]", n, lane)), s4(d))
}

// VDUPR: every lane of d = the low 32 bits of r.
func (c *Context) VDUPR(r R, d V) { c.Op("VDUP", r, s4(d)) }

// VINS: d[lane] = the low 32 bits of r.
func (c *Context) VINS(r R, d V, lane int) {
	if lane < 0 || lane > 3 {
		c.fail("no lane %d", lane)
	}
	c.Op("VMOV", r, raw(fmt.Sprintf("V%d.S[%d]", d, lane)))
}

// Zero: d = 0. Cores know this instruction as one that waits for nothing;
// EOR of d with itself waits for the d before.
func (c *Context) Zero(d V) { c.Op("VMOVI", Imm(0), b16(d)) }

// FMOVQ loads 16 bytes.
func (c *Context) FMOVQ(m Mem, d V) {
	c.quadOffset(m)
	c.Op("FMOVQ", m, d)
}

// FMOVQStore stores 16 bytes.
func (c *Context) FMOVQStore(s V, m Mem) {
	c.quadOffset(m)
	c.Op("FMOVQ", s, m)
}

// FMOVDStore stores 8 bytes.
func (c *Context) FMOVDStore(s V, m Mem) {
	if m.Off%8 != 0 || m.Off < 0 || m.Off > 32760 {
		c.fail("FMOVD %s: offset is no multiple of 8 in [0, 32760]", m.Asm())
	}
	c.Op("FMOVD", s, m)
}

// FMOVS loads one float32 into lane 0 and clears the other lanes.
func (c *Context) FMOVS(m Mem, d V) {
	c.scalarOffset(m)
	c.Op("FMOVS", m, d)
}

// FLDPQ loads 32 bytes into two registers.
func (c *Context) FLDPQ(m Mem, d0, d1 V) {
	c.pairOffset(m)
	c.Op("FLDPQ", m, pair(d0, d1))
}

// FSTPQ stores 32 bytes from two registers.
func (c *Context) FSTPQ(s0, s1 V, m Mem) {
	c.pairOffset(m)
	c.Op("FSTPQ", pair(s0, s1), m)
}

// PRFM prefetches the line at m; hint is PLDL1KEEP, PLDL2KEEP and so on. The
// offset must be a multiple of 8: the assembler drops the low bits silently.
func (c *Context) PRFM(m Mem, hint string) {
	if m.Off%8 != 0 || m.Off < 0 || m.Off > 32760 {
		c.fail("PRFM %s: offset is no multiple of 8 in [0, 32760]", m.Asm())
	}
	c.Op("PRFM", m, raw(hint))
}

// Load reads a parameter of the function into r: a pointer or an integer of
// 64 bits.
func (c *Context) Load(param string, r R) {
	addr, typ := c.param(param)
	if types.SizesFor("gc", "arm64").Sizeof(typ) != 8 {
		c.fail("parameter %s is %v, want 8 bytes", param, typ)
	}
	c.Op("MOVD", addr, r)
}

// LoadField reads a field of the struct that the parameter points to into r: a pointer
// or an integer of 64 bits. base holds the parameter.
func (c *Context) LoadField(param string, base R, field string, r R) {
	// avo knows no register of this architecture, and of the address only the offset counts.
	b, err := c.fn.Signature.Params().Lookup(param).Dereference(nil).Field(field).Resolve()
	if err != nil {
		c.fail("field %s of %s: %v", field, param, err)
	}
	if types.SizesFor("gc", "arm64").Sizeof(b.Type) != 8 {
		c.fail("field %s of %s is %v, want 8 bytes", field, param, b.Type)
	}
	c.Op("MOVD", Mem{Base: base, Off: b.Addr.Disp}, r)
}

// Return32 sets the function's only result, of 32 bits, to lane 0 of v.
func (c *Context) Return32(v V) {
	b, err := c.fn.Signature.Results().At(0).Resolve()
	if err != nil {
		c.fail("result: %v", err)
	}
	if types.SizesFor("gc", "arm64").Sizeof(b.Type) != 4 {
		c.fail("result is %v, want 4 bytes", b.Type)
	}
	c.Op("FMOVS", v, b.Addr)
}

// Local sets r to the address of size bytes on the stack, aligned to 16 bytes.
func (c *Context) Local(size int, r R) {
	c.fn.AllocLocal(size + 8) // the link register is saved below them
	c.Op("ADD", Imm(16), RSP, r)
}

// LoadFloat reads a float32 parameter of the function into lane 0 of v.
func (c *Context) LoadFloat(param string, v V) {
	addr, typ := c.param(param)
	if typ.Kind() != types.Float32 {
		c.fail("parameter %s is %v, want float32", param, typ)
	}
	c.Op("FMOVS", addr, v)
}

func (c *Context) param(name string) (operand.Op, *types.Basic) {
	b, err := c.fn.Signature.Params().Lookup(name).Resolve()
	if err != nil {
		c.fail("parameter %s: %v", name, err)
	}
	return b.Addr, b.Type
}

// ADD: d = s + x, x an [Imm] of up to 24 bits or an [R].
func (c *Context) ADD(x operand.Op, s, d R) {
	c.immediate("ADD", x)
	c.Op("ADD", x, s, d)
}

// SUB: d = s − x.
func (c *Context) SUB(x operand.Op, s, d R) {
	c.immediate("SUB", x)
	c.Op("SUB", x, s, d)
}

// SUBS: d = s − x, and the flags as CMP(x, s) sets them.
func (c *Context) SUBS(x operand.Op, s, d R) {
	c.immediate("SUBS", x)
	c.Op("SUBS", x, s, d)
}

// CMP sets the flags for s ? x: BGT after it branches if s > x.
func (c *Context) CMP(x operand.Op, s R) {
	c.immediate("CMP", x)
	c.Op("CMP", x, s)
}

// ADDShift: d = s + x<<n.
func (c *Context) ADDShift(x R, n int, s, d R) {
	c.Op("ADD", raw(fmt.Sprintf("%s<<%d", x.Asm(), n)), s, d)
}

// LSL: d = s << n.
func (c *Context) LSL(n int, s, d R) { c.Op("LSL", Imm(n), s, d) }

// MUL: d = s · x.
func (c *Context) MUL(x, s, d R) { c.Op("MUL", x, s, d) }

// MOVD: d = s, an [Imm] or an [R].
func (c *Context) MOVD(s operand.Op, d R) { c.Op("MOVD", s, d) }

// B branches always.
func (c *Context) B(label string) {
	c.fn.AddInstruction(&ir.Instruction{Opcode: "B", Operands: []operand.Op{raw(label)}, IsBranch: true})
}

// Branch branches on the flags; op is BEQ, BNE, BLT, BLE, BGT, BGE.
func (c *Context) Branch(op, label string) { c.Op(op, raw(label)) }

// CBZ branches if r is 0.
func (c *Context) CBZ(r R, label string) { c.Op("CBZ", r, raw(label)) }

// RET returns.
func (c *Context) RET() {
	c.fn.AddInstruction(&ir.Instruction{Opcode: "RET", IsTerminal: true})
}

// Align pads with NOPs to a multiple of n bytes.
func (c *Context) Align(n int) { c.Op("PCALIGN", Imm(n)) }

func (c *Context) quadOffset(m Mem) {
	if (m.Off%16 != 0 || m.Off < 0 || m.Off > 65520) && (m.Off < -256 || m.Off > 255) {
		c.fail("FMOVQ %s: offset does not fit", m.Asm())
	}
}

func (c *Context) scalarOffset(m Mem) {
	if (m.Off%4 != 0 || m.Off < 0 || m.Off > 16380) && (m.Off < -256 || m.Off > 255) {
		c.fail("FMOVS %s: offset does not fit", m.Asm())
	}
}

func (c *Context) pairOffset(m Mem) {
	if m.Off%16 != 0 || m.Off < -1024 || m.Off > 1008 {
		c.fail("FLDPQ or FSTPQ %s: offset does not fit", m.Asm())
	}
}

// immediate keeps the assembler from building a constant in R27: 12 bits, or
// 24 bits in two instructions.
func (c *Context) immediate(op string, x operand.Op) {
	i, ok := x.(Imm)
	if !ok {
		return
	}
	limit := Imm(1<<12 - 1)
	if op == "ADD" || op == "SUB" {
		limit = 1<<24 - 1
	}
	if i < 0 || i > limit {
		c.fail("%s %s: immediate does not fit", op, i.Asm())
	}
}

func s4(v V) raw { return v.arranged("S4") }

func d2(v V) raw { return v.arranged("D2") }

func b16(v V) raw { return v.arranged("B16") }

func (v V) arranged(as string) raw {
	if v > 31 {
		panic(fmt.Sprintf("neon: no register V%d", v))
	}
	return raw(fmt.Sprintf("V%d.%s", v, as))
}

func pair(a, b V) raw { return raw("(" + a.Asm() + ", " + b.Asm() + ")") }

// VEXT: d = the 16 bytes of n and then m that begin at byte i.
func (c *Context) VEXT(i int, m, n, d V) { c.Op("VEXT", Imm(i), b16(m), b16(n), b16(d)) }
