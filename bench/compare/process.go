package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A subject is one library in one setting, ready to be started for a work.
type subject struct {
	name string   // as the table prints it
	note string   // how it was set up, for the reader of the results
	argv []string // the driver
	env  []string // added to a cleaned environment
}

// An answer is one line of a driver; which fields are set depends on the
// command.
type answer struct {
	MS      []float64   `json:"ms"`
	Logits  []float64   `json:"logits"`
	Losses  []float64   `json:"losses"`
	Layers  []layerTime `json:"layers"`
	Error   float64     `json:"error"`
	Failure string      `json:"failure"`
	Version string      `json:"version"`
	Kernel  string      `json:"kernel"`
}

type layerTime struct {
	Name string    `json:"name"`
	Impl string    `json:"impl,omitempty"`
	MS   []float64 `json:"ms"`
}

// A process is a running driver.
type process struct {
	subject
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// tunables are prefixes of environment variables that change how fast a
// library runs. None is handed on from the caller: only a subject sets them.
var tunables = []string{
	"OPENBLAS_", "NVPL_", "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "ORT_", "BLIS_",
	"MALLOC_", "GLIBC_TUNABLES=", "LD_PRELOAD=", "GOMAXPROCS=", "GOGC=", "GODEBUG=", "GOAMD64=",
}

func cleanEnviron() []string {
	var env []string
next:
	for _, kv := range os.Environ() {
		for _, t := range tunables {
			if strings.HasPrefix(kv, t) {
				continue next
			}
		}
		env = append(env, kv)
	}
	return env
}

// start runs a subject on the given CPUs.
func (s subject) start(cpus string) (*process, error) {
	argv := append([]string{"taskset", "-c", cpus}, s.argv...)
	p := &process{subject: s, cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Env = append(cleanEnviron(), s.env...)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return p, nil
}

// ask sends a command and reads its answer.
func (p *process) ask(format string, args ...any) (answer, error) {
	command := fmt.Sprintf(format, args...)
	var a answer
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return a, fmt.Errorf("%s: %s: %w", p.name, command, err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("%s: %s: no answer: %w", p.name, command, err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("%s: %s: answered %.80q: %w", p.name, command, line, err)
	}
	if a.Failure != "" {
		return a, fmt.Errorf("%s: %s: %s", p.name, command, a.Failure)
	}
	return a, nil
}

// peakMiB is the largest resident set that the process has had. (What
// getrusage tells a child begins with the size of its parent.)
func (p *process) peakMiB() (float64, error) {
	status := read(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	var kib float64
	if _, err := fmt.Sscan(field(status, "VmHWM"), &kib); err != nil {
		return 0, fmt.Errorf("%s: peak memory: %w", p.name, err)
	}
	return kib / 1024, nil
}

// stop ends the process: a driver returns when its input ends.
func (p *process) stop() error {
	p.in.Close()
	return p.cmd.Wait()
}
