package train

import (
	"context"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// chart is a picture of side×side whose pixels tell where they are, from 1 on: x in red, y in
// green.
func chart(side int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.Set(x, y, color.RGBA{uint8(x + 1), uint8(y + 1), 7, 255})
		}
	}
	return img
}

func newChartPreparer(a *Augment) *preparer {
	layers, _ := vgg.ParseLayers("8 F3")
	return newPreparer(&loader{
		cfg: vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: layers}, pic: vgg.Picture{Side: 8, Preset: picture.Torch}, augment: a,
	})
}

// prepared returns what the preparer makes of a chart, as pixels.
func prepared(t *testing.T, p *preparer, seed uint64, epoch, example int) *picture.RGB {
	t.Helper()
	p.l.seed, p.l.epoch = seed, epoch
	require.NoError(t, p.prepare(make([]float32, 3*8*8), chart(8), example))
	return &p.crop
}

// TestRandomPictures: what is random about a picture is a function of the seed, the epoch and
// the number of the picture, the same in each version of the program. So a run may go on with
// a newer one.
func TestRandomPictures(t *testing.T) {
	for _, c := range []randomPicture{
		{7, 0, 0, [2]uint8{2, 6}, 9, 4, 1},
		{7, 0, 1, [2]uint8{7, 8}, 9, 0, 4},
		{7, 1, 0, [2]uint8{0, 0}, 6, 6, 4},
		{7, 0, 2, [2]uint8{0, 0}, 6, 3, 0},
		{8, 0, 0, [2]uint8{8, 7}, 9, 3, 4},
		{7, 1, 1, [2]uint8{0, 0}, 9, 1, 1},
		{7, 90, 100000, [2]uint8{0, 0}, 6, 2, 0},
		{7, 2, 1048576, [2]uint8{2, 8}, 6, 6, 2},
	} {
		p := newChartPreparer(&Augment{Pad: 2, Cutout: 3})
		got := randomPicture{seed: c.seed, epoch: c.epoch, example: c.example}
		pixels := prepared(t, p, c.seed, c.epoch, c.example).Pix
		got.end = [2]uint8(pixels[3*63:])
		for i := range 64 {
			if [3]uint8(pixels[3*i:]) == [3]uint8{128, 128, 128} {
				if got.grey++; got.grey == 1 {
					got.x, got.y = i%8, i/8
				}
			}
		}
		require.Equal(t, c, got)
	}
}

// randomPicture is what prepared makes of a chart.
type randomPicture struct {
	seed           uint64
	epoch, example int
	end            [2]uint8 // the last pixel
	grey           int      // how many pixels are painted over
	x, y           int      // of the first one
}

// TestFlip: one half of the pictures is mirrored where that is wanted, and else none.
func TestFlip(t *testing.T) {
	for _, a := range []Augment{{}, {Flip: true}, {Pad: 1}} {
		p, flipped := newChartPreparer(&a), 0
		for example := range 200 {
			row := prepared(t, p, 1, 0, example).Pix[3*8*3:][:3*8]
			if row[3*2] > row[3*4] { // x falls
				flipped++
			}
		}
		if a == (Augment{}) {
			require.Zero(t, flipped)
		} else {
			require.InDelta(t, 100, flipped, 20, "%+v", a)
		}
	}
}

// TestColourShift: all pixels of a picture get one shift.
func TestColourShift(t *testing.T) {
	plain, shifted := make([]float32, 3*8*8), make([]float32, 3*8*8)
	require.NoError(t, newChartPreparer(&Augment{}).prepare(plain, chart(8), 3))
	p := newChartPreparer(&Augment{Colour: 0.1})
	p.l.colours = &picture.ColourPCA{Values: [3]float64{0.2, 0.02, 0.005}, Vectors: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}
	require.NoError(t, p.prepare(shifted, chart(8), 3))
	for c := range 3 {
		shift := shifted[c*64] - plain[c*64]
		require.NotZero(t, shift)
		for i := range 64 {
			require.InDelta(t, shift, shifted[c*64+i]-plain[c*64+i], 1e-5)
		}
	}
	// Without one, the augmentation is the network's preparation.
	want := make([]float32, 3*8*8)
	require.NoError(t, newChartPreparer(nil).prepare(want, chart(8), 3))
	testutil.CheckBits(t, "no augmentation", 3, plain, want)
}

