package evaluate

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/labels"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// model is a small network with three classes.
func model(t testing.TB, opts ...vgg.Option) *vgg.Model { return seededModel(t, 1, opts...) }

func seededModel(t testing.TB, seed uint64, opts ...vgg.Option) *vgg.Model {
	layers, err := vgg.ParseLayers("8 M F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, seed)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src, opts...)
	require.NoError(t, err)
	return m
}

// folder holds n pictures of each class, in alphabetical order, and one that is none.
func folder(t testing.TB, n int, classes ...string) *Data {
	dir := t.TempDir()
	for c, name := range classes {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		for i := range n {
			img := image.NewGray(image.Rect(0, 0, 9, 11+i%3))
			for p := range img.Pix {
				img.Pix[p] = uint8(p*(i+2) + 80*c)
			}
			img.Set(i, c, color.White)
			f, err := os.Create(filepath.Join(dir, name, fmt.Sprintf("%d.png", i)))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, classes[0], "x.jpg"), []byte("words"), 0o600))
	d, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func member(t testing.TB, m *vgg.Model, protocol string, s ...int) Member {
	t.Helper()
	var training Training
	if len(s) > 0 {
		training = Training{s[0], s[len(s)-1]}
	}
	r, err := NewMember(m, protocol, training)
	require.NoError(t, err)
	return r
}

// run evaluates and returns a copy of the outcomes with it.
func run(t testing.TB, d *Data, o Options, members ...Member) (Result, []Outcome) {
	t.Helper()
	var list []Outcome
	o.OnPicture = func(o Outcome) error {
		o.Scores = append([]float64(nil), o.Scores...)
		list = append(list, o)
		return nil
	}
	r, err := Run(context.Background(), d, members, o)
	require.NoError(t, err)
	return r, list
}

// TestCenter compares the counts with those of classifying one picture at a time.
func TestCenter(t *testing.T) {
	m, d := model(t), folder(t, 7, "a", "b", "c")
	wrong, confusion := 0, [3][3]int{}
	var paths []string
	for e, err := range d.Each {
		require.NoError(t, err)
		paths = append(paths, e.Path)
		img, err := e.Picture()
		if err != nil {
			continue
		}
		top, err := m.Classify(context.Background(), img, 1)
		require.NoError(t, err)
		confusion[e.Class][top[0].Class]++
		if top[0].Class != e.Class {
			wrong++
		}
	}
	require.Equal(t, 22, d.N)
	for _, batch := range []int{1, 4, 0} {
		r, list := run(t, d, Options{Batch: batch, Workers: 2}, member(t, m, "center"))
		require.Equal(t, 21, r.N)
		require.Equal(t, 1, r.Unreadable)
		require.InDelta(t, float64(wrong)/21, r.Top1Error, 1e-12)
		require.Zero(t, r.Top5Error, "five of three classes")
		require.Nil(t, r.Paper)
		for c := range confusion {
			require.Equal(t, confusion[c][:], r.Confusion[c])
			require.InDelta(t, float64(confusion[c][c])/7, r.Classes[c].Accuracy, 1e-12)
			require.Equal(t, 7, r.Classes[c].N)
		}
		require.Len(t, list, 22)
		for i, o := range list {
			require.Equal(t, paths[i], o.Path, "in the order of the data")
		}
	}
}

// views computes the probabilities of a protocol in the plainest way.
func views(t testing.TB, img image.Image, e Member) []float64 {
	t.Helper()
	m, size := e.Model, e.Model.Config().Size
	mean := make([]float64, m.Config().Classes())
	see := func(p *picture.RGB, weight float64, opts ...vgg.SessionOption) {
		s, err := m.NewSession(append(opts, vgg.InputSize(p.H, p.W))...)
		require.NoError(t, err)
		x := make([]float32, 3*p.W*p.H)
		m.Picture().Preset.Tensor(x, p)
		shape := s.OutputShape()
		y := make([]float32, shape.Len())
		require.NoError(t, s.Run(context.Background(), y, x))
		p64 := make([]float64, shape.C)
		for i, v := range y {
			p64[i/(shape.H*shape.W)] += float64(v) / float64(shape.H*shape.W)
		}
		vgg.Softmax(p64, p64)
		for i, v := range p64 {
			mean[i] += weight * v
		}
	}
	rgb := picture.FromImage(img)
	n := float64(len(e.Protocol.Scales))
	half := 1.0
	if e.Protocol.Views == Dense|MultiCrop {
		half = 0.5
	}
	for _, q := range e.Protocol.Scales {
		scaled, err := picture.ResizeShort(rgb, q)
		require.NoError(t, err)
		flipped := picture.Crop(scaled, 0, 0, scaled.W, scaled.H)
		picture.FlipHorizontal(flipped)
		if e.Protocol.Views&Center != 0 {
			see(picture.CenterCrop(scaled, size, size), 1/n)
		}
		if e.Protocol.Views&Dense != 0 {
			see(scaled, half/2/n, vgg.Dense())
			see(flipped, half/2/n, vgg.Dense())
		}
		if e.Protocol.Views&MultiCrop != 0 {
			for i := range 5 {
				for j := range 5 {
					at := func(room, i int) int { return int(math.Floor(float64(room*i)/4 + 0.5)) }
					crop := picture.Crop(scaled, at(scaled.W-size, j), at(scaled.H-size, i), size, size)
					see(crop, half/50/n)
					picture.FlipHorizontal(crop)
					see(crop, half/50/n)
				}
			}
		}
	}
	return mean
}

// TestProtocols compares every protocol with its definition, computed view by view.
func TestProtocols(t *testing.T) {
	a, b := seededModel(t, 1), seededModel(t, 2)
	d := folder(t, 3, "a", "b", "c")
	var members []Member
	for _, name := range ProtocolNames() {
		members = append(members, member(t, a, name, 10))
	}
	members = append(members, member(t, a, "center", 9, 13), member(t, a, "multi-crop+dense", 8, 16))
	sets := [][]Member{{member(t, a, "multi-crop+dense", 8, 12), member(t, b, "center"), member(t, b, "multi-scale", 8, 15)}}
	for _, m := range members {
		sets = append(sets, []Member{m})
	}
	for _, set := range sets {
		name := set[0].Protocol.Name
		var want [][]float64
		for e, err := range d.Each {
			require.NoError(t, err)
			img, err := e.Picture()
			if err != nil {
				want = append(want, nil)
				continue
			}
			mean := make([]float64, 3)
			for _, m := range set {
				for i, p := range views(t, img, m) {
					mean[i] += p / float64(len(set))
				}
			}
			want = append(want, mean)
		}
		var first []Outcome
		for _, o := range []Options{{Batch: 1, Workers: 1}, {Batch: 7, Workers: 3}, {}} {
			_, list := run(t, d, o, set...)
			require.Len(t, list, len(want), name)
			for i, o := range list {
				if want[i] == nil {
					require.NotEmpty(t, o.Err)
					continue
				}
				require.InDeltaSlice(t, want[i], o.Scores, 1e-12, "%s: %s", name, o.Path)
			}
			if first == nil {
				first = list
			}
			require.Equal(t, first, list, "%s: the same bits for any batch and workers", name)
		}
	}
}

// TestFuseItself: a network fused with itself is the network, bit for bit.
func TestFuseItself(t *testing.T) {
	m, d := model(t), folder(t, 5, "a", "b", "c")
	for _, name := range ProtocolNames() {
		e := member(t, m, name, 12)
		alone, list := run(t, d, Options{}, e)
		twice, list2 := run(t, d, Options{}, e, e)
		require.Equal(t, alone, twice, name)
		require.Equal(t, list, list2, name)
	}
}

// TestPositions compares the crops of the paper's 150 with a table made by hand:
// a picture of 500×375 at the scales 256, 384 and 512.
func TestPositions(t *testing.T) {
	for _, c := range []struct {
		side, w, h int
		x, y       [5]int
	}{
		{256, 341, 256, [5]int{0, 29, 59, 88, 117}, [5]int{0, 8, 16, 24, 32}},
		{384, 512, 384, [5]int{0, 72, 144, 216, 288}, [5]int{0, 40, 80, 120, 160}},
		{512, 682, 512, [5]int{0, 115, 229, 344, 458}, [5]int{0, 72, 144, 216, 288}},
	} {
		w, h := picture.ShortSize(500, 375, c.side)
		require.Equal(t, [2]int{c.w, c.h}, [2]int{w, h})
		grid := picture.Grid(nil, w, h, 224, gridSide)
		require.Len(t, grid, 50)
		for i, v := range grid {
			want := picture.View{RW: w, RH: h, X: c.x[i/2%5], Y: c.y[i/10], W: 224, H: 224, Flip: i%2 == 1}
			require.Equal(t, want, v, "view %d", i)
		}
	}
}

func TestNewProtocol(t *testing.T) {
	for _, c := range []struct {
		name, s string
		size    int
		views   Views
		scales  []int
		n       int // views of a picture
	}{
		{"center", "256", 224, Center, []int{256}, 1},
		{"single", "384", 224, Dense, []int{384}, 2},
		{"single", "[256;512]", 224, Dense, []int{384}, 2},
		{"multi-scale", "256", 224, Dense, []int{224, 256, 288}, 6},
		{"multi-scale", "384", 224, Dense, []int{352, 384, 416}, 6},
		{"dense", "256-512", 224, Dense, []int{256, 384, 512}, 6},
		{"multi-crop", "256-512", 224, MultiCrop, []int{256, 384, 512}, 150},
		{"multi-crop+dense", "256-512", 224, MultiCrop | Dense, []int{256, 384, 512}, 156},
		{"multi-crop", "40", 32, MultiCrop, []int{35, 40, 45}, 150},
	} {
		s, err := ParseTraining(c.s)
		require.NoError(t, err)
		p, err := NewProtocol(c.name, s, c.size)
		require.NoError(t, err)
		require.Equal(t, Protocol{c.name, c.views, c.scales}, p)
		require.Equal(t, c.n, Member{Protocol: p}.views())
	}
	_, err := NewProtocol("dance", Training{256, 256}, 224)
	require.ErrorContains(t, err, "multi-crop+dense", "it lists the names")
	for _, bad := range []string{"", "x", "512-256", "0", "99999999", "256-", "-5"} {
		_, err := ParseTraining(bad)
		require.Error(t, err, bad)
	}
}

// TestPaper reads the calls that repeat the rows, and finds the rows by what they
// would evaluate.
func TestPaper(t *testing.T) {
	models := map[string]*vgg.Model{}
	for _, name := range vgg.Names() {
		cfg, err := vgg.Lookup(name)
		require.NoError(t, err)
		require.True(t, isPapers(cfg))
		require.False(t, isPapers(cfg.WithClasses(10)))
		require.False(t, isPapers(cfg.WithSize(32)))
		for _, change := range []func(c *vgg.Config){
			func(c *vgg.Config) { c.Width = 256 }, func(c *vgg.Config) { c.HWC = true }, func(c *vgg.Config) { c.Pad = 0 }, func(c *vgg.Config) { c.Name = "other" },
		} {
			other := cfg
			change(&other)
			require.False(t, isPapers(other))
		}
		cfg = cfg.Divide(64).WithClasses(1000)
		require.False(t, isPapers(cfg))
		src, err := vgg.Seeded(cfg, 1)
		require.NoError(t, err)
		models[name], err = vgg.New(cfg, src)
		require.NoError(t, err)
	}
	file := regexp.MustCompile(`(?:--weights|--fuse) ([A-Z]|A-LRN)-([0-9]+(?:-[0-9]+)?)\.safetensors`)
	count := map[int]int{}
	for _, row := range PaperRows() {
		command := row.Command()
		protocol := regexp.MustCompile(`--protocol (\S+)`).FindStringSubmatch(command)[1]
		var units []PaperUnit
		var members []Member
		for _, f := range file.FindAllStringSubmatch(command, -1) {
			s, err := ParseTraining(f[2])
			require.NoError(t, err)
			m := member(t, models[f[1]], protocol, s.Min, s.Max)
			require.Equal(t, row.Views, m.Protocol.Views)
			members, units = append(members, m), append([]PaperUnit{m.unit()}, units...)
		}
		require.Len(t, units, len(row.Members), command)
		found, ok := findPaper(slices.Repeat([]Views{row.Views}, len(units)), units)
		require.True(t, ok, command)
		require.Equal(t, [2]float64{row.Top1, row.Top5}, [2]float64{found.Top1, found.Top5}, command)
		_, ok = FindPaper(members)
		require.False(t, ok, "these have fewer channels")
		count[row.Table]++
	}
	require.Equal(t, map[int]int{3: 12, 4: 10, 5: 6, 6: 4}, count)
	require.Equal(t, "D/[256;512]/256,384,512", bestTwo[0].String())
	_, ok := findPaper([]Views{Dense}, []PaperUnit{unit("D", Training{320, 320}, 320)})
	require.False(t, ok)
	for _, views := range [][]Views{{Dense, MultiCrop}, {MultiCrop, Dense}, {Center, Center}} {
		_, ok = findPaper(views, bestTwo)
		require.False(t, ok, "%v", views)
	}
	_, ok = FindPaper(nil)
	require.False(t, ok)
}

// zeros is a source of weights that are all 0.
type zeros struct{}

func (zeros) Name() string { return "zeros" }
func (zeros) Release()     {}
func (zeros) Tensor(_ string, want []int) ([]float32, error) {
	return make([]float32, vgg.Param{Shape: want}.Len()), nil
}

// TestClasses matches classes by WordNet id or name, whatever their order.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		labels, names []string
		byIndex       bool
		want          []int
		err           string
	}{
		{labels: []string{"C", "a", "b"}, names: []string{"a", "b", "c", "d"}, want: []int{1, 2, 0, -1}},
		{labels: []string{"C", "a", "b"}, names: []string{"x", "y"}, err: "not those of the network"},
		{labels: []string{"n01443537 goldfish", "n01440764 tench, Tinca tinca", "n02012849 crane"},
			names: []string{"n01440764", "n02012849", "n01443537", "n99999999"}, want: []int{1, 2, 0, -1}},
		{labels: []string{"n01443537 goldfish", "n01440764 tench, Tinca tinca", "n02012849 crane"},
			names: []string{"Goldfish", "crane", "tench, Tinca tinca"}, want: []int{0, 2, 1}},
		{labels: []string{"n01440764", "n01443537", "n02012849"}, names: []string{"n02012849 crane", "n01440764, tench"}, want: []int{2, 0}},
		{labels: []string{"n02012849 crane", "n03126707 crane", "n01440764 tench"}, names: []string{"crane", "tench"}, err: `"crane"`},
		{labels: []string{"n02012849 crane", "n03126707 crane", "n01440764 tench"}, names: []string{"n03126707", "tench"}, want: []int{1, 2}},
		{labels: []string{"a", "b", "c"}, names: []string{"0", "2"}, err: "say that they are the network's own"},
		{labels: []string{"a", "b", "c"}, names: []string{"0", "2"}, byIndex: true, want: []int{0, 2}},
		{labels: []string{"0", "2", "1"}, names: []string{"0", "1", "2"}, want: []int{0, 2, 1}},
		{names: []string{"2", "0"}, want: []int{2, 0}},
		{names: []string{"x", "y", "z"}, want: []int{0, 1, 2}},
		{names: []string{"x", "y"}, err: "3 that have no names"},
		{names: []string{"1", "2", "3", "4"}, err: "4 classes"},
	} {
		m := model(t)
		if c.labels != nil {
			m = model(t, vgg.Labels(c.labels))
		}
		got, err := match(m, c.names, c.byIndex)
		if c.err != "" {
			require.ErrorIs(t, err, ErrData)
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%v %v", c.labels, c.names)
	}
	d := folder(t, 1, "a", "b", "c")
	labelled := func(labels ...string) Member { return member(t, model(t, vgg.Labels(labels)), "center") }
	_, err := Run(context.Background(), d, []Member{labelled("a", "b", "c"), labelled("b", "a", "c")}, Options{})
	require.ErrorContains(t, err, "differently")
	r, _ := run(t, d, Options{}, labelled("a", "b", "x"))
	require.Equal(t, 1, r.Unknown)
	require.Equal(t, 3, r.N)
	require.GreaterOrEqual(t, r.Top5Error, 1.0/3, "a class that the network lacks is an error")
}

