package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/weights"
)

// stoppedAt is a context that SIGTERM ends when it is looked at for the last time that is left.
type stoppedAt struct {
	context.Context
	cancel context.CancelCauseFunc
	left   int
}

func (c *stoppedAt) Err() error {
	if c.left--; c.left == 0 {
		c.cancel(stopError{"SIGTERM", 143})
	}
	return c.Context.Err()
}

// TestConvertStopped: wherever a signal stops a conversion, between tensors that it reads or in
// the midst of one that it writes, it has the status of the signal, and the output is the old
// file, with nothing beside it.
func TestConvertStopped(t *testing.T) {
	dir := t.TempDir()
	in, out := smallWeights(t, t.TempDir()), filepath.Join(dir, "out")
	for i, kind := range [][]string{nil, {"--half"}, {"--fixed"}} {
		calm := filepath.Join(t.TempDir(), "calm")
		requireOK(t, append([]string{"convert", in, calm}, kind...)...)
		require.NoError(t, os.WriteFile(out, []byte("old"), 0o600))
		looks := 1 + i
		for ; ; looks += 3 { // with each kind at others
			ctx, cancel := context.WithCancelCause(context.Background())
			var text, said bytes.Buffer
			status := run(&stoppedAt{ctx, cancel, looks}, append([]string{"convert", in, out}, kind...), streams{&text, &said})
			cancel(nil)
			require.Equal(t, []string{"out"}, names(t, dir), "look %d", looks)
			if status == 0 {
				break
			}
			require.Equal(t, 143, status, "%s", &said)
			require.Equal(t, "vgg: stopped by SIGTERM\n", said.String())
			require.Equal(t, "old", string(readFile(t, out)), "look %d", looks)
		}
		require.Equal(t, readFile(t, calm), readFile(t, out))
		info, err := os.Stat(out)
		require.NoError(t, err)
		t.Logf("%v: stopped at %d moments, %d bytes", kind, looks/3, info.Size())
		require.Greater(t, looks, 60, "it looks for each tensor that is read and written")
	}
}

// TestConvertStops: convert and summary end with their context, and convert leaves its output
// as it was, wherever it is in reading.
func TestConvertStops(t *testing.T) {
	dir := t.TempDir()
	in, out := smallWeights(t, dir), filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(out, []byte("old"), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	f, err := weights.Open(in)
	require.NoError(t, err)
	defer f.Close()
	until := fileUntil{f, ctx}
	_, err = until.Tensor(f.Names()[0])
	require.NoError(t, err)
	cancel()
	_, err = until.Tensor(f.Names()[0])
	require.ErrorIs(t, err, context.Canceled)
	s := streams{out: io.Discard, err: io.Discard}
	require.ErrorIs(t, (&convertCmd{In: in, Out: out}).Run(ctx, s), context.Canceled)
	require.ErrorIs(t, (&summaryCmd{Weights: in}).Run(ctx, s), context.Canceled)
	require.Equal(t, "old", string(readFile(t, out)))
}
