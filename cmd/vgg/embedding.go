package main

import "github.com/nonet-go/nonet/vgg"

// embeddingLayer returns the layer whose activation goes into the one that gives the
// classes, or the last layer of a network without classes.
func embeddingLayer(cfg vgg.Config) string {
	last := len(cfg.Layers) - 1
	if cfg.Classes() == 0 {
		return cfg.Layers[last].Name
	}
	for i := last; i > 0; i-- {
		if k := cfg.Layers[i].Kind; k == vgg.FC || k == vgg.Conv {
			return cfg.Layers[i-1].Name
		}
	}
	return cfg.Layers[last].Name
}
