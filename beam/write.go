package beam

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/extract/parquet"
)

func init() {
	beam.RegisterType(reflect.TypeFor[shardFn]())
	beam.RegisterType(reflect.TypeFor[writeFn]())
	beam.RegisterType(reflect.TypeFor[failuresFn]())
	register.Iter1[Row]()
	register.Iter1[Failure]()
}

// formats are those of files of rows, by the endings of their names.
var formats = map[string]extract.Format{".jsonl": extract.JSONL, ".parquet": parquet.Format, ".tfrecord": TFRecord}

// CheckOutput returns an error for a name whose ending is that of no format.
func CheckOutput(name string) error {
	if _, ok := formats[path.Ext(name)]; !ok {
		return fmt.Errorf("beam: %s: want a name that ends with one of %s", name, strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	return nil
}

// Write writes the rows of Features for the same network and spec as a number of files
// on any filesystem that Beam has: name itself, or, for more than one file, with
// -00003-of-00008 before its ending. The ending says the format: .jsonl, .parquet or
// .tfrecord. Rows stand in the order of their keys, so that the files do not depend on
// bundles and workers; a worker needs the memory for one file. A file appears when it is
// whole, where the filesystem can rename. Write panics if files is not from 1 to 99999,
// or if name has another ending.
func Write(s beam.Scope, n Network, spec extract.Spec, rows beam.PCollection, name string, files int) {
	if err := CheckOutput(name); err != nil || files < 1 || files > 99999 {
		panic(fmt.Sprintf("beam: %d files: %v", files, err))
	}
	s = s.Scope("nonet.Write")
	grouped := beam.GroupByKey(s, beam.ParDo(s, &shardFn{files}, rows))
	beam.ParDo0(s, &writeFn{n, spec, name, files}, grouped)
}

// shardFn chooses a file by the key.
type shardFn struct{ Files int }

func (f *shardFn) ProcessElement(r Row) (int, Row) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, r.Key)
	return int(h.Sum64() % uint64(f.Files)), r
}

type writeFn struct {
	Network Network
	Spec    extract.Spec
	Name    string
	Files   int
}

func (f *writeFn) ProcessElement(ctx context.Context, shard int, next func(*Row) bool) error {
	e, err := newEngine(f.Network, f.Spec, DefaultBatch)
	if err != nil {
		return err
	}
	var rows []Row
	for r := (Row{}); next(&r); r = (Row{}) {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Key, b.Key) })
	t := extract.Table{Header: e.header(f.Spec), Rows: len(rows), Records: func(yield func(extract.Record, error) bool) {
		for i, r := range rows {
			if !yield(extract.Record{Item: extract.Item{Path: r.Key, Row: i}, Data: r.Data}, nil) {
				return
			}
		}
	}}
	ext := path.Ext(f.Name)
	name := f.Name
	if f.Files > 1 {
		name = fmt.Sprintf("%s-%05d-of-%05d%s", strings.TrimSuffix(f.Name, ext), shard, f.Files, ext)
	}
	return writeFile(ctx, name, func(w io.Writer) error { return formats[ext].Write(w, 0, t) })
}

// writeFile writes a file of one of Beam's filesystems.
func writeFile(ctx context.Context, name string, write func(io.Writer) error) error {
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return err
	}
	defer fs.Close()
	rename, ok := fs.(filesystem.Renamer)
	target := name
	if ok {
		target = fmt.Sprintf("%s.%016x.tmp", name, rand.Uint64())
	}
	f, err := fs.OpenWrite(ctx, target)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if ok && err == nil {
		err = rename.Rename(ctx, target, name)
	}
	if r, can := fs.(filesystem.Remover); ok && can && err != nil {
		_ = r.Remove(ctx, target) // the error before is the one that counts
	}
	return err
}

// WriteFailures writes failures as lines of JSON, in the order of their keys. If there
// are none there is no file.
func WriteFailures(s beam.Scope, name string, failures ...beam.PCollection) {
	s = s.Scope("nonet.WriteFailures")
	all := beam.Flatten(s, failures...)
	beam.ParDo0(s, &failuresFn{name}, beam.GroupByKey(s, beam.AddFixedKey(s, all)))
}

type failuresFn struct{ Name string }

func (f *failuresFn) ProcessElement(ctx context.Context, _ int, next func(*Failure) bool) error {
	var list []Failure
	for x := (Failure{}); next(&x); x = (Failure{}) {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Failure) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Error, b.Error)) })
	return writeFile(ctx, f.Name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for _, x := range list {
			if err := e.Encode(x); err != nil {
				return err
			}
		}
		return nil
	})
}
