package oip

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

var limits = Limits{Numbers: 1000, Strings: 10, Bytes: 1 << 16}

func decode(text string) (*Request, error) { return Decode(strings.NewReader(text), -1, limits) }

// TestDecode: a request with all that it may have, in one read and byte by byte.
func TestDecode(t *testing.T) {
	const text = ` { "id" : "a\"\u00e9", "parameters":{"timeout":250000,"x":1.5,"s":"v","b":true,"n":null,"o":{"deep":[1,{}]}},
		"unknown": [{"a":[1,"x",null]}],
		"inputs":[{"data":[[1,-2.5e0],[3,4],[5e-1,0]],"name":"input","shape":[3,2],"datatype":"FP32","parameters":{}}],
		"outputs":[{"name":"logits","parameters":{"binary_data":false,"classification":3}},{"name":"pool1"}]}
	`
	want := &Request{
		ID:         "a\"é",
		Parameters: Parameters{"timeout": int64(250000), "x": 1.5, "s": "v", "b": true},
		Inputs:     []Tensor{{Name: "input", Datatype: FP32, Shape: []int64{3, 2}, Parameters: Parameters{}, Floats: []float32{1, -2.5, 3, 4, 0.5, 0}}},
		Outputs:    []Output{{Name: "logits", Parameters: Parameters{"binary_data": false, "classification": int64(3)}}, {Name: "pool1"}},
	}
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		got, err := Decode(r, -1, limits)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	n, ok, err := want.Parameters.Int("timeout")
	require.True(t, ok && n == 250000 && err == nil)
	_, _, err = want.Parameters.Int("s")
	require.ErrorIs(t, err, ErrFormat)
	b, err := want.Parameters.Bool("b")
	require.True(t, b && err == nil)
	_, err = want.Parameters.Bool("x")
	require.ErrorIs(t, err, ErrFormat)
}

// TestBinary: numbers and pictures behind the JSON.
func TestBinary(t *testing.T) {
	floats := []float32{1, float32(math.Inf(1)), -0.1, 7}
	var tail bytes.Buffer
	_ = binary.Write(&tail, binary.LittleEndian, floats)
	tail.Write([]byte{3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0})
	head := `{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}},` +
		`{"name":"p","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":11}},{"name":"j","datatype":"FP32","shape":[1],"data":[2]}]}`
	body := head + tail.String()
	for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body))} {
		req, err := Decode(r, int64(len(head)), limits)
		require.NoError(t, err)
		require.Equal(t, floats, req.Inputs[0].Floats)
		require.Equal(t, [][]byte{[]byte("abc"), {}}, req.Inputs[1].Strings)
		require.Equal(t, []float32{2}, req.Inputs[2].Floats)
	}
	for cut := 1; cut < tail.Len(); cut++ {
		_, err := Decode(strings.NewReader(body[:len(body)-cut]), int64(len(head)), limits)
		require.ErrorIs(t, err, ErrFormat, cut)
	}
	_, err := Decode(strings.NewReader(body+"x"), int64(len(head)), limits)
	require.ErrorIs(t, err, ErrFormat)
	_, err = Decode(strings.NewReader(body), int64(len(head))-1, limits)
	require.ErrorIs(t, err, ErrFormat)
	_, err = Decode(strings.NewReader(body), -1, limits)
	require.ErrorIs(t, err, ErrFormat)
	broken := errors.New("broken")
	_, err = Decode(io.MultiReader(strings.NewReader(body[:len(head)+5]), iotest.ErrReader(broken)), int64(len(head)), limits)
	require.ErrorIs(t, err, broken)
}

func TestBase64(t *testing.T) {
	picture := []byte{0xff, 0xd8, 0, '"'}
	text := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":[%q],"parameters":{"content_type":"base64"}}]}`, base64.StdEncoding.EncodeToString(picture))
	req, err := decode(text)
	require.NoError(t, err)
	require.Equal(t, picture, req.Inputs[0].Strings[0])
	_, err = decode(strings.Replace(text, `"content_type":"base64"`, "", 1))
	require.ErrorContains(t, err, "base64")
}

func input(fields string) string { return `{"inputs":[{"name":"input",` + fields + `}]}` }

