package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// contents returns the files of a directory by their names.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, name := range names(t, dir) {
		m[name] = string(readFile(t, filepath.Join(dir, name)))
	}
	return m
}

func TestExtract(t *testing.T) {
	data, dir := numbered(t, 6), t.TempDir()
	w := smallWeights(t, dir)
	args := func(out string, more ...string) []string {
		return append([]string{"extract", "--data", data, "-w", w, "--layer", "conv3_2,fc7", "--pool", "avg", "--top", "2", "--out", filepath.Join(dir, out)}, more...)
	}
	for _, format := range []string{"safetensors", "npy", "parquet", "jsonl"} {
		text := requireOK(t, args(format, "--format", format)...)
		require.Contains(t, text, "12 pictures (0 failed)")
		require.Contains(t, requireOK(t, args(format, "--format", format)...), "they were there")
	}
	require.Equal(t, []string{"features.00000-of-00001.class.npy", "features.00000-of-00001.conv3_2.npy", "features.00000-of-00001.fc7.npy",
		"features.00000-of-00001.probability.npy", "manifest.00000-of-00001.jsonl"}, names(t, filepath.Join(dir, "npy")))

	for _, i := range []string{"2/3", "0/3"} {
		requireOK(t, args("shards", "--shard", i)...)
	}
	shards := filepath.Join(dir, "shards")
	requireFails(t, []string{"1 of 3 shards are missing: 1"}, "merge", shards)
	requireOK(t, args("shards", "--shard", "1/3")...)
	list := filepath.Join(dir, "list.jsonl")
	require.Contains(t, requireOK(t, "merge", shards, "--out", list), "3 shards, 12 pictures (0 failed), 3 files")
	lines := strings.Split(strings.TrimSpace(string(readFile(t, list))), "\n")
	require.Len(t, lines, 12)
	var l struct {
		Path  string
		Row   int
		Files []string
	}
	require.NoError(t, json.Unmarshal([]byte(lines[4]), &l))
	require.Equal(t, "0/004.png", l.Path)
	require.Zero(t, l.Row)
	require.Equal(t, []string{"features.00001-of-00003.safetensors"}, l.Files)

	require.NoError(t, os.WriteFile(filepath.Join(data, "1", "bad.jpg"), []byte("words"), 0o600))
	requireFails(t, []string{"of other data"}, args("shards", "--shard", "1/3")...)
	for range 2 { // a shard that is there fails again
		requireFails(t, []string{"1 of 13 pictures", "--max-unreadable"}, args("bad")...)
	}
	requireFails(t, []string{"bad.jpg"}, args("others")...)
	out := requireOK(t, args("bad", "--max-unreadable", "10", "--json")...)
	require.Contains(t, out, `"failed":1`)
	require.Contains(t, out, `"there":true`)
	requireFails(t, []string{"other settings"}, args("bad", "--normalize")...)
	requireFails(t, []string{"--layer", "--top"}, "extract", "--data", data, "-w", w, "--out", dir)
	requireFails(t, []string{"want the files"}, "merge", shards, shards)
	requireMisused(t, []string{"shard", "3/3"}, args("x", "--shard", "3/3")...)
	requireMisused(t, []string{"sum", "none, avg, max"}, "extract", "--data", data, "--layer", "fc7", "--pool", "sum", "--out", dir)
}

// TestExtractEmbedded needs no weights.
func TestExtractEmbedded(t *testing.T) {
	data, out := numbered(t, 2), t.TempDir()
	requireOK(t, "extract", "--data", data, "--top", "3", "--format", "jsonl", "--out", out)
	require.Contains(t, string(readFile(t, filepath.Join(out, "features.00000-of-00001.jsonl"))), `"label":["`)
}

