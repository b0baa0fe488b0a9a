package page_test

import (
	"context"
	"image/color"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/nonet-go/nonet/internal/browsertest"
	"github.com/nonet-go/nonet/serve"
	"github.com/nonet-go/nonet/serve/page"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEmbedded goes through the page with a server of the embedded network.
func TestEmbedded(t *testing.T) {
	s, err := serve.New([]serve.Source{{Name: "cifar10", Open: func(context.Context) (*vgg.Model, error) { return pretrained.CIFAR10() }}},
		serve.Page(page.Handler()))
	require.NoError(t, err)
	require.NoError(t, s.Load(t.Context()))
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	tour(t, s, "gradcam", "occlusion", "saliency", "guided")
}

// TestKey holds that the page asks for a key that the server wants.
func TestKey(t *testing.T) {
	s, err := serve.New([]serve.Source{{Name: "cifar10", Open: func(context.Context) (*vgg.Model, error) { return pretrained.CIFAR10() }}},
		serve.Page(page.Handler()))
	require.NoError(t, err)
	s.SetKeys([]string{"secret"})
	require.NoError(t, s.Load(t.Context()))
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	ctx, url := browsertest.Open(t, s, "status of 401")
	browsertest.Do(t, ctx, "open", chromedp.Navigate(url), chromedp.WaitVisible("#key-form"),
		chromedp.SendKeys("#key", "secret"), chromedp.Click("#key-form button"))
	browsertest.Until(t, ctx, `document.querySelectorAll("#layers tbody tr").length > 10 && document.getElementById("error").hidden`)
}

// TestWebAssembly goes through the page of static files: the network runs in the browser.
func TestWebAssembly(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the network to WebAssembly")
	}
	dir := t.TempDir()
	for name, data := range page.Static() {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o666))
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "vgg.wasm"), "./wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	glue, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wasm_exec.js"), glue, 0o666))
	tour(t, http.FileServer(http.Dir(dir)), "gradcam") // occlusion takes some hundred passes
}

// tour classifies a picture with the embedded network, lays each heat map over it, looks
// at maps of the first and the last layer, and compares with another picture.
func tour(t *testing.T, h http.Handler, methods ...string) {
	t.Helper()
	ctx, url := browsertest.Open(t, h)
	sky, sea := color.RGBA{140, 180, 230, 255}, color.RGBA{30, 60, 110, 255}
	browsertest.Do(t, ctx, "open", browsertest.Screen("light", 1000), chromedp.Navigate(url), chromedp.WaitVisible(`body[data-ready]`),
		chromedp.SetUploadFiles("#file", []string{picture(t, "a.png", 200, 150, sky, sea)}))
	browsertest.Until(t, ctx, `document.querySelectorAll("#classes button").length === 5`)
	shares := browsertest.Eval[[]float64](t, ctx, `[...document.querySelectorAll("#classes .bar")].map((b) => b.style.width.slice(0, -1) * 1)`)
	assert.IsDecreasing(t, shares)
	assert.Regexp(t, `^The network took [\d.]+ ms\.$`, browsertest.Eval[string](t, ctx, `document.getElementById("took").textContent`))
	for _, method := range methods {
		browsertest.Do(t, ctx, method, chromedp.SetValue("#method", method), chromedp.Click("#classes button"))
		browsertest.Until(t, ctx, `document.getElementById("shown").alt.includes(" of ") && document.getElementById("status").textContent === "" && document.getElementById("shown").naturalWidth > 0`)
		require.True(t, browsertest.Eval[bool](t, ctx, `document.getElementById("error").hidden`), method)
		browsertest.Do(t, ctx, "the picture", chromedp.Click("#plain"))
	}
	layers := browsertest.Eval[[]string](t, ctx, `[...document.querySelectorAll("#layers button")].map((b) => b.dataset.layer)`)
	for _, want := range []struct{ layer, caption string }{{layers[0], "64 maps of 32 × 32"}, {layers[len(layers)-1], "10 values"}} {
		browsertest.Do(t, ctx, want.layer, chromedp.Click(`button[data-layer="`+want.layer+`"]`))
		browsertest.Until(t, ctx, `document.getElementById("grid-caption").textContent === "`+want.layer+": "+want.caption+`"`)
	}
	browsertest.Do(t, ctx, "compare", chromedp.SetUploadFiles("#other-file", []string{picture(t, "b.png", 90, 90, sea, sky)}))
	browsertest.Until(t, ctx, `document.getElementById("distance").textContent.startsWith("Distance (")`)
	assert.Empty(t, browsertest.Eval[[]string](t, ctx, accessible))
}
