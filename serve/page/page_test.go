package page_test

import (
	_ "embed"
	"image/color"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/nonet-go/nonet/internal/browsertest"
	"github.com/nonet-go/nonet/serve/page"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mounted is the page over an API.
func mounted(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	mux.Handle("/", page.Handler())
	return mux
}

// TestHandler holds what the page's files are served with.
func TestHandler(t *testing.T) {
	h := page.Handler()
	get := func(method, path, etag string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
		"/style.css": "text/css; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		r := get("GET", path, "")
		assert.Equal(t, 200, r.StatusCode, path)
		assert.Equal(t, want, r.Header.Get("Content-Type"), path)
		assert.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'self'", path)
		assert.Equal(t, 304, get("GET", path, r.Header.Get("ETag")).StatusCode, path)
	}
	assert.Equal(t, 404, get("GET", "/../page.go", "").StatusCode)
	assert.Equal(t, 404, get("GET", "/worker.js", "").StatusCode)
	assert.Equal(t, 405, get("POST", "/", "").StatusCode)
}

// TestNothingFromElsewhere holds that no file of the page names another host.
func TestNothingFromElsewhere(t *testing.T) {
	for name, data := range page.Static() {
		text := strings.ReplaceAll(string(data), `xmlns="http://www.w3.org/2000/svg"`, "")
		assert.NotContains(t, text, "://", name)
	}
	assert.Contains(t, string(page.Static()["index.html"]), `<meta name="engine" content="worker">`)
}

// TestPage goes through the page with known answers.
func TestPage(t *testing.T) {
	ctx, url := browsertest.Open(t, mounted(fake(t)), "status of 429")
	blue, red := color.RGBA{20, 60, 200, 255}, color.RGBA{220, 30, 30, 255}
	first := picture(t, "first.png", 120, 80, blue, red)
	browsertest.Do(t, ctx, "open", browsertest.Screen("light", 1200), chromedp.Navigate(url), chromedp.WaitVisible(`body[data-ready]`))
	assert.Equal(t, []string{"relu1_1convolution5 × 32 × 321400.25 ms", "fc8fully connected7 × 1 × 135,84713 ms"},
		browsertest.Eval[[]string](t, ctx, `[...document.querySelectorAll("#layers tbody tr")].map(r => r.textContent)`))

	browsertest.Do(t, ctx, "upload", chromedp.SetUploadFiles("#file", []string{first}))
	browsertest.Until(t, ctx, `document.querySelectorAll("#classes button").length === 5 && document.querySelectorAll("#neighbours li").length === 1`)
	assert.Equal(t, []string{"<b>cat</b>50.0 %", "dog & fox25.0 %", "class 212.5 %", "ship6.25 %"},
		browsertest.Eval[[]string](t, ctx, `[...document.querySelectorAll("#classes button")].map(b => b.textContent).slice(0, 4)`), "labels are text, not HTML")
	widths := browsertest.Eval[[]float64](t, ctx, `[...document.querySelectorAll("#classes .bar")].map(b => b.style.width.slice(0, -1) * 1)`)
	assert.Equal(t, []float64{50, 25, 12.5, 6.25, 3.125}, widths)

	browsertest.Do(t, ctx, "heat map", chromedp.Click(`#classes button[data-class="1"]`))
	browsertest.Until(t, ctx, `document.getElementById("shown").alt.startsWith("Grad-CAM of dog & fox") && document.getElementById("shown").naturalWidth === 32`)
	assert.True(t, browsertest.Eval[bool](t, ctx, `document.querySelector('#classes button[data-class="1"]').getAttribute("aria-pressed") === "true"`))
	browsertest.Do(t, ctx, "another method", chromedp.SetValue("#method", "occlusion"), do(`document.getElementById("method").onchange()`))
	browsertest.Until(t, ctx, `document.getElementById("shown").alt.startsWith("Occlusion of")`)
	browsertest.Do(t, ctx, "picture alone", chromedp.Click("#plain"))
	browsertest.Until(t, ctx, `document.getElementById("shown").naturalWidth === 120`)

	browsertest.Do(t, ctx, "layer", chromedp.Click(`button[data-layer="relu1_1"]`), chromedp.WaitVisible("#grid"))
	browsertest.Until(t, ctx, `document.getElementById("grid-caption").textContent === "relu1_1: 5 maps of 32 × 32"`)
	assert.Greater(t, browsertest.Eval[int](t, ctx, `new Set(document.getElementById("grid").getContext("2d").getImageData(0, 0, 40, 40).data).size`), 20, "the map is drawn")
	browsertest.Do(t, ctx, "map by key", chromedp.Focus("#grid"), chromedp.KeyEvent(kb.ArrowRight))
	assert.Equal(t, "relu1_1: 5 maps of 32 × 32. Map 1: from 0.500 to 0.984", browsertest.Eval[string](t, ctx, `document.getElementById("grid-caption").textContent`))
	browsertest.Do(t, ctx, "values", chromedp.Click(`button[data-layer="fc8"]`))
	browsertest.Until(t, ctx, `document.getElementById("grid-caption").textContent === "fc8: 7 values"`)

	browsertest.Do(t, ctx, "another picture", chromedp.SetUploadFiles("#other-file", []string{picture(t, "second.png", 400, 300, red, blue)}))
	browsertest.Until(t, ctx, `document.getElementById("distance").textContent.startsWith("Distance (cosine): 0.00")`)

	browsertest.Do(t, ctx, "a network that fails", chromedp.SetValue("#model", "broken"), do(`document.getElementById("model").onchange()`))
	browsertest.Until(t, ctx, `document.getElementById("error").textContent === "the queue is full"`)
	browsertest.Do(t, ctx, "the error goes", chromedp.SetValue("#model", "fake"), do(`document.getElementById("model").onchange()`))
	browsertest.Until(t, ctx, `document.getElementById("error").hidden`)
}

// do runs JavaScript.
func do(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](expression)
}

