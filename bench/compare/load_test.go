package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

const procStat = `cpu  100 0 50 1000 10 0 5 2 0 0
cpu0 60 5 30 500 5 1 3 1 0 0
cpu1 40 0 20 500 5 0 2 1 0 0
intr 1 2 3
`

func TestLoadTexts(t *testing.T) {
	busy, idle, err := cpuTicks(procStat, []int{0})
	require.NoError(t, err)
	require.Equal(t, []float64{100, 505}, []float64{busy, idle})
	busy, idle, err = cpuTicks(procStat, []int{0, 1})
	require.NoError(t, err)
	require.Equal(t, []float64{163, 1010}, []float64{busy, idle})
	_, _, err = cpuTicks(procStat, []int{0, 2})
	require.Error(t, err)
	ticks, err := processTicks("12 (a name) with) S 1 2 3 4 5 6 7 8 9 10 300 45 0 0 20")
	require.NoError(t, err)
	require.EqualValues(t, 345, ticks)
	_, err = processTicks("12 (short) S 1")
	require.Error(t, err)
	cpus, err := parseCPUs("0-2,8")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 8}, cpus)
	for _, list := range []string{"", "a", "2-1", "-1", "0-", "0-99999999"} {
		_, err := parseCPUs(list)
		require.Error(t, err, list)
	}
}

// TestLoadMeter: what this process computes itself is no foreign load, and is one where it is
// not the subject.
func TestLoadMeter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc of Linux")
	}
	spin := func() {
		for start := testutil.ProcessorTime(); testutil.ProcessorTime()-start < 300*time.Millisecond; {
		}
	}
	all := strings.Count(read("/proc/stat"), "\ncpu") // this process may run on any of them
	m, err := newLoadMeter("0-" + itoa(all-1))
	require.NoError(t, err)
	require.NoError(t, m.begin(os.Getpid()))
	spin()
	own, err := m.end(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, m.begin(1))
	spin()
	foreign, err := m.end(1)
	require.NoError(t, err)
	require.True(t, own >= 0 && own <= 1 && foreign > 0 && foreign <= 1, "%v %v", own, foreign)
}
