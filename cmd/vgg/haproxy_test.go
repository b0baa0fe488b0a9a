//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// haproxyConfig is a load balancer in front of two servers, which asks each of them ten
// times a second whether it is ready.
const haproxyConfig = `
global
	log /dev/null local0
defaults
	mode http
	timeout connect 2s
	timeout client 30s
	timeout server 30s
	timeout queue 30s
	timeout check 10s
	option redispatch
	retries 2
frontend in
	bind %s
	default_backend servers
backend servers
	option httpchk GET /v2/health/ready
	default-server check inter 100ms fall 1 rise 1
	server a %s
	server b %s
listen stats
	bind %s
	stats enable
	stats uri /
`

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// startAt starts the command on an address and waits until it is ready.
func startAt(t *testing.T, addr string) *command {
	t.Helper()
	c := startCommand(t, "serve", "--listen", addr, "--notice", "1s", "--log-level", "warn")
	waitFor(t, "http://"+addr+"/v2/health/ready")
	return c
}

func waitFor(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return
			}
		}
		require.True(t, time.Now().Before(deadline), "%s: %v", url, err)
	}
}

// bothUp waits until the balancer has seen that both servers are ready.
func bothUp(t *testing.T, stats string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		up := 0
		if resp, err := http.Get("http://" + stats + "/;csv"); err == nil {
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			for line := range strings.Lines(string(text)) {
				if f := strings.Split(line, ","); len(f) > 17 && f[0] == "servers" && f[1] != "BACKEND" && f[17] == "UP" {
					up++
				}
			}
		}
		if up == 2 {
			return
		}
		require.True(t, time.Now().Before(deadline), "%d servers are up", up)
	}
}

// TestServeHAProxy: behind a load balancer no request is lost when one of two servers gets
// SIGTERM under load and is started again, as often as it happens.
func TestServeHAProxy(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		if haproxy = "/usr/sbin/haproxy"; os.Getenv("NONET_REQUIRE_HAPROXY") == "" {
			if _, err := os.Stat(haproxy); err != nil {
				t.Skip("haproxy is not here")
			}
		}
	}
	runs := 10
	if testing.Short() {
		runs = 2
	}
	front, stats, addrs := freeAddress(t), freeAddress(t), []string{freeAddress(t), freeAddress(t)}
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(haproxyConfig, front, addrs[0], addrs[1], stats)), 0o600))
	servers := []*command{startAt(t, addrs[0]), startAt(t, addrs[1])}
	balancer := exec.Command(haproxy, "-db", "-f", config)
	require.NoError(t, balancer.Start())
	t.Cleanup(func() {
		for _, p := range []*os.Process{balancer.Process, servers[0].Process, servers[1].Process} {
			_ = p.Kill()
		}
		_ = balancer.Wait()
	})
	bothUp(t, stats)

	var answered, lost atomic.Int64
	var first atomic.Value
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				code, _, err := classifyAt("http://" + front)
				if err != nil || code != 200 && code != 429 {
					lost.Add(1)
					first.CompareAndSwap(nil, fmt.Sprint(code, " ", err))
					continue
				}
				answered.Add(1)
			}
		})
	}
	for i := range runs {
		time.Sleep(300 * time.Millisecond)
		status, _ := servers[i%2].stop(t, syscall.SIGTERM)
		require.Zero(t, status, servers[i%2].err.String())
		servers[i%2] = startAt(t, addrs[i%2])
		bothUp(t, stats)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d runs, %d requests answered, %d lost", runs, answered.Load(), lost.Load())
	require.Zero(t, lost.Load(), "%v", first.Load())
	require.Greater(t, answered.Load(), int64(runs))
}
