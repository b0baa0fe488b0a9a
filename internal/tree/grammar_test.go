package tree

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// param is a parameter of an exported function.
type param struct {
	name string
	kind ast.Expr
}

// typeName writes a type as far as the rules look at it: "[]float32", "*parallel.Team".
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.ArrayType:
		return "[]" + typeName(e.Elt)
	case *ast.Ellipsis:
		return "..." + typeName(e.Elt)
	}
	return ""
}

// exported reports whether a function can be called from outside of its package.
func exported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return f.Name.IsExported()
	}
	receiver := strings.TrimPrefix(typeName(f.Recv.List[0].Type), "*")
	return f.Name.IsExported() && ast.IsExported(receiver)
}

// signatures calls check with each exported function of the public packages.
func signatures(t *testing.T, check func(t *testing.T, pkg, name string, params []param)) {
	t.Helper()
	n := 0
	for _, f := range source(t) {
		at, _ := level(f.pkg)
		if f.test || at >= programs(t) || slices.Contains(strings.Split(f.pkg, "/"), "internal") {
			continue
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !exported(fn) || fn.Type.TypeParams != nil {
				continue
			}
			var params []param
			for _, field := range fn.Type.Params.List {
				for _, name := range field.Names {
					params = append(params, param{name.Name, field.Type})
				}
			}
			check(t, f.pkg, fn.Name.Name, params)
			n++
		}
	}
	require.Greater(t, n, 200)
}

// TestParameterTypes: whoever calls an exported function can name the types of its
// parameters.
func TestParameterTypes(t *testing.T) {
	signatures(t, func(t *testing.T, pkg, name string, params []param) {
		for _, p := range params {
			kind := strings.TrimLeft(typeName(p.kind), ".*[]")
			if token.IsIdentifier(kind) && !ast.IsExported(kind) && types.Universe.Lookup(kind) == nil {
				t.Errorf("%s.%s: the type of %s, %s, has no name outside", pkg, name, p.name, kind)
			}
		}
	})
}

// kernelPackages are the packages whose functions take the sizes and the data of
// operations.
var kernelPackages = []string{"gemm", "winograd", "conv3x3", "pool", "act", "layout"}

// rank is the place of a parameter in its list. The leading dimensions of BLAS are
// part of their matrix.
func rank(p param) int {
	kind := typeName(p.kind)
	leading := strings.HasPrefix(p.name, "ld")
	switch {
	case kind == "context.Context":
		return 0
	case kind == "bool", kind == "int" && !leading, kind == "Shape", kind == "Spec", kind == "Batch":
		return 1
	case p.name == "scratch":
		return 3
	case kind == "*parallel.Team":
		return 4
	case strings.HasPrefix(kind, "..."):
		return 5
	}
	return 2
}

// TestParameterOrder: a context, sizes, data, scratch, the team, and options. What
// goes in stands before what comes out, channels c before channels k, dst before src.
func TestParameterOrder(t *testing.T) {
	pairs := [][2]string{{"n", "c"}, {"c", "k"}, {"c", "h"}, {"h", "w"}, {"in", "out"}, {"dst", "src"}, {"dx", "dy"}}
	signatures(t, func(t *testing.T, pkg, name string, params []param) {
		if !slices.Contains(kernelPackages, pkg) {
			return
		}
		at := map[string]int{}
		for i, p := range params {
			at[typeName(p.kind)+" "+p.name] = i
			if i > 0 && rank(p) < rank(params[i-1]) {
				t.Errorf("%s.%s: %s follows %s", pkg, name, p.name, params[i-1].name)
			}
		}
		for _, pair := range pairs {
			for _, kind := range []string{"int ", "[]float32 "} {
				first, ok := at[kind+pair[0]]
				second, both := at[kind+pair[1]]
				if ok && both && first > second {
					t.Errorf("%s.%s: %s before %s", pkg, name, pair[1], pair[0])
				}
			}
		}
	})
}
