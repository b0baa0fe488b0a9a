package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// byteSize is a number of bytes: 64M, 1G, 500000.
type byteSize int64

// UnmarshalText reads a flag.
func (b *byteSize) UnmarshalText(text []byte) error {
	s, unit := strings.ToUpper(string(text)), int64(1)
	for i, suffix := range []string{"K", "M", "G"} {
		if rest, ok := strings.CutSuffix(strings.TrimSuffix(strings.TrimSuffix(s, "B"), "I"), suffix); ok {
			s, unit = rest, int64(1)<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > (1<<62)/unit {
		return fmt.Errorf("%q is no number of bytes, such as 64M", text)
	}
	*b = byteSize(n * unit)
	return nil
}

// readKeys reads a file of keys, one a line.
func readKeys(path string) (keys []string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if key := strings.TrimSpace(line); key != "" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no keys", path)
	}
	return keys, nil
}

// servedFiles are those that are read again while the server runs.
type servedFiles struct {
	paths     []string // weights
	cert, key string

	mu      sync.Mutex
	pair    *tls.Certificate
	pairOf  string // signature of the files that pair is from
	seen    string // signature of paths when they were loaded
	pending string // another one, which may be that of a file that is being written
}

func newServedFiles(c *serveCmd) (*servedFiles, error) {
	f := &servedFiles{cert: c.TLSCert, key: c.TLSKey}
	if c.Weights != "" {
		f.paths = append(f.paths, c.Weights)
	}
	for _, arg := range c.Model {
		_, path, _ := strings.Cut(arg, "=")
		f.paths = append(f.paths, path)
	}
	f.seen = signature(f.paths...)
	if f.cert == "" {
		return f, nil
	}
	_, err := f.certificate(nil)
	return f, err
}

// signature changes when one of the files does.
func signature(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(&b, "%s absent\n", path)
			continue
		}
		fmt.Fprintf(&b, "%s %d %s\n", path, info.Size(), info.ModTime().Format(time.RFC3339Nano))
	}
	return b.String()
}

// changed says whether weights have changed since the last call, and are the same for two
// calls: a file that is being written is not.
func (f *servedFiles) changed() bool {
	now := signature(f.paths...)
	f.mu.Lock()
	defer f.mu.Unlock()
	stable := now == f.pending
	f.pending = now
	if now == f.seen || !stable {
		return false
	}
	f.seen = now
	return true
}

// forgetCertificate makes the next connection read the certificate again.
func (f *servedFiles) forgetCertificate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pairOf = ""
}

// certificate returns the certificate, which is read again when its files change. One
// that cannot be read leaves the one before.
func (f *servedFiles) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := signature(f.cert, f.key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair != nil && now == f.pairOf {
		return f.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	switch {
	case err == nil:
		f.pair, f.pairOf = &pair, now
	case f.pair == nil:
		return nil, errors.Join(fmt.Errorf("--tls-cert %s, --tls-key %s", f.cert, f.key), err)
	}
	return f.pair, nil
}
