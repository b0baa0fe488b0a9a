package evaluate

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// TestResume interrupts an evaluation after every picture, tears the last line, and
// goes on: in the end the result and the file are those of a run in one piece.
func TestResume(t *testing.T) {
	d := folder(t, 3, "a", "b", "c")
	members := []Member{member(t, model(t), "center"), member(t, model(t), "single", 9)}
	for _, name := range []string{"out.jsonl", "out.csv"} {
		dir := t.TempDir()
		calm := filepath.Join(dir, "calm"+filepath.Ext(name))
		l, err := OpenLog(calm, "x", false)
		require.NoError(t, err)
		want, err := Run(context.Background(), d, members, Options{OnPicture: l.Append, Done: l.Done()})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		whole, err := os.ReadFile(calm)
		require.NoError(t, err)

		path := filepath.Join(dir, name)
		stop := errors.New("stop")
		var r Result
		for runs := 0; ; runs++ {
			require.LessOrEqual(t, runs, d.N)
			l, err := OpenLog(path, "x", true)
			require.NoError(t, err)
			left := 1
			r, err = Run(context.Background(), d, members, Options{Batch: 2, Done: l.Done(), OnPicture: func(o Outcome) error {
				if left == 0 {
					return stop
				}
				left--
				return l.Append(o)
			}})
			require.NoError(t, l.Close())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, stop)
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(string(whole[:runs*7])[strings.LastIndexByte(string(whole[:runs*7]), '\n')+1:])
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		require.Equal(t, want, r)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(got))

		_, err = OpenLog(path, "x", false)
		require.ErrorIs(t, err, os.ErrExist, "nothing is overwritten")
		_, err = OpenLog(path, "y", true)
		require.ErrorIs(t, err, ErrData)
		require.ErrorContains(t, err, "another run")

		// Data that are not those of the file.
		for _, other := range []*Data{folder(t, 2, "a", "b", "c"), folder(t, 4, "a", "b", "c"), folder(t, 3, "a", "c")} {
			l, err := OpenLog(path, "x", true)
			require.NoError(t, err)
			m := member(t, model(t, vgg.Labels([]string{"a", "b", "c"})), "center")
			_, err = Run(context.Background(), other, []Member{m}, Options{Done: l.Done(), OnPicture: l.Append})
			require.ErrorIs(t, err, ErrData)
			require.ErrorContains(t, err, "earlier run")
			require.NoError(t, l.Close())
		}
		got, err = os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(got), "and the file is as it was")
	}
}

// TestLogTexts writes names that are hard to write.
func TestLogTexts(t *testing.T) {
	want := []Outcome{
		{Path: "a/b,c.jpg", Class: 2, Label: `say "x"`, Top: []vgg.Prediction{{Class: 1, ID: "n01440764", Label: "a, b", Probability: 0.12345678901234568}, {Class: 2, Label: "\"", Probability: 1.2345678901234567e-30}}},
		{Path: "line\nbreak\r.png", Class: -1, Label: "\xff\xfe", Err: "no, \"thing\"\n"},
		{Path: `"quoted"`, Label: "ünï", Top: []vgg.Prediction{{Label: "x"}}},
		{Path: "\u2028 \x00", Label: ""},
	}
	for _, name := range []string{"a.jsonl", "a.CSV"} {
		path := filepath.Join(t.TempDir(), name)
		l, err := OpenLog(path, "run", false)
		require.NoError(t, err)
		for _, o := range want {
			require.NoError(t, l.Append(o))
		}
		require.NoError(t, l.Close())
		l, err = OpenLog(path, "run", true)
		require.NoError(t, err)
		var got []Outcome
		for o, err := range l.Done() {
			require.NoError(t, err)
			got = append(got, o)
		}
		require.Equal(t, want, got)
		require.NoError(t, l.Close())

		b, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := bytes.Count(b, []byte("\n"))
		require.Equal(t, len(want)+strings.Count(strings.ToLower(name), "csv"), lines, "a line each")
		require.NoError(t, os.WriteFile(path, []byte("words\n"), 0o600))
		_, err = OpenLog(path, "run", true)
		require.ErrorIs(t, err, ErrData)
	}
}

// TestKinds finds the same pictures in a directory, a tar file and a list.
func TestKinds(t *testing.T) {
	d := folder(t, 3, "a", "b", "c")
	dir := t.TempDir()
	archive, list := filepath.Join(dir, "data.tar"), filepath.Join(dir, "list.txt")
	f, err := os.Create(archive)
	require.NoError(t, err)
	w := tar.NewWriter(f)
	require.NoError(t, w.AddFS(os.DirFS(d.Name)))
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	lines := "\n"
	rel, err := filepath.Rel(dir, d.Name)
	require.NoError(t, err)
	var want []Outcome
	m := member(t, model(t), "center")
	wantResult, want := run(t, d, Options{}, m)
	for i, o := range want {
		p := filepath.ToSlash(rel) + "/" + o.Path
		lines += []string{p + "\t" + o.Label, p + "  " + o.Label + " \r", filepath.Join(d.Name, o.Path) + " " + o.Label}[i%3] + "\n"
	}
	require.NoError(t, os.WriteFile(list, []byte(lines), 0o600))
	for _, path := range []string{archive, list} {
		other, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, d.N, other.N)
		require.Equal(t, d.Classes, other.Classes)
		r, got := run(t, other, Options{}, m)
		require.Equal(t, wantResult, r)
		for i := range want {
			require.Equal(t, want[i].Scores, got[i].Scores)
			require.True(t, strings.HasSuffix(got[i].Path, want[i].Path))
			require.Equal(t, want[i].Err == "", got[i].Err == "")
		}
		require.NoError(t, other.Close())
	}
	for _, bad := range []string{"words\n", "a.jpg\n", "a.jpg 1\nb.jpg\n", "\x00\x01 \x02\n", ""} {
		require.NoError(t, os.WriteFile(list, []byte(bad), 0o600))
		_, err := Open(list)
		require.ErrorIs(t, err, ErrData, "%q", bad)
	}
}

