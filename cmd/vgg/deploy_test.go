package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// parses reads arguments as the command does.
func parses(t *testing.T, where string, args []string) {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Name("vgg"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	require.NoError(t, err)
	_, err = parser.Parse(args)
	require.NoError(t, err, where)
}

// TestDeployFlags: the files below deploy call the command as it can be called.
func TestDeployFlags(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../../deploy", name))
		require.NoError(t, err)
		return string(text)
	}
	entry := regexp.MustCompile(`(?m)^ENTRYPOINT (\[.*\])$`).FindStringSubmatch(read("Containerfile"))
	require.NotNil(t, entry)
	var image []string
	require.NoError(t, json.Unmarshal([]byte(entry[1]), &image))
	require.Equal(t, "/vgg", image[0])
	parses(t, "Containerfile", image[1:])

	unit := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/vgg (.*)$`).FindStringSubmatch(read("vgg.service"))
	require.NotNil(t, unit)
	parses(t, "vgg.service", strings.Fields(unit[1]))

	n := 0
	for _, name := range []string{"kubernetes.yaml", "kserve.yaml"} {
		for doc := range strings.SplitSeq(read(name), "\n---\n") {
			var v any
			require.NoError(t, yaml.Unmarshal([]byte(doc), &v))
			for _, args := range argsIn(v) {
				parses(t, name, append(image[1:len(image):len(image)], args...))
				n++
			}
		}
	}
	require.Equal(t, 2, n)
}

// argsIn finds the arguments of containers in a manifest.
func argsIn(v any) (list [][]string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			list = append(list, argsIn(e)...)
		}
	case map[string]any:
		for name, e := range v {
			args, ok := e.([]any)
			if name != "args" || !ok {
				list = append(list, argsIn(e)...)
				continue
			}
			var words []string
			for _, a := range args {
				words = append(words, a.(string))
			}
			list = append(list, words)
		}
	}
	return list
}

// TestUnit: systemd understands its unit.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	text, err := os.ReadFile("../../deploy/vgg.service")
	require.NoError(t, err)
	exe, err := os.Executable() // which exists, as /usr/local/bin/vgg may not
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "vgg.service")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/vgg", exe)), 0o600))
	out, err := exec.Command(analyze, "verify", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, strings.TrimSpace(string(out)))
}

// TestStatic: the program of the image needs no library of the system.
func TestStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command: needs a run without -short")
	}
	path := filepath.Join(t.TempDir(), "vgg")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command("go", "version", "-m", path).CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "CGO_ENABLED=0")
}
