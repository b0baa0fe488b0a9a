package neon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mmcloughlin/avo/printer"
	"github.com/stretchr/testify/require"
)

// assemble prints f, runs it through Go's assembler and returns what was
// printed and the disassembled instructions in GNU syntax.
func assemble(t *testing.T, c *Context) (source string, gnu []string) {
	t.Helper()
	text, err := printer.NewGoAsm(printer.Config{Name: "test", Pkg: "p"}).Print(c.Result())
	require.NoError(t, err)
	dir := t.TempDir()
	s, o := filepath.Join(dir, "f_arm64.s"), filepath.Join(dir, "f.o")
	require.NoError(t, os.WriteFile(s, text, 0o600))
	run := func(args ...string) []byte {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", out, text)
		return out
	}
	run("tool", "asm", "-p", "p", "-o", o, s)
	line := regexp.MustCompile(`// (.*?)\s*$`)
	for l := range strings.SplitSeq(string(run("tool", "objdump", "-gnu", o)), "\n") {
		if m := line.FindStringSubmatch(l); m != nil {
			gnu = append(gnu, m[1])
		}
	}
	return string(text), gnu
}

// native lists the instructions which Go's assembler has, with what they must
// mean in the other syntax: the order of operands differs in almost all.
var native = []struct {
	emit func(c *Context)
	gnu  string
}{
	{func(c *Context) { c.VFMLA(1, 2, 3) }, "fmla v3.4s, v2.4s, v1.4s"},
	{func(c *Context) { c.VFMLS(1, 2, 3) }, "fmls v3.4s, v2.4s, v1.4s"},
	{func(c *Context) { c.VFMLAD(1, 2, 3) }, "fmla v3.2d, v2.2d, v1.2d"},
	{func(c *Context) { c.VEOR(1, 2, 3) }, "eor v3.16b, v2.16b, v1.16b"},
	{func(c *Context) { c.VAND(1, 2, 3) }, "and v3.16b, v2.16b, v1.16b"},
	{func(c *Context) { c.VBIT(1, 2, 3) }, "bit v3.16b, v2.16b, v1.16b"},
	{func(c *Context) { c.VEXT(4, 1, 2, 3) }, "ext v3.16b, v2.16b, v1.16b, #4"},
	{func(c *Context) { c.VMOV(1, 2) }, "mov v2.16b, v1.16b"},
	{func(c *Context) { c.VDUP(1, 3, 2) }, "dup v2.4s, v1.s[3]"},
	{func(c *Context) { c.VDUPR(1, 2) }, "dup v2.4s, w1"},
	{func(c *Context) { c.Zero(2) }, "movi v2.16b, #0x0"},
	{func(c *Context) { c.VDUPRD(1, 2) }, "dup v2.2d, x1"},
	{func(c *Context) { c.VINS(1, 2, 3) }, "mov v2.s[3], w1"},
	{func(c *Context) { c.FMOVQ(Mem{5, 65520}, 2) }, "ldr q2, [x5,#65520]"},
	{func(c *Context) { c.FMOVQ(Mem{5, -256}, 2) }, "ldur q2, [x5,#-256]"},
	{func(c *Context) { c.FMOVQStore(2, Mem{5, 32}) }, "str q2, [x5,#32]"},
	{func(c *Context) { c.FMOVS(Mem{5, 16380}, 2) }, "ldr s2, [x5,#16380]"},
	{func(c *Context) { c.FLDPQ(Mem{5, 1008}, 2, 3) }, "ldp q2, q3, [x5,#1008]"},
	{func(c *Context) { c.FSTPQ(2, 3, Mem{5, -1024}) }, "stp q2, q3, [x5,#-1024]"},
	{func(c *Context) { c.PRFM(Mem{5, 32760}, "PLDL1KEEP") }, "prfm pldl1keep, [x5,#32760]"},
	{func(c *Context) { c.ADD(Imm(4095), 1, 2) }, "add x2, x1, #0xfff"},
	{func(c *Context) { c.ADD(R(3), 1, 2) }, "add x2, x1, x3"},
	{func(c *Context) { c.ADDShift(3, 2, 1, 5) }, "add x5, x1, x3, lsl #2"},
	{func(c *Context) { c.SUB(R(3), 1, 2) }, "sub x2, x1, x3"},
	{func(c *Context) { c.SUBS(Imm(1), 1, 2) }, "subs x2, x1, #0x1"},
	{func(c *Context) { c.CMP(R(3), 1) }, "cmp x1, x3"},
	{func(c *Context) { c.LSL(4, 1, 2) }, "lsl x2, x1, #4"},
	{func(c *Context) { c.MUL(3, 1, 2) }, "mul x2, x1, x3"},
	{func(c *Context) { c.MOVD(ZR, 2) }, "mov x2, xzr"},
	{func(c *Context) { c.MOVD(R(1), 2) }, "mov x2, x1"},
}

// TestNative assembles every instruction and reads it back in GNU syntax. An
// instruction that became two, as with an offset that does not fit, fails too.
func TestNative(t *testing.T) {
	c := NewContext()
	c.Function("f")
	var want []string
	for _, n := range native {
		n.emit(c)
		want = append(want, n.gnu)
	}
	c.RET()
	_, got := assemble(t, c)
	require.Equal(t, want, got[:len(got)-1])
}

// TestWords assembles every WORD and finds each in the object file.
func TestWords(t *testing.T) {
	c := NewContext()
	c.Function("f")
	for op := range encodings {
		c.word(opcode(op), 1, 3, 2, 3)
	}
	c.RET()
	source, got := assemble(t, c)
	require.Len(t, got, len(encodings)+1)
	require.Contains(t, source, "WORD $0x4fa11843 // VFMLA V1.S[3], V2.S4, V3.S4")
	require.Contains(t, got, "fmla v3.4s, v2.4s, v1.s[3]")
	require.Contains(t, got, "fsub v3.4s, v2.4s, v1.4s")
}

