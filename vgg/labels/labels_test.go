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
		"tench\n\n goldfish \r\n":                          {"tench", "goldfish"},
		"n01440764 tench, Tinca tinca\nn01443537 goldfish": {"n01440764 tench, Tinca tinca", "n01443537 goldfish"},
		"0 cat\n1 dog":           {"0 cat", "1 dog"},
		"5 cents\n1 euro":        {"5 cents", "1 euro"},
		` ["a", "b c"]`:          {"a", "b c"},
		"\ufeff['a', \"b's\"]\n": {"a", "b's"},
		`{"1": ["n01443537", "gold_fish"], "0": ["n01440764", "x"]}`: {"n01440764 x", "n01443537 gold fish"},
		`{"0": "a", "1": "b"}`: {"a", "b"},
		"{1: \"a's\",\n 0: 'b \\'\\xe9\\u00e9\\U0001f41f\\\\',}":   {"b 'éé🐟\\", "a's"},
		`{0: u'tench, Tinca tinca'}`:                               {"tench, Tinca tinca"},
		`{"goldfish": 1, "tench": 0}`:                              {"tench", "goldfish"},
		`{"7": 1, "8": 0}`:                                         {"8", "7"},
		`{"class_to_idx": {"b": 1, "a": 0}, "epoch": 3}`:           {"a", "b"},
		`{"a\u00e9\/\ud83d\udc1f": 0}`:                             {"aé/🐟"},
		`{"id2label": {"0": "x", "1": "x"}, "label2id": {"x": 1}}`: {"x", "x"},
		`{"label_names": ["n01440764", "n01443537"], "label_descriptions": {"n01440764": "tench, Tinca tinca"}}`:      {"n01440764 tench, Tinca tinca", "n01443537"},
		`{"architecture": "vgg16", "pretrained_cfg": {"label_names": ["a"], "mean": [0.5, 1e-3, null, true, false]}}`: {"a"},
	} {
		got, err := Read("file", strings.NewReader(text))
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got)
	}
}

// TestRefused: what is not read says why.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "no labels", "\n \n": "no labels", "[]": "no labels", "{}": "no labels",
		`["a", 1]`:                 "class 1 is 1, want a name",
		`["a", null]`:              "class 1 is null",
		`["a", " "]`:               "class 1 has no name",
		`{"0": "a", "2": "b"}`:     `"b" is class 2 of 2, want 0 to 1`,
		`{"0": "a", "00": "b"}`:    `class 0 is there twice: "a" and "b"`,
		`{"0": "a", "0": "b"}`:     `"0" is there twice`,
		`{0: 'a', -1: 'b'}`:        "class -1 of 2",
		`{"a": 0, "b": 0}`:         "class 0 is there twice",
		`{"a": 1, "b": 2}`:         `"b" is class 2 of 2`,
		`{"a": 0, "b": 1.0}`:       "neither is the number",
		`{"x": "a"}`:               "neither is the number",
		`{0: 0}`:                   "class 0 is 0",
		`{"0": ""}`:                "no name",
		`{"0": [1]}`:               "want a name",
		"a\x00b":                   "not text",
		"a\x1b[2Jb":                "not text",
		`["\u001b[2J"]`:            "not text",
		"a\xff":                    "not UTF-8",
		`{"0": "a"`:                "want , or }, not the end",
		"{0: 'a',\n1: 'b}":         `line 2: the text that begins with "'b}" has no end`,
		`{0: 'a' 'b'}`:             "want , or }",
		`{0: b'a'}`:                "neither text in quotes",
		`{0: '\N{BULLET}'}`:        "escape",
		`{0: '\ud800'}`:            "no character",
		`["\ud800x"]`:              "no character",
		`["a"] x`:                  "more behind the end",
		`{[1]: 'a'}`:               "is no key",
		"1 b\n0 a":                 "in another order",
		strings.Repeat("[", 99999): "more than 32 deep",
		`{"id2label": {"1": "a"}}`: `id2label: "a" is class 1 of 1`,
		`{"label_names": ["a"], "label_descriptions": 3}`: "label_descriptions is 3",
	} {
		_, err := Read("file.txt", strings.NewReader(text))
		require.ErrorIs(t, err, ErrFormat, "%q", text)
		require.ErrorContains(t, err, "file.txt")
		require.ErrorContains(t, err, want)
		require.Less(t, len(err.Error()), 300)
	}
}

// TestPeoplesFiles reads what projects save beside their weights.
func TestPeoplesFiles(t *testing.T) {
	for file, prefix := range map[string]string{"l3.json": "name", "l5.json": "name", "l6.json": "n", "l10.txt": "name"} {
		f, err := os.Open(testutil.Shared(t, "data", "people", file))
		require.NoError(t, err)
		got, err := Read(file, f)
		f.Close()
		require.NoError(t, err)
		require.Len(t, got, 10)
		for i, name := range got {
			require.Equal(t, fmt.Sprint(prefix, i), name)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"n01440764 tench\ngoldfish\n", "0 a\n1 b", `["a", "b"]`, `{"0": ["n01440764", "tench"], "1": "x"}`, `{0: 'a\'', 1: u"b\x41",}`,
		`{"b": 1, "a": 0}`, `{"id2label": {"0": "a"}}`, `{"label_names": ["n01440764"], "label_descriptions": {"n01440764": "tench"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []string
		err := testutil.Bounded(t, len(text), func() (_ int64, err error) {
			list, err = Read("fuzz", bytes.NewReader(text))
			return 0, err
		})
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			return
		}
		require.NotEmpty(t, list)
		for _, l := range list {
			require.NotEmpty(t, strings.TrimSpace(l))
		}
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
