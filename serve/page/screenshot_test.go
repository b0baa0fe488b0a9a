package page_test

import (
	"context"
	"flag"
	"image/color"
	"os"
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

var (
	screenshot = flag.String("screenshot", "", "write the picture of the page that README.md shows")
	photo      = flag.String("photo", "", "the photograph in it")
)

// TestScreenshot holds that what the page shows of a picture stands in its places: bars
// beside the picture, maps below the layers. With -screenshot FILE it writes the page.
func TestScreenshot(t *testing.T) {
	s, err := serve.New([]serve.Source{{Name: "cifar10", Open: func(context.Context) (*vgg.Model, error) { return pretrained.CIFAR10() }}},
		serve.Page(page.Handler()))
	require.NoError(t, err)
	require.NoError(t, s.Load(t.Context()))
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })
	ctx, url := browsertest.Open(t, s)
	shown := *photo
	if shown == "" {
		shown = picture(t, "disc.png", 200, 150, color.RGBA{140, 180, 230, 255}, color.RGBA{30, 60, 110, 255})
	}
	browsertest.Do(t, ctx, "open", browsertest.Screen("light", 900), chromedp.Navigate(url), chromedp.WaitVisible(`body[data-ready]`),
		chromedp.SetUploadFiles("#file", []string{shown}))
	browsertest.Until(t, ctx, `document.querySelectorAll("#classes button").length === 5`)
	browsertest.Do(t, ctx, "heat map", chromedp.Click("#classes button"))
	browsertest.Until(t, ctx, `document.getElementById("shown").alt.startsWith("Grad-CAM of") && document.getElementById("status").textContent === ""`)
	browsertest.Do(t, ctx, "maps", chromedp.Click(`button[data-layer="conv2_2"]`))
	browsertest.Until(t, ctx, `document.getElementById("grid-caption").textContent.startsWith("conv2_2: 128 maps")`)
	const box = `(id) => document.getElementById(id).getBoundingClientRect()`
	assert.True(t, browsertest.Eval[bool](t, ctx, `((box) => box("shown").right < box("classes").left)(`+box+`)`), "bars are beside the picture")
	assert.True(t, browsertest.Eval[bool](t, ctx, `((box) => box("layers").top > box("shown").bottom && box("grid").top > box("layers-title").bottom)(`+box+`)`),
		"layers and maps are below")
	if *screenshot != "" {
		browsertest.Do(t, ctx, "top of the page", chromedp.EmulateViewport(900, 1500), chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`))
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*screenshot, png, 0o666))
	}
}
