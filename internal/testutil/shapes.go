package testutil

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ConvShape is a two-dimensional convolution of one of the lists of shapes that
// other projects test with, as benchdnn writes them: ic256ih56oc256oh56kh3ph1.
// What a line leaves out has the meaning that it has there: a square picture and
// kernel, one group, stride 1.
type ConvShape struct {
	Text                          string
	N, C, H, W, K, OH, OW, KH, KW int
	Pad, PadW, Stride, Group      int
	Planes                        bool // two dimensions, neither one nor three
}

var shapeField = regexp.MustCompile(`([a-z]+)(\d+)`)

// ConvShapes reads a list of benchdnn's below shared/data/shapes. The test is
// skipped where it is absent.
func ConvShapes(t testing.TB, file string) (list []ConvShape) {
	t.Helper()
	text, err := os.ReadFile(Shared(t, "data", "shapes", file))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line != "" {
			list = append(list, parseShape(t, line))
		}
	}
	if len(list) == 0 {
		t.Fatalf("testutil: %s has no shapes", file)
	}
	return list
}

func parseShape(t testing.TB, line string) ConvShape {
	t.Helper()
	numbers, _, _ := strings.Cut(line, `n"`) // then comes the name
	f := map[string]int{}
	for _, m := range shapeField.FindAllStringSubmatch(numbers, -1) {
		v, err := strconv.Atoi(m[2])
		must(t, err)
		f[m[1]] = v
	}
	or := func(name string, otherwise int) int {
		if v, ok := f[name]; ok {
			return v
		}
		return otherwise
	}
	_, depth := f["id"]
	_, height := f["ih"]
	s := ConvShape{Text: line, N: or("mb", 2), C: f["ic"], H: f["ih"], K: f["oc"], KH: or("kh", 1), Pad: f["ph"], Stride: or("sh", 1), Group: or("g", 1),
		Planes: height && !depth}
	s.W, s.KW, s.PadW = or("iw", s.H), or("kw", s.KH), or("pw", s.Pad)
	s.OH = or("oh", (s.H+2*s.Pad-s.KH)/s.Stride+1)
	s.OW = or("ow", s.OH)
	if s.C == 0 || s.K == 0 {
		t.Fatalf("testutil: shape %q has no channels", line)
	}
	return s
}