// TestILSVRC matches the thousand classes in another order than the network's.
func TestILSVRC(t *testing.T) {
	known := labels.ILSVRC2012()
	layers, err := vgg.ParseLayers("8 M F1000")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	m, err := vgg.New(cfg, src, vgg.Labels(known))
	require.NoError(t, err)
	var names []string
	var want []int
	for i := range known {
		class := (7*i + 3) % 1000
		id, _ := labels.Split(known[class])
		names, want = append(names, id), append(want, class)
	}
	got, err := match(m, names, false)
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = match(m, names[:3], false)
	require.NoError(t, err)
	require.Equal(t, want[:3], got, "a part of them")
	_, err = match(m, []string{"0", "1"}, false)
	require.ErrorIs(t, err, ErrData, "never by bare number")
}

func TestNameClasses(t *testing.T) {
	d := &Data{Classes: []string{"0", "10", "2"}}
	names := strings.Fields("a b c d e f g h i j k")
	require.NoError(t, d.NameClasses(names))
	require.Equal(t, []string{"a", "k", "c"}, d.Classes)
	require.ErrorIs(t, d.NameClasses(names), ErrData)
	require.ErrorIs(t, (&Data{Classes: []string{"3"}}).NameClasses(names[:3]), ErrData)
}

func TestStops(t *testing.T) {
	before := runtime.NumGoroutine()
	stop := errors.New("stop")
	ms := []Member{member(t, model(t), "center")}
	d := folder(t, 3, "a", "b", "c")
	_, err := Run(context.Background(), d, ms, Options{OnPicture: func(Outcome) error { return stop }})
	require.ErrorIs(t, err, stop)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Run(ctx, d, ms, Options{})
	require.ErrorIs(t, err, context.Canceled)
	broken := &Data{Name: "broken", Classes: d.Classes, N: d.N, Each: func(yield func(Example, error) bool) {
		for e, err := range d.Each {
			if !yield(e, err) || !yield(Example{}, stop) {
				return
			}
		}
	}}
	r, err := Run(context.Background(), broken, ms, Options{})
	require.ErrorIs(t, err, stop)
	require.Equal(t, 1, r.N, "what came before the error counts")
	testutil.Wait(t, "goroutines that Run has begun", func() bool { return runtime.NumGoroutine() <= before })
}

