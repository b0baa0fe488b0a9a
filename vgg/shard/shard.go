// Package shard cuts a list of inputs into parts that run on their own, on any
// machine and in any order, and checks that the parts belong together.
//
// Of n inputs shard i of k has those from ⌊i·n/k⌋ up to ⌊(i+1)·n/k⌋, so that the
// results of the shards, one after the other, are those of one run.
package shard

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/cpu"
)

// ErrMismatch is wrapped by errors about shards that do not belong together.
var ErrMismatch = errors.New("shards do not belong together")

// Most is the largest number of shards.
const Most = 1 << 20

// Shard is part Index, from 0, of Count parts.
type Shard struct{ Index, Count int }

// Whole is the only shard of one.
var Whole = Shard{0, 1}

// Parse reads "3/8": shard 3 of 8, which are numbered from 0 to 7.
func Parse(text string) (Shard, error) {
	index, count, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	s := Shard{i, n}
	if !ok || err1 != nil || err2 != nil || !s.Valid() {
		return Shard{}, fmt.Errorf("shard %q: want i/n, where n is at most %d and i is from 0 to n−1", text, Most)
	}
	return s, nil
}

// MarshalText is String.
func (s Shard) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is Parse.
func (s *Shard) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}

// Valid reports whether there is such a shard.
func (s Shard) Valid() bool {
	return s.Count >= 1 && s.Count <= Most && s.Index >= 0 && s.Index < s.Count
}

// String is the inverse of Parse.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Count) }

// Name is the shard as a part of a file's name: 00003-of-00008. Names sort in the
// order of the shards.
func (s Shard) Name() string { return fmt.Sprintf("%05d-of-%05d", s.Index, s.Count) }

// Range returns the first input of the shard and the one after its last, of n.
func (s Shard) Range(n int) (first, end int) {
	at := func(i int) int {
		hi, lo := bits.Mul64(uint64(i), uint64(n))
		q, _ := bits.Div64(hi, lo, uint64(s.Count)) // i ≤ Count, so q ≤ n
		return int(q)
	}
	return at(s.Index), at(s.Index + 1)
}

// Origin is what the results of a run depend on. Runs of the same origin give the
// same bits.
type Origin struct {
	Network  string `json:"network"`  // hash of the network and of how it is computed
	Data     string `json:"data"`     // hash of the names of all inputs, in order
	Pictures int    `json:"pictures"` // how many there are
	Version  string `json:"version"`  // of nonet
	ISA      string `json:"isa"`      // instruction set of the kernels
}

// Here is an Origin with the version of this program and the instruction set that
// its kernels use.
func Here(network, data string, pictures int) Origin {
	return Origin{Network: network, Data: data, Pictures: pictures, Version: Version(), ISA: cpu.Best().String()}
}

// Version returns the version of nonet in this program, with the commit if it is known.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	const module = "github.com/nonet-go/nonet"
	version, revision := info.Main.Version, ""
	for _, dep := range info.Deps {
		if dep.Path == module && info.Main.Path != module {
			version = dep.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = "+" + s.Value
		}
	}
	if strings.Contains(version, strings.TrimPrefix(revision, "+")) {
		revision = ""
	}
	return version + revision
}

// Difference says in what the other origin differs, or nothing.
func (o Origin) Difference(other Origin) string {
	switch {
	case o.Network != other.Network:
		return fmt.Sprintf("networks: %.12s and %.12s", o.Network, other.Network)
	case o.Data != other.Data || o.Pictures != other.Pictures:
		return fmt.Sprintf("data: %.12s of %d pictures and %.12s of %d", o.Data, o.Pictures, other.Data, other.Pictures)
	case o.ISA != other.ISA:
		return fmt.Sprintf("instruction sets: %s and %s (NONET_ISA caps what a machine uses)", o.ISA, other.ISA)
	case o.Version != other.Version:
		return fmt.Sprintf("versions of nonet: %s and %s", o.Version, other.Version)
	}
	return ""
}

// Part is a shard with a name for messages.
type Part struct {
	Name   string
	Shard  Shard
	Origin Origin
}

// Check returns the order in which parts are to be joined: order[i] is the place in
// parts of shard i. It refuses parts of different origins or counts, two of the same
// shard, and a set with missing ones, which it lists. Errors wrap ErrMismatch.
func Check(parts []Part) (order []int, err error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("there are no shards: %w", ErrMismatch)
	}
	first := parts[0]
	seen := map[int]int{}
	for i, p := range parts {
		if !p.Shard.Valid() {
			return nil, fmt.Errorf("%s: shard %v: %w", p.Name, p.Shard, ErrMismatch)
		}
		if d := first.Origin.Difference(p.Origin); d != "" {
			return nil, fmt.Errorf("%s and %s are of different %s: %w", first.Name, p.Name, d, ErrMismatch)
		}
		if p.Shard.Count != first.Shard.Count {
			return nil, fmt.Errorf("%s is one of %d shards, %s one of %d: %w", first.Name, first.Shard.Count, p.Name, p.Shard.Count, ErrMismatch)
		}
		if other, twice := seen[p.Shard.Index]; twice {
			return nil, fmt.Errorf("%s and %s are the same shard %v: %w", parts[other].Name, p.Name, p.Shard, ErrMismatch)
		}
		seen[p.Shard.Index] = i
	}
	if missing := first.Shard.Count - len(parts); missing > 0 {
		return nil, fmt.Errorf("%d of %d shards are missing: %s: %w", missing, first.Shard.Count, absent(seen, first.Shard.Count), ErrMismatch)
	}
	order = make([]int, len(parts))
	for shard, at := range seen {
		order[shard] = at
	}
	return order, nil
}

// absent lists the first of the shards that are not there, as ranges.
func absent(seen map[int]int, count int) string {
	var list []string
	for i := 0; i < count; i++ {
		if _, ok := seen[i]; ok {
			continue
		}
		begin := i
		for i+1 < count {
			if _, ok := seen[i+1]; ok {
				break
			}
			i++
		}
		text := strconv.Itoa(begin)
		if i > begin {
			text += "-" + strconv.Itoa(i)
		}
		if list = append(list, text); len(list) == 20 {
			list = append(list, "…")
			break
		}
	}
	return strings.Join(slices.Clip(list), ", ")
}
