// Package samebits tests that results keep their bits: products, convolutions, pools and
// normalisations of seeded inputs are hashed and compared with testdata, for one worker
// and for two. It has no code of its own.
//
// A change of a hash is a decision, not an accident: results change for every user. Who
// means it writes the new hashes and says why in the commit:
//
//	go test ./internal/samebits -update
//	go test ./internal/samebits -run Bits/strided -update	# those of one family
//
// Each instruction set has a file of its own, since each sums in an order of its own and
// the portable kernels sum in float64. The test compares those of the instruction set that
// the process prefers; NONET_ISA chooses another one. Without assembly the Go compiler may
// fuse a multiplication and an addition, which it does on arm64, ppc64, s390x and with
// GOAMD64=v3: generic.txt holds for amd64 without that.
package samebits

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"flag"
	"fmt"
	"hash"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the hashes of this instruction set to testdata")

//go:embed testdata/*.txt
var recorded embed.FS

// families are the works, as testdata has them.
var families = []struct {
	name string
	run  func(*hashes)
}{
	{"products", products}, {"packed", packedProducts}, {"vectors", vectors}, {"connected", connected}, {"pointwise", pointwise},
	{"convolutions", convolutions}, {"winograd", winogradFilters}, {"pools", pools}, {"normalisations", normalisations},
	{"strided", strided}, {"residuals", residuals}, {"fixed", fixedConvolutions},
}

// TestBits compares the hash of every work with the recorded one.
func TestBits(t *testing.T) {
	isa := cpu.Best()
	if isa == cpu.Generic && fuses() {
		t.Skip("the compiler fuses operations of the portable kernels")
	}
	file := "testdata/" + isa.String() + ".txt"
	text, err := recorded.ReadFile(file)
	require.NoError(t, err)
	want := sections(string(text))
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			got := hashAll(t, f.run, 1)
			require.Equal(t, got, hashAll(t, f.run, 2), "bits depend on the number of workers")
			if *update {
				want[f.name] = got
			}
			if changes := difference(want[f.name], got); changes != "" {
				t.Errorf("results have other bits than %s says (see the package's comment):\n%s", file, changes)
			}
		})
	}
	if *update {
		var b strings.Builder
		for _, f := range families {
			b.WriteString("# " + f.name + "\n" + want[f.name])
		}
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
}

// sections returns the lines of each family. Each begins with a line of its own.
func sections(text string) map[string]string {
	list := map[string]string{}
	name := ""
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) { // of a checkout on Windows
		if after, ok := strings.CutPrefix(line, "# "); ok {
			name = strings.TrimSpace(after)
			continue
		}
		list[name] += line
	}
	return list
}

// TestFixedBits: sums of whole numbers are exact, so that all instruction sets have the same
// hashes.
func TestFixedBits(t *testing.T) {
	lines := map[string]string{} // hash by name
	for _, isa := range []cpu.ISA{cpu.Generic, cpu.AVX2, cpu.AVX512, cpu.NEON} {
		text, err := recorded.ReadFile("testdata/" + isa.String() + ".txt")
		require.NoError(t, err)
		seen := 0
		for line := range strings.Lines(strings.ReplaceAll(string(text), "\r", "")) {
			sum, name, _ := strings.Cut(line, "  ")
			if !strings.Contains(name, "fixed") {
				continue
			}
			if isa == cpu.Generic {
				lines[name] = sum
			}
			require.Equal(t, lines[name], sum, "%v: %s", isa, name)
			seen++
		}
		require.Positive(t, seen)
		require.Len(t, lines, seen, isa.String())
	}
}

// fuses reports whether the compiler makes one operation of x*y + z in float32. The
// product of 1+2⁻¹² by itself has a last bit that only one rounding keeps.
func fuses() bool {
	zero := data(1, 1)[0]
	zero -= zero // unknown to the compiler
	x, y := zero+1+0x1p-12, zero-1-0x1p-11
	return x*x+y != 0
}

// difference lists the lines of want that got lacks, and those that it has instead.
func difference(want, got string) string {
	var b strings.Builder
	missing := func(sign, from, in string) {
		for line := range strings.Lines(from) {
			if !strings.Contains("\n"+in, "\n"+line) {
				b.WriteString(sign + line)
			}
		}
	}
	missing("- ", want, got)
	missing("+ ", got, want)
	return b.String()
}

// TestDifference is a test of the test: one bit of one result shows.
func TestDifference(t *testing.T) {
	one := &hashes{t: t}
	one.add("a", []float32{1, 2})
	one.add("b", []float32{3})
	other := &hashes{t: t}
	other.add("a", []float32{1, 2})
	other.add("b", []float32{math.Nextafter32(3, 4)})
	require.Empty(t, difference(one.String(), one.String()))
	changes := difference(one.String(), other.String())
	require.Equal(t, 2, strings.Count(changes, "\n"), changes)
	require.Contains(t, changes, "- ")
	require.Contains(t, changes, "+ ")
	require.NotContains(t, changes, " a\n")
}

// hashAll computes the works of a family with some workers, and returns a line for each.
func hashAll(t *testing.T, family func(*hashes), workers int) string {
	h := &hashes{t: t, workers: workers, team: parallel.NewTeam(workers)}
	h.team.Begin()
	defer h.team.End()
	family(h)
	return h.String()
}

// hashes collects the results of works. Results of the same name are hashed together.
type hashes struct {
	t       *testing.T
	workers int
	team    *parallel.Team
	names   []string
	sums    map[string]hash.Hash
	buf     bytes.Buffer
}

// add hashes a result, in the order of its elements.
func (h *hashes) add(name string, x []float32) {
	sum, ok := h.sums[name]
	if !ok {
		if h.sums == nil {
			h.sums = map[string]hash.Hash{}
		}
		sum = sha256.New()
		h.names, h.sums[name] = append(h.names, name), sum
	}
	h.buf.Reset()
	for _, v := range x {
		h.buf.Write(binary.LittleEndian.AppendUint32(h.buf.AvailableBuffer(), math.Float32bits(v)))
	}
	sum.Write(h.buf.Bytes())
}

// do ends the test if a work failed.
func (h *hashes) do(err error) {
	h.t.Helper()
	require.NoError(h.t, err)
}

// String has a line for each name: the first half of the hash, and the name.
func (h *hashes) String() string {
	var b strings.Builder
	for _, name := range h.names {
		fmt.Fprintf(&b, "%x  %s\n", h.sums[name].Sum(nil)[:16], name)
	}
	return b.String()
}

// data returns n numbers, different for each seed. They are shared: see fresh.
func data(seed uint64, n int) []float32 {
	if x := streams[seed]; len(x) < n {
		streams[seed] = testutil.Uniform(seed, n)
	}
	return streams[seed][:n:n]
}

// fresh returns a copy of data, to be written.
func fresh(seed uint64, n int) []float32 { return append([]float32(nil), data(seed, n)...) }

// streams are the longest data of each seed so far: to make them takes longer than many
// a product.
var streams = map[uint64][]float32{}
