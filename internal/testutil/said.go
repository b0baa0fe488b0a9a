package testutil

import (
	"bytes"
	"sync"
)

// Said is what a program has written so far. It may be read while the program writes.
type Said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *Said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *Said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