func TestErrors(t *testing.T) {
	m, d := model(t), folder(t, 1, "a", "b", "c")
	fails := func(want string, o Options, members ...Member) {
		t.Helper()
		_, err := Run(context.Background(), d, members, o)
		require.ErrorContains(t, err, want)
	}
	fails("no network", Options{})
	fails("batch of -1", Options{Batch: -1}, member(t, m, "center"))
	fails("less than 8", Options{}, member(t, m, "single", 7))
	fails("at most", Options{}, Member{Model: m, Protocol: Protocol{Views: Dense, Scales: []int{1 << 20}}})
	fails("without views", Options{}, Member{Model: m})
	layers, err := vgg.ParseLayers("8 M")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 1)
	require.NoError(t, err)
	open, err := vgg.New(cfg, src)
	require.NoError(t, err)
	fails("without classes", Options{}, member(t, open, "center"))

	_, err = Open(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(t.TempDir())
	require.ErrorIs(t, err, ErrData)

	// A picture that is too long and narrow for the memory is reported.
	var list []Outcome
	r, err := Run(context.Background(), d, []Member{member(t, m, "single", 9)}, Options{MaxPixels: 90, OnPicture: func(o Outcome) error {
		list = append(list, o)
		return nil
	}})
	require.ErrorIs(t, err, ErrData)
	require.ErrorContains(t, err, "none of the 4 pictures could be measured; the first failure")
	require.Equal(t, 4, r.Unreadable)
	require.ErrorContains(t, errors.New(list[0].Err), "more than 90")
}

