package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/stretchr/testify/require"
)

// numbered makes a directory of n pictures in each of the classes 0 and 1.
func numbered(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for class := range 2 {
		require.NoError(t, os.Mkdir(filepath.Join(dir, fmt.Sprint(class)), 0o700))
		for i := range n {
			c := color.RGBA{uint8(150 - 50*class), uint8(100 + 50*class), uint8(60 + i), 255}
			writePhoto(t, filepath.Join(dir, fmt.Sprint(class), fmt.Sprintf("%03d.png", i)), 40+i%7, 33, c)
		}
	}
	return dir
}

// lastLine decodes the last line of what a command prints.
func lastLine(t testing.TB, out string) (r evalResult) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	return r
}

func TestEval(t *testing.T) {
	data, dir := numbered(t, 6), t.TempDir()
	w := smallWeights(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(data, "1", "bad.jpg"), []byte("words"), 0o600))
	for _, protocol := range evaluate.ProtocolNames() {
		args := []string{"eval", "--data", data, "-w", w, "--train-scale", "32-48", "--protocol", protocol, "--max-unreadable", "10", "--json"}
		alone := lastLine(t, requireOK(t, args...))
		require.Equal(t, 12, alone.N, protocol)
		require.Equal(t, 1, alone.Unreadable)
		require.Len(t, alone.Networks, 1)
		require.True(t, strings.HasPrefix(alone.Networks[0], "D/[32;48]/"), alone.Networks[0])

		fused := lastLine(t, requireOK(t, append(args, "--fuse", w+"@32-48")...))
		require.Len(t, fused.Networks, 2)
		fused.Networks = alone.Networks
		require.Equal(t, alone, fused, "a network fused with itself")
	}
	// What is written as it goes, and the report.
	out, report := filepath.Join(dir, "out.csv"), filepath.Join(dir, "report.json")
	text := requireOK(t, "eval", "--data", data, "-w", w, "--scales", "32,40", "--protocol", "single", "--out", out, "--report", report, "--verbose", "--max-unreadable", "7.7")
	require.Contains(t, text, "with 95 % confidence")
	require.Equal(t, 12, strings.Count(text, ".png: "))
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, 14, bytes.Count(b, []byte("\n")))
	b, err = os.ReadFile(report)
	require.NoError(t, err)
	var r evalResult
	require.NoError(t, json.Unmarshal(b, &r))
	require.Len(t, r.Confusion, 10)
	require.Equal(t, 6, r.Classes[1].N)
	require.Equal(t, []string{"D/36/32,40"}, r.Networks)

	requireFails(t, []string{"out.csv", "--resume"}, "eval", "--data", data, "-w", w, "--out", out)
	requireFails(t, []string{"another run"}, "eval", "--data", data, "-w", w, "--out", out, "--resume")
	requireFails(t, []string{"--out"}, "eval", "--data", data, "-w", w, "--resume")
	requireFails(t, []string{"multi-crop+dense"}, "eval", "--data", data, "-w", w, "--protocol", "none")
	requireFails(t, []string{"less than 32"}, "eval", "--data", data, "-w", w, "--protocol", "single", "--scales", "31")
	requireFails(t, []string{"absent"}, "eval", "--data", data, "-w", w, "--fuse", filepath.Join(dir, "absent@256"))
	requireFails(t, []string{"training scale"}, "eval", "--data", data, "-w", w, "--train-scale", "big")
}

// TestEvalClasses evaluates a list with numbers for classes.
func TestEvalClasses(t *testing.T) {
	data, dir := numbered(t, 2), t.TempDir()
	cfg, err := vgg.Lookup("A")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithClasses(3).WithSize(32)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	w := filepath.Join(dir, "a.safetensors")
	require.NoError(t, vgg.Save(w, cfg, src, false, vgg.Labels([]string{"n01440764 tench, Tinca tinca", "n01443537 goldfish", "n01484850 great white shark"})))
	list, names := filepath.Join(dir, "list.txt"), filepath.Join(dir, "names.txt")
	require.NoError(t, os.WriteFile(list, []byte(data+"/0/000.png 2\n"+data+"/1/001.png 0\n"), 0o600))
	require.NoError(t, os.WriteFile(names, []byte("n01443537\nx\nn01484850\n"), 0o600))

	requireFails(t, []string{"0, …", "tench"}, "eval", "--data", list, "-w", w)
	class := func(args ...string) (classes []int) {
		lines := strings.Split(strings.TrimSpace(requireOK(t, append([]string{"eval", "--data", list, "-w", w, "--verbose", "--json"}, args...)...)), "\n")
		for _, l := range lines[:2] {
			var o evaluate.Outcome
			require.NoError(t, json.Unmarshal([]byte(l), &o))
			classes = append(classes, o.Class)
		}
		return classes
	}
	require.Equal(t, []int{2, 0}, class("--by-index"))
	require.Equal(t, []int{2, 1}, class("--class-names", names))
}

// TestEvalKill kills an evaluation at random moments. In the end each
// picture is counted once, and result and file are those of a run that nobody
// disturbed.
func TestEvalKill(t *testing.T) {
	wanted := killCount(t)
	const n = 100 // pictures of each class
	data, dir := numbered(t, n), t.TempDir()
	w, calm, killed := smallWeights(t, dir), filepath.Join(dir, "calm.jsonl"), filepath.Join(dir, "killed.jsonl")
	args := func(out string) []string {
		return []string{"eval", "--data", data, "-w", w, "--train-scale", "32-48", "--protocol", "multi-crop", "--json", "--out", out, "--resume"}
	}
	want := requireOK(t, args(calm)...)
	k, ended, moments := newKiller(t), 0, map[int]bool{}
	for k.watch = killed; k.kills < wanted || len(moments) < 4; { // while pictures are computed
		if k.run(args(killed)...) {
			require.Equal(t, readFile(t, calm), readFile(t, killed))
			require.NoError(t, os.Remove(killed))
			ended++
			require.Less(t, ended, 10+20*wanted, "evaluations end before they are killed")
			continue
		}
		b, err := os.ReadFile(killed)
		if err == nil {
			moments[bytes.Count(b, []byte("\n"))] = true
		}
	}
	t.Logf("killed %d times, at %d different pictures; %d evaluations ended between", k.kills, len(moments), ended)
	require.Equal(t, want, requireOK(t, args(killed)...))
	require.Equal(t, 2*n, lastLine(t, want).N)
	a, err := os.ReadFile(calm)
	require.NoError(t, err)
	b, err := os.ReadFile(killed)
	require.NoError(t, err)
	require.Equal(t, 2*n, bytes.Count(b, []byte("\n")))
	require.True(t, bytes.Equal(a, b))
	require.Equal(t, want, requireOK(t, args(killed)...), "nothing is left to do")
}

// TestFingerprint: a weight in the middle of a large file tells two runs apart.
func TestFingerprint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	sum := func(middle byte) string {
		data := make([]byte, 3<<20)
		data[len(data)/2] = middle
		require.NoError(t, os.WriteFile(path, data, 0o600))
		h := sha256.New()
		require.NoError(t, fingerprint(h, path))
		return string(h.Sum(nil))
	}
	require.NotEqual(t, sum(0), sum(1))
}
