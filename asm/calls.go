package main

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"sync"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// callsFile declares what the micro-kernels are called with, and imports nothing.
const callsFile = "internal/ukernel/call.go"

// calls returns the package that callsFile is by itself. It depends on no generated
// file, so that all of them can be made anew. A mistake in it is one of a generator.
var calls = sync.OnceValue(func() *types.Package {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, filepath.Join(root(), callsFile), nil, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	pkg, err := new(types.Config).Check("ukernel", set, []*ast.File{file}, nil)
	if err != nil {
		panic(err)
	}
	return pkg
})

// modeBit returns a bit of ukernel.Mode by its name.
func modeBit(name string) uint32 {
	bit, _ := constant.Uint64Val(calls().Scope().Lookup(name).(*types.Const).Val())
	return uint32(bit)
}

// callSignature is the signature of a micro-kernel that is called with a pointer to
// the struct of that name.
func callSignature(name string) *gotypes.Signature {
	s, err := gotypes.ParseSignatureInPackage(calls(), "func(call *"+name+")")
	if err != nil {
		panic(err)
	}
	return s
}

// A callArgs reads the fields of the struct that a function for amd64 is called with.
type callArgs struct {
	c    *build.Context
	call gotypes.Component
}

// loadCall loads the pointer to the arguments into r, which keeps it.
func loadCall(c *build.Context, r reg.GPPhysical) callArgs {
	call := c.Param("call")
	c.Load(call, r)
	return callArgs{c, call.Dereference(r)}
}

// at returns where a field stands.
func (a callArgs) at(field string) Mem {
	f, err := a.call.Field(field).Resolve()
	if err != nil {
		panic(field + ": " + err.Error())
	}
	return f.Addr
}

// load reads a field into r.
func (a callArgs) load(field string, r reg.GPPhysical) reg.GPPhysical {
	a.c.MOVQ(a.at(field), r)
	return r
}

// local copies a field, by the register by, to the stack, where the function may change
// it.
func (a callArgs) local(field string, by reg.GPPhysical) Mem {
	m := a.c.AllocLocal(8)
	a.c.MOVQ(a.load(field, by), m)
	return m
}
