package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopError is the cause of a context that a signal has ended.
type stopError struct {
	name   string
	status int // of the exit: 128 and the signal's number, as shells have it
}

func (e stopError) Error() string { return "stopped by " + e.name }

var stops = map[os.Signal]stopError{
	os.Interrupt:    {"SIGINT", 130},
	syscall.SIGTERM: {"SIGTERM", 143},
	hangup:          {"SIGHUP", 129},
}

// grace is the time that a command has to end by itself after a signal. Unfinished work is
// then dropped: a file that was being replaced keeps its old content.
const grace = 80 * time.Millisecond

// stopper ends the command after a signal: by its context and, if the command does not look
// at that, by an exit. A second signal exits at once.
type stopper struct {
	err    io.Writer
	exit   func(status int)
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	cause *stopError // of the end, once there is one
	holds int        // what must be finished first
	goOn  string     // the command that goes on
	hups  chan struct{}
}

type stopperKey struct{}

// newStopper returns a context that its stopper ends.
func newStopper(errOut io.Writer, exit func(int)) (context.Context, *stopper) {
	s := &stopper{err: errOut, exit: exit}
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancel = cancel
	return context.WithValue(ctx, stopperKey{}, s), s
}

// stopOnSignals returns a context that a signal ends.
func stopOnSignals(errOut io.Writer, exit func(int)) (context.Context, *stopper) {
	ctx, s := newStopper(errOut, exit)
	signals := make(chan os.Signal, 2)
	for sig := range stops {
		// nohup starts a program that ignores SIGHUP.
		if sig != hangup || !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	go func() {
		for sig := range signals {
			if sig != hangup || !s.again() {
				s.stop(stops[sig])
			}
		}
	}()
	return ctx, s
}

// again tells a command that takes SIGHUP as a wish to read its files again, and reports
// whether it does.
func (s *stopper) again() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hups == nil {
		return false
	}
	select {
	case s.hups <- struct{}{}:
	default: // it is about to
	}
	return true
}

// hangups makes SIGHUP a wish to read files again, instead of a stop.
func hangups(ctx context.Context) <-chan struct{} {
	s, ok := ctx.Value(stopperKey{}).(*stopper)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hups = make(chan struct{}, 1)
	return s.hups
}

// stop handles a signal.
func (s *stopper) stop(e stopError) {
	s.mu.Lock()
	second := s.cause != nil
	s.cause = &e
	s.mu.Unlock()
	if second {
		s.end()
		return
	}
	s.cancel(e)
	time.AfterFunc(grace, s.endUnlessHeld)
}

func (s *stopper) endUnlessHeld() {
	s.mu.Lock()
	held := s.holds > 0
	s.mu.Unlock()
	if !held {
		s.end()
	}
}

// end exits, without waiting for the command. It keeps the mutex locked: nothing may be
// printed or written after it.
func (s *stopper) end() {
	s.mu.Lock()
	fmt.Fprintln(s.err, "vgg:", stopMessage(s.cause.Error(), s.goOn))
	s.exit(s.cause.status)
}

// hold lets the command finish work after a signal, such as the writing of a checkpoint.
// Until it calls release, only the command itself or a second signal ends it.
func hold(ctx context.Context) (release func()) {
	s, ok := ctx.Value(stopperKey{}).(*stopper)
	if !ok {
		return func() {}
	}
	change := func(by int) {
		s.mu.Lock()
		s.holds += by
		over := s.holds == 0 && s.cause != nil
		s.mu.Unlock()
		if over {
			time.AfterFunc(grace, s.endUnlessHeld)
		}
	}
	change(1)
	return sync.OnceFunc(func() { change(-1) })
}

// sayHowToGoOn sets the command line that continues this command's work after a signal.
func sayHowToGoOn(ctx context.Context, line string) {
	if s, ok := ctx.Value(stopperKey{}).(*stopper); ok {
		s.mu.Lock()
		s.goOn = line
		s.mu.Unlock()
	}
}

// howToGoOn returns that command line, or nothing.
func howToGoOn(ctx context.Context) string {
	s, ok := ctx.Value(stopperKey{}).(*stopper)
	if !ok {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goOn
}

// stopMessage joins what happened and the command line that continues, if there is one.
func stopMessage(what, goOn string) string {
	if goOn == "" {
		return what
	}
	return what + "; to go on:\n  " + goOn
}

type argsKey struct{}

// commandLine returns the command line of this command, for a shell.
func commandLine(ctx context.Context) string {
	args, _ := ctx.Value(argsKey{}).([]string)
	line := "vgg"
	for _, a := range args {
		line += " " + shellWord(a)
	}
	return line
}

// resumeLine returns the command line of this command with --resume.
func resumeLine(ctx context.Context) string {
	args, _ := ctx.Value(argsKey{}).([]string)
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--overwrite" })
	if !slices.Contains(args, "--resume") {
		args = append(args, "--resume")
	}
	return commandLine(context.WithValue(ctx, argsKey{}, args))
}

// shellWord quotes a word if a shell needs that.
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
