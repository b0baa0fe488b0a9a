package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nonet-go/nonet/serve"
	"github.com/nonet-go/nonet/serve/page"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/perceptual"
	"github.com/nonet-go/nonet/vgg/similar"
	"github.com/nonet-go/nonet/vgg/weights"
)

type serveCmd struct {
	modelFlags   `embed:""`
	serveModels  `embed:""`
	serveLimits  `embed:""`
	serveGuards  `embed:""`
	serveRunning `embed:""`
}

// serveModels say what is served beside the network of modelFlags.
type serveModels struct {
	Name         string   `placeholder:"NAME" help:"Name of the network in requests. Without it, that of its file."`
	Model        []string `sep:"none" placeholder:"NAME[@VERSION]=FILE" help:"Another network, whose file says all about it; may be repeated. Without --weights and --config these are all."`
	LPIPS        string   `name:"lpips" placeholder:"FILE" help:"The authors' file lpips_vgg.pth, for distances by LPIPS of the network of --weights, which is VGG-16 for ImageNet."`
	DISTS        string   `name:"dists" placeholder:"FILE" help:"The authors' file dists_weights.pt, for distances by DISTS of the same network. It takes memory for the convolutions once more."`
	Index        string   `placeholder:"FILE" help:"Index that vgg similar has built of --data with the same network, for nearest pictures."`
	Data         string   `placeholder:"DIR|TAR|LIST" help:"The pictures of --index."`
	NoRepository bool     `help:"Refuse requests that load or unload networks."`
	Reload       bool     `help:"Load a network again when its file changes; so does SIGHUP without it."`
}

// serveLimits bound what requests may take.
type serveLimits struct {
	Threads     int           `placeholder:"N" min:"0" help:"Threads that compute; all that there are if not given."`
	MaxBatch    int           `default:"8" min:"1" help:"Most pictures that are computed at a time."`
	MaxDelay    time.Duration `default:"0s" help:"How long a picture waits for others while nothing is computed."`
	Queue       int           `default:"128" min:"1" help:"Most pictures that are in the server at a time; more get 429."`
	Timeout     time.Duration `default:"30s" help:"How long a request may take once its body is there; then it gets 504."`
	MaxBody     byteSize      `default:"64M" help:"Most bytes of a body, after decompression."`
	Memory      byteSize      `default:"512M" help:"Most bytes of all bodies and results at a time; more get 429."`
	MaxPixels   int           `default:"16000000" min:"1" help:"Most pixels of the pictures of a request."`
	MaxPictures int           `default:"32" min:"1" help:"Most pictures of a request."`
	Decoders    int           `placeholder:"N" min:"0" help:"Most pictures that are decoded at a time, each of which takes up to 16 bytes a pixel; as many as threads if not given."`
}

// serveGuards say who may use the server and how slowly.
type serveGuards struct {
	Listen        string        `default:"127.0.0.1:8080" help:"Address and port."`
	APIKeyFile    string        `name:"api-key-file" placeholder:"FILE" help:"Keys, one a line, of which requests need one: Authorization: Bearer KEY. Read again by SIGHUP."`
	TLSCert       string        `name:"tls-cert" placeholder:"FILE" help:"Certificate, for TLS. Read again when it changes."`
	TLSKey        string        `name:"tls-key" placeholder:"FILE" help:"Its key."`
	CORS          []string      `name:"cors" placeholder:"ORIGIN" help:"Origins whose pages may use the server, such as https://example.org, or * for all."`
	HeaderTimeout time.Duration `default:"10s" help:"How long the header of a request may take to arrive."`
	BodyTimeout   time.Duration `default:"30s" help:"How long the body of a request may take to arrive, and each part of an answer to be taken."`
	IdleTimeout   time.Duration `default:"2m" help:"How long a connection is kept without a request."`
}

// serveRunning say how the server tells what it does, and ends.
type serveRunning struct {
	Log      string        `default:"text" enum:"text,json,none" help:"Form of the log on the standard error: ${enum}."`
	LogLevel slog.Level    `default:"info" help:"Least level that is logged: debug, info, warn or error."`
	Notice   time.Duration `default:"200ms" help:"After SIGTERM, how long requests are still taken while the server says that it is not ready: as long as a load balancer takes to notice."`
	Drain    time.Duration `default:"30s" help:"After that, how long requests that have been taken may go on."`
}

// gcPercent is how much garbage the heap holds beside what is in use. Weights are most of
// it and hold no pointers, so that collecting more often costs little, and at Go's own 100
// the memory would be twice the weights.
const gcPercent = 20

