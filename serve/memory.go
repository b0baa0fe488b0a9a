package serve

import (
	"io"
	"sync"
)

// memory bounds the bytes of bodies and results that are in the server at a time.
type memory struct {
	mu   sync.Mutex
	used int64
	most int64
}

// take takes n bytes until free is called, which may be called again.
func (m *memory) take(n int64) (free func(), err error) {
	if n > m.most {
		return nil, faultf(413, "the result would take %d bytes, and all requests together have %d", n, m.most)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.most-m.used {
		return nil, errMemory
	}
	m.used += n
	return sync.OnceFunc(func() {
		m.mu.Lock()
		m.used -= n
		m.mu.Unlock()
	}), nil
}

// now returns how many bytes are taken.
func (m *memory) now() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// memoryKey is the context's key of a holder.
type memoryKey struct{}

// holder frees the memory of a request when its answer is written.
type holder struct {
	mu   sync.Mutex
	free []func()
}

func (h *holder) add(free func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = append(h.free, free)
}

func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.free {
		f()
	}
	h.free = nil
}

// bodyStep is how much of a body is counted at a time.
const bodyStep = 1 << 18

// countedBody takes memory for a body as it arrives.
type countedBody struct {
	io.ReadCloser
	memory *memory
	holder *holder
	left   int // bytes that are taken and have not arrived
}

func (c *countedBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		free, err := c.memory.take(bodyStep)
		if err != nil {
			return 0, err
		}
		c.holder.add(free)
		c.left = bodyStep
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
