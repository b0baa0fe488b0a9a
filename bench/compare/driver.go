package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// A driver is this program in the place of a peer: it speaks the protocol of
// peers/common.h. respond returns what is encoded as the answer.
type driver interface {
	respond(command string, args []string) (any, error)
}

// serve answers commands until the input ends.
func serve(d driver, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		reply, err := d.respond(words[0], words[1:])
		if err != nil {
			reply = answer{Failure: err.Error()}
		}
		if err := enc.Encode(reply); err != nil {
			return err
		}
	}
	return lines.Err()
}

// newDriver makes the driver that -driver names.
func newDriver(o options) (driver, error) {
	threads, err := strconv.Atoi(o.Threads)
	if err != nil || threads < 1 {
		return nil, fmt.Errorf("a driver wants one number of threads, not %q", o.Threads)
	}
	switch o.Driver {
	case "gonum":
		return gemmDriver{module: "gonum", sgemm: gonumSGEMM}, nil
	case "layers", "hot":
		return newConvsDriver(o, threads)
	case "vgg":
		return newNetDriver(o, threads)
	case "train":
		return newTrainDriver(o, threads)
	case "gemm":
		return nonetGEMM(threads), nil
	}
	return nil, fmt.Errorf("unknown driver %q", o.Driver)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) * 1e-6 }

// integers reads a driver's arguments.
func integers(args []string, into ...*int) error {
	if len(args) != len(into) {
		return fmt.Errorf("%d arguments, want %d", len(args), len(into))
	}
	for i, a := range args {
		if _, err := fmt.Sscan(a, into[i]); err != nil {
			return fmt.Errorf("argument %q: %w", a, err)
		}
	}
	return nil
}

func runDriver(o options) error {
	d, err := newDriver(o)
	if err != nil {
		return err
	}
	return serve(d, os.Stdin, os.Stdout)
}
