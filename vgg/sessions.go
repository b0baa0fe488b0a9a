package vgg

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// MaxSessions bounds the sessions of Classify and Features. So it bounds their memory and
// the number of callers that compute at the same time. Other callers wait until a session is
// free or their context ends. The default is GOMAXPROCS. Sessions by NewSession do not
// count.
func MaxSessions(n int) Option { return func(o *modelOptions) { o.sessions = &n } }

// sessions are those of Classify and Features, for one picture each.
type sessions struct {
	slots chan struct{} // holds an element for each session that is lent
	mu    sync.Mutex
	lent  int
	idle  []*Session // together with those that are lent no more than slots
}

func newSessions(o modelOptions) (*sessions, error) {
	n := runtime.GOMAXPROCS(0)
	if o.sessions != nil {
		n = *o.sessions
	}
	if n < 1 {
		return nil, fmt.Errorf("vgg: at most %d sessions, want at least 1: %w", n, ErrConfig)
	}
	return &sessions{slots: make(chan struct{}, n)}, nil
}

// borrow waits for a slot, and returns a session for one picture with the named
// outputs.
func (m *Model) borrow(ctx context.Context, layers ...string) (*Session, error) {
	if _, err := m.cfg.outputs(layers, false); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case m.sessions.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s := m.sessions.take(strings.Join(layers, ",")); s != nil {
		return s, nil
	}
	s, err := m.NewSession(Outputs(layers...))
	if err != nil {
		m.giveBack(nil)
	}
	return s, err
}

// take returns an idle session with those outputs. It returns nil if the caller has to make
// one, and may drop an idle session with other outputs for it.
func (p *sessions) take(layers string) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent++
	for i := len(p.idle) - 1; i >= 0; i-- {
		if s := p.idle[i]; s.layers == layers {
			p.idle = slices.Delete(p.idle, i, i+1)
			return s
		}
	}
	if len(p.idle)+p.lent > cap(p.slots) {
		p.idle = slices.Delete(p.idle, 0, 1) // the one that has been idle for longest
	}
	return nil
}

// giveBack keeps s for the next caller, unless it is nil.
func (m *Model) giveBack(s *Session) {
	p := m.sessions
	p.mu.Lock()
	p.lent--
	if s != nil {
		p.idle = append(p.idle, s)
	}
	p.mu.Unlock()
	<-p.slots
}
