package main

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"
)

// parsed returns the options of a command line, or the error about them.
func parsed(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	f := flag.NewFlagSet("vggbeam", flag.ContinueOnError)
	o := flags(f)
	require.NoError(t, f.Parse(args))
	return o, o.check()
}

func TestCheck(t *testing.T) {
	o, err := parsed(t, "--input", "*.jpg", "--output", "dir/out.parquet")
	require.NoError(t, err)
	require.Equal(t, 5, o.top)
	require.Equal(t, "dir/out.failed.jsonl", o.failures)
	o, err = parsed(t, "--input", "*.jpg", "--output", "out.jsonl", "--layer", "fc5")
	require.NoError(t, err)
	require.Zero(t, o.top)
	for want, args := range map[string][]string{
		"--output are needed":  {"--input", "*.jpg"},
		".parquet, .tfrecord":  {"--input", "*.jpg", "--output", "out.csv"},
		"--files 0":            {"--input", "*.jpg", "--output", "out.jsonl", "--files", "0"},
		"--batch 5000":         {"--input", "*.jpg", "--output", "out.jsonl", "--batch", "5000"},
		"without --layer":      {"--input", "*.jpg", "--output", "out.jsonl", "--evaluate", "center", "--top", "3"},
		"goes with --evaluate": {"--input", "*.jpg", "--output", "out.jsonl", "--classes", "a,b"},
		"written as .jsonl":    {"--input", "*.jpg", "--output", "out.parquet", "--evaluate", "center"},
	} {
		_, err := parsed(t, args...)
		require.ErrorContains(t, err, want, "%v", args)
	}
}
