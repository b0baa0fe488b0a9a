package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var ideal = world{pictures: 1e6, size: 1e5, rate: 10, cores: 4, bandwidth: 1e12, link: 1e12, shards: 5, price: 1}

// TestIdeal: without start, spread and failures the rate is that of the cores, and the
// cost does not depend on their number.
func TestIdeal(t *testing.T) {
	for _, machines := range []int{1, 10, 1000} {
		o := ideal.run(machines)
		require.InEpsilon(t, 1e6/float64(40*machines), o.seconds, 1e-9)
		require.InEpsilon(t, 1, o.busy, 1e-9)
		require.InEpsilon(t, 1e6/10/3600, o.cost, 1e-9)
		require.Equal(t, "cores", o.bound)
	}
}

// TestBounds: storage and links bound the rate where they are too slow.
func TestBounds(t *testing.T) {
	w := ideal
	w.bandwidth = 1e9 // 10,000 pictures a second
	require.Equal(t, "cores", w.run(200).bound)
	o := w.run(1000)
	require.Equal(t, "storage", o.bound)
	require.InEpsilon(t, 100, o.seconds, 1e-9)
	w = ideal
	w.link = 1e6
	require.Equal(t, "link", w.run(1).bound)
	require.InEpsilon(t, 1e5, w.run(1).seconds, 1e-9)
}

// TestStart: the start counts once, and again after a failure; every picture is
// computed all the same.
func TestStart(t *testing.T) {
	w := ideal
	w.start = time.Minute
	require.InEpsilon(t, 60+1e6/400.0, w.run(10).seconds, 1e-9)
	w.failures = 2
	o := w.run(10)
	require.Greater(t, o.seconds, w.start.Seconds()+1e6/400.0)
	require.Less(t, o.seconds, 3*(60+1e6/400.0))
	require.InEpsilon(t, 1e6/40, o.busy*o.seconds*10, 1e-6, "the time that the pictures take")
	require.Equal(t, o, w.run(10), "the same seed")
}

// TestShards: more shards a machine wait less for the slowest.
func TestShards(t *testing.T) {
	w := ideal
	w.spread = 0.2
	w.shards = 1
	one := w.run(100)
	w.shards = 16
	require.Less(t, w.run(100).seconds, 0.9*one.seconds)
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	ideal.print(&b, 1000)
	require.Equal(t, 6, bytes.Count(b.Bytes(), []byte("\n")))
	require.NoError(t, ideal.check())
	w := ideal
	w.rate = 0
	require.ErrorContains(t, w.check(), "-rate 0")
	w = ideal
	w.cores = 0
	require.Error(t, w.check())
}
