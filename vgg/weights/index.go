package weights

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	maxIndex  = 16 << 20 // bytes of JSON
	maxShards = 1 << 10
)

// shardName matches the names of the files that an index names.
var shardName = regexp.MustCompile(`^(.+)-([0-9]{5})-of-([0-9]{5})(\.safetensors|\.bin)$`)

// checkShard returns an error for a file whose name says that it is a part of a network.
func checkShard(path string) error {
	m := shardName.FindStringSubmatch(filepath.Base(path))
	if m == nil || m[3] == "00001" {
		return nil
	}
	index := m[1] + m[4] + ".index.json"
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), index)); err != nil {
		index += ", which is not there"
	}
	return &Error{Detail: fmt.Sprintf("part %s of %s of a network, which is opened by its index %s", m[2], m[3], index), Err: ErrUnsupported}
}

// parseIndex reads the index of a network in several files, as Hugging Face writes it:
// weight_map gives the file of each tensor.
func (f *File) parseIndex() error {
	if f.size > maxIndex {
		return formatf("", "an index of %d bytes, want at most %d", f.size, maxIndex)
	}
	text, err := f.section(0, f.size)
	if err != nil {
		return err
	}
	if !json.Valid(text) {
		return formatf("", "begins with { and is no JSON: neither safetensors, torch, ONNX, Caffe nor an index")
	}
	shards, err := readIndex(text)
	if err != nil {
		return err
	}
	if len(shards) == 0 {
		return formatf("", "JSON without weight_map: neither weights nor the index of a network in several files")
	}
	return f.openShards(shards)
}

// readIndex returns the file of each tensor of an index.
func readIndex(text []byte) (shards map[string]string, err error) {
	var top struct {
		Map json.RawMessage `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &top); err != nil || top.Map == nil {
		return nil, nil
	}
	p := newParser(top.Map)
	shards = map[string]string{}
	p.object(func(name string) { shards[name] = p.string() })
	return shards, p.err
}

// openShards opens the files of an index in its folder, and makes f hold their tensors. Each
// file must have exactly the tensors that the index gives it.
func (f *File) openShards(shards map[string]string) error {
	if !f.path {
		return &Error{Detail: "an index, whose files are found only if it is opened by its path", Err: ErrUnsupported}
	}
	root, err := os.OpenRoot(filepath.Dir(f.name))
	if err != nil {
		return plain(err)
	}
	defer root.Close()
	open, entries := map[string]*File{}, map[string]entry{}
	for _, name := range sortedKeys(shards) {
		shard := open[shards[name]]
		if shard == nil {
			if shard, err = f.openShard(root, shards[name]); err != nil {
				return err
			}
			open[shards[name]] = shard
		}
		e, ok := shard.entries[name]
		if !ok {
			return formatf(name, "the index says that it is in %s, which has it not", quote(shards[name]))
		}
		if e.file == nil {
			e.file = shard
		}
		entries[name] = e
	}
	for _, file := range sortedKeys(open) {
		for _, name := range open[file].names {
			if shards[name] != file {
				return formatf(name, "is in %s, and the index does not say so", quote(file))
			}
		}
	}
	f.setEntries(entries)
	return f.mergeMetadata(open)
}

func (f *File) openShard(root *os.Root, name string) (*File, error) {
	if len(f.beside) == maxShards {
		return nil, formatf("", "more than %d files", maxShards)
	}
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\\x00") {
		return nil, formatf("", "the index names the file %s, want one in its folder", quote(name))
	}
	path := filepath.Join(filepath.Dir(f.name), name)
	shard, err := openIn(root, name, path)
	if err != nil {
		return nil, &Error{Detail: "the index names the file " + quote(name), Err: plain(err)}
	}
	f.beside = append(f.beside, shard)
	head, err := shard.section(0, min(shard.size, 1))
	if err == nil && len(head) > 0 && head[0] == '{' {
		err = formatf("", "an index in an index")
	}
	if err == nil {
		err = shard.parse()
	}
	if err != nil {
		return nil, inFile(path, err)
	}
	return shard, nil
}

// mergeMetadata adds the metadata of the shards.
func (f *File) mergeMetadata(shards map[string]*File) error {
	f.metadata = map[string]string{}
	for _, name := range sortedKeys(shards) {
		s := shards[name]
		if f.format != "" && f.format != s.format {
			return formatf("", "some of its files are %s and some %s", f.format, s.format)
		}
		f.format = s.format
		for key, value := range s.metadata {
			if have, ok := f.metadata[key]; ok && have != value {
				return formatf("", "its files have different metadata %s: %s and %s", quote(key), quote(have), quote(value))
			}
			f.metadata[key] = value
		}
	}
	return nil
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
