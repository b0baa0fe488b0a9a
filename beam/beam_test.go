package beam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/metrics"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/evaluate"
	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/shard"
)

func TestMain(m *testing.M) { ptest.Main(m) }

// pictures makes n pictures in folders of two classes, of which number 5 is none.
func pictures(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 33+i%9, 40))
		for k := range img.Pix {
			img.Pix[k] = uint8(rng.Uint32())
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		if i == 5 {
			b.Reset()
			b.WriteString("words")
		}
		path := filepath.Join(dir, []string{"cat", "ship"}[i%2], fmt.Sprintf("%03d.png", i))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	return dir
}

var spec = extract.Spec{Layers: []string{"conv3_2", "fc5"}, Top: 3, Reduce: extract.Reduce{Pool: extract.PoolAvg}}

// extracted returns the lines that extract writes of the same pictures, by their keys.
func extracted(t testing.TB, dir string) map[string]string {
	t.Helper()
	m, err := pretrained.CIFAR10()
	require.NoError(t, err)
	d, err := extract.Open(dir)
	require.NoError(t, err)
	defer d.Close()
	out := t.TempDir()
	r, err := extract.Job{Dir: out, Shard: shard.Whole, Spec: spec, Format: extract.JSONL, Network: "n"}.Run(t.Context(), m, d)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(out, r.Files[0].Name))
	require.NoError(t, err)
	lines := map[string]string{}
	for line := range strings.Lines(string(text)) {
		path, rest, ok := strings.Cut(strings.TrimPrefix(line, `{"path":"`), `"`)
		require.True(t, ok)
		lines[filepath.Join(dir, path)] = rest
	}
	return lines
}

// counters returns the counters of a pipeline by their names.
func counters(r beam.PipelineResult) map[string]int64 {
	m := map[string]int64{}
	for _, c := range r.Metrics().Query(func(metrics.SingleResult) bool { return true }).Counters() {
		m[c.Name()] += c.Result()
	}
	return m
}

// TestFeatures: fused and spread over bundles of one element, in batches of any size,
// the file is the same, and its rows are those of extract.
func TestFeatures(t *testing.T) {
	dir := pictures(t, 21)
	want := extracted(t, dir)
	var first []byte
	for _, batch := range []int{1, 4, 64} {
		for _, spread := range []bool{false, true} {
			out, failed := filepath.Join(t.TempDir(), "out.jsonl"), filepath.Join(t.TempDir(), "failed.jsonl")
			r := ptest.BuildAndRun(t, func(s beam.Scope) {
				pictures, unread := Read(s, dir+"/*/*.png")
				if spread {
					pictures = beam.Reshuffle(s, pictures)
				}
				rows, failures := Features(s, Network{}, spec, pictures, batch)
				Write(s, Network{}, spec, rows, out, 1)
				WriteFailures(s, failed, unread, failures)
			})
			require.Equal(t, int64(20), counters(r)["pictures"])
			require.Equal(t, int64(1), counters(r)["failed"])
			text, err := os.ReadFile(out)
			require.NoError(t, err)
			if first == nil {
				first = text
			}
			require.Equal(t, string(first), string(text), "batches of %d, spread %t", batch, spread)
			n := 0
			for line := range strings.Lines(string(text)) {
				path, rest, _ := strings.Cut(strings.TrimPrefix(line, `{"path":"`), `"`)
				require.Equal(t, want[path], rest)
				n++
			}
			require.Equal(t, len(want), n)
			text, err = os.ReadFile(failed)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(text), "\n"))
			require.Contains(t, string(text), "005.png")
		}
	}
}

// TestClassify takes pairs of keys and bytes.
func TestClassify(t *testing.T) {
	dir := pictures(t, 6)
	ptest.BuildAndRun(t, func(s beam.Scope) {
		pictures, _ := Read(s, dir+"/*/*.png")
		classes, failures := Classify(s, Network{}, 2, pictures)
		passert.Count(s, classes, "classes", 5)
		passert.Count(s, failures, "failures", 1)
		passert.True(s, classes, ordered)
	})
}

func ordered(c Classes) bool {
	return len(c.Classes) == 2 && c.Classes[0].Label != "" && c.Classes[0].Probability >= c.Classes[1].Probability
}

func init() { beam.RegisterFunction(ordered) }

