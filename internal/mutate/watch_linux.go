package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// canWatch reports whether watch holds bounds here.
const canWatch = true

// watch runs a program. It and those that it starts are killed if together they exceed a
// bound: why says which. Else status is the program's.
func watch(b bounds, args []string) (status int, why string, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // a status that is not 0 is no error of watch
		close(ended)
	}()
	group := cmd.Process.Pid
	why = b.watchGroup(group, ended)
	_ = syscall.Kill(-group, syscall.SIGKILL) // what is left of it, mostly nothing
	<-ended
	return cmd.ProcessState.ExitCode(), why, nil
}

// watchGroup looks at a group of processes until its first one has ended or a bound is
// exceeded, which it names.
func (b bounds) watchGroup(group int, ended <-chan struct{}) (why string) {
	const period = 500 * time.Millisecond // a look at 200 processes takes some ms
	tick := time.NewTicker(period)
	defer tick.Stop()
	var last usage
	var idle time.Duration
	for why == "" {
		select {
		case <-ended:
			return ""
		case <-tick.C:
		}
		u := usageOf(group)
		if idle += period; !u.asleep || u.processor != last.processor {
			idle = 0
		}
		why, last = b.exceeded(u, idle), u
	}
	return why
}

// usageOf reads what the processes of a group take from /proc (proc_pid_stat(5)). Processes
// that end meanwhile count as their parents'.
func usageOf(group int) usage {
	const ticksPerSecond = 100 // of the kernel's interface, on every processor
	u := usage{asleep: true}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from the third on: state
		number := func(n int) int64 {
			v, _ := strconv.ParseInt(string(fields[n-3]), 10, 64)
			return v
		}
		if len(fields) < 22 || number(5) != int64(group) {
			continue
		}
		for n := 14; n <= 17; n++ { // utime, stime, and those of its children that have ended
			u.processor += time.Duration(number(n)) * time.Second / ticksPerSecond
		}
		u.memory += number(24) * int64(os.Getpagesize())
		u.asleep = u.asleep && string(fields[0]) == "S"
	}
	return u
}
