package evaluate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/stretchr/testify/require"
)

// runShard evaluates one shard of data as a program does, and returns the path of its log.
func runShard(t *testing.T, dir string, s shard.Shard, all *Data, m Member) string {
	t.Helper()
	log := filepath.Join(dir, s.Name()+".jsonl")
	info := NewShardInfo(s, all, []Member{m}, "network", "run")
	require.NoError(t, info.Begin(log))
	part, err := all.Shard(s)
	require.NoError(t, err)
	l, err := OpenLog(log, "run", true)
	require.NoError(t, err)
	_, err = Run(context.Background(), part, []Member{m}, Options{OnPicture: l.Append, Done: l.Done(), Part: true})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, info.End(log))
	return log
}

// shards evaluates all shards of data.
func shards(t *testing.T, dir string, count int, all *Data, m Member) (logs []string) {
	t.Helper()
	for i := range count {
		logs = append(logs, runShard(t, dir, shard.Shard{Index: i, Count: count}, all, m))
	}
	return logs
}

// TestMerge: shards in any order give the result and the file of one evaluation, and those
// that are not a whole set are refused.
func TestMerge(t *testing.T) {
	d, m, dir := folder(t, 2, "a", "b", "c"), member(t, model(t), "center"), t.TempDir()
	calm := filepath.Join(dir, "calm.csv")
	l, err := OpenLog(calm, "run", false)
	require.NoError(t, err)
	want, err := Run(context.Background(), d, []Member{m}, Options{OnPicture: l.Append})
	require.NoError(t, err)
	require.NoError(t, l.Close())

	logs := shards(t, dir, 3, d, m)
	out := filepath.Join(dir, "out.csv")
	for _, name := range []string{"", out} {
		got, err := Merge(context.Background(), []string{logs[2], logs[0], logs[1]}, name)
		require.NoError(t, err)
		require.Equal(t, want, got.Result)
		require.Equal(t, shard.Shard{Index: 0, Count: 3}, got.Info.Shard)
		require.Equal(t, []string{m.String()}, got.Info.Networks)
		require.Equal(t, "center", got.Info.Protocol)
		require.Equal(t, []string{"0", "1", "2"}, got.Info.Classes)
	}
	require.Equal(t, readText(t, calm), readText(t, out))

	_, err = Merge(context.Background(), logs[:2], "")
	require.ErrorIs(t, err, shard.ErrMismatch)
	_, err = Merge(context.Background(), nil, "")
	require.ErrorIs(t, err, shard.ErrMismatch)
	_, err = Merge(context.Background(), append(logs[:2:2], calm), "")
	require.ErrorContains(t, err, "is no shard")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Merge(ctx, logs, "")
	require.ErrorIs(t, err, context.Canceled)
	_, err = Merge(context.Background(), logs, filepath.Join(dir, "absent", "out.csv"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// TestMergeNothing: shards of which no picture could be measured are an error together.
func TestMergeNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "list.txt"), []byte("x.jpg a\ny.jpg b\n"), 0o600))
	d, err := Open(filepath.Join(dir, "list.txt"))
	require.NoError(t, err)
	defer d.Close()
	d.Classes = []string{"0", "1"}
	_, err = Merge(context.Background(), shards(t, dir, 2, d, member(t, model(t), "center")), "")
	require.ErrorIs(t, err, ErrData)
	require.ErrorContains(t, err, "none of the 2 pictures")
}

