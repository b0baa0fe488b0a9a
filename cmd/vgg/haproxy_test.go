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

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// haproxyConfig is a load balancer in front of two servers, which asks each of them ten
// times a second whether it is ready.
const haproxyConfig = `
global
	log /dev/null local0
defaults
	mode http
	timeout connect 60s
	timeout client 180s
	timeout server 180s
	timeout queue 180s
	timeout check 180s
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

// freeAddress returns an address that nobody listens on, on a loopback interface's address
// of this process's own: no connection of others takes the port before it is used.
func freeAddress(t *testing.T) string {
	t.Helper()
	own := net.IPv4(127, byte(1+os.Getpid()>>16), byte(os.Getpid()>>8), byte(os.Getpid()))
	l, err := net.Listen("tcp", net.JoinHostPort(own.String(), "0"))
	if err != nil { // a system that has no more than 127.0.0.1
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// startAt starts the command on an address and waits until it is ready.
func startAt(t *testing.T, addr string, notice time.Duration) *command {
	t.Helper()
	c := startCommand(t, "serve", "--listen", addr, "--notice", notice.String(), "--log-level", "warn")
	testutil.Wait(t, addr, func() bool {
		resp, err := http.Get("http://" + addr + "/v2/health/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return c
}

// bothUp waits until the balancer has seen that both servers are ready.
func bothUp(t *testing.T, stats string) {
	t.Helper()
	testutil.Wait(t, "two servers", func() bool {
		resp, err := http.Get("http://" + stats + "/;csv")
		if err != nil {
			return false
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		up := 0
		for line := range strings.Lines(string(text)) {
			if f := strings.Split(line, ","); len(f) > 17 && f[0] == "servers" && f[1] != "BACKEND" && f[17] == "UP" {
				up++
			}
		}
		return up == 2
	})
}

// TestServeHAProxy: behind a load balancer no request is lost when one of two servers gets
// SIGTERM under load and is started again, as often as it happens. A balancer that stands
// still for the time of notice loses some: a fault loses them whatever the time is.
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
	for _, notice := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second} {
		answered, lost := balanced(t, haproxy, runs, notice)
		t.Logf("%d runs with a notice of %v, %d requests answered, lost: %v", runs, notice, answered, lost)
		if len(lost) == 0 {
			return
		}
	}
	t.Error("requests were lost each time")
}

// balanced restarts servers behind a balancer. It returns how many requests were answered,
// and how the others failed.
func balanced(t *testing.T, haproxy string, runs int, notice time.Duration) (answered int, lost []string) {
	t.Helper()
	front, stats, addrs := freeAddress(t), freeAddress(t), []string{freeAddress(t), freeAddress(t)}
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(haproxyConfig, front, addrs[0], addrs[1], stats)), 0o600))
	servers := []*command{startAt(t, addrs[0], notice), startAt(t, addrs[1], notice)}
	balancer := exec.Command(haproxy, "-db", "-f", config)
	require.NoError(t, balancer.Start())
	defer func() {
		for _, p := range []*os.Process{balancer.Process, servers[0].Process, servers[1].Process} {
			_ = p.Kill()
		}
		_ = balancer.Wait()
	}()
	bothUp(t, stats)
	var mu sync.Mutex
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				code, _, err := classifyAt("http://" + front)
				mu.Lock()
				if err != nil || code != 200 && code != 429 {
					lost = append(lost, fmt.Sprint(code, " ", err))
				} else {
					answered++
				}
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return answered }
	for i := range runs {
		before := count()
		testutil.Wait(t, "answers", func() bool { return count() > before+8 })
		require.Zero(t, servers[i%2].stop(t, syscall.SIGTERM), "%s", &servers[i%2].err)
		servers[i%2] = startAt(t, addrs[i%2], notice)
		bothUp(t, stats)
	}
	stop.Store(true)
	wg.Wait()
	return answered, lost
}
