package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/check"
)

// goldenDir may hold logits of the seeded networks in float64, in files
// full_<config>.safetensors.
var goldenDir = filepath.Join("..", "shared", "data", "golden")

// goldenLogits returns nil where there are none for a work.
func goldenLogits(w work) ([]float64, error) {
	if w.kind == "gemm" || w.kind == "train" {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(goldenDir, "full_"+w.config+".safetensors"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := readFloat64(f, "logits64")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return v, nil
}

// reference returns the logits that the subjects of a work are compared with: those of
// goldenDir or, in a clone, those that plain loops compute in float64, once. It returns nil for
// products, which every driver compares with float64 itself, and for training, where the first
// subject is the reference.
func (r runner) reference(w work) ([]float64, error) {
	v, err := goldenLogits(w)
	if v != nil || err != nil || w.kind == "gemm" || w.kind == "train" {
		return v, err
	}
	path := filepath.Join(r.dir, "logits64_"+w.config+".f64")
	err = writeOnce(path, func(f *os.File) error {
		fmt.Printf("computing the reference of %s in float64: this takes a minute\n", w.config)
		cfg, err := vgg.Lookup(w.config)
		if err != nil {
			return err
		}
		logits, err := check.SeededLogits(cfg, seed, pictures)
		if err != nil {
			return err
		}
		return binary.Write(f, binary.LittleEndian, logits)
	})
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v = make([]float64, len(raw)/8)
	_, err = binary.Decode(raw, binary.LittleEndian, v)
	return v, err
}

// readFloat64 reads one tensor of a safetensors file.
func readFloat64(f io.ReadSeeker, name string) ([]float64, error) {
	var n uint64
	if err := binary.Read(f, binary.LittleEndian, &n); err != nil {
		return nil, err
	}
	header := make(map[string]json.RawMessage)
	if err := json.NewDecoder(io.LimitReader(f, int64(n))).Decode(&header); err != nil {
		return nil, err
	}
	var tensor struct {
		DType   string   `json:"dtype"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(header[name], &tensor); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	if tensor.DType != "F64" {
		return nil, fmt.Errorf("tensor %s holds %s, want F64", name, tensor.DType)
	}
	if _, err := f.Seek(int64(8+n)+tensor.Offsets[0], io.SeekStart); err != nil {
		return nil, err
	}
	v := make([]float64, (tensor.Offsets[1]-tensor.Offsets[0])/8)
	if err := binary.Read(f, binary.LittleEndian, v); err != nil {
		return nil, err
	}
	for _, x := range v {
		if math.IsNaN(x) {
			return nil, fmt.Errorf("tensor %s holds NaN", name)
		}
	}
	return v, nil
}
