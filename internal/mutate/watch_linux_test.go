package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is the command where tests call it as that, and a program that TestWatch watches.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-watch" {
		main()
	}
	if what := os.Getenv("NONET_WATCHED"); what != "" {
		watched(what)
	}
	os.Exit(m.Run())
}

var held []byte

// watched does what TestWatch wants of a program.
func watched(what string) {
	switch what {
	case "works":
		for {
			runtime.Gosched()
		}
	case "sleeps":
		time.Sleep(time.Hour)
	case "starts one that works":
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "NONET_WATCHED=works")
		fmt.Println(cmd.Run())
	case "takes memory":
		held = make([]byte, 200<<20)
		for i := range held {
			held[i] = 1
		}
		time.Sleep(time.Hour)
	case "is stopped":
		goOn := make(chan os.Signal, 1)
		signal.Notify(goOn, syscall.SIGUSR1)
		cmd := exec.Command("sh", "-c", fmt.Sprintf("sleep 2; kill -CONT %[1]d; kill -USR1 %[1]d", os.Getpid()))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is not watched
		if cmd.Start() != nil || syscall.Kill(os.Getpid(), syscall.SIGSTOP) != nil {
			os.Exit(1)
		}
		<-goOn
		os.Exit(7)
	case "ends":
		os.Exit(7)
	}
}

// TestWatch: a program that exceeds a bound is killed, and what it has started; one that is
// stopped for longer is not.
func TestWatch(t *testing.T) {
	bounded := bounds{processor: time.Hour, idle: time.Hour, memory: 1 << 40}
	for what, c := range map[string]struct {
		set    func(*bounds)
		why    string
		status int
	}{
		"works":                 {func(b *bounds) { b.processor = 300 * time.Millisecond }, "more than 300ms of processors", -1},
		"starts one that works": {func(b *bounds) { b.processor = 300 * time.Millisecond }, "more than 300ms of processors", -1},
		"sleeps":                {func(b *bounds) { b.idle = time.Second }, "all sleep for 1s", -1},
		"takes memory":          {func(b *bounds) { b.memory = 150 << 20 }, "more than 150 MiB", -1},
		"is stopped":            {func(b *bounds) { b.idle = time.Second }, "", 7},
		"ends":                  {func(*bounds) {}, "", 7},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv("NONET_WATCHED", what)
			b := bounded
			c.set(&b)
			status, why, err := watch(b, []string{os.Args[0]})
			require.NoError(t, err)
			assert.Equal(t, c.why, why)
			assert.Equal(t, c.status, status)
		})
	}
	_, _, err := watch(bounded, []string{"/no/such/program"})
	require.ErrorIs(t, err, os.ErrNotExist)
}
