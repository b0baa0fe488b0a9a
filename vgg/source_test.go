package vgg

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// residentKiB returns how much of the mappings of a file is resident in this
// process.
func residentKiB(t *testing.T, path string) (kib int) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("needs /proc/self/smaps")
	}
	defer f.Close()
	inside, mapped := false, false
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		switch {
		case strings.Contains(fields[0], "-"):
			inside = strings.HasSuffix(s.Text(), path)
			mapped = mapped || inside
		case inside && fields[0] == "Rss:":
			n, err := strconv.Atoi(fields[1])
			require.NoError(t, err)
			kib += n
		}
	}
	if !mapped {
		t.Skip("files are not mapped here")
	}
	return kib
}

// TestTrim reads a file of 8 MiB and waits until none of it is resident any more.
func TestTrim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.safetensors")
	const n = 2 << 20
	require.NoError(t, weights.WriteFile(path, []weights.Out{{Name: "w", DType: weights.F32, Shape: []int{n}, Floats: make([]float32, n)}}, nil))
	file, err := weights.Open(path)
	require.NoError(t, err)
	read := func() {
		w, err := file.Tensor("w")
		require.NoError(t, err)
		view, ok := w.Float32View()
		if !ok {
			t.Skip("a big-endian machine copies")
		}
		for i := 0; i < n; i += 1024 {
			require.Zero(t, view[i])
		}
	}
	read()
	require.Greater(t, residentKiB(t, path), 4<<10)
	stop := trim(file)
	testutil.Wait(t, "pages to leave", func() bool { return residentKiB(t, path) < 64 })
	read() // is mapped again
	stop()
	require.NoError(t, file.Close())
}
