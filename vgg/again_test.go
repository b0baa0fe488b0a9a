package vgg_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// torchLoad prints the tensors of float32 in each file, or none.
const torchLoad = `
import hashlib, sys, warnings
import torch
warnings.simplefilter("ignore")
for i, path in enumerate(sys.stdin.read().split("\n")):
    if not path: continue
    try:
        state = torch.load(path)
        for name, x in state.items():
            if isinstance(name, str) and isinstance(x, torch.Tensor) and x.dtype == torch.float32:
                print(i, name.encode().hex(), list(x.shape), hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest(), sep="|")
    except Exception:
        pass
`

// TestTorchAgain: of files of torch.save that were changed, and that both this module and
// PyTorch read, the tensors are the same.
func TestTorchAgain(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(25, 6))
	var paths []string
	for _, seed := range []string{"zip.pth", "legacy.pth", "bn_zip.pth"} {
		data, err := os.ReadFile(filepath.Join("testdata", "formats", seed))
		require.NoError(t, err)
		tree := structured.Parse(data)
		for i := range 60 {
			program := make([]byte, 4*min(i, 2))
			for k := range program {
				program[k] = byte(rng.Uint32())
			}
			changed := tree.Edit(program, 1<<20).Bytes(1 << 20)
			if changed == nil {
				continue
			}
			path := filepath.Join(dir, fmt.Sprint(len(paths)))
			require.NoError(t, os.WriteFile(path, changed, 0o600))
			paths = append(paths, path)
		}
	}
	compared, read := 0, map[string]bool{}
	for line := range strings.Lines(testutil.Python(t, "torch", torchLoad, strings.Join(paths, "\n"))) {
		parts := strings.Split(strings.TrimSpace(line), "|")
		require.Len(t, parts, 4)
		var i int
		var name []byte
		_, err := fmt.Sscan(parts[0], &i)
		require.NoError(t, err)
		_, err = fmt.Sscanf(parts[1], "%x", &name)
		if err != nil {
			continue // an empty name
		}
		f, err := weights.Open(paths[i])
		if err != nil {
			continue
		}
		if tensor, err := f.Tensor(string(name)); err == nil && tensor.DType == weights.F32 {
			shape := strings.ReplaceAll(fmt.Sprint(tensor.Shape), " ", ", ")
			require.Equal(t, parts[2], shape, "file %d, %q", i, name)
			require.Equal(t, parts[3], fmt.Sprintf("%x", sha256.Sum256(tensor.Data)), "file %d, %q", i, name)
			compared++
			read[paths[i]] = true
		}
		require.NoError(t, f.Close())
	}
	t.Logf("%d tensors of %d files, of %d changed ones", compared, len(read), len(paths))
	require.Greater(t, len(read), 10)
}

// TestTorchWrites writes the test files anew with the exporters, and compares the networks.
func TestTorchWrites(t *testing.T) {
	dir := t.TempDir()
	script, err := filepath.Abs(filepath.Join("testdata", "formats", "make.py"))
	require.NoError(t, err)
	testutil.Python(t, "torch, onnx", "import runpy, sys; sys.argv = [sys.argv[2], sys.argv[1]]; runpy.run_path(sys.argv[0], run_name='__main__')", "", dir, script)
	n := 0
	for _, name := range []string{"zip.pth", "legacy.pth", "torchvision.safetensors", "v1.caffemodel", "v2.caffemodel", "gemm.onnx", "matmul.onnx", "bn_zip.pth", "bn_gemm.onnx"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		made, err := vgg.Open(path)
		require.NoError(t, err)
		kept, err := vgg.Open(filepath.Join("testdata", "formats", name))
		require.NoError(t, err)
		testutil.CheckBits(t, "logits", name, logitsOf(t, made), logitsOf(t, kept))
		n++
	}
	require.GreaterOrEqual(t, n, 6)
}
