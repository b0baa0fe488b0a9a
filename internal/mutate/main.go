// Command mutate puts faults into the module, one at a time, and tells which of them the
// short tests do not find.
//
//	go run ./internal/mutate [-seed S] [-n 20] [-within 3m] [-least 0.75] ./vgg/weights ./gemm
//	go run ./internal/mutate -named
//	go run ./internal/mutate -generators
//
// The first form makes small changes of functions: a comparison with the wrong edge, a sign,
// a statement left out, an error that is dropped (see mutants.go). The changed file is given
// to the go command by -overlay: nothing in the tree is written. A mutant that does not
// compile is passed over. One is killed if the tests of its package, or of those that test
// it from outside (see nearest), fail or exceed a bound; else it survives. On Linux the
// bounds are those of bounds in watch.go, which do not depend on what else runs on the
// machine; elsewhere it is a limit of the clock.
//
// A survivor is printed with its place and the change. Survivors that were judged stand in
// judged.txt with the reason and are not counted: the change makes no difference that a
// caller could see. The status is 1 if a smaller part than -least of the others is killed.
//
// The other forms try the faults of faults.txt, each of which has a test that finds it: those
// of the generators of assembly, whose files are generated anew, or all others. The status
// is 1 if one lives.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "which mutants or faults are drawn")
	flag.IntVar(&o.n, "n", 20, "how many mutants or faults are tried; 0: all")
	flag.DurationVar(&o.within, "within", 0, "begin no other after this time; 0: no limit")
	flag.DurationVar(&o.limit, "timeout", 3*time.Minute, "processor time of one package's tests")
	flag.Float64Var(&o.least, "least", 0, "the least part of the mutants that must be killed")
	flag.BoolVar(&o.list, "list", false, "print the mutants or faults and stop")
	flag.BoolVar(&o.all, "v", false, "print the killed ones as well")
	flag.StringVar(&o.match, "match", "", "only mutants or faults whose text has this")
	named := flag.Bool("named", false, "try the faults of faults.txt that are not in generators")
	generators := flag.Bool("generators", false, "try the faults of faults.txt that are in generators")
	watched := flag.Duration("watch", 0, "run a program within this processor time; for mutate's own calls of go test -exec")
	flag.Parse()
	if *watched > 0 {
		os.Exit(runWatched(boundsOf(*watched), flag.Args()))
	}
	var err error
	if *named || *generators {
		err = o.tryFaults(func(f fault) bool { return *generators && f.generator() || *named && !f.generator() })
	} else {
		err = o.tryMutants(flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// runWatched runs a program within bounds and returns its status.
func runWatched(b bounds, args []string) int {
	status, why, err := watch(b, args)
	if err != nil {
		why = err.Error()
	}
	if why != "" {
		fmt.Println("FAIL: mutate:", why)
		return 1
	}
	return status
}

// options are what the flags say.
type options struct {
	seed          uint64
	n             int
	within, limit time.Duration
	least         float64
	list, all     bool
	match         string
}

// tryMutants draws mutants of packages.
func (o options) tryMutants(patterns []string) error {
	packages, err := load(patterns)
	if err != nil {
		return err
	}
	var mutants []mutant
	for _, p := range packages {
		for _, file := range p.GoFiles {
			if strings.Contains(file, "_gen_") {
				continue // changed by faults of the generators
			}
			found, err := mutantsOf(p, file)
			if err != nil {
				return err
			}
			mutants = append(mutants, found...)
		}
	}
	judged, err := readJudged()
	if err != nil {
		return err
	}
	every := len(mutants)
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return judged[m.id()] })
	fmt.Printf("%d mutants in %d packages, %d of them judged\n", every, len(packages), every-len(mutants))
	t := tally{options: o, begin: time.Now()}
	for _, m := range drawn(o, mutants) {
		if err := t.count(m, m.test); err != nil {
			return err
		}
	}
	return t.sum(o.least)
}

// tryFaults draws faults of faults.txt.
func (o options) tryFaults(wanted func(fault) bool) error {
	faults, err := readFaults(faultsText)
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !wanted(f) })
	t := tally{options: o, begin: time.Now()}
	for _, f := range drawn(o, faults) {
		if err := t.count(f, func(limit time.Duration) (outcome, error) { return f.try(root, limit) }); err != nil {
			return err
		}
	}
	if t.invalid > 0 {
		return fmt.Errorf("%d faults do not compile", t.invalid)
	}
	return t.sum(1)
}