// TestRefused: each with the reason.
func TestRefused(t *testing.T) {
	many := strings.Repeat(`{"name":"a"},`, 300)
	for _, c := range []struct {
		text, says string
		is         error
	}{
		{``, "ends too early", ErrFormat},
		{`[]`, `want '{'`, ErrFormat},
		{`{}`, "no inputs", ErrFormat},
		{`{"inputs":[]}x`, "follows", ErrFormat},
		{`{"inputs":[],"inputs":[]}`, `"inputs" twice`, ErrFormat},
		{`{"inputs":[{}]}`, "no data", ErrFormat},
		{input(`"shape":[2],"datatype":"FP32","data":[1]`), "has 1 elements, and its shape [2]", ErrFormat},
		{input(`"shape":[1,2],"datatype":"FP32","data":[[1],[2]]`), "arrays of [2 1]", ErrFormat},
		{input(`"shape":[3],"datatype":"FP32","data":[[1,2],[3]]`), "not of one shape", ErrFormat},
		{input(`"shape":[3],"datatype":"FP32","data":[[1,2],3]`), "want '['", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":[NaN]`), "NaN", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":[Infinity]`), "Infinity", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":[1e39]`), "beyond FP32", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":[01]`), "want a number", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":["a"]`), "texts", ErrFormat},
		{input(`"shape":[1],"datatype":"BYTES","data":[1]`), "numbers", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":1`), "want '['", ErrFormat},
		{input(`"shape":[-1],"datatype":"FP32","data":[1]`), "integers", ErrFormat},
		{input(`"shape":[1.5],"datatype":"FP32","data":[1]`), "integers", ErrFormat},
		{input(`"shape":[1099511627776,1099511627776],"datatype":"FP32","data":[1]`), "shape [1099511627776 1099511627776]", ErrFormat},
		{input(`"shape":[1,1,1,1,1,1,1,1,1],"datatype":"FP32","data":[1]`), "dimensions", ErrFormat},
		{input(`"shape":[1],"datatype":"FP32","data":[[[[[[[[[[1]]]]]]]]]]`), "levels", ErrFormat},
		{input(`"shape":[2000],"datatype":"FP32","data":[` + strings.Repeat("1,", 2000)), "more than 1000 numbers", ErrTooLarge},
		{input(`"shape":[1],"datatype":"FP32","data":[` + strings.Repeat("1", 2000)), "number of more than", ErrTooLarge},
		{input(`"shape":[11],"datatype":"BYTES","data":[` + strings.Repeat(`"",`, 20)), "more than 10 elements", ErrTooLarge},
		{input(`"shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("a", 1<<17)), "text of more than", ErrTooLarge},
		{`{"outputs":[` + many + `]}`, "256 outputs", ErrTooLarge},
		{`{"inputs":[` + strings.Repeat(`{},`, 20), "16 inputs", ErrTooLarge},
		{`{"x":` + strings.Repeat("[", 1000), "levels", ErrTooLarge},
		{`{"` + strings.Repeat("a", 1<<16) + `":1}`, "text of more", ErrTooLarge},
		{`{"id":"` + "\x01" + `"}`, "control", ErrFormat},
		{`{"id":"\x"}`, "not JSON", ErrFormat},
		{`{"id":"a`, "within a text", ErrFormat},
		{`{"id":5}`, `want '"'`, ErrFormat},
		{`{"parameters":{"a":tru}}`, "want a value", ErrFormat},
		{`{"parameters":{"a":1e999}}`, "too large", ErrFormat},
	} {
		_, err := decode(c.text)
		require.ErrorIs(t, err, c.is, c.text)
		require.ErrorContains(t, err, c.says, c.text)
	}
}

// reference reads data by encoding/json: the numbers of nested arrays of one shape.
func reference(text []byte) ([]float32, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	var floats []float32
	var walk func(v any) (string, error)
	walk = func(v any) (string, error) {
		switch v := v.(type) {
		case json.Number:
			f, err := strconv.ParseFloat(string(v), 32)
			floats = append(floats, float32(f))
			if len(v) >= maxNumber {
				return "", errors.New("long")
			}
			return "n", err
		case []any:
			first := ""
			for i, e := range v {
				shape, err := walk(e)
				if err != nil {
					return "", err
				}
				if i > 0 && shape != first {
					return "", errors.New("ragged")
				}
				first = shape
			}
			return fmt.Sprintf("[%d%s]", len(v), first), nil
		}
		return "", errors.New("no number")
	}
	shape, err := walk(v)
	if err == nil && (shape == "n" || strings.Count(shape, "[") > maxDims) {
		err = errors.New("levels")
	}
	return floats, err
}

// checkData reads text as data in both ways: as it is, and with so much behind it that all
// numbers are read as those in the middle of a body.
func checkData(t *testing.T, text []byte) {
	t.Helper()
	checkDataOnce(t, text)
	checkDataOnce(t, append(bytes.Clone(text), bytes.Repeat([]byte{' '}, fastBytes)...))
}

func checkDataOnce(t *testing.T, text []byte) {
	t.Helper()
	want, wantErr := reference(text)
	s := newScanner(bytes.NewReader(text))
	d := data{limits: Limits{Numbers: math.MaxInt, Strings: math.MaxInt, Bytes: math.MaxInt}}
	err := d.read(s)
	if err == nil {
		var end bool
		if end, err = s.atEnd(); err == nil && !end {
			err = errors.New("more")
		}
	}
	if err == nil && d.strings != nil {
		return // texts are encoding/json's own work
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, encoding/json: %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	require.Equal(t, len(want), len(d.floats), "%q", text)
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(d.floats[i]) {
			t.Fatalf("%q: number %d is %x, want %x", text, i, d.floats[i], want[i])
		}
	}
}

// randomNumber writes a number in one of many ways.
func randomNumber(rng *rand.Rand) string {
	v := math.Float32frombits(rng.Uint32())
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		v = 1
	}
	switch rng.IntN(8) {
	case 0:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case 1:
		return strconv.FormatFloat(float64(v), 'e', rng.IntN(25), 64)
	case 2: // the middle between two, and beside it
		next := float64(math.Nextafter32(v, 2*v))
		text := strconv.FormatFloat((float64(v)+next)/2, 'e', 60, 64)
		m, e, _ := strings.Cut(text, "e")
		return m + []string{"", "0", "1"}[rng.IntN(3)] + "e" + e
	case 3:
		return strconv.FormatFloat(rng.NormFloat64(), 'f', -1, 64)
	case 4:
		return strconv.FormatFloat(rng.NormFloat64(), 'f', rng.IntN(40), 64)
	case 5:
		return strconv.Itoa(rng.IntN(256))
	case 6:
		return fmt.Sprintf("%d%s.%de%d", 1+rng.IntN(9), strings.Repeat("0", rng.IntN(30)), rng.Uint64(), rng.IntN(60)-50)
	}
	return "-0" + []string{"", ".0", "e5", ".000", "E-7"}[rng.IntN(5)]
}

// TestNumbers: numbers of all kinds are the bits that strconv gives.
func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		checkData(t, []byte("["+randomNumber(rng)+" , "+randomNumber(rng)+"]"))
	}
	for _, text := range []string{"3.4028235e38", "3.4028235677973366e38", "3.4028235677973367e38", "1e-45", "7e-46", "1.1754944e-38", "16777217", "16777219",
		"9007199254740993", "18446744073709551615", "99999999999999999999", "1e22", "1e23", "0e999", "1e-999", "1e999", "0.1", ".1", "1.", "1e", "1e+", "-", "+1", "00", "1_0"} {
		checkData(t, []byte("["+text+"]"))
		checkData(t, []byte("[-"+text+"]"))
	}
	for _, text := range []string{"[]", "[[]]", "[[],[]]", "[[],[1]]", "[[1],[]]", "[[[1]]]", "[1,[2]]", "[[1],2]", "[1,]", "[,1]", "[1 2]", "[1", "1", "[[1,2],[3,4]]", " [ 1 ] ", "[1]]"} {
		checkData(t, []byte(text))
	}
	for c := range 256 { // bytes are told from digits, above 127 as well
		for _, text := range []string{"[#]", "[1#2]", "[1.#]", "[1.2#3]", "[1e#]"} {
			checkData(t, bytes.ReplaceAll([]byte(text), []byte{'#'}, []byte{byte(c)}))
		}
	}
}

// TestUsual: what clients write is read by parseFloats, up to the last numbers of a body.
func TestUsual(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for name, number := range map[string]func(float32) string{
		"shortest":     func(v float32) string { return strconv.FormatFloat(float64(v), 'f', -1, 32) },
		"as float64":   func(v float32) string { return strconv.FormatFloat(float64(v), 'f', 17, 64) },
		"places":       func(v float32) string { return strconv.FormatFloat(float64(v), 'f', 6, 64) },
		"pixels":       func(v float32) string { return strconv.Itoa(int(100 * v)) },
		"without mean": func(v float32) string { return strconv.FormatFloat(float64(100*v), 'f', 14, 64) },
		"exponents":    func(v float32) string { return strconv.FormatFloat(float64(v), 'e', 17, 64) },
	} {
		for _, comma := range []string{",", ", "} {
			want := make([]float32, 1000)
			var text []byte
			for i := range want {
				n := number(float32(rng.NormFloat64()))
				f, err := strconv.ParseFloat(n, 32)
				require.NoError(t, err)
				want[i] = float32(f)
				text = append(append(text, n...), comma...)
			}
			got := make([]float32, len(want))
			n, _ := parseFloats(got, text)
			require.Greater(t, n, len(want)-fastBytes/2, "%s, %q", name, comma)
			testutil.CheckBits(t, name, n, got[:n], want[:n])
		}
	}
}

// FuzzData: whatever the bytes are, they are read as encoding/json reads them.
func FuzzData(f *testing.F) {
	f.Add([]byte("[1,2.5e-3]"))
	f.Add([]byte("[[1,2],[-3,4e5]]"))
	f.Add([]byte("[[[]]]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < 1<<16 {
			checkData(t, text)
		}
	})
}

