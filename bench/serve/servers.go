package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nonet-go/nonet/serve"
	"github.com/nonet-go/nonet/serve/oip"
	"github.com/nonet-go/nonet/vgg"
)

// serve is a server, until ctx ends. It prints its address when it is ready.
func (s *settings) serve(ctx context.Context, kind string) error {
	debug.SetGCPercent(20) // as `vgg serve` does
	handler, err := s.handler(ctx, kind)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	h := &http.Server{Handler: handler}
	go func() {
		<-ctx.Done()
		_ = h.Close()
	}()
	_ = h.Serve(l) // until it is closed
	return nil
}

func (s *settings) handler(ctx context.Context, kind string) (http.Handler, error) {
	switch kind {
	case "batched":
		h, err := serve.New([]serve.Source{{Name: "bench", Open: func(context.Context) (*vgg.Model, error) { return s.network() }}})
		if err != nil {
			return nil, err
		}
		return h, h.Load(ctx)
	case "separate":
		m, err := s.network()
		if err != nil {
			return nil, err
		}
		return &separate{model: m, numbers: 3 * s.size * s.size}, nil
	}
	return nil, fmt.Errorf("there is no server %s", kind)
}

// separate gives each request a session of its own. Sessions are kept for the next ones.
type separate struct {
	model   *vgg.Model
	numbers int
	mu      sync.Mutex
	idle    []*vgg.Session
}

// ServeHTTP answers an inference request of one picture.
func (s *separate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.answer(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *separate) answer(w http.ResponseWriter, r *http.Request) error {
	header, err := strconv.ParseInt(r.Header.Get(oip.HeaderLength), 10, 64)
	if err != nil {
		return err
	}
	req, err := oip.Decode(r.Body, header, oip.Limits{Numbers: s.numbers})
	if err != nil {
		return err
	}
	session, err := s.session()
	if err != nil {
		return err
	}
	out := make([]float32, session.OutputShape().Len())
	if err := session.Run(r.Context(), out, req.Inputs[0].Floats); err != nil {
		return err
	}
	req.Release()
	s.mu.Lock()
	s.idle = append(s.idle, session)
	s.mu.Unlock()
	resp := &oip.Response{ModelName: "bench", Outputs: []oip.Tensor{{Name: "logits", Datatype: oip.FP32, Shape: []int64{1, int64(len(out))}, Floats: out}}, Binary: []bool{true}}
	head, err := resp.Head()
	if err != nil {
		return err
	}
	w.Header().Set(oip.HeaderLength, strconv.Itoa(len(head)))
	if _, err := w.Write(head); err != nil {
		return nil // the client has gone
	}
	_ = resp.WriteBinary(w)
	return nil
}

// session returns one that is idle, or another.
func (s *separate) session() (*vgg.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		session := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return session, nil
	}
	return s.model.NewSession()
}

// process is a server that runs.
type process struct {
	cmd *exec.Cmd
	url string
}

// start starts this program as a server.
func (s *settings) start(ctx context.Context, kind string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, "-server", kind, "-config", s.config, "-divide", strconv.Itoa(s.divide), "-size", strconv.Itoa(s.size))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server has not begun: %w", err)
	}
	return &process{cmd, strings.TrimSpace(line)}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait() // its end is all
}

// peakMB returns the largest memory that the server has had, or 0 where the system does
// not tell.
func (p *process) peakMB() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
