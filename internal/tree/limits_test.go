package tree

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

const (
	mostParams = 8
	mostFields = 20
)

// TestLimits: no function has more than 8 parameters, except with the signatures of BLAS,
// which have leading dimensions, and those of kernels, which their twins have. No struct has
// more than 20 fields, but the one that lists the commands.
func TestLimits(t *testing.T) {
	for _, f := range source(t) {
		if f.test || strings.Contains(f.path, "_gen_") || strings.HasSuffix(f.path, ".pb.go") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch d := n.(type) {
			case *ast.FuncDecl:
				if d.Type.Params.NumFields() > mostParams && !leadingDimension(d.Type.Params) && !strings.HasSuffix(d.Name.Name, "Generic") {
					t.Errorf("%s: %s has %d parameters", f.path, d.Name.Name, d.Type.Params.NumFields())
				}
			case *ast.TypeSpec:
				if s, ok := d.Type.(*ast.StructType); ok && s.Fields.NumFields() > mostFields && d.Name.Name != "cli" {
					t.Errorf("%s: %s has %d fields", f.path, d.Name.Name, s.Fields.NumFields())
				}
			}
			return true
		})
	}
}

// leadingDimension reports whether a parameter is one.
func leadingDimension(params *ast.FieldList) bool {
	for _, p := range params.List {
		for _, name := range p.Names {
			if slices.Contains([]string{"lda", "ldb", "ldc"}, name.Name) {
				return true
			}
		}
	}
	return false
}
