package evaluate

import (
	"context"
	"errors"
	"image"
	"runtime"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/stretchr/testify/require"
)

// TestDefaults: options that are 0 are what their documentation says, and as many pictures
// are read ahead as the workers hold and the next batch needs.
func TestDefaults(t *testing.T) {
	d, m := folder(t, 1, "a", "b", "c"), model(t)
	e, err := newEvaluation(d, []Member{member(t, m, "center")}, Options{})
	require.NoError(t, err)
	require.Equal(t, []int{32, runtime.GOMAXPROCS(0), 1 << 22}, []int{e.Batch, e.Workers, e.MaxPixels})

	for _, c := range []struct {
		batch, workers, ahead int
		members               []Member
	}{
		{32, 3, 3 + 32, []Member{member(t, m, "center")}},
		{32, 3, 3 + 6, []Member{member(t, m, "multi-scale", 12)}}, // of 6 views
		{36, 1, 1 + 6, []Member{member(t, m, "multi-scale", 12)}},
		{37, 1, 1 + 7, []Member{member(t, m, "multi-scale", 12)}},
		{14, 2, 2 + 2, []Member{member(t, m, "multi-scale", 12), member(t, m, "center")}},
	} {
		e, err := newEvaluation(d, c.members, Options{Batch: c.batch, Workers: c.workers})
		require.NoError(t, err)
		require.Equal(t, c.ahead, cap(e.queue))
		require.Equal(t, c.ahead, cap(e.work))
		require.Len(t, e.free, len(c.members)+2)
	}
}

// TestFive: the five most probable classes are told, in order, and no more.
func TestFive(t *testing.T) {
	for layers, n := range map[string]int{"8 M F1": 1, "8 M F7": 5} {
		list, err := vgg.ParseLayers(layers)
		require.NoError(t, err)
		cfg := vgg.Config{Name: "test", Channels: 3, Size: 8, Pad: 1, Layers: list}
		src, err := vgg.Seeded(cfg, 1)
		require.NoError(t, err)
		m, err := vgg.New(cfg, src)
		require.NoError(t, err)
		d := folder(t, 1, "0")
		r, outcomes := run(t, d, Options{ByIndex: true}, member(t, m, "center"))
		require.Len(t, outcomes[0].Top, n)
		sum := 0.0
		for _, p := range outcomes[0].Scores {
			sum += p
		}
		require.InDelta(t, 1, sum, 1e-12)
		for i, p := range outcomes[0].Top {
			require.Equal(t, outcomes[0].Scores[p.Class], p.Probability)
			require.True(t, i == 0 || p.Probability <= outcomes[0].Top[i-1].Probability)
		}
		require.Equal(t, 1, r.N)
	}
}

// TestMaxPixels: a scaled picture may have exactly so many pixels.
func TestMaxPixels(t *testing.T) {
	d := folder(t, 1, "a", "b", "c") // 9×11
	for limit, readable := range map[int]int{99: 3, 98: 0} {
		r, err := Run(context.Background(), d, []Member{member(t, model(t), "single", 9)}, Options{MaxPixels: limit})
		require.Equal(t, readable, r.N, limit)
		require.Equal(t, readable == 0, err != nil)
	}
}

// TestEmptyPicture: a picture without pixels is unreadable.
func TestEmptyPicture(t *testing.T) {
	d := &Data{Name: "empty", Classes: []string{"a", "b", "c"}, N: 1, Each: func(yield func(Example, error) bool) {
		yield(Example{"x", 0, func() (image.Image, error) { return image.NewGray(image.Rect(3, 3, 3, 5)), nil }}, nil)
	}}
	r, outcomes := run(t, d, Options{Part: true}, member(t, model(t), "center"))
	require.Equal(t, []int{0, 1}, []int{r.N, r.Unreadable})
	require.Contains(t, outcomes[0].Err, "0×2 pixels: "+picture.ErrSize.Error())
	require.NoError(t, d.Close(), "there is nothing to close")
}

// TestEarlierRun: outcomes of an earlier run that cannot be those of these pictures and this
// network are refused.
func TestEarlierRun(t *testing.T) {
	d, m, stop := folder(t, 1, "a", "b", "c"), []Member{member(t, model(t), "center")}, errors.New("stop")
	_, all := run(t, d, Options{}, m...)
	changed := func(change func(o *Outcome)) []Outcome {
		o := all[2] // all[1] is unreadable
		change(&o)
		return []Outcome{all[0], all[1], o}
	}
	for _, c := range []struct {
		done []Outcome
		err  error
		want error
		text string
	}{
		{changed(func(o *Outcome) { o.Path = "other" }), nil, ErrData, "had other where"},
		{changed(func(o *Outcome) { o.Class++ }), nil, ErrData, "which is of class 1 now"},
		{changed(func(o *Outcome) { o.Top = nil }), nil, ErrData, "no classes of this network"},
		{changed(func(o *Outcome) { o.Top = ranked(3) }), nil, ErrData, "no classes of this network"},
		{append(all[:len(all):len(all)], Outcome{Path: "more"}), nil, ErrData, "more behind the last one"},
		{all[:2], stop, stop, "stop"},
		{all, stop, stop, "stop"},
		{all, nil, nil, ""},
		{nil, nil, nil, ""},
	} {
		n := 0
		r, err := Run(context.Background(), d, m, Options{Done: told(c.err, c.done...), OnPicture: func(Outcome) error { n++; return nil }})
		if c.want == nil {
			require.NoError(t, err)
			require.Equal(t, d.N, r.N+r.Unreadable)
			require.Equal(t, d.N-len(c.done), n, "what was there is not computed again")
			continue
		}
		require.ErrorIs(t, err, c.want)
		require.ErrorContains(t, err, c.text)
	}
}
