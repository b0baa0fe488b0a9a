package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

func TestParseProduct(t *testing.T) {
	t.Parallel()
	p, batch, err := parseProduct("196x256x512")
	require.NoError(t, err)
	require.Equal(t, product{196, 256, 512}, p)
	require.Equal(t, 1, batch)
	_, batch, err = parseProduct("1x2x3@36")
	require.NoError(t, err)
	require.Equal(t, 36, batch)
	for _, bad := range []string{"", "1x2", "0x1x1", "1x2x3@", "1x2x3@0", "axbxc"} {
		_, _, err := parseProduct(bad)
		require.Error(t, err, bad)
	}
}

func TestListWorks(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-works", "vgg,gemm,train", "-configs", "A,D", "-batches", "1,32", "-threads", "2", "-shapes", "2x3x4@5"})
	require.NoError(t, err)
	works, err := listWorks(o)
	require.NoError(t, err)
	var names []string
	for _, w := range works {
		names = append(names, w.name())
	}
	require.Equal(t, []string{"vggA_b1", "vggA_b32", "vggD_b1", "vggD_b32", "sgemm_2x3x4_x5", "vggA_b8_train", "vggD_b8_train"}, names)
	require.Equal(t, []int{2}, threadsOf(works))
	for _, bad := range [][]string{{"-works", "x"}, {"-threads", "0"}, {"-batches", "1,"}, {"-works", "gemm", "-shapes", "1"}} {
		o, err := parse(bad)
		require.NoError(t, err)
		_, err = listWorks(o)
		require.Error(t, err, bad)
	}
}

func TestErrorOf(t *testing.T) {
	t.Parallel()
	e, err := errorOf([]float64{3, 4.5}, []float64{3, 4})
	require.NoError(t, err)
	require.InDelta(t, 0.5/math.Sqrt(12.5), e, 1e-15)
	e, err = errorOf([]float64{math.NaN()}, []float64{1})
	require.NoError(t, err)
	require.True(t, math.IsNaN(e))
	require.False(t, e <= logitLimit, "a NaN must not pass for a small error")
	_, err = errorOf(nil, nil)
	require.Error(t, err)
}

func TestSummarise(t *testing.T) {
	t.Parallel()
	results := []result{
		{Subject: "nonet", Rounds: [][]float64{{1, 2, 3}, {4, 4, 4}, {1, 1, 9}}},
		{Subject: "peer", Rounds: [][]float64{{4, 4, 4}, {4, 4, 4}, {2, 2, 2}}},
	}
	summarise(work{kind: "gemm", product: product{10, 10, 10}, batch: 1}, results)
	require.Equal(t, 3.0, results[0].Median)
	require.Equal(t, 1.0, results[0].Best)
	require.Equal(t, 0.5, results[1].Ratio, "the median of 2/4, 4/4 and 1/2")
	require.Equal(t, &[2]float64{0.5, 1}, results[1].Spread)
	require.InDelta(t, 2000/4.0*1e-6, results[1].GFLOPS, 1e-12)
	require.Nil(t, results[0].Spread)
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(median(nil)))
}

func TestTables(t *testing.T) {
	t.Parallel()
	layers := [][]layerTime{{{Name: "conv1_1", MS: []float64{9, 1, 2, 3}}, {Name: "conv1_2+pool1", MS: []float64{9, 5, 5, 5}}}}
	rep := &report{Peak: []peak{{"avx512", 1, 100, 0, 0}, {"avx2", 1, 50, 0, 0}, {"read", 1, 0, 30, 0}}, Results: []result{
		{Work: "vggD_b1", Threads: 1, Subject: "nonet", Median: 50},
		{Work: "vggD_b1", Threads: 1, Subject: "peer", Median: 100, Ratio: 0.5, Spread: &[2]float64{0.4, 0.6}},
		{Work: "sgemm_1x2x3", Threads: 1, Subject: "nonet", GFLOPS: 80},
		{Work: "sgemm_1x2x4", Threads: 1, Subject: "nonet", GFLOPS: 90},
		{Work: "vggD_b1_layers", Threads: 1, Subject: "nonet", Layers: layers},
	}}
	text := rep.tables()
	for _, want := range []string{"0.500", "0.40–0.60", "peak 100 GFLOP/s", "1x2x4", "conv1_2+pool1", "2.000"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, 1, strings.Count(text, "SGEMM"), "one table for all products of a thread count")
}

func TestCompact(t *testing.T) {
	t.Parallel()
	in := map[string]any{"ms": [][]float64{{1.5, 2e-7}, {3}}, "name": "a [1, 2] b", "none": []int{}}
	b, err := json.MarshalIndent(in, "", "\t")
	require.NoError(t, err)
	var back map[string]any
	require.NoError(t, json.Unmarshal(compact(b), &back))
	require.Equal(t, "a [1, 2] b", back["name"])
	require.Contains(t, string(compact(b)), "[1.5,2e-7]")
}

