package vgg

import (
	"fmt"
	"slices"
	"strings"
)

// embeddingName is the name of the layer before the last, whatever it is.
const embeddingName = "embedding"

// layerIndex finds a layer by its name, an empty one being the last. relu3_2 and relu6
// are other names for conv3_2 and fc6, whose activations are taken after the ReLU. See
// Output for the names of others.
func (c Config) layerIndex(name string) (int, error) {
	if name == "" {
		return len(c.Layers) - 1, nil
	}
	for i, l := range c.Layers {
		if l.Name == name {
			return i, nil
		}
		if n, ok := strings.CutPrefix(name, "relu"); ok && l.ReLU && (l.Name == "conv"+n || l.Name == "fc"+n) {
			return i, nil
		}
	}
	if name == embeddingName {
		return c.embedding(), nil
	}
	for _, m := range c.modules() {
		switch {
		case m.name != name:
		case m.folded:
			return 0, fmt.Errorf("vgg: %s is %s before its batch normalisation, which is folded into it: the activation behind both is %s: %w",
				name, c.Layers[m.layer].Name, c.Layers[m.layer].Name, ErrConfig)
		default:
			return m.layer, nil
		}
	}
	return 0, c.unknownLayer(name)
}

// embedding returns the layer whose activation goes into the one that gives the classes,
// or the last layer of a network without classes.
func (c Config) embedding() int {
	if head := c.head(); head > 0 {
		return head - 1
	}
	return len(c.Layers) - 1
}

// A module is a layer, or a part of one, as torchvision's or timm's VGG calls it.
type module struct {
	name   string
	layer  int
	folded bool // what goes into a batch normalisation that was folded, and is never computed
}

// modules lists the modules that torchvision and timm have for the layers of c, as far as
// these are a VGG's: convolutions, each with batch normalisation or without, and ReLU,
// maximum pools, and fully connected layers with ReLU and dropout.
func (c Config) modules() []module {
	list := c.featureModules()
	var fcs []int
	for i := c.firstFC(); i < len(c.Layers); i++ {
		fcs = append(fcs, i)
	}
	for k, i := range fcs {
		l, last := c.Layers[i], k == len(fcs)-1
		if l.Kind != FC || l.Norm || l.ReLU == last {
			return list
		}
		parts := 3 // dropout, the third, passes everything on
		if last {
			parts = 1
		}
		for part := range parts {
			list = append(list, module{name: fmt.Sprintf("classifier.%d", 3*k+part), layer: i})
		}
	}
	if len(fcs) == 3 {
		for _, m := range []struct {
			name string
			fc   int
		}{{"pre_logits.fc1", 0}, {"pre_logits.act1", 0}, {"pre_logits.drop", 0}, {"pre_logits.fc2", 1}, {"pre_logits.act2", 1}, {"pre_logits", 1}, {"head.fc", 2}, {"head", 2}} {
			list = append(list, module{name: m.name, layer: fcs[m.fc]})
		}
	}
	return list
}

// featureModules lists the modules of torchvision's features.
func (c Config) featureModules() []module {
	var list []module
	index := 0
	add := func(layer int, folded bool) {
		list = append(list, module{fmt.Sprintf("features.%d", index), layer, folded})
		index++
	}
	for i, l := range c.Layers[:c.firstFC()] {
		switch {
		case l.Stride == 2:
			return list
		case l.Kind == Conv && l.Norm:
			add(i, true)
			add(i, false)
		case l.Kind == Conv, l.Kind == Pool, l.Kind == Scale && i > 0 && c.Layers[i-1].Kind == Conv && !c.Layers[i-1].ReLU:
			add(i, false)
		default:
			return list
		}
		if l.ReLU {
			add(i, false)
		}
	}
	return list
}

// Until returns c cut after the named layer, see Output.
func (c Config) Until(name string) (Config, error) {
	i, err := c.layerIndex(name)
	if err != nil {
		return c, err
	}
	c.Layers = slices.Clone(c.Layers[:i+1])
	return c, nil
}

// unknownLayer lists the names that there are.
func (c Config) unknownLayer(name string) error {
	var names []string
	for _, l := range c.Layers {
		names = append(names, l.Name)
	}
	names = append(names, embeddingName)
	all, features := c.modules(), c.featureModules()
	if n := len(features); n > 0 {
		names = append(names, "features.0 to "+features[n-1].name)
	}
	for i, m := range all[len(features):] {
		if strings.HasPrefix(m.name, "classifier") && (len(features)+i+1 == len(all) || !strings.HasPrefix(all[len(features)+i+1].name, "classifier")) {
			names = append(names, "classifier.0 to "+m.name)
		} else if !strings.Contains(m.name, ".") {
			names = append(names, m.name) // pre_logits, head
		}
	}
	return fmt.Errorf("vgg: configuration %s has no layer %q; it has %s: %w", c.Name, name, strings.Join(names, ", "), ErrConfig)
}