// drawn returns the changes that match in the order of the seed.
func drawn[T fmt.Stringer](o options, list []T) []T {
	list = slices.DeleteFunc(list, func(x T) bool { return !strings.Contains(x.String(), o.match) })
	rand.New(rand.NewPCG(o.seed, 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// A tally counts what was tried.
type tally struct {
	options
	begin                     time.Time
	killed, survived, invalid int
}

// count tries a change, unless there were enough.
func (t *tally) count(what fmt.Stringer, try func(limit time.Duration) (outcome, error)) error {
	if t.list {
		fmt.Println(what)
		return nil
	}
	if t.n > 0 && t.killed+t.survived == t.n || t.within > 0 && time.Since(t.begin) > t.within {
		return nil
	}
	result, err := try(t.limit)
	switch {
	case err != nil:
		return err
	case result == doesNotCompile:
		t.invalid++
		if t.all {
			fmt.Println("does not compile:", what)
		}
	case result == lives:
		t.survived++
		fmt.Println("survived:", what)
	default:
		t.killed++
		if t.all {
			fmt.Println("killed:  ", what)
		}
	}
	return nil
}

// sum prints the counts. It returns an error if a smaller part than least was killed.
func (t *tally) sum(least float64) error {
	if t.list {
		return nil
	}
	tried := t.killed + t.survived
	fmt.Printf("%d of %d killed, %d did not compile, %.0f s\n", t.killed, tried, t.invalid, time.Since(t.begin).Seconds())
	if float64(t.killed) < least*float64(tried) {
		return fmt.Errorf("less than %.0f %% were killed", 100*least)
	}
	return nil
}

// moduleRoot returns the folder of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// A goPackage is what the go command says of a package.
type goPackage struct {
	Dir, ImportPath string
	GoFiles         []string
}

func load(patterns []string) ([]goPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=Dir,ImportPath,GoFiles", "--"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
}

// nearest are tests outside of a package that test it: packages and patterns of names.
var nearest = map[string][]testRun{
	"vgg/weights":  {{pkg: module + "/vgg", pattern: "ONNX|Open|Format|Dialect|Damage|Source|Kinds|Names|RepVGG|Snapshot"}},
	"vgg/train":    {{pkg: module + "/cmd/vgg", pattern: "Train|WholeLog|FailedPicture"}},
	"vgg/evaluate": {{pkg: module + "/cmd/vgg", pattern: "Eval|Merge|Shard|Fingerprint"}},
	"vgg":          {{pkg: module + "/vgg/train", pattern: "."}, {pkg: module + "/vgg/check", pattern: "."}},
	"parallel":     {{pkg: module + "/gemm", pattern: "Cancel|Workers|Team|Allocat"}},
}

const module = "github.com/nonet-go/nonet"

// test runs the short tests of the mutant's package, those of its own file first, and those
// nearest to it.
func (m mutant) test(limit time.Duration) (outcome, error) {
	o, err := newOverlay(map[string]string{m.path: string(m.source)})
	if err != nil {
		return 0, err
	}
	defer o.remove()
	var runs []testRun
	if own := m.ownTests(); own != "" { // most mutants die here, and the rest takes longer
		runs = append(runs, testRun{pkg: m.pkg, pattern: own})
	}
	runs = append(append(runs, testRun{pkg: m.pkg}), nearest[strings.TrimPrefix(m.pkg, module+"/")]...)
	for _, run := range runs {
		if result, err := o.test(run, limit); err != nil || result != lives {
			return result, err
		}
	}
	return lives, nil
}

// ownTests returns the pattern of the tests in the file beside the mutant's: those of plan.go
// are in plan_test.go.
func (m mutant) ownTests() string {
	tree, err := parser.ParseFile(token.NewFileSet(), strings.TrimSuffix(m.path, ".go")+"_test.go", nil, parser.SkipObjectResolution)
	if err != nil {
		return "" // there is none, or go test will say what is wrong
	}
	var names []string
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			names = append(names, f.Name.Name)
		}
	}
	if names == nil {
		return ""
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
