// Package neon emits arm64 assembly in the way avo emits amd64 assembly: a
// Context is filled by calls named after instructions and gives an ir.File,
// which avo's printers turn into a .s file and its Go stubs.
//
// Of avo only the packages without an architecture are used (ir, gotypes,
// buildtags, printer). Registers are chosen by hand or taken from the small
// allocator [Context.V] and [Context.R]; nothing is reordered.
//
// Operands are in Plan 9 order, destination last, as in avo: VFSUB(m, n, d)
// is d = n − m. Instructions which Go's assembler lacks are printed as WORD
// with their Plan 9 spelling beside them, from the table in encoding.go.
// Vectors are always four lanes of float32.
//
// A mistake in a generator panics: a register that is not ours, an offset that
// the instruction cannot hold (the assembler would silently use R27 as a
// temporary, or drop low bits as it does for PRFM).
package neon

import (
	"fmt"

	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
)

// V is a vector register, 0 to 31. All are free to use.
type V uint8

// R is an integer register: 0-15 or 19-26, or RSP. R16 and R17 belong to
// the linker, R18 to the platform, R27 to the assembler, R28 holds g, R29 and
// R30 are frame pointer and link register.
type R uint8

// RSP is the stack pointer, as the base of an address.
const RSP R = 31

// ZR is the zero register, as a source.
const ZR R = 32

// Asm returns the register as an operand of integer instructions.
func (r R) Asm() string {
	switch r {
	case RSP:
		return "RSP"
	case ZR:
		return "ZR"
	}
	return fmt.Sprintf("R%d", uint8(r))
}

func (r R) ours() bool { return r <= 15 || r >= 19 && r <= 26 }

// Asm returns the register under the name that scalar and quadword moves use.
func (v V) Asm() string { return fmt.Sprintf("F%d", uint8(v)) }

// Imm is an immediate operand.
type Imm int

// Asm returns the operand as printed.
func (i Imm) Asm() string { return fmt.Sprintf("$%d", int(i)) }

// Mem is the address R + Off, Off in bytes.
type Mem struct {
	Base R
	Off  int
}

// Offset returns m moved by n bytes.
func (m Mem) Offset(n int) Mem { return Mem{m.Base, m.Off + n} }

// Asm returns the operand as printed.
func (m Mem) Asm() string {
	if m.Off == 0 {
		return "(" + m.Base.Asm() + ")"
	}
	return fmt.Sprintf("%d(%s)", m.Off, m.Base.Asm())
}

// raw is an operand printed as it is.
type raw string

func (s raw) Asm() string { return string(s) }

// Context collects the functions of one file.
type Context struct {
	file *ir.File
	fn   *ir.Function
	v, r uint32 // registers handed out by V and R
}

// NewContext returns a context for a file that purego builds leave out.
// The architecture is in the file's name.
func NewContext() *Context {
	c := &Context{file: ir.NewFile()}
	c.ConstraintExpr("!purego")
	return c
}

// ConstraintExpr replaces the build constraint of the file.
func (c *Context) ConstraintExpr(expr string) {
	constraint, err := buildtags.ParseConstraint(expr)
	if err != nil {
		panic(fmt.Sprintf("neon: constraint %q: %v", expr, err))
	}
	c.file.Constraints = buildtags.Constraints{constraint}
}

// Result returns the file, to be printed by avo's printers.
func (c *Context) Result() *ir.File { return c.file }

// Function begins a function. All registers are free again.
func (c *Context) Function(name string) {
	c.fn = ir.NewFunction(name)
	c.file.AddSection(c.fn)
	c.v, c.r = 0, 0
}

// Doc sets the comment of the stub.
func (c *Context) Doc(lines ...string) { c.fn.Doc = lines }

// Pragma adds a directive to the stub, such as noescape.
func (c *Context) Pragma(directive string, args ...string) { c.fn.AddPragma(directive, args...) }

// SignatureExpr sets the signature from a Go function type such as
// "func(k int, a *float32)". Offsets follow 64-bit sizes, equal on amd64 and arm64.
func (c *Context) SignatureExpr(expr string) {
	s, err := gotypes.ParseSignature(expr)
	if err != nil {
		c.fail("signature %q: %v", expr, err)
	}
	c.Signature(s)
}

// Signature sets the signature.
func (c *Context) Signature(s *gotypes.Signature) { c.fn.SetSignature(s) }

// V hands out the lowest free vector register.
func (c *Context) V() V {
	for i := range V(32) {
		if c.v&(1<<i) == 0 {
			c.v |= 1 << i
			return i
		}
	}
	c.fail("no free vector register")
	return 0
}

// Vs hands out n vector registers.
func (c *Context) Vs(n int) []V {
	v := make([]V, n)
	for i := range v {
		v[i] = c.V()
	}
	return v
}

// FreeV gives registers back.
func (c *Context) FreeV(vs ...V) {
	for _, v := range vs {
		if c.v&(1<<v) == 0 {
			c.fail("V%d is already free", v)
		}
		c.v &^= 1 << v
	}
}

// R hands out the lowest free integer register.
func (c *Context) R() R {
	for i := range R(27) {
		if i.ours() && c.r&(1<<i) == 0 {
			c.r |= 1 << i
			return i
		}
	}
	c.fail("no free integer register")
	return 0
}

// FreeR gives registers back.
func (c *Context) FreeR(rs ...R) {
	for _, r := range rs {
		if c.r&(1<<r) == 0 {
			c.fail("R%d is already free", r)
		}
		c.r &^= 1 << r
	}
}

// Comment adds comment lines.
func (c *Context) Comment(lines ...string) { c.fn.AddComment(lines...) }

// Label marks the next instruction.
func (c *Context) Label(name string) { c.fn.AddLabel(ir.Label(name)) }

// Op emits an instruction that Go's assembler has.
func (c *Context) Op(name string, ops ...operand.Op) {
	for _, o := range ops {
		if m, ok := o.(Mem); ok {
			o = m.Base
		}
		if r, ok := o.(R); ok && !r.ours() && r != RSP && r != ZR {
			c.fail("%s uses %s, which is reserved", name, r.Asm())
		}
		if v, ok := o.(V); ok && v > 31 {
			c.fail("%s: no register %s", name, v.Asm())
		}
	}
	c.fn.AddInstruction(&ir.Instruction{Opcode: name, Operands: ops})
}

// fail reports a mistake in the generator, with the place where it was made.
func (c *Context) fail(format string, args ...any) {
	panic(fmt.Sprintf("neon: %s, after %d nodes: ", c.fn.Name, len(c.fn.Nodes)) + fmt.Sprintf(format, args...))
}
