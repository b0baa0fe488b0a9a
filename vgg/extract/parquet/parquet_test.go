package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/vgg/extract"
	"github.com/nonet-go/nonet/vgg/weights"
)

// table has rows with the values of a formula.
func table(rows int) extract.Table {
	h := extract.Header{Labels: []string{"cat", "dog", "ship"}, Columns: []extract.Column{
		{Name: "relu1_2", DType: weights.F32, Shape: []int{2, 3, 4}},
		{Name: "class", DType: weights.I32, Shape: []int{2}},
		{Name: "probability", DType: weights.F32, Shape: []int{2}}}}
	return extract.Table{Header: h, Rows: rows, Records: func(yield func(extract.Record, error) bool) {
		var b []byte
		for i := range rows {
			b = b[:0]
			for k := range 24 {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(value(i, k)))
			}
			b = binary.LittleEndian.AppendUint32(b, uint32(i%3))
			b = binary.LittleEndian.AppendUint32(b, uint32((i+1)%3))
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(0.75))
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(0.25))
			if !yield(extract.Record{Item: extract.Item{Path: fmt.Sprintf("a/%d.png", i), Row: i}, Data: b}, nil) {
				return
			}
		}
	}}
}

func value(i, k int) float32 { return float32(i) + float32(k)/32 }

type row struct {
	Path        string    `parquet:"path"`
	Relu        []float32 `parquet:"relu1_2,list"`
	Class       []int32   `parquet:"class,list"`
	Label       []string  `parquet:"label,list"`
	Probability []float32 `parquet:"probability,list"`
}

// TestFormat reads what is written with the library's own reader of structs.
func TestFormat(t *testing.T) {
	const rows = 1000
	var b, again bytes.Buffer
	require.NoError(t, Format.Write(&b, 0, table(rows)))
	require.NoError(t, Format.Write(&again, 0, table(rows)))
	require.True(t, bytes.Equal(b.Bytes(), again.Bytes()), "the same table, the same bytes")
	list, err := parquet.Read[row](bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Len(t, list, rows)
	labels := table(0).Header.Labels
	for i, r := range list {
		require.Equal(t, fmt.Sprintf("a/%d.png", i), r.Path)
		require.Len(t, r.Relu, 24)
		for k, v := range r.Relu {
			require.Equal(t, value(i, k), v)
		}
		require.Equal(t, []int32{int32(i % 3), int32((i + 1) % 3)}, r.Class)
		require.Equal(t, []string{labels[i%3], labels[(i+1)%3]}, r.Label)
		require.Equal(t, []float32{0.75, 0.25}, r.Probability)
	}
}

// TestMemory writes 60 MB in groups of rows.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 60 MB: needs a run without -short")
	}
	var most uint64
	in := table(1 << 19)
	records := in.Records
	in.Records = func(yield func(extract.Record, error) bool) {
		n := 0
		for rec, err := range records {
			if n++; n%(1<<14) == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
	require.NoError(t, Format.Write(io.Discard, 0, in))
	t.Logf("at most %d MB", most>>20)
	require.Less(t, most, uint64(50<<20))
}

func BenchmarkWrite(b *testing.B) {
	in := table(20000)
	for b.Loop() {
		if err := Format.Write(io.Discard, 0, in); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(20000 * 28 * 4)
}