// TestExtractKill kills shards at random moments. In the end their files are those of
// a run that nobody disturbed.
func TestExtractKill(t *testing.T) {
	wanted := killCount(t)
	data, dir := numbered(t, 200), t.TempDir()
	w := smallWeights(t, dir)
	args := func(out string, i int) []string {
		return []string{"extract", "--data", data, "-w", w, "--layer", "conv3_2,fc7", "--batch", "2", "--out", filepath.Join(dir, out), "--shard", fmt.Sprint(i, "/3")}
	}
	for i := range 3 {
		requireOK(t, args("calm", i)...)
	}
	want := contents(t, filepath.Join(dir, "calm"))
	require.Len(t, want, 6)
	k := newKiller(t)
	rounds, moments := 0, map[int64]bool{}
	for k.kills < wanted || len(moments) < 3 { // while pictures are computed
		rounds++
		require.Less(t, rounds, 10+20*wanted, "shards end before they are killed")
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "killed")))
		for i := range 3 {
			k.watch = filepath.Join(dir, "killed", fmt.Sprintf("features.%05d-of-00003.part", i))
			for !k.run(args("killed", i)...) {
				if info, err := os.Stat(k.watch); err == nil {
					moments[info.Size()] = true
				}
			}
		}
		got := contents(t, filepath.Join(dir, "killed"))
		for name := range got {
			if strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".tmp") { // they mean nothing
				delete(got, name)
			}
		}
		require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
		for name := range want {
			require.True(t, want[name] == got[name], name)
		}
	}
	requireOK(t, "merge", filepath.Join(dir, "killed"))
	t.Logf("killed %d times in %d rounds of 3 shards, with parts of %d different sizes", k.kills, rounds, len(moments))
}

// TestEvalShards: what merge makes of shards is what one evaluation prints and writes.
func TestEvalShards(t *testing.T) {
	data, dir := numbered(t, 7), t.TempDir()
	w := smallWeights(t, dir)
	for _, name := range []string{"000.png", "001.png", "002.png"} { // one shard has nothing else
		require.NoError(t, os.WriteFile(filepath.Join(data, "0", name), []byte("words"), 0o600))
	}
	for _, format := range []string{"log.jsonl", "log.csv"} {
		args := func(out string, more ...string) []string {
			return append([]string{"eval", "--data", data, "-w", w, "--scales", "32,40", "--protocol", "single", "--max-unreadable", "100", "--out", filepath.Join(dir, out+format)}, more...)
		}
		one, report := requireOK(t, args("one", "--report", filepath.Join(dir, "report"))...), readFile(t, filepath.Join(dir, "report"))
		oneJSON := requireOK(t, args("one", "--resume", "--json")...)
		var shards []string
		for _, i := range []int{3, 1, 0, 2} {
			name := fmt.Sprint("shard", i)
			requireOK(t, args(name, "--shard", fmt.Sprint(i, "/4"))...)
			requireOK(t, args(name, "--shard", fmt.Sprint(i, "/4"))...) // nothing is left to do
			shards = append(shards, filepath.Join(dir, name+format))
		}
		merged := filepath.Join(dir, "merged"+format)
		merge := append([]string{"merge", "--max-unreadable", "100", "--out", merged, "--report", filepath.Join(dir, "mergedReport")}, shards...)
		require.Equal(t, one, requireOK(t, merge...))
		require.Equal(t, oneJSON, requireOK(t, append(merge, "--json")...))
		require.Equal(t, readFile(t, filepath.Join(dir, "one"+format)), readFile(t, merged))
		require.Equal(t, report, readFile(t, filepath.Join(dir, "mergedReport")))

		requireFails(t, []string{"14 pictures", "--max-unreadable"}, append([]string{"merge"}, shards...)...)
		requireFails(t, []string{"2 of 4 shards are missing: 0, 2"}, "merge", shards[0], shards[1])
		requireFails(t, []string{"the same shard"}, "merge", shards[0], shards[0])
		requireFails(t, []string{"is no shard"}, "merge", filepath.Join(dir, "one"+format))
		requireFails(t, []string{"is shard 3/4"}, args("shard3", "--shard", "2/4")...)
		requireFails(t, []string{"other networks"}, args("shard3", "--shard", "3/4", "--algorithm", "direct")...)

		// Of another instruction set, not complete, changed.
		info := shards[0] + ".shard"
		text := readFile(t, info)
		change := func(old, now, want string) {
			t.Helper()
			require.Contains(t, string(text), old)
			require.NoError(t, os.WriteFile(info, []byte(strings.Replace(string(text), old, now, 1)), 0o600))
			requireFails(t, []string{want}, append([]string{"merge"}, shards...)...)
			require.NoError(t, os.WriteFile(info, text, 0o600))
		}
		change(`"isa": "`, `"isa": "x`, "instruction sets")
		change(`"version": "`, `"version": "x`, "versions")
		change(`"sha256"`, `"other"`, "is not complete")
		change(`"data": "`, `"data": "x`, "different data")
		change(`"shard": "3/4"`, `"shard": "9/4"`, "says nothing of a shard")
		change(`"sha256": "`, `"sha256": "x`, "was changed")
	}
}