// TestPrepareErrors: a picture without pixels, and one that the network's preparation refuses,
// are errors.
func TestPrepareErrors(t *testing.T) {
	for _, a := range []*Augment{nil, {}, {Pad: 1}, {Min: 8, Max: 9}} {
		p := newChartPreparer(a)
		require.Error(t, p.prepare(make([]float32, 3*8*8), image.NewRGBA(image.Rect(0, 0, 0, 3)), 0))
	}
	for _, a := range []*Augment{{}, {Pad: 1}} {
		p := newChartPreparer(a)
		p.l.cfg, p.l.pic.Side = p.l.cfg.WithInput(8, 12), 4 // less than the network takes
		require.ErrorIs(t, p.prepare(make([]float32, 3*8*12), chart(8), 0), picture.ErrSize, "%+v", a)
	}
}

// TestLoader: batches come in order, from any one on, with the rest of the data in the last one.
func TestLoader(t *testing.T) {
	d := openFolder(t, 5)
	run := smallRun(t, d)
	order := []int{3, 1, 4, 0, 5, 9, 2, 6, 8, 7, 14}
	for first := range 4 {
		l := &loader{data: d, cfg: run.Config, pic: run.Picture, order: order, batch: 3}
		ctx, cancel := context.WithCancel(context.Background())
		next, giveBack := l.batches(ctx, first, 4-first)
		for i := first; i < 4; i++ {
			b := next()
			require.NoError(t, b.err)
			var want []int
			for _, example := range order[3*i : min(3*i+3, len(order))] {
				want = append(want, d.Examples[example].Class)
			}
			require.Equal(t, want, b.Targets)
			require.Len(t, b.Input, 3*3*8*8)
			for j, example := range order[3*i : min(3*i+3, len(order))] {
				img, err := d.Picture(example)
				require.NoError(t, err)
				pixels := make([]float32, 3*8*8)
				require.NoError(t, newPreparer(l).prepare(pixels, img, example))
				testutil.CheckBits(t, "picture", example, b.Input[j*3*8*8:][:3*8*8], pixels)
			}
			giveBack(b)
		}
		cancel()
		for range 100 { // nothing else comes
			require.ErrorIs(t, next().err, context.Canceled)
		}
	}
}

// TestLoaderCount: the last batch may be smaller, and none is empty.
func TestLoaderCount(t *testing.T) {
	for n, want := range []int{0, 1, 1, 1, 2, 2, 2, 3} {
		require.Equal(t, want, (&loader{order: inOrder(n), batch: 3}).count())
	}
}

// TestLoaderFeatures: activations take the place of pictures, which are not read.
func TestLoaderFeatures(t *testing.T) {
	dir := folder(t, 2)
	d, err := Open(dir)
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, os.Remove(filepath.Join(dir, "ant", "00.png")))
	l := &loader{data: d, order: []int{5, 0, 2}, batch: 2, features: []float32{0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51}}
	require.Equal(t, 2, l.size())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	next, _ := l.batches(ctx, 0, 2)
	require.Equal(t, []float32{50, 51, 0, 1}, next().Input)
	require.Equal(t, []float32{20, 21}, next().Input[:2])
}

// TestShuffled: each epoch has an order of its own.
func TestShuffled(t *testing.T) {
	a := shuffled(50, 7, 0)
	require.Equal(t, a, shuffled(50, 7, 0))
	require.NotEqual(t, a, shuffled(50, 7, 1))
	require.NotEqual(t, a, shuffled(50, 8, 0))
	sorted := slices.Clone(a)
	slices.Sort(sorted)
	require.Equal(t, inOrder(50), sorted)
}
