// Package describe writes how an operation is planned, for people to read: lines of a name
// and a text, and the symbols of kernels.
package describe

import (
	"fmt"
	"path"
	"reflect"
	"runtime"
	"strings"
)

// Lines are lines of a name and a text. The zero value has none.
type Lines struct{ b strings.Builder }

// Add adds a line.
func (l *Lines) Add(name, format string, args ...any) {
	fmt.Fprintf(&l.b, "%-11s%s\n", name, fmt.Sprintf(format, args...))
}

func (l *Lines) String() string { return l.b.String() }

// Symbol returns the name of a function with its package, as profilers show it.
func Symbol(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return strings.TrimSuffix(path.Base(name), ".abi0")
}