func (c *serveCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := c.logger(s)
	d := &daemon{serveCmd: c, log: log, hangup: hangups(ctx)}
	var err error
	if d.server, err = c.newServer(s, log); err != nil {
		return err
	}
	defer d.close()
	if d.files, err = newServedFiles(c); err != nil {
		return err
	}
	if err := d.keys(); err != nil {
		return err
	}
	return d.run(ctx, s)
}

func (c *serveCmd) check() error {
	if (c.LPIPS != "" || c.DISTS != "") && c.Weights == "" {
		return errors.New("--lpips and --dists go with --weights")
	}
	if (c.Index == "") != (c.Data == "") {
		return errors.New("--index and --data go together")
	}
	if c.Index != "" && len(c.Model) > 0 && c.Weights == "" && !c.given() {
		return errors.New("--index goes with the network of --weights, or with the one that comes with nonet")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	for _, f := range []struct {
		name string
		is   time.Duration
		zero bool
	}{{"max-delay", c.MaxDelay, true}, {"timeout", c.Timeout, false}, {"header-timeout", c.HeaderTimeout, false}, {"body-timeout", c.BodyTimeout, false},
		{"idle-timeout", c.IdleTimeout, false}, {"notice", c.Notice, true}, {"drain", c.Drain, true}} {
		if f.is < 0 || f.is == 0 && !f.zero {
			return fmt.Errorf("--%s %v: want a time", f.name, f.is)
		}
	}
	return nil
}

func (c *serveCmd) logger(s streams) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	switch c.Log {
	case "json":
		return slog.New(slog.NewJSONHandler(s.err, opts))
	case "none":
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(s.err, opts))
}

// newServer makes the handler.
func (c *serveCmd) newServer(s streams, log *slog.Logger) (*serve.Server, error) {
	sources, err := c.sources(s)
	if err != nil {
		return nil, err
	}
	opts := []serve.Option{
		serve.MaxBatch(c.MaxBatch), serve.MaxDelay(c.MaxDelay), serve.QueueSize(c.Queue), serve.Timeout(c.Timeout), serve.BodyTimeout(c.BodyTimeout),
		serve.MaxBody(int64(c.MaxBody)), serve.Memory(int64(c.Memory)), serve.MaxPixels(c.MaxPixels), serve.MaxPictures(min(c.MaxPictures, c.Queue)),
		serve.CORS(c.CORS...), serve.Log(log), serve.Page(page.Handler()),
	}
	if c.Threads > 0 {
		opts = append(opts, serve.Workers(c.Threads), serve.Decoders(c.Threads))
	}
	if c.Decoders > 0 {
		opts = append(opts, serve.Decoders(c.Decoders))
	}
	if c.NoRepository {
		opts = append(opts, serve.NoRepository())
	}
	return serve.New(sources, opts...)
}

// sources are the networks of the flags.
func (c *serveCmd) sources(s streams) (list []serve.Source, err error) {
	if len(c.Model) == 0 || c.Weights != "" || c.given() {
		list = append(list, serve.Source{Name: c.networkName(), Open: func(context.Context) (*vgg.Model, error) { return c.open(s) }, Metrics: c.metrics(s), Similar: c.collection()})
	}
	for _, arg := range c.Model {
		name, path, ok := strings.Cut(arg, "=")
		if !ok || path == "" {
			return nil, fmt.Errorf("--model %s: want NAME=FILE or NAME@VERSION=FILE", arg)
		}
		name, version, _ := strings.Cut(name, "@")
		flags := modelFlags{Weights: path, computeFlags: c.computeFlags}
		list = append(list, serve.Source{Name: name, Version: version, Open: func(context.Context) (*vgg.Model, error) { return flags.open(s) }})
	}
	return list, nil
}

// metrics open LPIPS and DISTS, as far as they are asked for.
func (c *serveCmd) metrics(s streams) map[string]func(m *vgg.Model) (*perceptual.Metric, error) {
	list := map[string]func(m *vgg.Model) (*perceptual.Metric, error){}
	if c.LPIPS != "" {
		list["lpips"] = func(m *vgg.Model) (*perceptual.Metric, error) {
			file, err := weights.Open(c.LPIPS)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			return perceptual.NewLPIPS(m, file)
		}
	}
	if c.DISTS != "" {
		list["dists"] = func(*vgg.Model) (*perceptual.Metric, error) { return c.openDISTS(s, c.DISTS) }
	}
	return list
}

