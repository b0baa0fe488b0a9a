package main

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// shortTraining is a command that trains two epochs of a few steps.
func shortTraining(data, out string, more ...string) []string {
	return append([]string{"train", "--data", data, "--out", out, "--net", "8 M 8 M F16 F2", "--size", "8", "--side", "8", "--batch", "8",
		"--epochs", "2", "--schedule", "constant", "--threads", "1"}, more...)
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func names(t testing.TB, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestTrainAgain: the same command again replaces nothing, and says what does.
func TestTrainAgain(t *testing.T) {
	data, dir := dataFolder(t, 12), t.TempDir()
	out := filepath.Join(dir, "w.safetensors")
	requireOK(t, shortTraining(data, out)...)
	require.ElementsMatch(t, []string{"w.safetensors", "w.safetensors.checkpoint"}, names(t, dir))
	weights, checkpoint := readFile(t, out), readFile(t, out+".checkpoint")
	requireFails(t, []string{"w.safetensors.checkpoint", "2 epochs and 0 steps", "--resume", "--overwrite"}, shortTraining(data, out)...)
	requireFails(t, []string{"Seed is 1 in the checkpoint and 2 now"}, shortTraining(data, out, "--resume", "--seed", "2")...)
	requireFails(t, []string{"other data", "24 pictures of " + data, "20 of "}, shortTraining(dataFolder(t, 10), out, "--resume")...)
	requireFails(t, []string{"--resume and --overwrite"}, shortTraining(data, out, "--resume", "--overwrite")...)
	require.Equal(t, weights, readFile(t, out))
	require.Equal(t, checkpoint, readFile(t, out+".checkpoint"))
	requireOK(t, shortTraining(data, out, "--resume", "--epochs", "3", "--threads", "2")...)
	requireOK(t, shortTraining(data, out, "--overwrite")...)
	require.Equal(t, weights, readFile(t, out))
}

// TestLateErrors: what would fail after the training fails before it.
func TestLateErrors(t *testing.T) {
	data, dir := dataFolder(t, 12), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	start := smallWeights(t, t.TempDir())
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"--curve", "c.gif", ".svg"}, shortTraining(data, file("w"), "--curve", file("c.gif"))},
		{[]string{"--curve", "c.svg", "no such file or directory"}, shortTraining(data, file("w"), "--curve", file("absent/c.svg"))},
		{[]string{"--log", "absent"}, shortTraining(data, file("w"), "--log", file("absent/log"))},
		{[]string{"--out", "absent"}, shortTraining(data, file("absent/w"), "--checkpoint", file("c"))},
		{[]string{"--checkpoint", "absent"}, shortTraining(data, file("w"), "--checkpoint", file("absent/c"))},
		{[]string{"--out", "directory"}, shortTraining(data, dir)},
		{[]string{"resize", "4"}, shortTraining(data, file("w"), "--side", "4")},
		{[]string{"--out and --checkpoint", "one file"}, shortTraining(data, file("w"), "--checkpoint", file("w"))},
		{[]string{"--log and --curve"}, shortTraining(data, file("w"), "--log", file("x.svg"), "--curve", file("x.svg"))},
		{[]string{"--out", "input"}, shortTraining(data, start, "--start", start)},
		{[]string{"--report", "absent"}, []string{"eval", "--data", data, "--report", file("absent/r")}},
		{[]string{"--plot", "absent"}, []string{"bench", "--config", "A", "--divide", "16", "--size", "32", "--plot", file("absent/p.svg")}},
		{[]string{"--output", "absent"}, []string{"features", file("no.png"), "-o", file("absent/f")}},
		{[]string{"--output", "input"}, []string{"infer", "--weights", start, "--input", start, "--output", start}},
		{[]string{"output", "absent"}, []string{"convert", start, file("absent/w")}},
	} {
		requireFails(t, c.words, c.args...)
		require.Empty(t, names(t, dir), "%v", c.args)
	}
}

