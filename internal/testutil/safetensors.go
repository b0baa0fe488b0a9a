package testutil

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// Tensors reads a safetensors file that is known to be well-formed. Every
// element type becomes float64.
func Tensors(t testing.TB, path string) map[string][]float64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	size := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		Dtype   string    `json:"dtype"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	must(t, json.Unmarshal(raw[8:8+size], &header))
	delete(header, "__metadata__")
	all := map[string][]float64{}
	for name, h := range header {
		data := raw[8+size:][h.Offsets[0]:h.Offsets[1]]
		var x []float64
		switch h.Dtype {
		case "F32":
			for ; len(data) > 0; data = data[4:] {
				x = append(x, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))))
			}
		case "F64":
			for ; len(data) > 0; data = data[8:] {
				x = append(x, math.Float64frombits(binary.LittleEndian.Uint64(data)))
			}
		case "I64":
			for ; len(data) > 0; data = data[8:] {
				x = append(x, float64(int64(binary.LittleEndian.Uint64(data))))
			}
		case "I32":
			for ; len(data) > 0; data = data[4:] {
				x = append(x, float64(int32(binary.LittleEndian.Uint32(data))))
			}
		case "U8":
			for _, v := range data {
				x = append(x, float64(v))
			}
		default:
			t.Fatalf("%s: %s has type %s", path, name, h.Dtype)
		}
		all[name] = x
	}
	return all
}
