package inference

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFresh: the generated files are those of inference.proto.
func TestFresh(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("protoc is not here: Debian's package protobuf-compiler has it")
	}
	dir := t.TempDir()
	out, err := exec.Command("./generate.sh", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"inference.pb.go", "inferenceconnect/inference.connect.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "go generate ./serve/oip/inference")
	}
}