// TestFile compares a small file and its stub with what they must look like.
func TestFile(t *testing.T) {
	c := NewContext()
	c.Function("scaleNEON")
	c.Doc("scaleNEON scales one vector n times.")
	c.SignatureExpr("func(n int, s float32, x *float32)")
	c.Pragma("noescape")
	n, x := c.R(), c.R()
	s, v := c.V(), c.V()
	c.Load("n", n)
	c.LoadFloat("s", s)
	c.Load("x", x)
	c.Label("loop")
	c.Comment("x = x·s")
	c.FMOVQ(Mem{Base: x}, v)
	c.VFMULElem(s, 0, v, v)
	c.FMOVQStore(v, Mem{Base: x})
	c.SUBS(Imm(1), n, n)
	c.Branch("BNE", "loop")
	c.RET()

	cfg := printer.Config{Name: "test", Argv: []string{"go", "run", "./asm"}, Pkg: "p"}
	text, err := printer.NewGoAsm(cfg).Print(c.Result())
	require.NoError(t, err)
	require.Equal(t, `// Code generated by command: go run ./asm. DO NOT EDIT.

//go:build !purego

// func scaleNEON(n int, s float32, x *float32)
TEXT ·scaleNEON(SB), $0-24
	MOVD  n+0(FP), R0
	FMOVS s+8(FP), F0
	MOVD  x+16(FP), R1

loop:
	// x = x·s
	FMOVQ (R1), F1
	WORD  $0x4f809021 // VFMUL V0.S[0], V1.S4, V1.S4
	FMOVQ F1, (R1)
	SUBS  $1, R0, R0
	BNE   loop
	RET
`, string(text))
	stub, err := printer.NewStubs(cfg).Print(c.Result())
	require.NoError(t, err)
	require.Equal(t, `// Code generated by command: go run ./asm. DO NOT EDIT.

//go:build !purego

package p

// scaleNEON scales one vector n times.
//
//go:noescape
func scaleNEON(n int, s float32, x *float32)
`, string(bytes.TrimRight(stub, "\n"))+"\n")
	_, gnu := assemble(t, c)
	require.Equal(t, "fmul v1.4s, v1.4s, v0.s[0]", gnu[4])
}

// TestMistakes lists what a generator must not do.
func TestMistakes(t *testing.T) {
	for name, emit := range map[string]func(c *Context){
		"PRFM 252 would become 248":  func(c *Context) { c.PRFM(Mem{1, 252}, "PLDL1KEEP") },
		"PRFM below":                 func(c *Context) { c.PRFM(Mem{1, -8}, "PLDL1KEEP") },
		"PRFM beyond":                func(c *Context) { c.PRFM(Mem{1, 32768}, "PLDL1KEEP") },
		"platform register":          func(c *Context) { c.MOVD(Imm(0), 18) },
		"g":                          func(c *Context) { c.ADD(Imm(1), 0, 28) },
		"assembler's temporary":      func(c *Context) { c.FMOVQ(Mem{27, 0}, 0) },
		"linker's register, as base": func(c *Context) { c.FLDPQ(Mem{16, 0}, 0, 1) },
		"FMOVQ far":                  func(c *Context) { c.FMOVQ(Mem{1, 65536}, 0) },
		"FMOVQ uneven":               func(c *Context) { c.FMOVQ(Mem{1, 264}, 0) },
		"FLDPQ far":                  func(c *Context) { c.FLDPQ(Mem{1, 1024}, 0, 1) },
		"FSTPQ uneven":               func(c *Context) { c.FSTPQ(0, 1, Mem{1, 8}) },
		"FMOVS far":                  func(c *Context) { c.FMOVS(Mem{1, 16384}, 0) },
		"lane 4":                     func(c *Context) { c.VFMLAElem(0, 4, 1, 2) },
		"V32 in a word":              func(c *Context) { c.VFADD(32, 1, 2) },
		"V32 in a native":            func(c *Context) { c.VFMLA(32, 1, 2) },
		"immediate":                  func(c *Context) { c.CMP(Imm(4096), 1) },
		"unknown parameter":          func(c *Context) { c.Load("y", 1) },
		"parameter of 4 bytes":       func(c *Context) { c.Load("s", 1) },
		"parameter of 8 bytes":       func(c *Context) { c.LoadFloat("k", 1) },
		"V freed twice":              func(c *Context) { v := c.V(); c.FreeV(v); c.FreeV(v) },
		"R freed twice":              func(c *Context) { r := c.R(); c.FreeR(r); c.FreeR(r) },
		"33 vectors":                 func(c *Context) { c.Vs(33) },
		"25 integers": func(c *Context) {
			for range 25 {
				c.R()
			}
		},
	} {
		c := NewContext()
		c.Function("f")
		c.SignatureExpr("func(k int, s float32)")
		require.Panics(t, func() { emit(c) }, name)
	}
}

// TestRegisters: the allocator hands out every register that is ours, once.
func TestRegisters(t *testing.T) {
	c := NewContext()
	c.Function("f")
	seen := ""
	for range 24 {
		seen += fmt.Sprint(" ", c.R())
	}
	require.Equal(t, " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 19 20 21 22 23 24 25 26", seen)
	require.Len(t, c.Vs(32), 32)
	c.FreeV(7)
	require.Equal(t, V(7), c.V())
}
