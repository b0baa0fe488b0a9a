package ukernel

import (
	"path"
	"reflect"
	"runtime"
	"strings"
)

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *Indirect) Symbol(mr, nr int) string { return symbol(kern.funcs[nr/16-1][mr-1]) }

// Symbol returns the name of the function that computes tiles of mr rows and nr columns,
// as profilers show it.
func (kern *Blocked) Symbol(mr, nr int) string { return symbol(kern.funcs[nr/16-1][mr-1]) }

// symbol returns the name of a function, with its package.
func symbol(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return strings.TrimSuffix(path.Base(name), ".abi0")
}