// FuzzDecode: no body makes Decode panic, and what it accepts is JSON in front.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(input(`"shape":[2],"datatype":"FP32","data":[1,2]`)), int64(-1))
	f.Add([]byte(input(`"shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}`)+"abcd"), int64(91))
	f.Add([]byte(input(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}`)+"\x01\x00\x00\x00a"), int64(92))
	f.Fuzz(func(t *testing.T, body []byte, header int64) {
		var req *Request
		err := testutil.Bounded(t, len(body), func() (_ int64, err error) {
			req, err = Decode(bytes.NewReader(body), header, limits)
			return 0, err
		})
		if err != nil {
			require.True(t, errors.Is(err, ErrFormat) || errors.Is(err, ErrTooLarge), "%v", err)
			return
		}
		text := body
		if header >= 0 {
			text = body[:min(header, int64(len(body)))]
		}
		require.True(t, json.Valid(text))
		require.NotEmpty(t, req.Inputs)
	})
}

// picture is a request of a picture of 224×224, as text, in one array or nested.
func picture(nested bool, format byte, bits int) string {
	rng := rand.New(rand.NewPCG(2, 2))
	var b strings.Builder
	number := func() string { return strconv.FormatFloat(float64(float32(rng.NormFloat64())), format, -1, bits) }
	list := func(n int, f func() string) string {
		var l []string
		for range n {
			l = append(l, f())
		}
		return strings.Join(l, ",")
	}
	if nested {
		row := func() string { return "[" + list(224, number) + "]" }
		plane := func() string { return "[" + list(224, row) + "]" }
		b.WriteString("[" + list(3, plane) + "]")
	} else {
		b.WriteString(list(3*224*224, number))
	}
	return `{"inputs":[{"name":"input","shape":[1,3,224,224],"datatype":"FP32","data":[` + b.String() + `]}]}`
}

func BenchmarkDecode(b *testing.B) {
	limits := Limits{Numbers: 1 << 20}
	for _, c := range []struct {
		name, text string
	}{
		{"data=flat/digits=float32", picture(false, 'g', 32)},
		{"data=flat/digits=float64", picture(false, 'g', 64)},
		{"data=nested/digits=float64", picture(true, 'g', 64)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				q, err := Decode(strings.NewReader(c.text), -1, limits)
				if err != nil {
					b.Fatal(err)
				}
				q.Release()
			}
		})
	}
	head := `{"inputs":[{"name":"input","shape":[1,3,224,224],"datatype":"FP32","parameters":{"binary_data_size":602112}}]}`
	body := append([]byte(head), make([]byte, 602112)...)
	b.Run("data=binary", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			q, err := Decode(bytes.NewReader(body), int64(len(head)), limits)
			if err != nil {
				b.Fatal(err)
			}
			q.Release()
		}
	})
}

// TestDecodeAllocates: memory is that of the numbers, whatever the form, and some 50 pieces
// more for a request.
func TestDecodeAllocates(t *testing.T) {
	limits := Limits{Numbers: 1 << 20}
	head := `{"inputs":[{"name":"input","shape":[1,3,224,224],"datatype":"FP32","parameters":{"binary_data_size":602112}}]}`
	for name, c := range map[string]struct {
		body   string
		header int64
	}{
		"flat": {picture(false, 'g', 32), -1}, "nested": {picture(true, 'g', 64), -1}, "binary": {head + strings.Repeat("\x00\x00\x80\x3f", 3*224*224), int64(len(head))},
	} {
		r := strings.NewReader(c.body)
		decode := func() {
			r.Reset(c.body)
			q, err := Decode(r, c.header, limits)
			require.NoError(t, err)
			require.Len(t, q.Inputs[0].Floats, 3*224*224)
		}
		require.Less(t, testutil.AllocsPerRun(3, decode), 80.0, name)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decode()
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*3*224*224+2*scanBuffer), name)
	}
}

// TestRelease: requests that are decoded beside others, and into the memory of those before
// them, have their own numbers.
func TestRelease(t *testing.T) {
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(4, uint64(k)))
			for range 200 {
				want := make([]float32, 1+rng.IntN(500))
				var text []string
				for i := range want {
					want[i] = float32(rng.IntN(1000))
					text = append(text, strconv.Itoa(int(want[i])))
				}
				q, err := decode(input(fmt.Sprintf(`"shape":[%d],"datatype":"FP32","data":[%s]`, len(want), strings.Join(text, ","))))
				if !assert.NoError(t, err) {
					return
				}
				runtime.Gosched()
				assert.Equal(t, want, q.Inputs[0].Floats)
				if rng.IntN(4) > 0 {
					q.Release()
					q.Release() // has nothing to give
				}
			}
		})
	}
	wg.Wait()
}

// TestReadFloats: numbers beyond those that have room at first, and bodies that end early.
func TestReadFloats(t *testing.T) {
	for _, n := range []int{0, 1, firstFloats - 1, firstFloats, firstFloats + 1, 5*firstFloats + 3} {
		want := testutil.Uniform(uint64(n), n)
		raw := make([]byte, 0, 4*n)
		for _, v := range want {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		got, err := readFloats(iotest.HalfReader(bytes.NewReader(raw)), n)
		require.NoError(t, err)
		testutil.CheckBits(t, "floats", n, got, want)
		if n > 0 {
			_, err = readFloats(bytes.NewReader(raw[1:]), n)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
	// What is claimed takes no memory before it arrives.
	require.LessOrEqual(t, testutil.AllocsPerRun(1, func() { _, _ = readFloats(bytes.NewReader(nil), 1<<40) }), 2.0)
}

// TestResponse: what is written is JSON, with the data or with those behind it.
func TestResponse(t *testing.T) {
	r := &Response{ModelName: "vgg16", ModelVersion: "1", ID: "é\"", Binary: []bool{false, true, false, true}, Outputs: []Tensor{
		{Name: "logits", Datatype: FP32, Shape: []int64{1, 3}, Floats: []float32{1, -0.5, 1e-20}},
		{Name: "pool1", Datatype: FP32, Shape: []int64{1, 2}, Floats: []float32{2, 3}},
		{Name: "labels", Datatype: BYTES, Shape: []int64{1, 1}, Strings: [][]byte{[]byte("0.5:3:a \"cat\"")}},
		{Name: "more", Datatype: BYTES, Shape: []int64{1, 1}, Strings: [][]byte{[]byte("xy")}},
	}}
	head, err := r.Head()
	require.NoError(t, err)
	require.True(t, r.IsBinary())
	require.JSONEq(t, `{"model_name":"vgg16","model_version":"1","id":"é\"","outputs":[
		{"name":"logits","datatype":"FP32","shape":[1,3],"data":[1,-0.5,1e-20]},
		{"name":"pool1","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},
		{"name":"labels","datatype":"BYTES","shape":[1,1],"data":["0.5:3:a \"cat\""]},
		{"name":"more","datatype":"BYTES","shape":[1,1],"parameters":{"binary_data_size":6}}]}`, string(head))
	var tail bytes.Buffer
	require.NoError(t, r.WriteBinary(&tail))
	require.Equal(t, "\x00\x00\x00\x40\x00\x00\x40\x40\x02\x00\x00\x00xy", tail.String())
	require.Equal(t, tail.Len(), r.BinarySize())
	require.False(t, (&Response{Binary: []bool{false}}).IsBinary())

	broken := errors.New("broken")
	require.ErrorIs(t, r.WriteJSON(failing{broken}), broken)
	require.ErrorIs(t, r.WriteBinary(failing{broken}), broken)
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }
