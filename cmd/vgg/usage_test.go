package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/evaluate"
)

func TestManners(t *testing.T) {
	help := requireOK(t, "--help")
	require.Contains(t, help, "classify")
	require.Equal(t, help, requireOK(t), "no arguments")
	require.Equal(t, help, requireOK(t, "help"))
	require.Equal(t, requireOK(t, "classify", "--help"), requireOK(t, "help", "classify"))
	require.Contains(t, requireOK(t, "version"), isaName())
	require.Equal(t, requireOK(t, "version"), requireOK(t, "--version"))

	requireMisused(t, []string{"nonsense"}, "nonsense")
	requireMisused(t, []string{"nonsense"}, "help", "nonsense")
	requireMisused(t, []string{"--nonsense", "vgg classify --help"}, "classify", "x.png", "--nonsense")
	requireMisused(t, []string{"photos"}, "classify")
}

// TestSenselessNumbers: numbers that no command can follow are refused by the name of
// their flag, before anything is read.
func TestSenselessNumbers(t *testing.T) {
	for _, args := range [][]string{
		{"classify", "absent.png", "--top", "0"},
		{"classify", "absent.png", "--top", "-1"},
		{"classify", "absent.png", "--divide", "0"},
		{"infer", "--input", "absent", "--output", "y", "--batch", "0"},
		{"infer", "--input", "absent", "--output", "y", "--threads", "-1"},
		{"eval", "--data", "absent", "--batch", "-8"},
		{"eval", "--data", "absent", "--scales", "0"},
		{"eval", "--data", "absent", "--max-unreadable", "101"},
		{"eval", "--data", "absent", "--max-unreadable", "NaN"},
		{"bench", "--rounds", "0"},
		{"train", "--data", "absent", "-o", "y", "--momentum", "NaN"},
		{"train", "--data", "absent", "-o", "y", "--rate", "+Inf"},
	} {
		flag, value := args[len(args)-2], args[len(args)-1]
		requireMisused(t, []string{flag + " " + value}, append(args[:len(args)-2], flag+"="+value)...)
	}
}

// fullWriter is a disk without room.
type fullWriter struct{ room int }

func (w *fullWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	if w.room -= n; n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// TestLostOutput: a command whose output was not written has failed.
func TestLostOutput(t *testing.T) {
	dir := t.TempDir()
	photo := filepath.Join(dir, "p.png")
	writePhoto(t, photo, 40, 40, color.White)
	for _, args := range [][]string{
		{}, {"help", "eval"}, {"version"}, {"completion", "fish"}, {"summary"},
		{"classify", photo}, {"classify", photo, "--json"}, {"features", photo}, {"selftest"},
		{"bench", "--net", "8 F2", "--size", "16", "--rounds", "1"},
	} {
		for _, room := range []int{0, 10} {
			var e bytes.Buffer
			status := run(context.Background(), args, streams{&fullWriter{room}, &e})
			require.Equal(t, 1, status, "%v", args)
			require.Contains(t, e.String(), "no space left on device", "%v", args)
			require.Equal(t, 1, strings.Count(e.String(), "vgg: the output was not written"), "%v: %s", args, e.String())
		}
	}
}

func TestCompletion(t *testing.T) {
	require.Contains(t, requireOK(t, "completion", "fish"), "__fish_seen_subcommand_from classify' -l top")
	require.Contains(t, requireOK(t, "completion", "zsh"), "bashcompinit")
	requireMisused(t, []string{"csh"}, "completion", "csh")
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	script := requireOK(t, "completion", "bash") + `
		COMP_WORDS=(vgg cl) COMP_CWORD=1; _vgg; echo "${COMPREPLY[@]}"
		COMP_WORDS=(vgg classify --to) COMP_CWORD=2; _vgg; echo "${COMPREPLY[@]}"
		COMP_WORDS=(vgg classify ph) COMP_CWORD=2; _vgg; echo "${COMPREPLY[@]}"`
	out, err := exec.Command(bash, "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "classify\n--top\n\n", string(out))
}

// TestSentence: what is for programs stays out of the command's messages.
func TestSentence(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("vgg: fc6 takes 1×1: %w", vgg.ErrShape), "fc6 takes 1×1"},
		{fmt.Errorf("vgg: %w: two of %w", errors.New("x: y z"), vgg.ErrShape), "x: y z: two of wrong shape"},
		{fmt.Errorf("a.png: %w", fmt.Errorf("vgg: is wide: %w", vgg.ErrShape)), "a.png: is wide"},
		{fmt.Errorf("a.png: %w", vgg.ErrShape), "a.png: wrong shape"},
		{errors.New("the name says: wrong shape"), "the name says: wrong shape"},
	} {
		require.Equal(t, c.want, sentence(c.err))
	}
}