// TestEvaluate has the numbers of package evaluate.
func TestEvaluate(t *testing.T) {
	dir := pictures(t, 24)
	m, err := pretrained.CIFAR10()
	require.NoError(t, err)
	member, err := evaluate.NewMember(m, "multi-scale", evaluate.Training{Min: 64, Max: 80})
	require.NoError(t, err)
	d, err := evaluate.Open(dir)
	require.NoError(t, err)
	want, err := evaluate.Run(t.Context(), d, []evaluate.Member{member}, evaluate.Options{})
	require.NoError(t, err)
	for _, spread := range []bool{false, true} {
		out := filepath.Join(t.TempDir(), "result.jsonl")
		ptest.BuildAndRun(t, func(s beam.Scope) {
			pictures, _ := Read(s, dir+"/*/*.png")
			if spread {
				pictures = beam.Reshuffle(s, pictures)
			}
			outcomes, result := Evaluate(s, Network{}, Protocol{Name: "multi-scale", Min: 64, Max: 80}, pictures)
			passert.Count(s, outcomes, "outcomes", 24)
			passert.Count(s, Failed(s, outcomes), "failures", 1)
			WriteResult(s, out, result)
		})
		text, err := os.ReadFile(out)
		require.NoError(t, err)
		var got Result
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, Result{want.N, want.Unreadable, want.Unknown, want.Top1Error, want.Top1Interval[0], want.Top1Interval[1],
			want.Top5Error, want.Top5Interval[0], want.Top5Interval[1]}, got)
	}
}

// TestWrongNetwork: what the network does not have ends the pipeline.
func TestWrongNetwork(t *testing.T) {
	dir := pictures(t, 2)
	for _, x := range []struct {
		network Network
		spec    extract.Spec
		want    string
	}{{Network{"absent"}, spec, "absent"}, {Network{}, extract.Spec{Layers: []string{"conv9"}}, "conv9"}} {
		p, s := beam.NewPipelineWithRoot()
		pictures, _ := Read(s, dir+"/*/*.png")
		Features(s, x.network, x.spec, pictures)
		require.ErrorContains(t, ptest.Run(p), x.want)
	}
	require.Panics(t, func() { Features(beam.NewPipeline().Root(), Network{}, spec, beam.PCollection{}, 0) })
	require.ErrorContains(t, CheckOutput("out.txt"), ".jsonl, .parquet, .tfrecord")
}

// TestFormats writes several files of each format. No row is lost, and those of TFRecord,
// read by the library of protocol buffers, are those of JSON.
func TestFormats(t *testing.T) {
	dir := pictures(t, 12)
	rows := map[string]map[string]map[string]any{} // by format and path
	for ext := range formats {
		out := t.TempDir()
		ptest.BuildAndRun(t, func(s beam.Scope) {
			pictures, _ := Read(s, dir+"/*/*.png")
			rows, _ := Features(s, Network{}, spec, pictures)
			Write(s, Network{}, spec, rows, filepath.Join(out, "rows"+ext), 3)
		})
		entries, err := os.ReadDir(out)
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		rows[ext] = map[string]map[string]any{}
		for _, e := range entries {
			require.Regexp(t, `^rows-0000[0-2]-of-00003\`+ext+`$`, e.Name())
			read := map[string]func(testing.TB, string) []map[string]any{".tfrecord": tfrecords, ".jsonl": jsonRows}[ext]
			if read == nil {
				continue
			}
			for _, row := range read(t, filepath.Join(out, e.Name())) {
				path := row["path"].(string)
				require.NotContains(t, rows[ext], path)
				rows[ext][path] = row
			}
		}
	}
	require.Len(t, rows[".jsonl"], 11)
	require.Equal(t, rows[".jsonl"], rows[".tfrecord"])
	for _, row := range rows[".jsonl"] {
		require.Len(t, row, 6) // path, two layers, classes, probabilities and labels
	}
}

// TestRetriedBundle: a bundle that a runner begins again after a failure, in the same
// instance of the transform, gives each of its pictures once.
func TestRetriedBundle(t *testing.T) {
	f := &rowFn{Spec: spec, Batch: 4}
	require.NoError(t, f.Setup())
	keys := map[string]int{}
	emit := func(_ beam.EventTime, r Row) { keys[r.Key]++ }
	fail := func(_ beam.EventTime, x Failure) { keys[x.Key]++ }
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 40))))
	process := func(n int) {
		f.StartBundle(t.Context(), emit, fail)
		for i := range n {
			require.NoError(t, f.ProcessElement(t.Context(), window.GlobalWindow{}, 0, fmt.Sprint(i), b.Bytes(), emit, fail))
		}
	}
	process(3) // and then the worker fails
	require.Empty(t, keys)
	process(7)
	require.NoError(t, f.FinishBundle(t.Context(), emit, fail))
	require.Len(t, keys, 7)
	for key, n := range keys {
		require.Equal(t, 1, n, key)
	}
	// Those of other windows are not kept until the end of the bundle.
	require.NoError(t, f.ProcessElement(t.Context(), window.IntervalWindow{Start: 0, End: 10}, 5, "windowed", b.Bytes(), emit, fail))
	require.Equal(t, 1, keys["windowed"])
}
