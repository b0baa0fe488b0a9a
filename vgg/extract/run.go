package extract

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/shard"
)

// Job is a shard of features that is to be computed.
type Job struct {
	Dir     string // of the output; it is made if it is not there
	Shard   shard.Shard
	Spec    Spec
	Format  Format
	Network string // hash of the network: see shard.Network
	Batch   int    // pictures at a time, 8 if 0. Results do not depend on it
	Workers int    // GOMAXPROCS if 0
	// OnPicture is called for every picture in order, also for those that an earlier
	// run has done. Its error ends the run.
	OnPicture func(it Item, earlier bool) error
	// OnWarning is called if the first batch looks implausible: see
	// vgg.Model.CheckInput.
	OnWarning func(*picture.Warning)
}

// Result is what came of a Job.
type Result struct {
	Footer
	Manifest string // path
	There    bool   // the shard was complete before
}

// Run computes a shard, or what is missing of it. Its files appear in the directory
// when they are whole, and its manifest after them:
//
//	features.00003-of-00008.safetensors   or what the format calls them
//	manifest.00003-of-00008.jsonl         see Manifest
//
// Until then the shard grows in features.00003-of-00008.part, from which a later Run
// goes on after a kill, at the first picture that is not in it. A complete shard is
// left as it is. The bytes depend on neither batch nor workers nor interruptions. A
// picture that cannot be read, or whose result is not finite, is counted and passed
// over.
//
// Memory does not depend on the number of pictures. If ctx ends Run returns its error.
// A shard of another run, or one that another program computes now, is an error, which
// wraps ErrData or is an *outfile.HeldError; others are those of the file system.
func (j Job) Run(ctx context.Context, m *vgg.Model, d *Data) (Result, error) {
	if j.Batch == 0 {
		j.Batch = 8
	}
	if j.Workers == 0 {
		j.Workers = runtime.GOMAXPROCS(0)
	}
	if err := j.check(d); err != nil {
		return Result{}, err
	}
	c, err := NewComputer(m, j.Spec, j.Batch, j.Workers)
	if err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(j.Dir, 0o777); err != nil {
		return Result{}, fmt.Errorf("extract: %w", err)
	}
	h := j.header(m, d, c)
	path := filepath.Join(j.Dir, partName(j.Shard))
	r, err := j.there(h)
	if _, left := os.Stat(path); err != nil || r.There && left != nil {
		return r, err // a part that is left was killed after the manifest was written
	}
	p, err := openPart(path, h)
	if err != nil {
		return Result{}, err
	}
	r, err = j.there(h) // another program may have been quicker
	if err == nil && !r.There {
		r, err = j.compute(ctx, c, d, p, h)
	}
	if err != nil {
		return r, errors.Join(err, p.close())
	}
	return r, p.remove()
}

// What jobs may ask for: pictures that are read ahead take memory.
const mostBatch, mostWorkers = 1 << 14, 1 << 12

func (j Job) check(d *Data) error {
	switch {
	case !j.Shard.Valid():
		return fmt.Errorf("extract: there is no shard %v: %w", j.Shard, vgg.ErrConfig)
	case d.N < j.Shard.Count:
		return fmt.Errorf("extract: %s: %d pictures in %d shards: some would be empty: %w", d.Name, d.N, j.Shard.Count, ErrData)
	case j.Batch < 1 || j.Batch > mostBatch || j.Workers < 1 || j.Workers > mostWorkers:
		return fmt.Errorf("extract: batch of %d on %d workers, want 1 to %d on 1 to %d: %w", j.Batch, j.Workers, mostBatch, mostWorkers, vgg.ErrShape)
	}
	return nil
}

func (j Job) header(m *vgg.Model, d *Data, c *Computer) Header {
	h := Header{Kind: kindName, Shard: j.Shard, Origin: shard.Here(j.Network, d.Hash, d.N), Config: m.Config().Name,
		Preset: m.Picture().Preset.String(), Side: m.Picture().Side, Spec: j.Spec, Format: j.Format.Name(), Columns: c.Columns()}
	if j.Spec.Top > 0 {
		h.Labels = m.Labels()
	}
	return h
}

// there finds the shard if it is complete.
func (j Job) there(h Header) (Result, error) {
	path := filepath.Join(j.Dir, manifestName(j.Shard))
	m, err := ReadManifest(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Result{}, nil
	}
	if err != nil {
		return Result{}, err
	}
	if d := m.Header.difference(h); d != "" {
		return Result{}, fmt.Errorf("extract: %s is of a run of other %s: %w", path, d, ErrData)
	}
	return Result{m.Footer, path, m.there()}, nil
}

// compute adds what is missing to the part and writes the files.
func (j Job) compute(ctx context.Context, c *Computer, d *Data, p *part, h Header) (Result, error) {
	for rec, err := range p.records() {
		if err == nil {
			err = j.tell(rec.Item, true)
		}
		if err != nil {
			return Result{}, err
		}
	}
	if err := j.extend(ctx, c, d, p); err != nil {
		return Result{}, err
	}
	if err := p.w.Flush(); err != nil {
		return Result{}, err
	}
	return j.write(ctx, p, h)
}

func (j Job) tell(it Item, earlier bool) error {
	if j.OnPicture == nil {
		return nil
	}
	return j.OnPicture(it, earlier)
}

// write writes the files of a part with all pictures, and the manifest.
func (j Job) write(ctx context.Context, p *part, h Header) (Result, error) {
	t := Table{Header: h, Rows: p.count.pictures - p.count.failed, Records: func(yield func(Record, error) bool) {
		for rec, err := range p.records() {
			if err == nil {
				err = ctx.Err()
			}
			if (err != nil || rec.Row >= 0) && !yield(rec, err) {
				return
			}
		}
	}}
	m := &Manifest{Header: h, Footer: Footer{Pictures: p.count.pictures, Failed: p.count.failed, Failure: p.count.failure},
		path: filepath.Join(j.Dir, manifestName(j.Shard))}
	for i, ending := range j.Format.Endings(h.Columns) {
		f := File{Name: "features." + j.Shard.Name() + ending}
		sum := sha256.New()
		err := outfile.Write(filepath.Join(j.Dir, f.Name), func(w io.Writer) error {
			counted := &counter{w: io.MultiWriter(w, sum)}
			err := j.Format.Write(counted, i, t)
			f.Bytes = counted.n
			return err
		})
		if err != nil {
			return Result{}, err
		}
		f.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
		m.Footer.Files = append(m.Footer.Files, f)
	}
	err := outfile.Write(m.path, func(w io.Writer) error { return m.write(w, p) })
	return Result{Footer: m.Footer, Manifest: m.path}, err
}

// counter counts the bytes that it hands on.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