// TestShardLogs: a log that is not as its shard left it is refused.
func TestShardLogs(t *testing.T) {
	d, m := folder(t, 1, "a", "b", "c"), member(t, model(t), "center")
	for name, damage := range map[string]struct {
		do   func(t *testing.T, log string)
		want error
		text string
	}{
		"changed": {func(t *testing.T, log string) {
			require.NoError(t, os.WriteFile(log, []byte(readText(t, log)+"x"), 0o600))
		}, ErrData, "was changed after"},
		"absent":   {func(t *testing.T, log string) { require.NoError(t, os.Remove(log)) }, os.ErrNotExist, "evaluate: "},
		"no shard": {func(t *testing.T, log string) { require.NoError(t, os.Remove(infoPath(log))) }, os.ErrNotExist, "is no shard"},
		"begun": {func(t *testing.T, log string) {
			i, err := readInfo(log)
			require.NoError(t, err)
			i.SHA256 = ""
			require.NoError(t, i.write(log))
		}, shard.ErrMismatch, "is not complete"},
		"other run": {func(t *testing.T, log string) {
			i, err := readInfo(log)
			require.NoError(t, err)
			i.Run = "other"
			require.NoError(t, i.write(log))
		}, shard.ErrMismatch, "different runs"},
		"fewer lines": {func(t *testing.T, log string) {
			lines := strings.SplitAfter(readText(t, log), "\n")
			require.NoError(t, os.WriteFile(log, []byte(lines[0]), 0o600))
			i, err := readInfo(log)
			require.NoError(t, err)
			require.NoError(t, i.End(log))
		}, ErrData, "has 1 pictures, shard 1/2 has 2"},
		"other classes": {func(t *testing.T, log string) {
			require.NoError(t, os.WriteFile(log, []byte(strings.ReplaceAll(readText(t, log), `"class":`, `"class":7`)), 0o600))
			i, err := readInfo(log)
			require.NoError(t, err)
			require.NoError(t, i.End(log))
		}, ErrData, "is of no class of the network"},
		"words": {func(t *testing.T, log string) {
			require.NoError(t, os.WriteFile(infoPath(log), []byte("words"), 0o600))
		}, ErrData, "says nothing of a shard"},
		"no classes": {func(t *testing.T, log string) {
			i, err := readInfo(log)
			require.NoError(t, err)
			i.Classes = nil
			require.NoError(t, i.write(log))
		}, ErrData, "says nothing of a shard"},
		"few pictures": {func(t *testing.T, log string) {
			i, err := readInfo(log)
			require.NoError(t, err)
			i.Origin.Pictures = 1
			require.NoError(t, i.write(log))
		}, ErrData, "says nothing of a shard"},
	} {
		t.Run(name, func(t *testing.T) {
			logs := shards(t, t.TempDir(), 2, d, m)
			damage.do(t, logs[1])
			_, err := Merge(context.Background(), logs, "")
			require.ErrorIs(t, err, damage.want)
			require.ErrorContains(t, err, damage.text)
		})
	}
}

// TestBegin: a log goes on with the shard that it was begun with, and with no other.
func TestBegin(t *testing.T) {
	d, m, log := folder(t, 1, "a", "b", "c"), member(t, model(t), "center"), filepath.Join(t.TempDir(), "x.jsonl")
	info := NewShardInfo(shard.Shard{Index: 1, Count: 2}, d, []Member{m}, "network", "run")
	require.NoError(t, info.Begin(log))
	require.NoError(t, info.Begin(log), "once more")
	for _, change := range []func(i *ShardInfo){
		func(i *ShardInfo) { i.Origin.Network = "other" },
		func(i *ShardInfo) { i.Shard.Index = 0 },
		func(i *ShardInfo) { i.Shard.Count = 3 },
		func(i *ShardInfo) { i.Run = "other" },
	} {
		other := info
		change(&other)
		require.ErrorIs(t, other.Begin(log), shard.ErrMismatch)
	}
	require.ErrorIs(t, info.End(log), os.ErrNotExist, "there is no log")
	require.NoError(t, os.WriteFile(infoPath(log), []byte("{}"), 0o600))
	require.ErrorIs(t, info.Begin(log), ErrData)

	// The data are their paths and classes, in order.
	other := NewShardInfo(info.Shard, folder(t, 1, "a", "b", "d"), []Member{m}, "network", "run")
	require.NotEqual(t, info.Origin.Data, other.Origin.Data)
	require.Equal(t, d.N, info.Origin.Pictures)
	renamed := *d
	renamed.Classes = []string{"x", "y", "z"}
	require.NotEqual(t, info.Origin.Data, NewShardInfo(info.Shard, &renamed, []Member{m}, "network", "run").Origin.Data)
}
