package serve

import (
	"bytes"
	"context"
	"image/png"
	"mime/multipart"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/explain"
	"github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/picture"
	"github.com/nonet-go/nonet/vgg/weights"
)

// formOf makes a form of files.
func formOf(files map[string][]byte) (body []byte, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range []string{"a", "b", "image"} {
		if f, ok := files[name]; ok {
			part, _ := w.CreateFormFile(name, name+".png")
			_, _ = part.Write(f)
		}
	}
	_ = w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// TestExplain: the maps are those of package explain, as a picture and as numbers.
func TestExplain(t *testing.T) {
	s := serveTest(t, nil)
	file := photo(3, 40, 50)
	x := prepared(t, s.m, file)
	for _, method := range explain.Methods() {
		e, err := explain.New(s.m, method, explain.Patch(4, 2))
		require.NoError(t, err)
		want, err := e.Explain(t.Context(), x, 4)
		require.NoError(t, err)
		a := s.json(200, "POST", "/v1/explain?format=json&class=four&method="+string(method), file)
		require.Equal(t, "four", a["label"])
		require.Equal(t, want.Probability, a["probability"])
		list := a["map"].([]any)
		require.Len(t, list, 32*32)
		most := float32(0)
		for _, v := range want.Heat {
			most = max(most, v)
		}
		for i, v := range want.Heat {
			require.Equal(t, max(v, 0)/most, float32(list[i].(float64)), "%s %d", method, i)
		}
		code, h, b := s.do("POST", "/v1/explain?class=4&method="+string(method), file)
		require.Equal(t, 200, code)
		require.Equal(t, "4", h.Get("Nonet-Class"))
		img, err := picture.Decode("x", bytes.NewReader(file))
		require.NoError(t, err)
		frame, err := explain.Frame(s.m, img)
		require.NoError(t, err)
		var drawn bytes.Buffer
		require.NoError(t, png.Encode(&drawn, want.Draw(frame, s.m.Picture().Preset)))
		wantImage, err := png.Decode(&drawn)
		require.NoError(t, err)
		got, err := png.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		require.Equal(t, wantImage, got)
	}
	s.refused(400, "no class", "POST", "/v1/explain?class=cat", file)
	s.refused(400, "no class", "POST", "/v1/explain?class=10", file)
	s.refused(400, "method", "POST", "/v1/explain?method=guess", file)
	s.refused(400, "format", "POST", "/v1/explain?format=gif", file)
	s.refused(400, "known format", "POST", "/v1/explain", []byte("x"))
	top := s.json(200, "POST", "/v1/classify", file)["predictions"].([]any)[0].(map[string]any)
	require.Equal(t, top["class"], s.json(200, "POST", "/v1/explain?format=json", file)["class"], "the most probable")
}

// TestDistance: the cosine of any network's activations, and LPIPS where there is one.
func TestDistance(t *testing.T) {
	s := serveTest(t, nil)
	a, b := photo(3, 40, 50), photo(9, 33, 33)
	distance := func(path string, x, y []byte) float64 {
		form, kind := formOf(map[string][]byte{"a": x, "b": y})
		return s.json(200, "POST", path, form, "Content-Type", kind)["distance"].(float64)
	}
	require.InDelta(t, 0, distance("/v1/distance", a, a), 1e-12)
	d := distance("/v1/distance", a, b)
	require.Greater(t, d, 0.0)
	require.Equal(t, d, distance("/v1/distance?metric=cosine&layer=fc7", a, b))
	require.NotEqual(t, d, distance("/v1/distance?layer=relu1_1", a, b))
	form, kind := formOf(map[string][]byte{"a": a})
	s.refused(400, "no picture b", "POST", "/v1/distance", form, "Content-Type", kind)
	s.refused(400, "want a form", "POST", "/v1/distance", a)
	form, kind = formOf(map[string][]byte{"a": a, "b": b})
	s.refused(400, "and small has cosine", "POST", "/v1/distance?metric=lpips", form, "Content-Type", kind)
	s.refused(400, "metric", "POST", "/v1/distance?metric=x", form, "Content-Type", kind)
}

// TestMetrics: LPIPS and DISTS of pictures as the network sees them, in turn.
func TestMetrics(t *testing.T) {
	cfg, err := vgg.Lookup("D")
	require.NoError(t, err)
	if cfg, err = cfg.Until("pool5"); err != nil {
		t.Fatal(err)
	}
	cfg = cfg.WithSize(64)
	src, err := vgg.Seeded(cfg, 11)
	require.NoError(t, err)
	n := &vgg.Network{Config: cfg, Picture: cfg.DefaultPicture(), Source: src}
	m, err := n.Model()
	require.NoError(t, err)
	file := func(name string) *weights.File {
		f, err := weights.Open(testutil.Shared(t, "data", "perceptual", name))
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	lpips, err := perceptual.NewLPIPS(m, file("lpips_vgg.pth"))
	require.NoError(t, err)
	dists, err := perceptual.NewDISTS(n, file("dists_weights.pt"))
	require.NoError(t, err)
	open := func(context.Context) (*vgg.Model, error) { return m, nil }
	metrics := map[string]func(m *vgg.Model) (*perceptual.Metric, error){
		"lpips": func(*vgg.Model) (*perceptual.Metric, error) { return lpips, nil },
		"dists": func(*vgg.Model) (*perceptual.Metric, error) { return dists, nil },
	}
	s := serveTest(t, []Source{{Name: "d", Open: open, Metrics: metrics}})
	inputs, a, b := metricInputs(t, m)
	form, kind := formOf(map[string][]byte{"a": a, "b": b})
	for range 2 {
		for name, metric := range map[string]*perceptual.Metric{"lpips": lpips, "dists": dists} {
			session, err := metric.NewSession(64, 64)
			require.NoError(t, err)
			want, err := session.Distance(t.Context(), inputs[0], inputs[1])
			require.NoError(t, err)
			require.Equal(t, want, s.json(200, "POST", "/v1/distance?model=d&metric="+name, form, "Content-Type", kind)["distance"])
		}
	}
	s.refused(400, "layers of dists are fixed", "POST", "/v1/distance?model=d&metric=dists&layer=fc6", form, "Content-Type", kind)
	list := s.json(200, "GET", "/v1/models", nil)["models"].([]any)
	one := list[slices.IndexFunc(list, func(m any) bool { return m.(map[string]any)["name"] == "d" })].(map[string]any)
	require.Equal(t, []any{"cosine", "dists", "lpips"}, one["metrics"])
	require.EqualValues(t, m.Bytes()+dists.Bytes(), one["bytes"])
	metrics["cosine"] = metrics["lpips"]
	_, err = New([]Source{{Name: "d", Open: open, Metrics: metrics}})
	require.ErrorContains(t, err, "cosine")
}

// metricInputs returns two pictures as files and as m sees them.
func metricInputs(t *testing.T, m *vgg.Model) (inputs [2][]float32, a, b []byte) {
	t.Helper()
	a, b = photo(3, 64, 64), photo(9, 64, 64)
	tr := picture.Transform{Side: m.Picture().Side, Size: 64, Preset: picture.Unit}
	for i, f := range [][]byte{a, b} {
		img, err := png.Decode(bytes.NewReader(f))
		require.NoError(t, err)
		inputs[i] = make([]float32, 3*64*64)
		require.NoError(t, tr.Apply(inputs[i], img))
	}
	return inputs, a, b
}
