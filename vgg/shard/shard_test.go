package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

func TestParse(t *testing.T) {
	s, err := Parse("3/8")
	require.NoError(t, err)
	require.Equal(t, Shard{3, 8}, s)
	require.Equal(t, "3/8", s.String())
	require.Equal(t, "00003-of-00008", s.Name())
	for _, bad := range []string{"", "3", "8/8", "-1/8", "0/0", "0/2000000", "a/b", "1/8/8", "99999999999999999999/8"} {
		_, err := Parse(bad)
		require.ErrorContains(t, err, "want i/n", bad)
	}
}

// TestRange: the shards of n inputs have each of them once, in order, and their sizes
// differ by one at most.
func TestRange(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1000, 1 << 40, 1<<63 - 1} {
		for _, count := range []int{1, 2, 3, 7, 64, Most} {
			next := 0
			for i := range min(count, 2000) {
				first, end := Shard{i, count}.Range(n)
				require.Equal(t, next, first, "%d of %d inputs in %d", i, n, count)
				require.Contains(t, []int{n / count, n/count + 1}, end-first)
				next = end
			}
			_, end := Shard{count - 1, count}.Range(n)
			require.Equal(t, n, end)
		}
	}
}

func TestCheck(t *testing.T) {
	here := Here("network", "data", 100)
	require.NotEmpty(t, here.ISA)
	require.NotEmpty(t, here.Version)
	var parts []Part
	rng := rand.New(rand.NewPCG(1, 2))
	for _, i := range rng.Perm(5) {
		parts = append(parts, Part{fmt.Sprint("part", i), Shard{i, 5}, here})
	}
	order, err := Check(parts)
	require.NoError(t, err)
	for shard, at := range order {
		require.Equal(t, shard, parts[at].Shard.Index)
	}
	fails := func(want string, change func(p *Part)) {
		t.Helper()
		list := append([]Part{}, parts...)
		change(&list[3])
		_, err := Check(list)
		require.ErrorIs(t, err, ErrMismatch)
		require.ErrorContains(t, err, want)
	}
	fails("networks", func(p *Part) { p.Origin.Network = "other" })
	fails("data", func(p *Part) { p.Origin.Data = "other" })
	fails("data", func(p *Part) { p.Origin.Pictures++ })
	fails("instruction sets", func(p *Part) { p.Origin.ISA = "other" })
	fails("versions", func(p *Part) { p.Origin.Version = "other" })
	fails("one of 6", func(p *Part) { p.Shard.Count = 6 })
	fails("the same shard", func(p *Part) { p.Shard = parts[2].Shard })
	fails("shard 7/5", func(p *Part) { p.Shard.Index = 7 })

	few := []Part{{"a", Shard{1, 9}, here}, {"b", Shard{5, 9}, here}, {"c", Shard{8, 9}, here}}
	_, err = Check(few)
	require.ErrorContains(t, err, "6 of 9 shards are missing: 0, 2-4, 6-7:")
	_, err = Check(nil)
	require.ErrorIs(t, err, ErrMismatch)
}

// TestNetwork: the hash changes with a weight, a label, the preparation and the
// algorithm, and with nothing else.
func TestNetwork(t *testing.T) {
	cfg, err := vgg.Lookup("A")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithSize(32).WithClasses(2)
	hash := func(seed uint64, opts ...vgg.Option) string {
		src, err := vgg.Seeded(cfg, seed)
		require.NoError(t, err)
		path := t.TempDir() + "/w.safetensors"
		require.NoError(t, vgg.Save(path, cfg, src, false, opts...))
		m, file := open(t, path, opts...)
		h, err := Network(m, file, "settings")
		require.NoError(t, err)
		other, err := Network(m, file, "others")
		require.NoError(t, err)
		require.NotEqual(t, h, other)
		return h
	}
	all := map[string]bool{}
	first := hash(1)
	require.Equal(t, first, hash(1))
	pic := vgg.DefaultPicture(32)
	pic.Side++
	for _, h := range []string{first, hash(2), hash(1, vgg.Labels([]string{"a", "b"})), hash(1, vgg.Pictures(pic)), hash(1, vgg.Direct())} {
		all[h] = true
	}
	require.Len(t, all, 5)
}
func open(t *testing.T, path string, opts ...vgg.Option) (*vgg.Model, weights.Source) {
	t.Helper()
	file, err := weights.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	m, err := vgg.FromFile(file, opts...)
	require.NoError(t, err)
	return m, file
}