// collection opens the index of pictures, if there is one, and checks that the network
// made it. It is kept when the network is loaded again.
func (c *serveCmd) collection() func(m *vgg.Model) (*serve.Collection, error) {
	if c.Index == "" {
		return nil
	}
	var x *similar.Index
	return func(m *vgg.Model) (*serve.Collection, error) {
		network, err := c.hash(m)
		if err != nil {
			return nil, err
		}
		if x == nil {
			if x, err = similar.Open(c.Index, runtime.GOMAXPROCS(0)); err != nil {
				return nil, err
			}
		}
		d, err := extract.Open(c.Data)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		if err := x.Check(d, similar.Options{Network: network, Layer: x.Layer, Half: x.Half}, m); err != nil {
			return nil, err
		}
		return &serve.Collection{Index: x, Name: c.Data}, nil
	}
}

// networkName is the name of the network of modelFlags: --name, or that of its file as
// far as names may have its characters.
func (c *serveCmd) networkName() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Weights != "":
		name := filepath.Base(strings.TrimRight(c.Weights, "/"))
		name = strings.TrimSuffix(name, filepath.Ext(name))
		if name = regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(name, "-"); strings.Trim(name, "-._") != "" {
			return strings.TrimLeft(name, "-._")
		}
		return "network"
	case c.Net != "":
		return "custom"
	case c.Config != "":
		return strings.ToLower(c.Config)
	}
	return "cifar10"
}

// daemon is a server that runs.
type daemon struct {
	*serveCmd
	log    *slog.Logger
	server *serve.Server
	files  *servedFiles
	hangup <-chan struct{}
}

// run listens, loads the networks, and serves until ctx ends.
func (d *daemon) run(ctx context.Context, s streams) error {
	listener, err := net.Listen("tcp", d.Listen)
	if err != nil {
		return err
	}
	h := &http.Server{
		Handler: d.server, ReadHeaderTimeout: d.HeaderTimeout, IdleTimeout: d.IdleTimeout, MaxHeaderBytes: 1 << 15,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- d.serve(h, listener) }()
	defer h.Close()
	d.announce(s, listener.Addr())
	if err := d.server.Load(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil { // nothing was promised yet
		return ctx.Err()
	}
	defer hold(ctx)()
	d.log.Info("ready")
	if err := d.wait(ctx, failed); err != nil {
		return err
	}
	return d.end(h)
}

func (d *daemon) serve(h *http.Server, listener net.Listener) error {
	if d.TLSCert == "" {
		return h.Serve(listener)
	}
	h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.files.certificate}
	return h.ServeTLS(listener, "", "")
}

// announce says where the server is.
func (d *daemon) announce(s streams, addr net.Addr) {
	scheme := "http"
	if d.TLSCert != "" {
		scheme = "https"
	}
	fmt.Fprintf(s.out, "%s://%s/\n", scheme, addr)
	if ip, ok := addr.(*net.TCPAddr); ok && !ip.IP.IsLoopback() && d.APIKeyFile == "" {
		d.log.Warn("everyone who reaches this address can use the server: --api-key-file bounds who may", "address", addr.String())
	}
}

// watchEvery is how often files are looked at for --reload.
const watchEvery = 2 * time.Second

// wait does what is to be done while the server runs.
func (d *daemon) wait(ctx context.Context, failed <-chan error) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			d.log.Info("ending", "cause", context.Cause(ctx).Error())
			return nil
		case err := <-failed:
			return err
		case <-d.hangup:
			d.reload(ctx, "SIGHUP")
		case <-tick.C:
			if d.Reload && d.files.changed() {
				d.reload(ctx, "a file changed")
			}
		}
	}
}

// reload loads everything again. What cannot be loaded stays as it is, and the log says so.
func (d *daemon) reload(ctx context.Context, why string) {
	d.log.Info("reload", "cause", why)
	if err := d.keys(); err != nil {
		d.log.Error("reload", "error", err)
	}
	d.files.forgetCertificate()
	_ = d.server.Load(ctx) // it has said so itself
}

// keys reads the keys of requests.
func (d *daemon) keys() error {
	if d.APIKeyFile == "" {
		return nil
	}
	keys, err := readKeys(d.APIKeyFile)
	if err == nil {
		d.server.SetKeys(keys)
	}
	return err
}

// end lets requests that have been taken be answered.
func (d *daemon) end(h *http.Server) error {
	d.server.Drain()
	time.Sleep(d.Notice)
	ctx, cancel := context.WithTimeout(context.Background(), d.Drain)
	defer cancel()
	err := h.Shutdown(ctx)
	if err = errors.Join(err, d.server.Close(ctx)); err != nil {
		return fmt.Errorf("requests were left unanswered after --drain %v", d.Drain)
	}
	d.log.Info("ended")
	return nil
}

// close ends the executor whatever is left.
func (d *daemon) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = d.server.Close(ctx) // what is left is left
}