//go:embed testdata/accessible.js
var accessible string

// TestAccessible holds names, contrast, order of headings, and that no text overlaps or is
// cut, on a wide screen and a phone, light and dark.
func TestAccessible(t *testing.T) {
	ctx, url := browsertest.Open(t, mounted(fake(t)), "status of 429")
	first := picture(t, "first.png", 120, 80, color.RGBA{20, 60, 200, 255}, color.RGBA{220, 30, 30, 255})
	for _, name := range []string{"light", "dark"} {
		for _, width := range []int64{1200, 360} {
			browsertest.Do(t, ctx, "open", browsertest.Screen(name, width), chromedp.Navigate(url), chromedp.WaitVisible(`body[data-ready]`),
				chromedp.SetUploadFiles("#file", []string{first}))
			browsertest.Until(t, ctx, `document.querySelectorAll("#neighbours li").length === 1`)
			browsertest.Do(t, ctx, "compare, layer", chromedp.SetUploadFiles("#other-file", []string{first}), chromedp.Click(`button[data-layer="relu1_1"]`))
			browsertest.Until(t, ctx, `!document.getElementById("maps").hidden && document.getElementById("distance").textContent !== ""`)
			browsertest.Until(t, ctx, `document.getAnimations().length === 0`)
			assert.Empty(t, browsertest.Eval[[]string](t, ctx, accessible), "%s, %d pixels", name, width)
		}
	}
}

// TestAccessibleFinds holds that the check above can fail.
func TestAccessibleFinds(t *testing.T) {
	const bad = `<!doctype html><html><head><title></title></head><body><h1>a</h1><h3>b</h3><img src="data:," id="i"><button></button>
		<p style="color:#999;background:#fff">grey</p><input><div style="width:3000px">wide</div><p hidden style="display:block">hidden</p>
		<p style="position:absolute;left:0;top:0">over</p><p style="position:absolute;left:0;top:0">over</p></body></html>`
	ctx, url := browsertest.Open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path != "/" {
			w.WriteHeader(204)
			return
		}
		_, _ = w.Write([]byte(bad))
	}))
	browsertest.Do(t, ctx, "open", browsertest.Screen("light", 800), chromedp.Navigate(url))
	found := strings.Join(browsertest.Eval[[]string](t, ctx, accessible), "\n")
	for _, want := range []string{"no lang", "no title", "h3 follows h1", "img#i has no alt", "button has no name", "input has no name", "contrast", "wider than the screen", "hidden and yet shown", "overlap"} {
		assert.Contains(t, found, want)
	}
}

// TestKeyboard goes from the picture to a heat map by keys alone.
func TestKeyboard(t *testing.T) {
	ctx, url := browsertest.Open(t, mounted(fake(t)), "status of 429")
	browsertest.Do(t, ctx, "open", browsertest.Screen("light", 1200), chromedp.Navigate(url), chromedp.WaitVisible(`body[data-ready]`),
		chromedp.SetUploadFiles("#file", []string{picture(t, "p.png", 64, 64, color.RGBA{A: 255}, color.RGBA{255, 255, 255, 255})}))
	browsertest.Until(t, ctx, `document.querySelectorAll("#neighbours li").length === 1`)
	var seen []string
	for range 20 {
		browsertest.Do(t, ctx, "tab", chromedp.KeyEvent(kb.Tab))
		at := browsertest.Eval[string](t, ctx, `document.activeElement.id || document.activeElement.dataset.class || document.activeElement.dataset.layer || document.activeElement.tagName`)
		seen = append(seen, at)
		if at == "1" {
			browsertest.Do(t, ctx, "choose", chromedp.KeyEvent(kb.Enter))
			browsertest.Until(t, ctx, `document.getElementById("shown").alt.startsWith("Grad-CAM of dog & fox")`)
			return
		}
	}
	require.Fail(t, "the second class cannot be reached by the Tab key", "%q", seen)
}