// TestEvalShardsKill kills the shards of an evaluation.
func TestEvalShardsKill(t *testing.T) {
	wanted := killCount(t)
	data, dir := numbered(t, 40), t.TempDir()
	w := smallWeights(t, dir)
	args := func(out string, more ...string) []string {
		return append([]string{"eval", "--data", data, "-w", w, "--scales", "32,40", "--protocol", "multi-crop", "--batch", "10", "--json", "--out", filepath.Join(dir, out)}, more...)
	}
	want := requireOK(t, args("one.jsonl")...)
	k, rounds := newKiller(t), 0
	for k.kills < wanted {
		rounds++
		require.Less(t, rounds, 10+20*wanted, "shards end before they are killed")
		merge := []string{"merge", "--json", "--out", filepath.Join(dir, "merged.jsonl")}
		for i := range 3 {
			log := fmt.Sprintf("%d-%d.jsonl", rounds, i)
			for !k.run(args(log, "--shard", fmt.Sprint(i, "/3"))...) {
			}
			merge = append(merge, filepath.Join(dir, log))
		}
		require.Equal(t, want, requireOK(t, merge...))
		require.Equal(t, readFile(t, filepath.Join(dir, "one.jsonl")), readFile(t, filepath.Join(dir, "merged.jsonl")))
	}
	t.Logf("killed %d times in %d rounds of 3 shards", k.kills, rounds)
}

// killedOnce runs its arguments, of which the last is a shard, and kills them as soon as
// there is a part of a result, but not a second time.
const killedOnce = `"$@" & run=$!
for shard; do :; done
part="$0/out/features.0000${shard%%/*}-of-00003.part"
if mkdir "$0/killed${shard%%/*}" 2>/dev/null; then
	until [ -s "$part" ] || ! kill -0 $run; do sleep 0.002; done
	kill -9 $run
fi
wait $run`

// TestXargs runs shards as docs/scale.md says, two at a time. All of them are killed, and
// the same line of xargs goes on where they were.
func TestXargs(t *testing.T) {
	xargs, err := exec.LookPath("xargs")
	if err != nil {
		t.Skip("there is no xargs")
	}
	data, dir := numbered(t, 100), t.TempDir()
	w := smallWeights(t, t.TempDir())
	exe, err := os.Executable()
	require.NoError(t, err)
	run := func(out string, before ...string) error {
		args := append(append([]string{"-P", "2", "-I{}"}, before...), exe, "extract", "--data", data, "-w", w, "--layer", "conv3_2", "--threads", "1", "--batch", "1", "--out", out, "--shard", "{}/3")
		cmd := exec.Command(xargs, args...)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		cmd.Stdin = strings.NewReader("0\n1\n2\n")
		text, err := cmd.CombinedOutput()
		t.Logf("%s", text)
		return err
	}
	require.NoError(t, run(filepath.Join(dir, "calm")))
	want := contents(t, filepath.Join(dir, "calm"))
	out := ""
	for parts := []string(nil); len(parts) == 0; { // a shard may end before it is killed
		out = filepath.Join(t.TempDir(), "out")
		err = run(out, "sh", "-c", killedOnce, filepath.Dir(out))
		parts, _ = filepath.Glob(filepath.Join(out, "*.part"))
	}
	require.Error(t, err, "a shard was killed midway")
	require.NoError(t, run(out, "sh", "-c", killedOnce, filepath.Dir(out)))
	got := contents(t, out)
	for name := range want {
		require.True(t, want[name] == got[name], name)
	}
	require.Contains(t, requireOK(t, "merge", out), "3 shards, 200 pictures (0 failed)")
}

// TestDeploy parses the commands of the files for schedulers.
func TestDeploy(t *testing.T) {
	job := string(readFile(t, "../../deploy/kubernetes/extract-job.yaml"))
	var args []string
	for line := range strings.Lines(job) {
		if arg, ok := strings.CutPrefix(strings.TrimSpace(line), "- --"); ok {
			args = append(args, strings.Replace("--"+arg, "$(JOB_COMPLETION_INDEX)", "63", 1))
		}
	}
	require.Len(t, args, 6)
	requireParses(t, append([]string{"extract"}, args...)...)
	for _, command := range []string{"extract", "eval"} {
		text := string(readFile(t, "../../deploy/slurm/"+command+".sbatch"))
		require.Contains(t, text, "\nexec vgg "+command+" \"$@\" --threads ")
		require.Contains(t, text, ` --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"`)
	}
}

func requireParses(t testing.TB, args ...string) {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Name("vgg"), kong.Exit(func(int) {}))
	require.NoError(t, err)
	_, err = parser.Parse(args)
	require.NoError(t, err)
}
