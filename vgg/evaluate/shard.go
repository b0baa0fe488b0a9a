package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/shard"
)

// ShardInfo says what the Log of a shard is a part of. It stands in a file beside the
// log, <log>.shard.
type ShardInfo struct {
	Shard    shard.Shard  `json:"shard"`
	Origin   shard.Origin `json:"origin"`
	Run      string       `json:"run"` // the name that the log's lines have
	Protocol string       `json:"protocol"`
	Networks []string     `json:"networks"`
	Classes  []string     `json:"classes"` // the labels of the network's
	Paper    *PaperRow    `json:"paper,omitempty"`
	SHA256   string       `json:"sha256,omitempty"` // of the log when it was complete; empty before
}

// NewShardInfo describes a shard of data for networks whose hash is network.
func NewShardInfo(s shard.Shard, all *Data, members []Member, network, run string) ShardInfo {
	m := members[0].Model
	named := sha256.Sum256(fmt.Appendf(nil, "%s %q", all.Hash, all.Classes))
	info := ShardInfo{Shard: s, Origin: shard.Here(network, fmt.Sprintf("%x", named), all.N), Run: run, Protocol: members[0].Protocol.Name}
	for _, x := range members {
		info.Networks = append(info.Networks, x.String())
	}
	for class := range m.Config().Classes() {
		info.Classes = append(info.Classes, m.Label(class))
	}
	if row, ok := FindPaper(members); ok {
		info.Paper = &row
	}
	return info
}

func infoPath(log string) string { return log + ".shard" }

// Begin writes the info beside a log that is written or continued. It refuses a log that was
// begun with another info, for instance on another instruction set. Errors wrap
// shard.ErrMismatch or those of the file system.
func (i ShardInfo) Begin(log string) error {
	old, err := readInfo(log)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return i.write(log)
	case err != nil:
		return err
	}
	if d := old.Origin.Difference(i.Origin); d != "" {
		return fmt.Errorf("evaluate: %s was begun with other %s: %w", log, d, shard.ErrMismatch)
	}
	if old.Shard != i.Shard || old.Run != i.Run {
		return fmt.Errorf("evaluate: %s is shard %v of run %s, this is %v of %s: %w", log, old.Shard, old.Run, i.Shard, i.Run, shard.ErrMismatch)
	}
	return nil
}

// End writes the info beside a log that is complete.
func (i ShardInfo) End(log string) (err error) {
	if i.SHA256, err = fileHash(log); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	return i.write(log)
}

func (i ShardInfo) write(log string) error {
	return outfile.Write(infoPath(log), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(i)
	})
}

func readInfo(log string) (i ShardInfo, err error) {
	b, err := os.ReadFile(infoPath(log))
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(b, &i); err != nil || !i.Shard.Valid() || i.Origin.Pictures < i.Shard.Count || len(i.Classes) == 0 {
		return i, fmt.Errorf("evaluate: %s says nothing of a shard: %w", infoPath(log), ErrData)
	}
	return i, nil
}

func fileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// Merged is the result of all shards of an evaluation.
type Merged struct {
	Info   ShardInfo // of shard 0
	Result Result
}

// Merge joins the shards whose logs have the given paths, in any order. The result,
// and the file out, unless that is empty, are those of an evaluation of all data at
// once, bit for bit. It refuses shards of different networks, data, instruction sets or
// versions, and sets that are not whole. Memory does not depend on the number of
// pictures. Errors wrap shard.ErrMismatch, ErrData or those of the file system.
func Merge(ctx context.Context, logs []string, out string) (m Merged, err error) {
	infos, logs, err := readInfos(logs)
	if err != nil {
		return m, err
	}
	m.Info = infos[0]
	t := newTally(len(m.Info.Classes))
	join := func(w io.Writer) error {
		f := formOf(out)
		if _, err := w.Write(f.header()); err != nil {
			return err
		}
		for k, info := range infos {
			err := info.each(logs[k], func(o Outcome) error {
				t.add(o)
				line, err := f.line(info.Run, o)
				if err == nil {
					_, err = w.Write(line)
				}
				return errors.Join(err, ctx.Err())
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if out == "" {
		err = join(io.Discard)
	} else {
		err = outfile.Write(out, join)
	}
	if err != nil {
		return m, err
	}
	m.Result = t.result(func(class int) string { return m.Info.Classes[class] })
	m.Result.Paper = m.Info.Paper
	if m.Result.N == 0 {
		err = t.nothing("all shards")
	}
	return m, err
}

// readInfos reads the infos of logs and sorts both by the shards.
func readInfos(logs []string) (infos []ShardInfo, sorted []string, err error) {
	var parts []shard.Part
	list := make([]ShardInfo, len(logs))
	for k, log := range logs {
		if list[k], err = readInfo(log); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("evaluate: %s is no shard: %w", log, err)
			}
			return nil, nil, err
		}
		parts = append(parts, shard.Part{Name: log, Shard: list[k].Shard, Origin: list[k].Origin})
	}
	order, err := shard.Check(parts)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate: %w", err)
	}
	for _, k := range order {
		infos, sorted = append(infos, list[k]), append(sorted, logs[k])
		if list[k].SHA256 == "" {
			return nil, nil, fmt.Errorf("evaluate: %s is not complete: its shard %v is to be run again: %w", logs[k], list[k].Shard, shard.ErrMismatch)
		}
		if list[k].Run != list[order[0]].Run {
			return nil, nil, fmt.Errorf("evaluate: %s and %s are of different runs: %w", logs[order[0]], logs[k], shard.ErrMismatch)
		}
	}
	return infos, sorted, nil
}

// each calls f with the outcomes in the log of a shard, which must be as it was when
// the shard was complete.
func (i ShardInfo) each(log string, f func(Outcome) error) error {
	hash, err := fileHash(log)
	if err == nil && hash != i.SHA256 {
		err = fmt.Errorf("%s was changed after its shard was complete: %w", log, ErrData)
	}
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	file, err := os.Open(log)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	defer file.Close()
	l := &logged{r: file, name: log, form: formOf(log), run: i.Run}
	if l.old, err = outfile.Whole(file); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	n := 0
	for o, err := range l.Done() {
		if err == nil && !o.of(len(i.Classes)) {
			err = fmt.Errorf("evaluate: %s: %s is of no class of the network: %w", log, o.Path, ErrData)
		}
		if err == nil {
			err = f(o)
		}
		if err != nil {
			return err
		}
		n++
	}
	if first, end := i.Shard.Range(i.Origin.Pictures); n != end-first {
		return fmt.Errorf("evaluate: %s has %d pictures, shard %v has %d: %w", log, n, i.Shard, end-first, ErrData)
	}
	return nil
}