// TestNaN: a network that gives no numbers is reported.
func TestNaN(t *testing.T) {
	layers, err := vgg.ParseLayers("8 M F3")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}
	m, err := vgg.New(cfg, nanSource{})
	require.NoError(t, err)
	r, err := Run(context.Background(), folder(t, 1, "a", "b", "c"), []Member{member(t, m, "center")}, Options{})
	require.Zero(t, r.N)
	require.ErrorContains(t, err, "not a number")
	require.ErrorContains(t, err, "none of the")
}

// nanSource is a source of weights that are no numbers.
type nanSource struct{ zeros }

func (s nanSource) Tensor(name string, want []int) ([]float32, error) {
	x, err := s.zeros.Tensor(name, want)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	return x, err
}

// TestWarning: pictures that are no pictures are told of once.
func TestWarning(t *testing.T) {
	black := func() (image.Image, error) { return picture.NewRGB(20, 20), nil }
	d := &Data{Classes: []string{"a", "b", "c"}, N: 3, Each: func(yield func(Example, error) bool) {
		for i := range 3 {
			if !yield(Example{fmt.Sprint(i), i, black}, nil) {
				return
			}
		}
	}}
	var warnings []*picture.Warning
	run(t, d, Options{Batch: 1, OnWarning: func(w *picture.Warning) { warnings = append(warnings, w) }}, member(t, model(t), "center"))
	require.Len(t, warnings, 1)
	require.Equal(t, picture.UnlikelyColor, warnings[0].Problem)
}

