package shard

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
)

// Network returns a hash of what a model computes: its layers with their algorithms,
// its labels, how it prepares pictures, the tensors of the file that it was read
// from, and settings, which are whatever else its results depend on. file is nil for
// a model without one, whose weights settings must tell.
func Network(m *vgg.Model, file weights.Source, settings ...any) (string, error) {
	h := sha256.New()
	cfg := m.Config()
	fmt.Fprintf(h, "%q %d %d %d %d %v\n", cfg.LayerString(), cfg.Channels, cfg.Size, cfg.Width, cfg.Pad, cfg.HWC)
	for _, l := range m.Summary().Layers {
		fmt.Fprintf(h, "%q %q\n", l.Name, l.Algorithm)
	}
	fmt.Fprintf(h, "%q\n%+v\n%+v\n", m.Labels(), m.Picture(), settings)
	if file == nil {
		return fmt.Sprintf("%x", h.Sum(nil)), nil
	}
	defer file.Release()
	for _, name := range file.Names() {
		t, err := file.Tensor(name)
		if errors.Is(err, weights.ErrUnsupported) {
			continue // the network does without it, or could not have been opened
		}
		if err == nil {
			fmt.Fprintf(h, "%q\n", name)
			err = weights.Write(h, []weights.Out{{Name: "t", DType: t.DType, Shape: t.Shape, Data: t.Data}}, nil)
		}
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