// TestServe speaks the protocol with a driver, wrong commands included.
func TestServe(t *testing.T) {
	t.Parallel()
	in := strings.NewReader("version\ncheck 7 5 9\n\ngemm 8 8 8 2 3\ngemm 8 8\nfly\n")
	var out bytes.Buffer
	require.NoError(t, serve(gemmDriver{module: "gonum", sgemm: gonumSGEMM}, in, &out))
	var got []answer
	for dec := json.NewDecoder(&out); dec.More(); {
		var a answer
		require.NoError(t, dec.Decode(&a))
		got = append(got, a)
	}
	require.Len(t, got, 5)
	require.Contains(t, got[0].Version, "gonum")
	require.Positive(t, got[1].Error)
	require.Less(t, got[1].Error, gemmLimit)
	require.Len(t, got[2].MS, 3)
	require.NotEmpty(t, got[3].Failure)
	require.NotEmpty(t, got[4].Failure)
}

// TestProductsFindErrors makes a product that is wrong in one element.
func TestProductsFindErrors(t *testing.T) {
	t.Parallel()
	wrong := func(batch, m, n, k int, a, b, c []float32) {
		gonumSGEMM(batch, m, n, k, a, b, c)
		c[m*n-1] += 0.01
	}
	require.Greater(t, newProducts(5, 6, 7, 1).error(wrong), gemmLimit)
}

func TestCleanEnviron(t *testing.T) {
	t.Setenv("OPENBLAS_CORETYPE", "Haswell")
	t.Setenv("GLIBC_TUNABLES", "x")
	t.Setenv("NONET_ISA", "avx2")
	env := cleanEnviron()
	require.NotContains(t, env, "OPENBLAS_CORETYPE=Haswell")
	require.NotContains(t, env, "GLIBC_TUNABLES=x")
	require.Contains(t, env, "NONET_ISA=avx2")
}

// TestWriteOnce: a file appears whole or not at all, and is not made again.
func TestWriteOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	require.ErrorIs(t, writeOnce(path, func(*os.File) error { return os.ErrInvalid }), os.ErrInvalid)
	require.NoFileExists(t, path)
	require.NoError(t, writeOnce(path, func(f *os.File) error { return writeFloats(f, []float32{1, -2}) }))
	require.NoError(t, writeOnce(path, func(*os.File) error { t.Error("written twice"); return nil }))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, float32(-2), math.Float32frombits(binary.LittleEndian.Uint32(b[4:])))
	left, err := filepath.Glob(path + ".*")
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestONNXModel walks the model's protobuf: its weights must cover the weight
// file from end to end, and every node read what an earlier one wrote.
func TestONNXModel(t *testing.T) {
	t.Parallel()
	m, err := onnxModel("C", 2, "w.f32")
	require.NoError(t, err)
	c, err := vgg.Lookup("C")
	require.NoError(t, err)
	params, err := c.Params()
	require.NoError(t, err)
	total := 0
	for _, p := range params {
		total += 4 * p.Len()
	}
	known := map[string]bool{"input": true}
	offset, last := 0, ""
	for _, graph := range fields(t, m)[7] {
		f := fields(t, graph)
		for _, w := range f[graphWeights] {
			tensor := fields(t, w)
			known[string(tensor[8][0])] = true
			entry := map[string]string{}
			for _, kv := range tensor[13] {
				pair := fields(t, kv)
				entry[string(pair[1][0])] = string(pair[2][0])
			}
			require.Equal(t, itoa(offset), entry["offset"])
			require.Equal(t, "w.f32", entry["location"])
			n := 0
			for _, r := range entry["length"] {
				n = n*10 + int(r-'0')
			}
			offset += n
		}
		for _, node := range f[graphNode] {
			nf := fields(t, node)
			for _, in := range nf[1] {
				require.True(t, known[string(in)], "%s is read before it is written", in)
			}
			last = string(nf[2][0])
			known[last] = true
		}
	}
	require.Equal(t, total, offset)
	require.Equal(t, "logits", last)
}

// fields splits a protobuf message: length-delimited values by field number.
func fields(t *testing.T, b []byte) map[int][][]byte {
	t.Helper()
	out := map[int][][]byte{}
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		require.Positive(t, n)
		b = b[n:]
		v, n := binary.Uvarint(b)
		require.Positive(t, n)
		b = b[n:]
		if key&7 == 0 {
			continue
		}
		require.EqualValues(t, 2, key&7)
		require.LessOrEqual(t, v, uint64(len(b)))
		out[int(key>>3)] = append(out[int(key>>3)], b[:v])
		b = b[v:]
	}
	return out
}