// TestFailedPicture: a picture that cannot be drawn costs no weights.
func TestFailedPicture(t *testing.T) {
	data, dir := dataFolder(t, 12), t.TempDir()
	out, curve := filepath.Join(dir, "w"), filepath.Join(dir, "c.svg")
	var o, e bytes.Buffer
	// When the first epoch is told, a directory takes the picture's place.
	spoil := writerFunc(func(b []byte) (int, error) {
		_ = os.Mkdir(curve, 0o700) // the first time
		return o.Write(b)
	})
	status := run(context.Background(), shortTraining(data, out, "--curve", curve), streams{spoil, &e})
	require.Equal(t, 1, status)
	require.Contains(t, e.String(), "holds the weights")
	_, err := vgg.Open(out)
	require.NoError(t, err)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestWholeLog: however a log was torn, a run that goes on makes it whole, and leaves
// the lines of others alone.
func TestWholeLog(t *testing.T) {
	var history []train.Epoch
	for i := range 4 {
		history = append(history, train.Epoch{Epoch: i + 1, Rate: 0.1, Loss: 1 / float64(i+1), Seconds: float64(i)})
	}
	for _, name := range []string{"log.csv", "log"} {
		var lines []string
		l := &trainLog{path: name}
		for _, e := range history {
			line, err := l.line(e)
			require.NoError(t, err)
			lines = append(lines, line)
		}
		all := strings.Join(lines, "")
		other, err := l.line(train.Epoch{Epoch: 2, Loss: 9})
		require.NoError(t, err)
		head := ""
		if l.csv() {
			head = logHeader
		}
		before := head + lines[0] + lines[1] // of a run before
		for old, want := range map[string]string{
			"":                                      head + all,
			head + all:                              head + all,
			head + lines[0] + lines[1]:              head + all,
			head + lines[0] + lines[1][:5]:          head + all,
			head + lines[1] + lines[2]:              head + all,
			head + lines[0] + lines[2]:              head + all,
			before + lines[0]:                       before + all,
			head + lines[0] + other:                 head + lines[0] + other + all,
			head + other:                            head + other + all,
			head + "words\n" + lines[0] + "words":   head + "words\n" + all,
			head + lines[0] + "\x00\x00\n":          head + all, // of a crash of the machine
			head + lines[0] + "\x00" + lines[1][2:]: head + all,
		} {
			got, err := l.whole([]byte(old), history)
			require.NoError(t, err)
			require.Equal(t, want, string(got), "%q", old)
		}
	}

	// The command itself: its lines are lost, and come back.
	data, dir := dataFolder(t, 12), t.TempDir()
	log := filepath.Join(dir, "log.csv")
	args := shortTraining(data, filepath.Join(dir, "w"), "--log", log, "--resume")
	requireOK(t, args...)
	want := readFile(t, log)
	require.Equal(t, 3, bytes.Count(want, []byte("\n")))
	require.NoError(t, os.WriteFile(log, want[:len(want)-20], 0o600))
	requireOK(t, args...)
	require.Equal(t, want, readFile(t, log))
	require.NoError(t, os.Remove(log))
	requireOK(t, args...)
	require.Equal(t, want, readFile(t, log))
}

// TestTrainFlags: numbers that make no sense are refused by the flag's name.
func TestTrainFlags(t *testing.T) {
	for _, flag := range []string{"--momentum", "--rate", "--decay", "--dropout", "--factor", "--warmup", "--validation", "--colour"} {
		for _, x := range []string{"NaN", "Inf", "-Inf", "-1", "1e39"} {
			if x == "1e39" && !slices.Contains([]string{"--rate", "--decay"}, flag) {
				continue
			}
			status, _, err := vggCmd(shortTraining("absent", "y", flag+"="+x)...)
			require.Equal(t, 2, status, "%s %s: %s", flag, x, err)
			require.Contains(t, err, flag)
		}
	}
	for _, flag := range []string{"--epochs=0", "--batch=0", "--batch=1099511627776", "--micro=-1", "--every=0", "--patience=-1", "--save=-1s", "--threads=-1",
		"--cache=-1", "--cache=9223372036854775807", "--start-convs=-2", "--pad=-1", "--cutout=-1", "--side=-1", "--scale-min=-1", "--threads=1099511627776"} {
		name, _, _ := strings.Cut(flag, "=")
		status, _, err := vggCmd(shortTraining("absent", "y", flag)...)
		require.Equal(t, 2, status, "%s: %s", flag, err)
		require.Contains(t, err, name)
	}
}

// TestConvertOver: the input may be the output, and links and modes stay.
func TestConvertOver(t *testing.T) {
	dir := t.TempDir()
	w := smallWeights(t, dir)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Base(w), link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	require.NoError(t, os.Chmod(w, 0o600))
	before, err := os.Stat(w)
	require.NoError(t, err)
	requireOK(t, "convert", "--half", w, link)
	after, err := os.Stat(w)
	require.NoError(t, err)
	require.Less(t, after.Size(), before.Size())
	require.Equal(t, before.Mode(), after.Mode())
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink)
	photo := filepath.Join(dir, "p.png")
	writePhoto(t, photo, 9, 9, color.White)
	require.Contains(t, requireOK(t, "classify", photo, "-w", link), "%")
	require.Contains(t, fmt.Sprint(names(t, dir)), "link")
}