// TestFromDataset evaluates a part of a training set.
func TestFromDataset(t *testing.T) {
	d := folder(t, 4, "a", "b", "c")
	set, err := train.Open(d.Name)
	require.NoError(t, err)
	defer set.Close()
	part, _ := set.Split(0.5)
	m := member(t, model(t), "center")
	_, all := run(t, d, Options{}, m)
	_, some := run(t, FromDataset(part), Options{}, m)
	require.Len(t, some, len(part.Examples))
	byPath := map[string]Outcome{}
	for _, o := range all {
		byPath[o.Path] = o
	}
	for _, o := range some {
		require.Equal(t, byPath[o.Path], o)
	}
}

// TestInterval compares with Wilson's interval from its definition: the p at which
// |k/n − p| = z·sqrt(p(1−p)/n).
func TestInterval(t *testing.T) {
	for _, c := range [][2]int{{0, 10}, {10, 10}, {3, 20}, {12345, 50000}} {
		p, interval := fraction(c[0], c[1])
		n := float64(c[1])
		require.InDelta(t, float64(c[0])/n, p, 1e-15)
		for i, end := range interval {
			if c[0] == 0 && i == 0 || c[0] == c[1] && i == 1 {
				require.InDelta(t, p, end, 1e-12)
				continue
			}
			require.InDelta(t, math.Abs(p-end), 1.959963984540054*math.Sqrt(end*(1-end)/n), 1e-12)
		}
	}
	_, interval := fraction(0, 0)
	require.Equal(t, [2]float64{0, 1}, interval)
}

