package extract

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/shard"
)

// Verified is what the shards of a directory are together.
type Verified struct {
	Header   Header `json:"header"` // of shard 0
	Shards   int    `json:"shards"`
	Pictures int    `json:"pictures"`
	Failed   int    `json:"failed"`
	Failure  string `json:"failure,omitempty"` // of the first that failed
	Files    []File `json:"files"`
}

// Listed is one picture of all shards.
type Listed struct {
	Item
	Shard int      `json:"shard"`
	Files []string `json:"files,omitempty"` // that hold its row; none if it failed
}

// Verify checks that all shards of a directory are there and complete, are of the same
// network, data, instruction set, version and settings, and that their files have the
// content that was written. It calls list, unless that is nil, with every picture in
// the order of the data. Memory does not depend on their number. Errors wrap
// shard.ErrMismatch, ErrData, or those of the file system.
func Verify(ctx context.Context, dir string, list func(Listed) error) (*Verified, error) {
	manifests, err := manifests(dir)
	if err != nil {
		return nil, fmt.Errorf("extract: %s: %w", dir, err)
	}
	v := &Verified{Header: manifests[0].Header, Shards: len(manifests)}
	for _, m := range manifests {
		if d := v.Header.difference(m.Header); d != "" {
			return nil, fmt.Errorf("extract: %s and %s are of other %s: %w", manifests[0].path, m.path, d, shard.ErrMismatch)
		}
		var names []string
		for _, f := range m.Footer.Files {
			if err := verifyFile(ctx, dir, f); err != nil {
				return nil, err
			}
			names = append(names, f.Name)
		}
		v.add(m)
		if list == nil {
			continue
		}
		_, err := ReadManifest(m.path, func(it Item) error {
			l := Listed{it, m.Header.Shard.Index, names}
			if it.Row < 0 {
				l.Files = nil
			}
			return errors.Join(ctx.Err(), list(l))
		})
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *Verified) add(m *Manifest) {
	if v.Failed == 0 {
		v.Failure = m.Footer.Failure
	}
	v.Pictures += m.Footer.Pictures
	v.Failed += m.Footer.Failed
	v.Files = append(v.Files, m.Footer.Files...)
}

// manifests reads the manifests of a directory, in the order of the shards.
func manifests(dir string) ([]*Manifest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if ok, _ := filepath.Match("manifest.*-of-*.jsonl", e.Name()); ok {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("there are no manifests of shards: %w", ErrData)
	}
	var list []*Manifest
	var parts []shard.Part
	for _, path := range paths {
		m, err := ReadManifest(path, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
		parts = append(parts, shard.Part{Name: filepath.Base(path), Shard: m.Header.Shard, Origin: m.Header.Origin})
	}
	order, err := shard.Check(parts)
	if err != nil {
		return nil, err
	}
	var sorted []*Manifest
	for _, i := range order {
		sorted = append(sorted, list[i])
	}
	return sorted, nil
}

// verifyFile reads a file and compares.
func verifyFile(ctx context.Context, dir string, want File) error {
	f, err := os.Open(filepath.Join(dir, filepath.Base(want.Name)))
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n := int64(0)
	for err == nil {
		var k int64
		k, err = io.CopyN(h, f, 1<<22)
		n += k
		err = errors.Join(err, ctx.Err())
	}
	if !errors.Is(err, io.EOF) || ctx.Err() != nil {
		return err
	}
	if sum := fmt.Sprintf("%x", h.Sum(nil)); n != want.Bytes || sum != want.SHA256 {
		return fmt.Errorf("extract: %s has %d bytes with the SHA-256 %.12s, and had %d with %.12s when it was written: %w", f.Name(), n, sum, want.Bytes, want.SHA256, ErrData)
	}
	return nil
}

// AppendJSON appends the picture as a line of JSON.
func (l Listed) AppendJSON(b []byte) []byte {
	l.Item = l.quoted()
	text, _ := json.Marshal(l) // no value of a Listed fails
	return append(append(b, text...), '\n')
}

// Unquote returns the text of a path or an error in a list or a file of lines:
// control characters stand there as in Go's literals.
func Unquote(s string) string { return collection.Unquote(s) }
