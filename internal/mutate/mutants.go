package main

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A mutant is a file with one change.
type mutant struct {
	pkg, path string // import path; the file's, absolute
	line      int
	function  string
	was, is   string // the smallest expression or statement around the change, before and after
	nth       int    // among equal changes of the function
	source    []byte // the whole file, changed
}

// id names the change whatever stands in other lines.
func (m mutant) id() string {
	return fmt.Sprintf("%s/%s %s: %s → %s #%d", m.pkg, filepath.Base(m.path), m.function, m.was, m.is, m.nth)
}

func (m mutant) String() string {
	return fmt.Sprintf("%s (line %d)", m.id(), m.line)
}

//go:embed judged.txt
var judgedText string

// readJudged returns the ids of judged.txt. Each stands before " :: " and a reason.
func readJudged() (map[string]bool, error) {
	judged := map[string]bool{}
	for line := range strings.Lines(judgedText) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, ok := strings.Cut(line, " :: ")
		if !ok || reason == "" {
			return nil, fmt.Errorf("judged.txt: no reason in %q", line)
		}
		judged[id] = true
	}
	return judged, nil
}

// opposite holds the operators that stand in for each other.
var opposite = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD},
	token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.SHL: {token.SHR}, token.SHR: {token.SHL}, token.AND: {token.OR}, token.OR: {token.AND},
	token.ADD_ASSIGN: {token.SUB_ASSIGN, token.ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN, token.ASSIGN},
	token.MUL_ASSIGN: {token.ASSIGN}, token.QUO_ASSIGN: {token.ASSIGN},
	token.INC: {token.DEC}, token.DEC: {token.INC},
}

// mutantsOf returns all mutants of a file.
func mutantsOf(p goPackage, file string) ([]mutant, error) {
	path := filepath.Join(p.Dir, file)
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, source, 0)
	if err != nil {
		return nil, err
	}
	m := &mutator{file: fset.File(tree.Pos()), source: string(source), pkg: p.ImportPath, seen: map[string]int{}}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			m.function = f.Name.Name
			if f.Recv != nil {
				m.function = strings.TrimPrefix(m.text(f.Recv.List[0].Type), "*") + "." + m.function
			}
			ast.Inspect(f.Body, m.visit)
		}
	}
	return m.mutants, nil
}

// A mutator collects the mutants of one file.
type mutator struct {
	file     *token.File
	source   string
	pkg      string
	function string
	seen     map[string]int
	mutants  []mutant
}

// text returns the source of a node.
func (m *mutator) text(n ast.Node) string {
	return m.source[m.file.Offset(n.Pos()):m.file.Offset(n.End())]
}

// add adds the mutant whose text from pos on, as long as was, is replaced. It is shown
// within around.
func (m *mutator) add(around ast.Node, pos token.Pos, was, is string) {
	from, to, at := m.file.Offset(around.Pos()), m.file.Offset(around.End()), m.file.Offset(pos)
	changed := m.source[:at] + is + m.source[at+len(was):]
	next := mutant{
		pkg: m.pkg, path: m.file.Name(), line: m.file.Line(pos), function: m.function, source: []byte(changed),
		was: oneLine(m.source[from:to]), is: oneLine(changed[from : to+len(is)-len(was)]),
	}
	m.seen[next.id()]++
	next.nth = m.seen[next.id()]
	m.mutants = append(m.mutants, next)
}

// oneLine shortens a text for a line of its own.
func oneLine(s string) string {
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > 100 {
		runes = append(runes[:99], '…')
	}
	return string(runes)
}

func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		m.operators(n, n.OpPos, n.Op)
	case *ast.IncDecStmt:
		m.operators(n, n.TokPos, n.Tok)
	case *ast.AssignStmt:
		m.operators(n, n.TokPos, n.Tok)
	case *ast.UnaryExpr:
		if n.Op == token.NOT || n.Op == token.SUB {
			m.add(n, n.OpPos, n.Op.String(), "")
		}
	case *ast.BasicLit:
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil && n.Kind == token.INT {
			m.add(n, n.Pos(), n.Value, strconv.FormatInt(v+1, 10))
		}
	case *ast.ReturnStmt:
		m.dropError(n)
		if last := len(n.Results) - 1; last > 0 && isError(n.Results[last]) {
			ast.Inspect(n.Results[last], m.visit) // what is returned beside an error has no meaning
			return false
		}
	case *ast.BlockStmt:
		m.leaveOut(n.List)
	case *ast.CaseClause:
		m.leaveOut(n.Body)
	}
	return true
}

func (m *mutator) operators(around ast.Node, pos token.Pos, was token.Token) {
	for _, is := range opposite[was] {
		m.add(around, pos, was.String(), is.String())
	}
}

// dropError returns nil in place of err.
func (m *mutator) dropError(n *ast.ReturnStmt) {
	if len(n.Results) == 0 {
		return
	}
	if last, ok := n.Results[len(n.Results)-1].(*ast.Ident); ok && last.Name == "err" {
		m.add(n, last.Pos(), "err", "nil")
	}
}

// isError reports whether an expression is an error for sure: err, or a call whose name ends
// in errorf or the like.
func isError(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "err"
	case *ast.CallExpr:
		name := ""
		switch f := x.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		name = strings.ToLower(name)
		return strings.HasSuffix(name, "errorf") || strings.HasSuffix(name, "failf") || name == "formatf"
	}
	return false
}

// leaveOut leaves out each statement that stands for its effect alone: a call, an
// assignment, a defer, a jump.
func (m *mutator) leaveOut(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.DeferStmt, *ast.BranchStmt:
		default:
			continue
		}
		m.add(s, s.Pos(), m.text(s), "")
	}
}
