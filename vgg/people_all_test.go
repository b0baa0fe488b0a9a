package vgg_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// TestPeoplesWeights opens every file of weights that people made: it is read, or
// refused with the text that is listed, in little time and memory. TestPeople and
// TestONNXFiles compare what is read with other frameworks.
func TestPeoplesWeights(t *testing.T) {
	const ask = "the tensors do not tell the network: "
	refused := map[string]string{
		"31_nan_classifier.pth":            ask,
		"model-00001-of-00002.safetensors": "part 00001 of 00002 of a network, which is opened by its index model.safetensors.index.json",
		"model-00002-of-00002.safetensors": "part 00002 of 00002 of a network, which is opened by its index model.safetensors.index.json",
		"model.safetensors.index.json":     ask,
		"s_module.safetensors":             ask,
	}
	dir := testutil.Shared(t, "data", "people")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	seen := 0
	for _, e := range entries {
		name := e.Name()
		switch ext := filepath.Ext(name); {
		case strings.Contains(name, ".expected."):
			continue
		case ext == ".pth" || ext == ".tar":
			if refused[name] == "" {
				refused[name] = ask
			}
		case ext != ".onnx" && ext != ".safetensors" && !strings.HasSuffix(name, ".index.json"):
			continue
		}
		seen++
		var err error
		memory, spent := testutil.Spent(func() { _, err = vgg.Open(filepath.Join(dir, name)) })
		t.Log(name, memory, spent)
		if want := refused[name]; want != "" {
			require.ErrorContains(t, err, want, name)
			require.Equal(t, 1, strings.Count(err.Error(), name), "%v", err)
		} else {
			require.NoError(t, err, name)
		}
		require.Less(t, memory, int64(200<<20), name)
		require.Less(t, spent, testutil.Slower*20*time.Second, name)
	}
	require.GreaterOrEqual(t, seen, len(refused))
}

// TestShardsOfPeople: a network in two files is that of the one.
func TestShardsOfPeople(t *testing.T) {
	m, err := vgg.Open(testutil.Shared(t, "data", "people", "model.safetensors.index.json"), smallNet(t))
	require.NoError(t, err)
	checkGolden(t, m, testutil.Shared(t, "data", "people", "06_net.pth.expected.safetensors"))
}
