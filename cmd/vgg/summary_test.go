package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/weights"
)

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
