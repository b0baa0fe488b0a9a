package similar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/weights"
)

// ErrShape is wrapped by errors about embeddings of the wrong size. It is the ErrShape of
// every package of this module.
var ErrShape = shape.Err

// Index holds the embeddings of pictures, packed for package gemm. It is immutable and
// may be used by several goroutines, but not while it is closed.
type Index struct {
	Paths  []string // of the pictures in their collection
	Dim    int      // of an embedding
	Half   bool     // embeddings are kept in half precision
	Layer  string   // whose activation they are
	Failed int      // pictures of the collection that it leaves out

	about      about
	file       *weights.File
	embeddings weights.Tensor
	linear     *gemm.Linear
}

// Open reads an index that Build has written, and packs it with a number of workers. The
// packed embeddings take as much memory as the file. Errors wrap weights.ErrFormat for other files, or are those
// of package weights.
func Open(path string, workers int) (*Index, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	x := &Index{file: f}
	if err := x.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("similar: %s: %w", path, err), f.Close())
	}
	if err := x.pack(workers); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return x, nil
}

// read reads all but the embeddings.
func (x *Index) read() (err error) {
	if err := json.Unmarshal([]byte(x.file.Metadata()[indexKey]), &x.about); err != nil {
		return fmt.Errorf("it is no index of pictures: %w", weights.ErrFormat)
	}
	if x.embeddings, err = x.file.Tensor("embeddings"); err != nil {
		return err
	}
	paths, err := x.file.Tensor("paths")
	if err != nil {
		return err
	}
	s, t := x.embeddings.Shape, x.embeddings.DType
	if len(s) != 2 || s[1] < 1 || t != weights.F32 && t != weights.F16 || len(paths.Data) == 0 && s[0] > 0 {
		return fmt.Errorf("embeddings %s of shape %v: %w", t, s, weights.ErrFormat)
	}
	x.Dim, x.Half, x.Layer, x.Failed = s[1], t == weights.F16, x.about.Layer, x.about.Failed
	for line := range strings.Lines(string(paths.Data)) {
		x.Paths = append(x.Paths, extract.Unquote(strings.TrimSuffix(line, "\n")))
	}
	if len(x.Paths) != s[0] || s[0] == 0 {
		return fmt.Errorf("%d paths of %d embeddings: %w", len(x.Paths), s[0], weights.ErrFormat)
	}
	return nil
}

// pack packs the embeddings.
func (x *Index) pack(workers int) error {
	return x.packRows(workers, func(dst []float32, first int) error {
		if err := x.Vectors(dst, first); err != nil {
			return err
		}
		if i := weights.NotFinite(dst); i >= 0 {
			return fmt.Errorf("similar: %s: the embedding of %s is not finite: %w", x.file.Name(), x.Paths[first+i/x.Dim], weights.ErrFormat)
		}
		return nil
	})
}

// packRows packs embeddings that read gives.
func (x *Index) packRows(workers int, read func(dst []float32, first int) error) (err error) {
	var opts []gemm.Option
	if x.Half {
		opts = append(opts, gemm.Half())
	}
	x.linear, err = gemm.NewLinearFrom(x.Dim, len(x.Paths), read, nil, parallel.NewTeam(workers), opts...)
	return err
}

// Close ends the use of the index.
func (x *Index) Close() error { return x.file.Close() }

// Len returns how many pictures the index has.
func (x *Index) Len() int { return len(x.Paths) }

// Vectors sets dst to whole embeddings, of which the first is that of picture first.
func (x *Index) Vectors(dst []float32, first int) error {
	if len(dst)%x.Dim != 0 || first < 0 || first > x.Len()-len(dst)/x.Dim {
		return shape.Errorf("similar: %d values from embedding %d on, want whole ones of %d of the %d there are", len(dst), first, x.Dim, x.Len())
	}
	return x.embeddings.Float32sAt(dst, first*x.Dim)
}

// Normalize divides an embedding by its length, as those of an index are. Zeros stay as
// they are.
func Normalize(x []float32) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return
	}
	length := math.Sqrt(sum)
	for i, v := range x {
		x[i] = float32(float64(v) / length)
	}
}
