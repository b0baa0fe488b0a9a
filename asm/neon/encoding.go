package neon

import "fmt"

// A shape says which operands an instruction takes and where its word holds
// them: Rd in bits 0-4, Rn in bits 5-9, Rm in bits 16-20.
type shape uint8

const (
	three     shape = iota // Vm.S4, Vn.S4, Vd.S4
	threeD                 // Vm.D2, Vn.D2, Vd.D2
	threeH                 // Vm.H4, Vn.H4, Vd.S4
	threeH2                // Vm.H8, Vn.H8, Vd.S4: from the upper halves
	elementH               // Vm.H[i], Vn.H4, Vd.S4; i in bits 11 (high), 21 and 20 (low); m below 16
	elementH2              // Vm.H[i], Vn.H8, Vd.S4: the upper half of Vn
	element                // Vm.S[i], Vn.S4, Vd.S4; i in bits 11 (high) and 21 (low)
	two                    // Vn.S4, Vd.S4
	twoH                   // Vn.H8, Vd.H8
	zero                   // $0, Vn.S4, Vd.S4: a comparison with zero
	widen                  // Vn.H4, Vd.S4
	widen2                 // Vn.H8, Vd.S4: from the upper half of Vn, or from neighbours
	widenS                 // Vn.S2, Vd.D2
	widenS2                // Vn.S4, Vd.D2: from the upper half of Vn, or from neighbours
	widenB                 // Vn.B8, Vd.H8
	widenB2                // Vn.B16, Vd.H8: from the upper half of Vn
	narrowS                // Vn.S4, Vd.H4
	narrowS2               // Vn.S4, Vd.H8: into the upper half of Vd
	narrowD                // Vn.D2, Vd.S2
	narrowD2               // Vn.D2, Vd.S4: into the upper half of Vd
)

// An opcode indexes encodings.
type opcode uint8

const (
	vfadd opcode = iota
	vfsub
	vfmul
	vfmulD
	vfdiv
	vfmax
	vfcmgt
	vfcmeq
	vfmlaElem
	vfmlsElem
	vfmulElem
	vfneg
	vfsqrt
	vfcmleZero
	vfcvtl
	vfcvtl2
	vfcvtlS
	vfcvtl2S
	vfcvtnD
	vfcvtn2D
	vsmlal
	vsmlal2
	vsxtl
	vsxtl2
	vsadalp
	vuadalp
	vabsH
	vsmax
	vfcvtns
	vsqxtn
	vsqxtn2
	vumax
	vscvtf
	vsmlalElem
	vsmlal2Elem
)

// An encoding is one instruction which Go's assembler lacks.
type encoding struct {
	name  string // in Plan 9 spelling
	base  uint32 // the word with all operands zero
	shape shape
}

// encodings is the only place that knows instruction words. They are from the
// Arm Architecture Reference Manual, "Advanced SIMD and floating-point", for
// single precision (FMUL also for double) and Q=1 (FCVTL and FCVTN: Q selects the
// half; from half to single precision, and from single to double and back). Those of
// integers are for the sizes that their shapes say.
// TestEncodings disassembles every form.
var encodings = [...]encoding{
	vfadd:      {"VFADD", 0x4e20d400, three},
	vfsub:      {"VFSUB", 0x4ea0d400, three},
	vfmul:      {"VFMUL", 0x6e20dc00, three},
	vfmulD:     {"VFMUL", 0x6e60dc00, threeD},
	vfdiv:      {"VFDIV", 0x6e20fc00, three},
	vfmax:      {"VFMAX", 0x4e20f400, three},
	vfcmgt:     {"VFCMGT", 0x6ea0e400, three},
	vfcmeq:     {"VFCMEQ", 0x4e20e400, three},
	vfmlaElem:  {"VFMLA", 0x4f801000, element},
	vfmlsElem:  {"VFMLS", 0x4f805000, element},
	vfmulElem:  {"VFMUL", 0x4f809000, element},
	vfneg:      {"VFNEG", 0x6ea0f800, two},
	vfsqrt:     {"VFSQRT", 0x6ea1f800, two},
	vfcmleZero: {"VFCMLE", 0x6ea0d800, zero},
	vfcvtl:     {"VFCVTL", 0x0e217800, widen},
	vfcvtl2:    {"VFCVTL2", 0x4e217800, widen2},
	vfcvtlS:    {"VFCVTL", 0x0e617800, widenS},
	vfcvtl2S:   {"VFCVTL2", 0x4e617800, widenS2},
	vfcvtnD:    {"VFCVTN", 0x0e616800, narrowD},
	vfcvtn2D:   {"VFCVTN2", 0x4e616800, narrowD2},
	vsmlal:     {"VSMLAL", 0x0e608000, threeH},
	vsmlal2:    {"VSMLAL2", 0x4e608000, threeH2},
	vsxtl:      {"VSXTL", 0x0f08a400, widenB},
	vsxtl2:     {"VSXTL2", 0x4f08a400, widenB2},
	vsadalp:    {"VSADALP", 0x4ea06800, widenS2},
	vuadalp:    {"VUADALP", 0x6e606800, widen2},
	vabsH:      {"VABS", 0x4e60b800, twoH},
	vsmax:      {"VSMAX", 0x4ea06400, three},
	vfcvtns:    {"VFCVTNS", 0x4e21a800, two},
	vsqxtn:     {"VSQXTN", 0x0e614800, narrowS},
	vsqxtn2:    {"VSQXTN2", 0x4e614800, narrowS2},
	vumax:      {"VUMAX", 0x6ea06400, three},
	vscvtf:     {"VSCVTF", 0x4e21d800, two},

	vsmlalElem:  {"VSMLAL", 0x0f402000, elementH},
	vsmlal2Elem: {"VSMLAL2", 0x4f402000, elementH2},
}

