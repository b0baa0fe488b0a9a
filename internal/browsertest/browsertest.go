// Package browsertest drives a headless Chromium in tests of web pages and pictures.
package browsertest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Open opens a handler's pages in a headless browser. The test fails for each error and
// warning in the browser's console, but those that contain one of the allowed texts. It is
// skipped where there is no Chromium, and fails there if NONET_REQUIRE_BROWSER is set.
func Open(t *testing.T, h http.Handler, allowed ...string) (ctx context.Context, url string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("NONET_REQUIRE_BROWSER") != "" {
			t.Fatal("no chromium in PATH")
		}
		t.Skip("no chromium in PATH")
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...) // t.Context ends before the clean-up
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	messages := chromedp.Console(ctx)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")), "the browser starts")

	var all, wrong []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		for m, err := range messages {
			if err == nil {
				all = append(all, m.String())
			}
			if err == nil && m.Type != "log" && m.Type != "info" && m.Type != "debug" && !slices.ContainsFunc(allowed, func(text string) bool { return strings.Contains(m.Text, text) }) {
				wrong = append(wrong, m.String())
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, chromedp.Cancel(ctx))
		<-read
		require.Empty(t, wrong, "the console of the browser:\n%s", strings.Join(all, "\n"))
	})
	return ctx, server.URL
}

// Do runs steps and fails the test if one fails; what says what they do.
func Do(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	require.NoError(t, chromedp.Do(ctx, steps...), what)
}

// Eval returns the value of a JavaScript expression.
func Eval[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err, expression)
	return v
}

// Until waits until a JavaScript expression is true.
func Until(t *testing.T, ctx context.Context, condition string) {
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingTimeout(2*time.Minute))); err != nil {
		require.NoError(t, err, "%s\n%s", condition, Eval[string](t, ctx, `document.body.innerText`))
	}
}

// Screen emulates a light or a dark screen of a width.
func Screen(scheme string, width int64) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.EmulateViewport(width, 900), func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
		_, err = cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return v, err
	})
}
