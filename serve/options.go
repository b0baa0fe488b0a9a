package serve

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"
)

type options struct {
	maxBatch, queue, decoders, workers int
	maxDelay, timeout, bodyTimeout     time.Duration
	maxBody, memory                    int64
	maxPixels, maxPictures             int
	origins                            []string
	log                                *slog.Logger
	page                               http.Handler
	fixed                              bool // nothing is loaded or unloaded from outside
}

func defaults() options {
	return options{
		maxBatch: 8, queue: 128, decoders: runtime.GOMAXPROCS(0), workers: runtime.GOMAXPROCS(0),
		timeout: 30 * time.Second, bodyTimeout: 30 * time.Second,
		maxBody: 64 << 20, memory: 512 << 20,
		maxPixels: 16_000_000, maxPictures: 32,
		log: slog.New(slog.DiscardHandler),
	}
}

func (o *options) check() error {
	for _, n := range []struct {
		what string
		is   int64
	}{
		{"MaxBatch", int64(o.maxBatch)}, {"QueueSize", int64(o.queue)}, {"Decoders", int64(o.decoders)}, {"Workers", int64(o.workers)},
		{"Timeout", int64(o.timeout)}, {"BodyTimeout", int64(o.bodyTimeout)}, {"MaxBody", o.maxBody}, {"Memory", o.memory},
		{"MaxPixels", int64(o.maxPixels)}, {"MaxPictures", int64(o.maxPictures)},
	} {
		if n.is < 1 {
			return fmt.Errorf("serve: %s(%d), want more than 0", n.what, n.is)
		}
	}
	if o.maxPictures > o.queue {
		return fmt.Errorf("serve: MaxPictures(%d), and the queue holds %d", o.maxPictures, o.queue)
	}
	return nil
}

// An Option changes how a Server works.
type Option func(*options)

// MaxBatch sets the most pictures that are computed at a time; 8 if not given.
func MaxBatch(n int) Option { return func(o *options) { o.maxBatch = n } }

// MaxDelay sets how long a picture waits for others while nothing is computed; 0 if not
// given.
func MaxDelay(d time.Duration) Option { return func(o *options) { o.maxDelay = d } }

// QueueSize sets how many pictures are in the server at a time, from the moment that
// their number is known to their result; 128 if not given. Requests beyond it get 429.
func QueueSize(n int) Option { return func(o *options) { o.queue = n } }

// Timeout sets how long a request may take, once its body is there; 30 s if not given.
func Timeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// BodyTimeout sets how long a body may take to arrive, and each 64 KiB of an answer to be
// taken; 30 s if not given.
func BodyTimeout(d time.Duration) Option { return func(o *options) { o.bodyTimeout = d } }

// MaxBody sets the most bytes of a body, after decompression; 64 MiB if not given.
func MaxBody(n int64) Option { return func(o *options) { o.maxBody = n } }

// Memory sets the most bytes of all bodies and results that are in the server at a time;
// 512 MiB if not given. Requests beyond it get 429. Weights, sessions and pictures that
// are being decoded come on top: see Decoders.
func Memory(n int64) Option { return func(o *options) { o.memory = n } }

// MaxPixels sets the most pixels of all pictures of a request; 16 million if not given.
func MaxPixels(n int) Option { return func(o *options) { o.maxPixels = n } }

// MaxPictures sets the most pictures of a request; 32 if not given.
func MaxPictures(n int) Option { return func(o *options) { o.maxPictures = n } }

// Decoders sets how many pictures are decoded at a time, each of which takes up to 16
// bytes a pixel; GOMAXPROCS if not given.
func Decoders(n int) Option { return func(o *options) { o.decoders = n } }

// Workers sets how many goroutines compute; GOMAXPROCS if not given.
func Workers(n int) Option { return func(o *options) { o.workers = n } }

// CORS lets the pages of other origins, such as https://example.org, send requests; "*"
// stands for all.
func CORS(origins ...string) Option { return func(o *options) { o.origins = origins } }

// Log sets where requests and events are logged; nowhere if not given.
func Log(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// Page sets what answers at / and at all paths that are none of the server's own: static
// files, for which no key is needed.
func Page(h http.Handler) Option { return func(o *options) { o.page = h } }

// NoRepository refuses requests that load or unload networks.
func NoRepository() Option { return func(o *options) { o.fixed = true } }