// FuzzLog reads files that anything may have written.
func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"run":"r","path":"a","class":0,"label":"a","top":[{"class":1,"label":"b","probability":1}]}`+"\n"), false)
	f.Add([]byte(string(csvForm{}.header())+"r,a,0,a,,1,,b,1"+strings.Repeat(",", 16)+"\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, comma bool) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if comma {
			path = strings.TrimSuffix(path, "jsonl") + "csv"
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
		var l *Log
		err := testutil.Bounded(t, len(b), func() (_ int64, err error) {
			l, err = OpenLog(path, "r", true)
			return 0, err
		})
		if err != nil {
			return
		}
		defer l.Close()
		for o, err := range l.Done() {
			if err == nil {
				require.NoError(t, l.Append(o), "what can be read can be written")
			}
		}
	})
}

// TestLogLines: the form of both files is what readers of other programs know, and a line
// that is none names its place and ends the outcomes.
func TestLogLines(t *testing.T) {
	five := []vgg.Prediction{{Class: 4, ID: "n1", Label: "e", Probability: 0.5}, {Class: 3, Label: "d", Probability: 0.25},
		{Class: 2, Label: "c", Probability: 0.125}, {Class: 1, Label: "b", Probability: 0.0625}, {Class: 0, Label: "a", Probability: 0.03125}}
	want := []Outcome{{Path: "a.png", Class: 4, Label: "e", Top: five}, {Path: "b.png", Class: 1, Label: "b", Err: "bad"}, {Path: "c.png", Label: "a", Top: five[:2]}}
	for name, text := range map[string]string{
		"x.csv": "run,path,class,label,error,class1,id1,label1,probability1,class2,id2,label2,probability2,class3,id3,label3,probability3," +
			"class4,id4,label4,probability4,class5,id5,label5,probability5\n" +
			"r,a.png,4,e,,4,n1,e,0.5,3,,d,0.25,2,,c,0.125,1,,b,0.0625,0,,a,0.03125\n" +
			"r,b.png,1,b,bad" + strings.Repeat(",", 20) + "\n" +
			"r,c.png,0,a,,4,n1,e,0.5,3,,d,0.25" + strings.Repeat(",", 12) + "\n",
		"x.jsonl": `{"run":"r","path":"a.png","class":4,"label":"e","top":[{"class":4,"wnid":"n1","label":"e","probability":0.5},{"class":3,"label":"d","probability":0.25},` +
			`{"class":2,"label":"c","probability":0.125},{"class":1,"label":"b","probability":0.0625},{"class":0,"label":"a","probability":0.03125}]}` + "\n" +
			`{"run":"r","path":"b.png","class":1,"label":"b","error":"bad"}` + "\n" +
			`{"run":"r","path":"c.png","class":0,"label":"a","top":[{"class":4,"wnid":"n1","label":"e","probability":0.5},{"class":3,"label":"d","probability":0.25}]}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), name)
		l, err := OpenLog(path, "r", false)
		require.NoError(t, err)
		for _, o := range want {
			require.NoError(t, l.Append(o))
		}
		require.NoError(t, l.Close())
		require.Equal(t, text, readText(t, path))
		require.Equal(t, want, logOutcomes(t, path, ""))

		lines := strings.SplitAfter(text, "\n")
		for _, damage := range [][2]string{{"b.png", "b.png\","}, {"bad", "ba\""}, {"b.png,1", "b.png,x"}, {`"class":1`, `"class":"x"`}, {"r", "other"}} {
			place := len(lines) - 3 // of the second picture
			if !strings.Contains(lines[place], damage[0]) {
				continue
			}
			bad := append(append(lines[:place:place], strings.Replace(lines[place], damage[0], damage[1], 1)), lines[place+1:]...)
			require.NoError(t, os.WriteFile(path, []byte(strings.Join(bad, "")), 0o600))
			got := logOutcomes(t, path, "line "+strconv.Itoa(place+1)+" ", "line "+strconv.Itoa(place+1)+":")
			require.Equal(t, want[:1], got, "%s %q", name, damage)
		}
		if name == "x.csv" {
			for _, damage := range [][2]string{{"a,,4,", "a,,four,"}, {"0.25,", "quarter,"}, {"0.25,", "0.25,,"}} {
				place := 3
				bad := append(lines[:place:place], strings.Replace(lines[place], damage[0], damage[1], 1))
				require.NoError(t, os.WriteFile(path, []byte(strings.Join(bad, "")), 0o600))
				require.Equal(t, want[:2], logOutcomes(t, path, "line 4:"), "%q", damage)
			}
		}
	}
}

// logOutcomes returns the outcomes of a log, which ends with an error that has one of the texts,
// unless the first is empty.
func logOutcomes(t *testing.T, path string, texts ...string) (list []Outcome) {
	t.Helper()
	l, err := OpenLog(path, "r", true)
	require.NoError(t, err)
	defer l.Close()
	failed := false
	for o, err := range l.Done() {
		require.False(t, failed, "an error is the last")
		if err == nil {
			list = append(list, o)
			continue
		}
		failed = true
		require.ErrorIs(t, err, ErrData)
		require.True(t, slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(err.Error(), text) }), err)
	}
	require.Equal(t, texts[0] != "", failed)
	return list
}
