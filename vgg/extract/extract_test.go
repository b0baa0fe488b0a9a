package extract

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/shard"
	"github.com/nonet-go/nonet/vgg/weights"
)

// model is configuration A, a sixteenth as wide, for 32×32 pixels.
func model(t testing.TB, opts ...vgg.Option) *vgg.Model {
	t.Helper()
	cfg, err := vgg.Lookup("A")
	require.NoError(t, err)
	cfg = cfg.Divide(16).WithSize(32).WithClasses(10)
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

// pictures makes a directory of n different pictures, of which that of number 5 is none.
func pictures(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 33+i%9, 40))
		for k := range img.Pix {
			img.Pix[k] = uint8(rng.Uint32())
		}
		img.Set(0, 0, color.White)
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		if i == 5 {
			b.Reset()
			b.WriteString("words")
		}
		path := filepath.Join(dir, fmt.Sprint("d", i%3), fmt.Sprintf("%03d.png", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	return dir
}

func data(t testing.TB, name string) *Data {
	t.Helper()
	d, err := Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

var spec = Spec{Layers: []string{"conv3_2", "fc7"}, Top: 3, Reduce: Reduce{Pool: PoolAvg, Normalize: true}}

func job(dir string) Job {
	return Job{Dir: dir, Shard: shard.Whole, Spec: spec, Format: Safetensors, Network: "n", Batch: 3}
}

func run(t testing.TB, j Job, m *vgg.Model, d *Data) Result {
	t.Helper()
	r, err := j.Run(t.Context(), m, d)
	require.NoError(t, err)
	return r
}

func names(t testing.TB, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// files returns the contents of a directory by their names.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, name := range names(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		m[name] = string(b)
	}
	return m
}

// tensor returns the bytes of a column in the shards of a directory, joined.
func tensor(t testing.TB, dir, column string) (b []byte, rows int) {
	t.Helper()
	for _, name := range names(t, dir) {
		if !strings.HasSuffix(name, ".safetensors") {
			continue
		}
		f, err := weights.Open(filepath.Join(dir, name))
		require.NoError(t, err)
		x, err := f.Tensor(column)
		require.NoError(t, err)
		b, rows = append(b, x.Data...), rows+x.Shape[0]
		require.NoError(t, f.Close())
	}
	return b, rows
}

// TestValues compares each row with Features and Classify.
func TestValues(t *testing.T) {
	m, d, dir := model(t), data(t, pictures(t, 11)), t.TempDir()
	r := run(t, job(dir), m, d)
	require.Equal(t, 11, r.Pictures)
	require.Equal(t, 1, r.Failed)
	require.Equal(t, []string{"features.00000-of-00001.safetensors", "manifest.00000-of-00001.jsonl"}, names(t, dir))
	row := 0
	man, err := ReadManifest(r.Manifest, func(it Item) error {
		if it.Row < 0 {
			require.Contains(t, it.Err, "005.png")
			return nil
		}
		require.Equal(t, row, it.Row)
		var in input
		for x, err := range d.each(shard.Whole, 0) {
			require.NoError(t, err)
			if x.path == it.Path {
				in = x
			}
		}
		size, err := in.size()
		require.NoError(t, err)
		require.Equal(t, size, it.Size)
		img, err := in.decode()
		require.NoError(t, err)
		for _, layer := range spec.Layers {
			f, err := m.Features(t.Context(), img, layer)
			require.NoError(t, err)
			want := make([]float32, f.Shape.C)
			spec.Apply(want, f.Data, f.Shape)
			got := make([]float32, f.Shape.C)
			b, _ := tensor(t, dir, layer)
			float32s(got, b[4*row*f.Shape.C:])
			require.Equal(t, want, got, "%s of %s", layer, it.Path)
		}
		list, err := m.Classify(t.Context(), img, 3)
		require.NoError(t, err)
		classes, _ := tensor(t, dir, "class")
		for k, p := range list {
			require.Equal(t, uint32(p.Class), binary.LittleEndian.Uint32(classes[4*(3*row+k):]))
		}
		row++
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 10, row)
	require.Equal(t, 11, man.Header.Origin.Pictures)
	require.NotEmpty(t, man.Header.Origin.ISA)
}

// TestSameBits: neither shards nor batches, workers or the kind of the collection
// change a bit.
func TestSameBits(t *testing.T) {
	m, pics := model(t), pictures(t, 23)
	d, dir := data(t, pics), t.TempDir()
	run(t, job(dir), m, d)
	want := files(t, dir)
	for _, batch := range []int{1, 7, 64} {
		other := t.TempDir()
		j := job(other)
		j.Batch, j.Workers = batch, 1+batch%3
		run(t, j, m, d)
		require.Equal(t, want, files(t, other), "batch of %d", batch)
	}
	shards := t.TempDir()
	for _, i := range []int{2, 0, 3, 1} {
		j := job(shards)
		j.Shard = shard.Shard{Index: i, Count: 4}
		run(t, j, m, d)
	}
	for _, column := range []string{"conv3_2", "fc7", "class", "probability"} {
		a, n := tensor(t, dir, column)
		b, k := tensor(t, shards, column)
		require.Equal(t, n, k)
		require.True(t, bytes.Equal(a, b), column)
	}
	// A list of the same pictures.
	var lines []string
	for in, err := range d.each(shard.Whole, 0) {
		require.NoError(t, err)
		lines = append(lines, filepath.Join(pics, in.path))
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	require.NoError(t, os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o600))
	listed := t.TempDir()
	run(t, job(listed), m, data(t, list))
	a, _ := tensor(t, dir, "fc7")
	b, _ := tensor(t, listed, "fc7")
	require.True(t, bytes.Equal(a, b))
}

var errStop = errors.New("stop")

// TestInterrupted: a run that was stopped, or whose part was torn or damaged at any
// byte, ends in the same bits.
func TestInterrupted(t *testing.T) {
	m, d, calm := model(t), data(t, pictures(t, 17)), t.TempDir()
	run(t, job(calm), m, d)
	want := files(t, calm)
	rng := rand.New(rand.NewPCG(1, 2))
	for stop := range 17 {
		dir := t.TempDir()
		j, told := job(dir), 0
		j.OnPicture = func(Item, bool) error {
			if told++; told > stop {
				return errStop
			}
			return nil
		}
		_, err := j.Run(t.Context(), m, d)
		require.ErrorIs(t, err, errStop)
		require.Equal(t, []string{"features.00000-of-00001.part"}, names(t, dir))
		part := filepath.Join(dir, partName(shard.Whole))
		b, err := os.ReadFile(part)
		require.NoError(t, err)
		b = b[:len(b)-rng.IntN(len(b))]
		if stop%2 == 0 && bytes.IndexByte(b, '\n') >= 0 {
			b[len(b)-1] ^= 4 // the record that it belongs to is computed again
			if b[len(b)-1]^4 == '\n' {
				continue
			}
		}
		require.NoError(t, os.WriteFile(part, b, 0o600))
		earlier := 0
		j.OnPicture = func(_ Item, before bool) error {
			if before {
				earlier++
			}
			return nil
		}
		r := run(t, j, m, d)
		require.LessOrEqual(t, earlier, stop/3*3+3)
		require.False(t, r.There)
		require.Equal(t, want, files(t, dir), "stopped after %d", stop)
		again := run(t, j, m, d)
		require.True(t, again.There)
		require.Equal(t, r.Footer, again.Footer)
	}
}

// TestContext: a context that ends keeps what there is.
func TestContext(t *testing.T) {
	m, d, dir := model(t), data(t, pictures(t, 17)), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	j, n := job(dir), 0
	j.OnPicture = func(Item, bool) error {
		if n++; n == 6 {
			cancel()
		}
		return nil
	}
	_, err := j.Run(ctx, m, d)
	require.ErrorIs(t, err, context.Canceled)
	earlier := 0
	j.OnPicture = func(_ Item, before bool) error {
		if before {
			earlier++
		}
		return nil
	}
	run(t, j, m, d)
	require.GreaterOrEqual(t, earlier, 6)
}

// TestOther refuses what another run has begun or finished, and a shard that is being
// computed.
func TestOther(t *testing.T) {
	m, d, dir := model(t), data(t, pictures(t, 7)), t.TempDir()
	fails := func(j Job, want string) {
		t.Helper()
		_, err := j.Run(t.Context(), m, d)
		require.ErrorContains(t, err, want)
	}
	part := filepath.Join(dir, partName(shard.Whole))
	lock, err := outfile.Acquire(part)
	require.NoError(t, err)
	var held *outfile.HeldError
	_, err = job(dir).Run(t.Context(), m, d)
	require.ErrorAs(t, err, &held)
	lock.Release()

	require.NoError(t, os.WriteFile(part, []byte("something"), 0o600))
	fails(job(dir), "no part of features")
	require.NoError(t, os.Remove(part))
	j := job(dir)
	j.OnPicture = func(Item, bool) error { return errStop }
	fails(j, "stop")
	network := job(dir)
	network.Network = "other"
	fails(network, "other networks")
	settings := job(dir)
	settings.Spec.Normalize = false
	fails(settings, "other settings")
	run(t, job(dir), m, d)
	fails(network, "other networks")
	fails(settings, "other settings")

	fails(Job{Dir: dir, Shard: shard.Shard{Index: 0, Count: 8}, Spec: spec, Format: NPY}, "some would be empty")
	fails(Job{Dir: dir, Shard: shard.Whole, Format: NPY}, "neither a layer nor classes")
	fails(Job{Dir: dir, Shard: shard.Whole, Spec: Spec{Top: 11}, Format: NPY}, "11 most probable of 10")
	fails(Job{Dir: dir, Shard: shard.Whole, Spec: Spec{Layers: []string{"conv9"}}, Format: NPY}, "conv9")

	// A part that a kill has left after the manifest was written goes.
	require.NoError(t, os.WriteFile(part, nil, 0o600))
	require.True(t, run(t, job(dir), m, d).There)
	require.NoFileExists(t, part)

	// A file that has gone is written again.
	file := filepath.Join(dir, "features.00000-of-00001.safetensors")
	want := files(t, dir)
	require.NoError(t, os.Remove(file))
	require.False(t, run(t, job(dir), m, d).There)
	require.Equal(t, want, files(t, dir))
}

// TestNotFinite: a picture whose result is NaN fails, and others do not.
func TestNotFinite(t *testing.T) {
	c, err := NewComputer(model(t), spec, 4, 2)
	require.NoError(t, err)
	in := make([]float32, 4*3*32*32)
	in[2*3*32*32+7] = float32(math.NaN())
	rows := make([]Row, 4)
	require.NoError(t, c.Compute(t.Context(), rows, in))
	for i, r := range rows {
		if i == 2 {
			require.ErrorIs(t, r.Err, vgg.ErrNotFinite)
			require.Empty(t, r.Data)
			continue
		}
		require.NoError(t, r.Err)
		require.Len(t, r.Data, c.RowLen())
	}
	require.ErrorIs(t, c.Compute(t.Context(), rows[:0], nil), vgg.ErrShape)
	require.ErrorIs(t, c.Compute(t.Context(), make([]Row, 5), in), vgg.ErrShape)
}

// TestFormats reads what NPY and JSONL write.
func TestFormats(t *testing.T) {
	labels := strings.Fields("a b c d e f g h i j")
	m, d, dir := model(t, vgg.Labels(labels)), data(t, pictures(t, 8)), t.TempDir()
	reference := t.TempDir()
	run(t, job(reference), m, d)
	for _, f := range []Format{NPY, JSONL} {
		j := job(filepath.Join(dir, f.Name()))
		j.Format = f
		run(t, j, m, d)
	}
	for _, column := range []string{"conv3_2", "fc7", "class", "probability"} {
		b, err := os.ReadFile(filepath.Join(dir, "npy", "features.00000-of-00001."+column+".npy"))
		require.NoError(t, err)
		require.Equal(t, "\x93NUMPY\x01\x00", string(b[:8]))
		n := 10 + int(binary.LittleEndian.Uint16(b[8:]))
		require.Zero(t, n%64)
		want, rows := tensor(t, reference, column)
		require.Equal(t, want, b[n:])
		require.Contains(t, string(b[10:n]), fmt.Sprintf("'shape': (%d, ", rows))
		require.True(t, strings.HasSuffix(string(b[:n]), "}"+strings.Repeat(" ", n-1-strings.LastIndexByte(string(b[:n]), '}')-1)+"\n"))
	}
	b, err := os.ReadFile(filepath.Join(dir, "jsonl", "features.00000-of-00001.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	require.Len(t, lines, 7)
	for i, line := range lines {
		var v struct {
			Path        string
			FC7         []float32
			Class       []int
			Label       []string
			Probability []float32
		}
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		raw, _ := tensor(t, reference, "fc7")
		want := make([]float32, len(v.FC7))
		float32s(want, raw[4*i*len(want):])
		require.Equal(t, want, v.FC7)
		for k, class := range v.Class {
			require.Equal(t, labels[class], v.Label[k])
		}
		require.Len(t, v.Probability, 3)
		require.NotEmpty(t, v.Path)
	}
}

// TestVerify finds what is missing, damaged and of another run.
func TestVerify(t *testing.T) {
	m, d, dir, calm := model(t), data(t, pictures(t, 9)), t.TempDir(), t.TempDir()
	verify := func() (*Verified, []Listed, error) {
		var list []Listed
		v, err := Verify(t.Context(), dir, func(l Listed) error { list = append(list, l); return nil })
		return v, list, err
	}
	_, _, err := verify()
	require.ErrorContains(t, err, "no manifests")
	for _, i := range []int{0, 2} {
		j := job(dir)
		j.Shard = shard.Shard{Index: i, Count: 3}
		run(t, j, m, d)
	}
	_, _, err = verify()
	require.ErrorIs(t, err, shard.ErrMismatch)
	require.ErrorContains(t, err, "1 of 3 shards are missing: 1:")
	j := job(dir)
	j.Shard = shard.Shard{Index: 1, Count: 3}
	run(t, j, m, d)
	v, list, err := verify()
	require.NoError(t, err)
	require.Equal(t, []int{3, 9, 1}, []int{v.Shards, v.Pictures, v.Failed})
	require.Contains(t, v.Failure, "005.png")
	var paths []string
	r := run(t, job(calm), m, d)
	_, err = ReadManifest(r.Manifest, func(it Item) error { paths = append(paths, it.Path); return nil })
	require.NoError(t, err)
	for i, l := range list {
		require.Equal(t, paths[i], l.Path)
		require.Equal(t, l.Row < 0, l.Files == nil)
	}
	require.Len(t, list, len(paths))

	file := filepath.Join(dir, "features.00001-of-00003.safetensors")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	b[len(b)-1] ^= 1
	require.NoError(t, os.WriteFile(file, b, 0o600))
	_, _, err = verify()
	require.ErrorContains(t, err, "00001-of-00003.safetensors has")
	require.NoError(t, os.Remove(file))
	_, _, err = verify()
	require.ErrorIs(t, err, os.ErrNotExist)

	manifest := filepath.Join(dir, manifestName(j.Shard))
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	for _, damage := range []string{"", "x", strings.TrimSuffix(string(text), "\n") + "\n{}\n", string(text[:bytes.IndexByte(text, '\n')]), string(text[:len(text)/2])} {
		require.NoError(t, os.WriteFile(manifest, []byte(damage), 0o600))
		_, _, err = verify()
		require.ErrorIs(t, err, ErrData)
	}
	require.NoError(t, os.WriteFile(manifest, bytes.Replace(text, []byte(`"isa":"`), []byte(`"isa":"x`), 1), 0o600))
	_, _, err = verify()
	require.ErrorContains(t, err, "instruction sets")
}

// TestReduce compares with sums in another order.
func TestReduce(t *testing.T) {
	s := vgg.Shape{C: 3, H: 2, W: 2}
	x := []float32{1, 2, 3, 6, -1, -2, -3, -4, 0, 0, 0, 0}
	apply := func(r Reduce) []float32 {
		dst := make([]float32, r.Shape(s).Len())
		r.Apply(dst, x, s)
		return dst
	}
	require.Equal(t, x, apply(Reduce{}))
	require.Equal(t, []float32{3, -2.5, 0}, apply(Reduce{Pool: PoolAvg}))
	require.Equal(t, []float32{6, -1, 0}, apply(Reduce{Pool: PoolMax}))
	norm := apply(Reduce{Pool: PoolAvg, Normalize: true})
	require.InDelta(t, 3/math.Sqrt(9+6.25), norm[0], 1e-7)
	x = make([]float32, 12)
	require.Equal(t, x, apply(Reduce{Normalize: true}), "zeros stay")
	x[3] = float32(math.NaN())
	require.True(t, math.IsNaN(float64(apply(Reduce{Pool: PoolMax})[0])))
	x = slices.Repeat([]float32{math.MaxFloat32}, 12)
	require.InDelta(t, 1/math.Sqrt(12), apply(Reduce{Normalize: true})[0], 1e-7)
	require.PanicsWithValue(t, "extract: length of an activation is not that of its shape", func() { Reduce{}.Apply(x[:3], x, s) })
	var p Pool
	require.NoError(t, p.UnmarshalText([]byte("max")))
	require.Equal(t, PoolMax, p)
	require.ErrorContains(t, p.UnmarshalText([]byte("sum")), "none, avg, max")
}

// FuzzPart opens parts of any content: whole records are kept, and nothing panics or
// takes much memory.
func FuzzPart(f *testing.F) {
	h := Header{Kind: kindName, Shard: shard.Whole, Columns: []Column{{"fc7", weights.F32, []int{2}}}}
	head, err := json.Marshal(h)
	require.NoError(f, err)
	dir := f.TempDir()
	p, err := openPart(filepath.Join(dir, "p"), h)
	require.NoError(f, err)
	require.NoError(f, p.add(Item{Path: "a"}, make([]byte, 8)))
	require.NoError(f, p.add(Item{Path: "b\n", Row: -1, Err: "bad"}, nil))
	require.NoError(f, p.close())
	whole, err := os.ReadFile(filepath.Join(dir, "p"))
	require.NoError(f, err)
	f.Add(whole[len(head)+1:])
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, records []byte) {
		path := filepath.Join(t.TempDir(), "p")
		require.NoError(t, os.WriteFile(path, append(append(slices.Clone(head), '\n'), records...), 0o600))
		var p *part
		require.NoError(t, testutil.Bounded(t, len(records), func() (_ int64, err error) {
			p, err = openPart(path, h)
			return 0, err
		}))
		n := 0
		for _, err := range p.records() {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, p.count.pictures, n)
		require.NoError(t, p.add(Item{Path: "c"}, make([]byte, 8)))
		require.NoError(t, p.close())
	})
}
