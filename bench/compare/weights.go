package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/vgg"
)

// The seed of every comparison; test data made with it gives known logits.
const seed = 1

// pictures is how many seeded pictures the checks use.
const pictures = 2

// fillParam writes the i-th parameter of a network: He-uniform weights, small
// biases.
func fillParam(dst []float32, i int, p vgg.Param) {
	bound := 0.05
	if strings.HasSuffix(p.Name, ".weight") {
		bound = math.Sqrt(6 / float64(p.FanIn))
	}
	seeded.Fill(dst, seed, uint64(i), bound)
}

// weightFile returns a file with the seeded weights of a configuration, raw
// little-endian float32 in network order, and makes it where it is missing.
func weightFile(dir, config string) (string, error) {
	c, err := vgg.Lookup(config)
	if err != nil {
		return "", err
	}
	params, err := c.Params()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "vgg"+c.Name+".f32")
	return path, writeOnce(path, func(f *os.File) error {
		for i, p := range params {
			w := make([]float32, p.Len())
			fillParam(w, i, p)
			if err := writeFloats(f, w); err != nil {
				return err
			}
		}
		return nil
	})
}

// pictureFile returns a file with the seeded pictures, NCHW.
func pictureFile(dir string) (string, error) {
	path := filepath.Join(dir, "pictures.f32")
	return path, writeOnce(path, func(f *os.File) error {
		return writeFloats(f, seededPictures(pictures))
	})
}

func writeFloats(f *os.File, x []float32) error {
	buf := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
	}
	_, err := f.Write(buf)
	return err
}

// writeOnce makes a file unless it exists; it appears whole or not at all.
func writeOnce(path string, write func(*os.File) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
