package similar

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/internal/half"
	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/weights"
)

// indexKey is the metadata of an index.
const indexKey = "nonet.similar"

// Options say how an index is built.
type Options struct {
	Network string // hash of the network: see shard.Network
	Layer   string // embedding if empty
	Half    bool   // keep embeddings in half precision
	Batch   int    // pictures at a time, 8 if 0. Results do not depend on it
	Workers int    // GOMAXPROCS if 0
	// OnPicture and OnWarning are those of extract.Job.
	OnPicture func(it extract.Item, earlier bool) error
	OnWarning func(*picture.Warning)
}

// layer returns the name of the layer.
func (o Options) layer() string {
	if o.Layer == "" {
		return "embedding"
	}
	return o.Layer
}

// Build computes the embeddings of all pictures of d and writes them to path, whose old
// file stands until the new one is whole. Meanwhile they grow in the directory
// <path>.part, from which a later Build goes on after a kill. Pictures that cannot be read
// are counted and left out. Errors are those of extract.Job.
func Build(ctx context.Context, path string, m *vgg.Model, d *extract.Data, o Options) (extract.Footer, error) {
	if err := outfile.Check(path); err != nil {
		return extract.Footer{}, err
	}
	dir := path + ".part"
	j := extract.Job{Dir: dir, Shard: shard.Whole, Spec: extract.Spec{Layers: []string{o.layer()}, Reduce: extract.Reduce{Normalize: true}},
		Format: format{o.Half}, Network: o.Network, Batch: o.Batch, Workers: o.Workers, OnPicture: o.OnPicture, OnWarning: o.OnWarning}
	r, err := j.Run(ctx, m, d)
	if err != nil {
		return r.Footer, err
	}
	target, err := outfile.Target(path)
	if err != nil {
		return r.Footer, err
	}
	if err := os.Rename(filepath.Join(dir, r.Files[0].Name), target); err != nil {
		return r.Footer, err
	}
	return r.Footer, os.RemoveAll(dir)
}

// about is what an index says of itself.
type about struct {
	Origin   shard.Origin `json:"origin"`
	Layer    string       `json:"layer"`
	Failed   int          `json:"failed"` // pictures that it leaves out
	Pictures int          `json:"pictures"`
}

// format writes a table as an index: the tensors embeddings [N][D], of length 1 or 0, and
// paths, lines of text.
type format struct{ half bool }

func (f format) Name() string {
	if f.half {
		return "index of half precision"
	}
	return "index"
}

func (format) Endings([]extract.Column) []string { return []string{".safetensors"} }

func (f format) Write(w io.Writer, _ int, t extract.Table) error {
	length := 0
	for rec, err := range t.Records {
		if err != nil {
			return err
		}
		length += len(collection.Quote(rec.Path)) + 1
	}
	column := t.Header.Columns[0]
	text, err := json.Marshal(about{t.Header.Origin, column.Name, t.Header.Origin.Pictures - t.Rows, t.Header.Origin.Pictures})
	if err != nil {
		return err
	}
	embeddings := weights.Out{Name: "embeddings", DType: weights.F32, Shape: []int{t.Rows, column.Len()}, Stream: func(w io.Writer) error { return rows(w, t, f.half) }}
	if f.half {
		embeddings.DType = weights.F16
	}
	paths := weights.Out{Name: "paths", DType: weights.U8, Shape: []int{length}, Stream: func(w io.Writer) error { return lines(w, t) }}
	return weights.Write(w, []weights.Out{embeddings, paths}, map[string]string{indexKey: string(text)})
}

// rows writes the embeddings.
func rows(w io.Writer, t extract.Table, short bool) error {
	var b []byte
	for rec, err := range t.Records {
		if err != nil {
			return err
		}
		b = append(b[:0], rec.Data...)
		if short {
			b = b[:0]
			for i := 0; i+4 <= len(rec.Data); i += 4 {
				v := math.Float32frombits(binary.LittleEndian.Uint32(rec.Data[i:]))
				b = binary.LittleEndian.AppendUint16(b, half.FromFloat32(v))
			}
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// lines writes the paths.
func lines(w io.Writer, t extract.Table) error {
	for rec, err := range t.Records {
		if err == nil {
			_, err = io.WriteString(w, collection.Quote(rec.Path)+"\n")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ErrOther is wrapped by Check's error about an index of other pictures, or by another
// network.
var ErrOther = errors.New("index of other pictures or another network")

// Check returns nil if the index is what Build would make of d and o, and else an error
// that wraps ErrOther and says in what they differ.
func (x *Index) Check(d *extract.Data, o Options, m *vgg.Model) error {
	now := shard.Here(o.Network, d.Hash, d.N)
	differs := x.about.Origin.Difference(now)
	want, err := m.Config().Until(o.layer())
	if err != nil {
		return err
	}
	have, err := m.Config().Until(x.Layer)
	switch {
	case differs != "":
	case err != nil || len(have.Layers) != len(want.Layers):
		differs = fmt.Sprintf("layers: %s and %s", x.Layer, o.layer())
	case x.Half != o.Half:
		differs = "precision"
	default:
		return nil
	}
	return fmt.Errorf("similar: %s was built for other %s: %w", x.file.Name(), differs, ErrOther)
}
