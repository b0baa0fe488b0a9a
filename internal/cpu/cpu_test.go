package cpu

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	x86 := [len(names)]bool{AVX2: true, AVX512: true, VNNI: true}
	arm := [len(names)]bool{NEON: true}
	for _, c := range []struct {
		machine [len(names)]bool
		limit   string
		want    []ISA
	}{
		{x86, "", []ISA{Generic, AVX2, AVX512, VNNI}},
		{x86, "avx512vnni", []ISA{Generic, AVX2, AVX512, VNNI}},
		{x86, "avx512", []ISA{Generic, AVX2, AVX512}},
		{x86, "avx2", []ISA{Generic, AVX2}},
		{x86, "generic", []ISA{Generic}},
		{x86, "neon", []ISA{Generic}},
		{arm, "neon", []ISA{Generic, NEON}},
		{arm, "avx512", []ISA{Generic}},
		{[len(names)]bool{}, "avx512", []ISA{Generic}}, // a cap never adds
	} {
		got, err := choose(c.machine, c.limit)
		require.NoError(t, err)
		var list []ISA
		for i, ok := range got {
			if ok {
				list = append(list, ISA(i))
			}
		}
		require.Equal(t, c.want, list, "%v limited to %q", c.machine, c.limit)
	}
	_, err := choose(x86, "sse9")
	require.ErrorContains(t, err, `NONET_ISA="sse9"`)
}

// TestFeatures: what is chosen is among what is named.
func TestFeatures(t *testing.T) {
	t.Parallel()
	needs := map[ISA][]string{AVX2: {"avx", "avx2", "fma"}, AVX512: {"avx2", "avx512f", "avx512vl", "avx512bw", "avx512dq"}, NEON: {"asimd"}}
	require.Subset(t, Features(), needs[Best()])
}

// TestFeaturesWithoutKernels: what no kernel uses is named as well, and changes no choice.
func TestFeaturesWithoutKernels(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" || len(features()) == 0 {
		t.Skip("amd64 alone has such an extension")
	}
	require.True(t, slices.ContainsFunc(features(), func(f feature) bool { return f.name == "avxvnni" }))
}

// TestSwitchedOff takes one feature after the other away, as a user may, in a
// process of its own: no instruction set that needs the feature stays.
func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	const child = "NONET_TEST_PRINT_BEST"
	if os.Getenv(child) != "" {
		fmt.Printf("best: %v, VNNI: %t\n", Best(), Has(VNNI))
		return
	}
	if runtime.GOARCH != "amd64" || Best() == Generic {
		t.Skip("needs AVX2")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for feature, most := range map[string]ISA{
		"avx512f": AVX2, "avx512vl": AVX2, "avx512bw": AVX2, "avx512dq": AVX2,
		"avx512vnni": AVX512, "avx2": Generic, "fma": Generic,
	} {
		cmd := exec.Command(self, "-test.run", "^TestSwitchedOff$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "GODEBUG=cpu."+feature+"=off")
		out, err := cmd.CombinedOutput()
		if err != nil && strings.Contains(err.Error(), "exec format") {
			t.Skip("the test program runs in an emulator and can't start itself")
		}
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "best: "+min(most, Best()).String()+", VNNI: false", "without %s", feature)
	}
}

// TestRequired fails where an instruction set listed in NONET_REQUIRE_ISA
// (comma-separated) is absent, so that a run which means to test it cannot pass
// by skipping.
func TestRequired(t *testing.T) {
	t.Parallel()
	for name := range strings.SplitSeq(os.Getenv("NONET_REQUIRE_ISA"), ",") {
		if name == "" {
			continue
		}
		i := slices.Index(names[:], name)
		require.GreaterOrEqual(t, i, 0, "unknown instruction set %q", name)
		require.True(t, Has(ISA(i)), "%s is required but not available", name)
	}
}

// TestRequiredBest fails unless the instruction set that kernels are chosen for
// is the one that NONET_REQUIRE_BEST names.
func TestRequiredBest(t *testing.T) {
	if name := os.Getenv("NONET_REQUIRE_BEST"); name != "" {
		require.Equal(t, name, Best().String())
	}
}
