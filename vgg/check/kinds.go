package check

import (
	"context"

	"github.com/nonet-go/nonet/vgg"
)

// kinds are small networks that hold, between them, every kind of layer in varied
// orders, pictures that are no squares and columns in HWC order.
var kinds = []struct {
	layers   string
	channels int
	h, w     int
	hwc      bool
	unpadded bool
}{
	{layers: "16 S M =32 S+ A 32 G F10", channels: 3, h: 16, w: 16},
	{layers: "8 S 8 A F24 S =F16 F9", channels: 3, h: 12, w: 8},
	{layers: "S+ 24 N A =20 S+ M =F17 S+ F10 S", channels: 5, h: 12, w: 20, hwc: true},
	{layers: "=3/1 S 16 M A 19 S F11 F8", channels: 3, h: 21, w: 27, hwc: true, unpadded: true},
	{layers: "16 A 18 M =10/1 S G", channels: 1, h: 24, w: 16},
	{layers: "17 M 12/1 G S+", channels: 2, h: 9, w: 7},
	{layers: "G S F12+ S F9", channels: 18, h: 5, w: 6},
	{layers: "A M S", channels: 19, h: 10, w: 9},
	{layers: "4 S+ M F8+", channels: 1, h: 6, w: 8},
	{layers: "16/2 20/2 =24 40/2 G F10", channels: 3, h: 29, w: 32},
	{layers: "6 =17/2 S+ 33/2 M F12 F9", channels: 4, h: 27, w: 38, unpadded: true},
	{layers: "20/2 M 18/2 A =16/2 S G", channels: 16, h: 40, w: 35},
}

// Kinds compares, layer by layer and in training, small networks with the layers that
// the paper's lack: means, scales, strides, fully connected layers without ReLU. See Networks
// and Training.
func Kinds(ctx context.Context) ([]Row, error) {
	var rows []Row
	for _, k := range kinds {
		layers, err := vgg.ParseLayers(k.layers)
		if err != nil {
			return nil, err
		}
		cfg := vgg.Config{Name: k.layers, Channels: k.channels, Pad: 1, HWC: k.hwc, Layers: layers}.WithInput(k.h, k.w)
		if k.unpadded {
			cfg.Pad = 0
		}
		r, err := network(ctx, cfg, 5)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r...)
		if r, err = gradients(ctx, cfg); err != nil {
			return nil, err
		}
		rows = append(rows, r...)
		if cfg.Classes() == 0 {
			continue
		}
		if r, err = training(ctx, cfg); err != nil {
			return nil, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}
