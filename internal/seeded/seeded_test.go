package seeded

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
)

// TestInputs compares tensor 1000 with the input pictures of the listed results,
// bit for bit.
func TestInputs(t *testing.T) {
	t.Parallel()
	for _, config := range []string{"A", "A-LRN", "B", "C", "D", "E"} {
		raw, err := os.ReadFile(testutil.Shared(t, "data", "golden", "full_"+config+".safetensors"))
		require.NoError(t, err)
		size := binary.LittleEndian.Uint64(raw)
		var header struct {
			Metadata struct{ Seed string } `json:"__metadata__"`
			Input    struct {
				Offsets [2]int `json:"data_offsets"`
			}
		}
		require.NoError(t, json.Unmarshal(raw[8:8+size], &header))
		seed, err := strconv.ParseUint(header.Metadata.Seed, 10, 64)
		require.NoError(t, err)
		data := raw[8+size:][header.Input.Offsets[0]:header.Input.Offsets[1]]
		want := make([]float32, len(data)/4)
		for i := range want {
			want[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		got := make([]float32, len(want))
		Fill(got, seed, 1000, 1)
		testutil.CheckBits(t, "input of "+config, len(got), got, want)
	}
}

// TestFill lists values, so that the stream is held fast without the files.
func TestFill(t *testing.T) {
	t.Parallel()
	got := make([]float32, 4)
	Fill(got, 1, 0, 0.5)
	require.Equal(t, []float32{-0.4617836, 0.021113992, -0.12402737, -0.10082787}, got)
}

func BenchmarkFill(b *testing.B) {
	dst := make([]float32, 1<<20)
	b.SetBytes(4 << 20)
	for b.Loop() {
		Fill(dst, 1, 0, 1)
	}
}
