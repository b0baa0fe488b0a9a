package labels

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// TestILSVRC2012: a thousand ids in ascending order, each with a name.
func TestILSVRC2012(t *testing.T) {
	list := ILSVRC2012()
	require.Len(t, list, 1000)
	last := ""
	for i, l := range list {
		id, name := Split(l)
		require.Greater(t, id, last, "class %d", i)
		require.NotEmpty(t, name, "class %d", i)
		last = id
	}
	for class, want := range map[int]string{0: "n01440764 tench, Tinca tinca", 281: "n02123045 tabby, tabby cat", 999: "n15075141 toilet tissue, toilet paper, bathroom tissue"} {
		require.Equal(t, want, list[class])
	}
}

// TestIDs compares the ids with the benchmark's list.
func TestIDs(t *testing.T) {
	text, err := os.ReadFile(testutil.Shared(t, "data", "labels", "ilsvrc2012_wnids.txt"))
	require.NoError(t, err)
	for i, want := range strings.Fields(string(text)) {
		id, _ := Split(ILSVRC2012()[i])
		require.Equal(t, want, id, "class %d", i)
	}
}

// TestFresh runs the generator where WordNet is installed.
func TestFresh(t *testing.T) {
	const wordnet = "/usr/share/wordnet/data.noun"
	if _, err := os.Stat(wordnet); err != nil {
		t.Skip("WordNet is not there; Debian has it as wordnet-base")
	}
	cmd := exec.Command("go", "run", "gen.go", wordnet)
	cmd.Stdin = strings.NewReader(ilsvrc2012)
	out, err := cmd.Output()
	require.NoError(t, err)
	require.True(t, bytes.Equal(out, []byte(ilsvrc2012)), "ilsvrc2012.txt is stale; run: go generate ./vgg/labels")
}

func TestRead(t *testing.T) {
	for text, want := range map[string][]string{
		"tench\n\n goldfish \r\n":                                    {"tench", "goldfish"},
		"n01440764 tench, Tinca tinca\nn01443537 goldfish":           {"n01440764 tench, Tinca tinca", "n01443537 goldfish"},
		` ["a", "b c"]`:                                              {"a", "b c"},
		`{"1": ["n01443537", "gold_fish"], "0": ["n01440764", "x"]}`: {"n01440764 x", "n01443537 gold fish"},
		`{"0": "a", "1": "b"}`:                                       {"a", "b"},
	} {
		got, err := Read("file", strings.NewReader(text))
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got)
	}
	for text, want := range map[string]string{
		"": "no labels", "\n \n": "no labels", "[]": "no labels", "{}": "no labels", `["a", 1]`: "cannot unmarshal",
		`{"0": "a", "2": "b"}`: `class "2" of 2`, `{"x": "a"}`: `class "x"`, `{"0": ""}`: "no name", `{"0": [1]}`: "want a name", "a\x00b": "not text", `{"0": "a"`: "unexpected end",
	} {
		_, err := Read("file.txt", strings.NewReader(text))
		require.ErrorIs(t, err, ErrFormat, "%q", text)
		require.ErrorContains(t, err, "file.txt")
		require.ErrorContains(t, err, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("n01440764 tench\ngoldfish\n"))
	f.Add([]byte(`{"0": ["n01440764", "tench"], "1": "x"}`))
	f.Add([]byte(`["a", "b"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := Read("fuzz", bytes.NewReader(text))
		require.True(t, err != nil || len(list) > 0)
	})
}

func ExampleSplit() {
	id, name := Split(ILSVRC2012()[0])
	fmt.Println(id)
	fmt.Println(name)
	// Output:
	// n01440764
	// tench, Tinca tinca
}