// TestParseTraining reads what may be said of the scales of a training, and nothing else.
func TestParseTraining(t *testing.T) {
	for text, want := range map[string]Training{
		"256": {256, 256}, "1": {1, 1}, "256-512": {256, 512}, "[256;512]": {256, 512}, "256;256": {256, 256}, "16384": {16384, 16384},
		"": {}, "x": {}, "0": {}, "-1": {}, "256-": {}, "-256": {}, "x-256": {}, "256-x": {}, "512-256": {}, "256-512-600": {}, "16385": {}, "1-16385": {}, "2.5": {},
	} {
		got, err := ParseTraining(text)
		require.Equal(t, want == Training{}, err != nil, "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
}

// TestNeeds lists the scaled pictures that the views are cut from, and no others.
func TestNeeds(t *testing.T) {
	for views, want := range map[Views][]need{
		Center: {{300, 32}, {400, 32}}, Dense: {{300, 0}, {400, 0}}, MultiCrop: {{300, 0}, {400, 0}}, Dense | MultiCrop: {{300, 0}, {400, 0}},
		Center | Dense: {{300, 32}, {300, 0}, {400, 32}, {400, 0}},
	} {
		m := member(t, model(t), "center")
		size := m.Model.Config().Size
		m.Protocol = Protocol{Views: views, Scales: []int{300, 400}}
		for i := range want {
			if want[i].crop > 0 {
				want[i].crop = size
			}
		}
		require.Equal(t, want, m.needs(), "%v", views)
	}
}

// TestLimits: the largest options that are documented are taken, and none beyond.
func TestLimits(t *testing.T) {
	d, m := folder(t, 1, "a", "b", "c"), []Member{member(t, model(t), "center")}
	for _, o := range []Options{{Batch: mostBatch}, {Workers: mostWorkers}, {Batch: 1, Workers: 1}} {
		_, err := newEvaluation(d, m, o)
		require.NoError(t, err)
	}
	for _, o := range []Options{{Batch: mostBatch + 1}, {Workers: mostWorkers + 1}, {Batch: -1}, {Workers: -1}} {
		_, err := newEvaluation(d, m, o)
		require.ErrorIs(t, err, vgg.ErrShape)
	}
}
