// Command mutate puts faults into a package, one at a time, and tells which of them the
// package's short tests do not find.
//
//	go run ./internal/mutate [-seed S] [-n 20] [-within 3m] [-least 0.75] ./vgg/weights ./gemm
//
// A fault is one small change of one function that has a test's attention in every review:
// a comparison with the wrong edge, a sign, a statement left out, an error that is dropped
// (see mutants.go). The changed file is given to the go command by -overlay: nothing in the
// tree is written. A mutant that does not compile is passed over. One is killed if the tests
// fail or take longer than their limit; else it survives.
//
// A survivor is printed with its place and the change. Survivors that were judged stand in
// judged.txt with the reason and are not counted: the change makes no difference that a
// caller could see. The status is 1 if a smaller part than -least of the others is killed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "which mutants are drawn")
	n := flag.Int("n", 20, "how many mutants are tried; 0: all")
	within := flag.Duration("within", 0, "begin no other mutant after this time; 0: no limit")
	limit := flag.Duration("timeout", 2*time.Minute, "time of the tests of one mutant")
	least := flag.Float64("least", 0, "the least part of the mutants that must be killed")
	list := flag.Bool("list", false, "print the mutants and stop")
	all := flag.Bool("v", false, "print the killed mutants as well")
	flag.Parse()
	if err := run(*seed, *n, *within, *limit, *least, *list, *all, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(seed uint64, n int, within, limit time.Duration, least float64, list, all bool, patterns []string) error {
	packages, err := load(patterns)
	if err != nil {
		return err
	}
	var mutants []mutant
	for _, p := range packages {
		for _, file := range p.GoFiles {
			if strings.Contains(file, "_gen_") {
				continue // changed by faults of the generators, see asm
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
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return judged[m.id()] })
	fmt.Printf("%d mutants in %d packages, %d judged\n", len(mutants), len(packages), len(judged))
	if list {
		for _, m := range mutants {
			fmt.Println(m)
		}
		return nil
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
	return try(mutants, n, within, limit, least, all)
}

// try tests n mutants and sums up.
func try(mutants []mutant, n int, within, limit time.Duration, least float64, all bool) error {
	begin := time.Now()
	var killed, survived, invalid int
	for _, m := range mutants {
		if n > 0 && killed+survived == n || within > 0 && time.Since(begin) > within {
			break
		}
		switch outcome, err := m.test(limit); {
		case err != nil:
			return err
		case outcome == doesNotCompile:
			invalid++
		case outcome == lives:
			survived++
			fmt.Println("survived:", m)
		default:
			killed++
			if all {
				fmt.Println("killed:  ", m)
			}
		}
	}
	tried := killed + survived
	fmt.Printf("%d of %d killed, %d did not compile, %.0f s\n", killed, tried, invalid, time.Since(begin).Seconds())
	if float64(killed) < least*float64(tried) {
		return fmt.Errorf("less than %.0f %% were killed", 100*least)
	}
	return nil
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

// An outcome is what the tests say of a mutant.
type outcome int

const (
	dies outcome = iota
	lives
	doesNotCompile
)

// test runs the short tests of the mutant's package.
func (m mutant) test(limit time.Duration) (outcome, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.path: changed}})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(os.WriteFile(changed, m.source, 0o666), os.WriteFile(overlay, replace, 0o666)); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Minute) // one for the compiler
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-short", "-failfast", "-vet=off", "-overlay", overlay, "-timeout", limit.String(), m.pkg)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return lives, nil
	case strings.Contains(string(out), "[build failed]"):
		return doesNotCompile, nil
	}
	return dies, nil
}
