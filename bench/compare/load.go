package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A round in which other programs take more than loadLimit of the CPUs' time is repeated, up
// to mostRepeats times.
const (
	loadLimit   = 0.05
	mostRepeats = 3
)

// A loadMeter measures what other programs than a subject take of some CPUs.
type loadMeter struct {
	cpus             []int
	busy, idle, mine float64 // ticks, at the beginning of a turn
}

func newLoadMeter(cpus string) (*loadMeter, error) {
	list, err := parseCPUs(cpus)
	return &loadMeter{cpus: list}, err
}

// begin notes the times at the beginning of a subject's turn.
func (m *loadMeter) begin(pid int) (err error) {
	if m.busy, m.idle, err = cpuTicks(read("/proc/stat"), m.cpus); err != nil {
		return err
	}
	m.mine, err = processTicks(read(fmt.Sprintf("/proc/%d/stat", pid)))
	return err
}

// end returns the part of the CPUs' time since begin that was neither idle nor the subject's.
func (m *loadMeter) end(pid int) (float64, error) {
	before := *m
	if err := m.begin(pid); err != nil {
		return 0, err
	}
	busy, idle, mine := m.busy-before.busy, m.idle-before.idle, m.mine-before.mine
	if busy+idle <= 0 {
		return 0, nil
	}
	return max(0, busy-mine) / (busy + idle), nil
}

// cpuTicks adds up the ticks of CPUs in the text of /proc/stat. What the host of a virtual
// machine has taken counts as busy.
func cpuTicks(stat string, cpus []int) (busy, idle float64, err error) {
	found := 0
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 9 || !isOneOf(f[0], cpus) {
			continue
		}
		found++
		for i, text := range f[1:9] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("/proc/stat: %w", err)
			}
			if i == 3 || i == 4 { // idle, iowait
				idle += v
			} else {
				busy += v
			}
		}
	}
	if found != len(cpus) {
		return 0, 0, fmt.Errorf("/proc/stat has %d of the CPUs %v", found, cpus)
	}
	return busy, idle, nil
}

func isOneOf(name string, cpus []int) bool {
	for _, c := range cpus {
		if name == "cpu"+itoa(c) {
			return true
		}
	}
	return false
}

// processTicks returns the user and system time in the text of /proc/PID/stat.
func processTicks(stat string) (float64, error) {
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name may hold anything
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	user, errU := strconv.ParseFloat(f[11], 64)
	system, errS := strconv.ParseFloat(f[12], 64)
	if errU != nil || errS != nil {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	return user + system, nil
}

// parseCPUs reads a list of CPUs as taskset does, without strides: 0-3,8.
func parseCPUs(list string) (cpus []int, err error) {
	for _, part := range strings.Split(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 0 || b < a || b > 1<<16 {
			return nil, fmt.Errorf("-cpus %q: want numbers and ranges, as in 0-3,8", list)
		}
		for ; a <= b; a++ {
			cpus = append(cpus, a)
		}
	}
	return cpus, nil
}
