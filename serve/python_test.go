package serve

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// TestPythonClient: gRPC's own library for Python, with a client generated from the
// protocol's .proto, gets the bits of a session.
func TestPythonClient(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which has Debian's packages
	plugin, err := exec.LookPath("grpc_python_plugin")
	if err != nil || exec.Command(python, "-c", "import grpc, google.protobuf").Run() != nil {
		if os.Getenv("NONET_REQUIRE_PYTHON") != "" {
			t.Fatal("Debian's packages protobuf-compiler-grpc, python3-grpcio and python3-protobuf are not here")
		}
		t.Skip("takes Debian's packages protobuf-compiler-grpc, python3-grpcio and python3-protobuf")
	}
	dir := t.TempDir()
	out, err := exec.Command("protoc", "--proto_path=oip/inference", "--python_out="+dir, "--grpc_out="+dir, "--plugin=protoc-gen-grpc="+plugin, "inference.proto").CombinedOutput()
	require.NoError(t, err, "%s", out)

	s := serveTest(t, nil)
	x := testutil.Normal(1, 2*3*32*32)
	var raw bytes.Buffer
	require.NoError(t, binary.Write(&raw, binary.LittleEndian, x))
	pictures := filepath.Join(dir, "pictures")
	require.NoError(t, os.WriteFile(pictures, raw.Bytes(), 0o600))
	cmd := exec.Command(python, "testdata/grpc_client.py", dir, strings.TrimPrefix(s.url, "http://"), pictures)
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var logits bytes.Buffer
	require.NoError(t, binary.Write(&logits, binary.LittleEndian, logitsOf(t, s.m, x, "")))
	line := fmt.Sprintf("logits %x\n", logits.Bytes())
	require.Equal(t, strings.Repeat(line, 5)+"unknown NOT_FOUND\nempty INVALID_ARGUMENT\ntimeout DEADLINE_EXCEEDED\ndeadline DEADLINE_EXCEEDED\nconfig INVALID_ARGUMENT\nunloaded UNAVAILABLE\n", string(out))
}