// limits returns how many lanes of how many registers may be m.
func (s shape) limits() (lanes int, registers V) {
	if s == elementH || s == elementH2 {
		return 8, 16
	}
	return 4, 32 // what has no lanes ignores them
}

// word returns the instruction word, with the operands that the shape has.
// Integer registers have the same fields.
func (e encoding) word(m V, lane int, n, d V) uint32 {
	w := e.base | uint32(n)<<5 | uint32(d)
	switch e.shape {
	case three, threeD, threeH, threeH2:
		w |= uint32(m) << 16
	case elementH, elementH2:
		w |= uint32(m)<<16 | uint32(lane&1)<<20 | uint32(lane>>1&1)<<21 | uint32(lane>>2)<<11
	case element:
		w |= uint32(m)<<16 | uint32(lane&1)<<21 | uint32(lane>>1)<<11
	}
	return w
}

// text returns the instruction in Plan 9 syntax: destination last.
func (e encoding) text(m V, lane int, n, d V) string {
	switch e.shape {
	case three:
		return fmt.Sprintf("%s V%d.S4, V%d.S4, V%d.S4", e.name, m, n, d)
	case threeD:
		return fmt.Sprintf("%s V%d.D2, V%d.D2, V%d.D2", e.name, m, n, d)
	case threeH:
		return fmt.Sprintf("%s V%d.H4, V%d.H4, V%d.S4", e.name, m, n, d)
	case threeH2:
		return fmt.Sprintf("%s V%d.H8, V%d.H8, V%d.S4", e.name, m, n, d)
	case elementH:
		return fmt.Sprintf("%s V%d.H[%d], V%d.H4, V%d.S4", e.name, m, lane, n, d)
	case elementH2:
		return fmt.Sprintf("%s V%d.H[%d], V%d.H8, V%d.S4", e.name, m, lane, n, d)
	case element:
		return fmt.Sprintf("%s V%d.S[%d], V%d.S4, V%d.S4", e.name, m, lane, n, d)
	case two:
		return fmt.Sprintf("%s V%d.S4, V%d.S4", e.name, n, d)
	case twoH:
		return fmt.Sprintf("%s V%d.H8, V%d.H8", e.name, n, d)
	case zero:
		return fmt.Sprintf("%s $0, V%d.S4, V%d.S4", e.name, n, d)
	case widen:
		return fmt.Sprintf("%s V%d.H4, V%d.S4", e.name, n, d)
	case widen2:
		return fmt.Sprintf("%s V%d.H8, V%d.S4", e.name, n, d)
	case widenS:
		return fmt.Sprintf("%s V%d.S2, V%d.D2", e.name, n, d)
	case widenS2:
		return fmt.Sprintf("%s V%d.S4, V%d.D2", e.name, n, d)
	case widenB:
		return fmt.Sprintf("%s V%d.B8, V%d.H8", e.name, n, d)
	case widenB2:
		return fmt.Sprintf("%s V%d.B16, V%d.H8", e.name, n, d)
	case narrowS:
		return fmt.Sprintf("%s V%d.S4, V%d.H4", e.name, n, d)
	case narrowS2:
		return fmt.Sprintf("%s V%d.S4, V%d.H8", e.name, n, d)
	case narrowD:
		return fmt.Sprintf("%s V%d.D2, V%d.S2", e.name, n, d)
	default: // narrowD2
		return fmt.Sprintf("%s V%d.D2, V%d.S4", e.name, n, d)
	}
}