func TestCharts(t *testing.T) {
	t.Parallel()
	layers := [][]layerTime{{{Name: "conv1_1", MS: []float64{9, 1, 2, 3}}, {Name: "fc8", MS: []float64{9, 5, 5, 5}}}}
	rep := &report{Peak: []peak{{"avx512", 2, 100, 0, 0}}, Results: []result{
		{Work: "vggD_b1", Threads: 2, Subject: "nonet", Median: 50},
		{Work: "vggD_b32", Threads: 2, Subject: "nonet", Median: 320},
		{Work: "vggD_b32", Threads: 2, Subject: "peer", Median: 640},
		{Work: "sgemm_1x2x3", Threads: 2, Subject: "nonet", GFLOPS: 80},
		{Work: "vggD_b1_layers", Threads: 2, Subject: "nonet", Layers: layers},
		{Work: "vggA_b8_train", Threads: 2, Subject: "nonet", Median: 7},
	}}
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	b, err := json.Marshal(rep)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	require.NoError(t, plotFile(path))
	charts := rep.charts()
	require.Len(t, charts, 4)
	require.Equal(t, [][]float64{{50}, {10, 20}}, charts[0].values, "milliseconds a picture")
	for _, c := range charts {
		svg, err := os.ReadFile(filepath.Join(dir, "r-"+c.file+".svg"))
		require.NoError(t, err)
		require.Contains(t, string(svg), c.unit)
	}
}

// TestReadme: each table in README.md is what the result file that it names gives, and
// each comes from another instruction set. `go run ./bench/compare -readme FILE` writes one.
func TestReadme(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	var sets []string
	for _, m := range readmePart.FindAllSubmatch(text, -1) {
		isa, err := isaOf(root, string(m[1]))
		require.NoError(t, err)
		sets = append(sets, isa)
		want, err := readmeText(root, string(m[1]))
		require.NoError(t, err)
		require.Equal(t, want, string(m[0]))
		for _, picture := range regexp.MustCompile(`\]\((bench/results/[^)]+)\)`).FindAllStringSubmatch(want, -1) {
			require.FileExists(t, filepath.Join(root, picture[1]))
		}
	}
	require.Equal(t, []string{"avx512", "avx2"}, sets)
}

// TestWriteReadme: the table of a machine takes the place of the one with its instructions.
func TestWriteReadme(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, isa string, ms float64) string {
		rep := &report{Commit: name, Peak: []peak{{isa, 1, 50, 0, 0}}, Results: []result{{Work: "vggD_b1", Threads: 1, Subject: "nonet", Median: ms}}}
		data, err := json.Marshal(rep)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
		return name
	}
	wide, narrow, later := write("wide.json", "avx512", 50), write("narrow.json", "avx2", 60), write("later.json", "avx2", 70)
	before, err := readmeText(dir, wide)
	require.NoError(t, err)
	old, err := readmeText(dir, narrow)
	require.NoError(t, err)
	readme := filepath.Join(dir, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte("# a\n"+before+"\nb\n"+old+"\nc\n"), 0o644))
	require.NoError(t, writeReadme(readme, later))
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	after, err := readmeText(dir, later)
	require.NoError(t, err)
	require.Contains(t, after, "70.0")
	require.Equal(t, "# a\n"+before+"\nb\n"+after+"\nc\n", string(text))

	require.NoError(t, os.WriteFile(readme, []byte("# a\n"+before+"\n"), 0o644))
	require.ErrorContains(t, writeReadme(readme, later), "results of avx2")
}

func TestAdd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.json")
	first := &report{Command: "one", Commit: "c", Peak: []peak{{"avx2", 1, 50, 0, 0}}, Results: []result{
		{Work: "vggD_b1", Threads: 1, Subject: "nonet", Median: 5}, {Work: "vggD_b1", Threads: 2, Subject: "nonet", Median: 3}}}
	b, err := json.Marshal(first)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	second := &report{Command: "two", Commit: "c"}
	require.NoError(t, second.load(path))
	second.replace([]result{{Work: "vggD_b1", Threads: 1, Subject: "nonet", Median: 4}})
	require.Equal(t, "one\ntwo", second.Command)
	require.Len(t, second.Results, 2)
	require.Equal(t, 4.0, second.Results[1].Median)
	require.Error(t, (&report{Commit: "d"}).load(path), "another commit")
	require.NoError(t, (&report{}).load(path+"absent"))
}

// TestDocuments parses every call of compare in the documents.
func TestDocuments(t *testing.T) {
	t.Parallel()
	_, _, blocks := testutil.Documents(t)
	n := 0
	for _, b := range blocks {
		for _, words := range b.Commands() {
			if at := slices.Index(words, "./bench/compare"); b.Lang == "sh" && at >= 0 {
				o, err := parse(words[at+1:])
				require.NoError(t, err, "%s:%d: %q", b.File, b.Line, words)
				_, err = listWorks(o)
				require.NoError(t, err, "%s:%d: %q", b.File, b.Line, words)
				n++
			}
		}
	}
	require.Greater(t, n, 5)
}