// overflowing is a network whose second layer's activations exceed float32.
func overflowing(t testing.TB) string {
	layers, err := vgg.ParseLayers("4 4 M F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "custom", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	path := filepath.Join(t.TempDir(), "overflowing.safetensors")
	require.NoError(t, vgg.Save(path, cfg, constant(1e30), false))
	return path
}

// constant is a source whose elements are all the same.
type constant float32

func (constant) Name() string { return "constant" }
func (constant) Release()     {}
func (c constant) Tensor(_ string, want []int) ([]float32, error) {
	n := 1
	for _, d := range want {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(c)
	}
	return x, nil
}

// TestNotFinite: a result that is not finite is an error that names picture and
// layer, and never part of JSON.
func TestNotFinite(t *testing.T) {
	w, photo := overflowing(t), filepath.Join(t.TempDir(), "p.png")
	writePhoto(t, photo, 8, 8, color.White)
	for _, json := range [][]string{nil, {"--json"}} {
		requireFails(t, []string{"p.png", "NaN or infinite", "conv1_2"}, append([]string{"classify", photo, "-w", w}, json...)...)
		requireFails(t, []string{"p.png", "NaN or infinite", "conv1_2"}, append([]string{"features", photo, "-w", w, "--layer", "conv1_2"}, json...)...)
		requireOK(t, append([]string{"features", photo, "-w", w, "--layer", "conv1_1"}, json...)...)
	}
	requireOK(t, "features", photo, "-w", w, "-o", filepath.Join(t.TempDir(), "f.safetensors"))
}

// TestNothingMeasured: an evaluation without a measured picture has no result.
func TestNothingMeasured(t *testing.T) {
	w, data := overflowing(t), numbered(t, 2)
	status, out, text := vggCmd("eval", "--data", data, "-w", w, "--by-index", "--json", "--max-unreadable", "100")
	require.Equal(t, 1, status)
	require.Empty(t, out)
	require.Contains(t, text, "none of the")
	require.Contains(t, text, "not a number")
}

// TestHugeEval: sizes that no memory holds are refused before anything is reserved.
func TestHugeEval(t *testing.T) {
	w, data := smallWeights(t, t.TempDir()), numbered(t, 1)
	huge := strconv.Itoa(math.MaxInt / 2)
	requireFails(t, []string{huge}, "eval", "--data", data, "-w", w, "--batch", huge)
	requireFails(t, []string{huge}, "eval", "--data", data, "-w", w, "--threads", huge)
}

// TestMaxUnreadable: the result is printed, and too many failures are one.
func TestMaxUnreadable(t *testing.T) {
	data, dir := numbered(t, 2), t.TempDir()
	w := smallWeights(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(data, "1", "bad.jpg"), []byte("words"), 0o600))
	args := []string{"eval", "--data", data, "-w", w, "--json"}
	status, out, text := vggCmd(args...)
	require.Equal(t, 1, status)
	require.Contains(t, text, "1 of 5 pictures could not be measured (20.00 %), more than --max-unreadable 1")
	require.Equal(t, 4, lastLine(t, out).N)
	requireOK(t, append(args, "--max-unreadable", "20")...)
	requireFails(t, []string{"--max-unreadable 19.9"}, append(args, "--max-unreadable", "19.9")...)
}

// TestResumeForeign: a file that is no log is left as it is.
func TestResumeForeign(t *testing.T) {
	for _, text := range []string{"precious", "precious\nwords", `{"run":"a"}`, `{"a":1}` + "\ntorn"} {
		for _, name := range []string{"x.jsonl", "x.csv"} {
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			l, err := evaluate.OpenLog(path, "r", true)
			if torn := name == "x.jsonl" && text == `{"run":"a"}`; torn { // the beginning of a line
				require.NoError(t, err)
				require.NoError(t, l.Close())
				continue
			}
			require.ErrorIs(t, err, evaluate.ErrData, "%s %q", name, text)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, text, string(b))
		}
	}
}
