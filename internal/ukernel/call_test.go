package ukernel

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

//go:embed call.go
var callSource string

// TestFieldOffsets compares the offsets by which assembly reads the structs of arguments
// with the compiler's. The generators take the sizes of amd64 for every processor.
func TestFieldOffsets(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Skip("there is no assembly for processors of 32 bits")
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "call.go", callSource, 0)
	require.NoError(t, err)
	pkg, err := new(types.Config).Check("ukernel", set, []*ast.File{file}, nil)
	require.NoError(t, err)
	for _, call := range []reflect.Type{reflect.TypeFor[indirectCall](), reflect.TypeFor[blockedCall](), reflect.TypeFor[blockedHalfCall]()} {
		s := pkg.Scope().Lookup(call.Name()).Type().Underlying().(*types.Struct)
		require.Equal(t, call.NumField(), s.NumFields())
		var fields []*types.Var
		for f := range s.Fields() {
			fields = append(fields, f)
		}
		for i, offset := range types.SizesFor("gc", "amd64").Offsetsof(fields) {
			require.Equal(t, call.Field(i).Name, fields[i].Name())
			require.EqualValues(t, call.Field(i).Offset, offset, "%s.%s", call.Name(), fields[i].Name())
		}
	}
}

// TestNoAllocations: arguments stay on the stack.
func TestNoAllocations(t *testing.T) {
	x, h, c, offsets := make([]float32, 16*64), make([]uint16, 16*64), make([]float32, 128), []int{0, 1}
	forEachIndirect(t, func(t *testing.T, kern *Indirect) {
		require.Zero(t, testutil.AllocsPerRun(20, func() {
			o := IndirectArgs{Offsets: offsets, A: x, AStep: 1, B: x, Bias: x, C: c, LDC: 16, CBlock: 16}
			kern.RunM(1, kern.NR, &o)
			o.LDB, o.LDC = 2*kern.NR, 2*kern.NR
			kern.RunN(2, 1, kern.NR, &o)
		}))
	})
	forEachBlocked(t, func(t *testing.T, kern *Blocked) {
		require.Zero(t, testutil.AllocsPerRun(20, func() {
			kern.Run(1, 1, kern.NR, &BlockedArgs{Channels: 16, A: x, ABlock: 16, B: x, C: c, NextB: x})
			kern.RunHalf(1, kern.NR, &BlockedHalfArgs{Blocks: 1, A: x, ABlock: 16, B: h, C: c, NextB: h})
		}))
	})
}

// TestStackMoves has arguments on a stack that grows, and so moves, in the middle of a
// kernel in Go, at one of these depths.
func TestStackMoves(t *testing.T) {
	for depth := range 400 {
		done := make(chan [2][]float32)
		go func() { done <- atDepth(depth) }()
		got := <-done
		testutil.CheckExact(t, "indirect", depth, got[0], slices.Repeat([]float64{3}, 16))
		testutil.CheckExact(t, "blocked", depth, got[1], slices.Repeat([]float64{16}, 16))
	}
}

//go:noinline
func atDepth(depth int) (c [2][]float32) {
	if depth > 0 {
		return atDepth(depth - 1)
	}
	ones := slices.Repeat([]float32{1}, 256)
	c = [2][]float32{make([]float32, 16), make([]float32, 16)}
	indirect, blocked := genericIndirect(), genericBlocked()
	indirect.RunM(1, 16, &IndirectArgs{Offsets: []int{0, 1}, A: ones, B: ones, Bias: ones, C: c[0], LDC: 16})
	blocked.Run(1, 1, 16, &BlockedArgs{Channels: 16, A: ones, B: ones, C: c[1]})
	return c
}
