package vgg

import (
	"fmt"
	"slices"
	"strings"
)

// repVGGs are the plain networks of Ding, Zhang, Ma, Han, Ding & Sun (CVPR 2021,
// arXiv:2101.03697), tables 2 and 3, in their form for inference: five stages, each of
// which begins with stride 2, with this many convolutions of this many channels.
var repVGGs = []struct {
	name   string
	blocks [5]int
	widths [5]int
}{
	{"RepVGG-A0", [5]int{1, 2, 4, 14, 1}, [5]int{48, 48, 96, 192, 1280}},
	{"RepVGG-A1", [5]int{1, 2, 4, 14, 1}, [5]int{64, 64, 128, 256, 1280}},
	{"RepVGG-A2", [5]int{1, 2, 4, 14, 1}, [5]int{64, 96, 192, 384, 1408}},
	{"RepVGG-B0", [5]int{1, 4, 6, 16, 1}, [5]int{64, 64, 128, 256, 1280}},
	{"RepVGG-B1", [5]int{1, 4, 6, 16, 1}, [5]int{64, 128, 256, 512, 2048}},
	{"RepVGG-B2", [5]int{1, 4, 6, 16, 1}, [5]int{64, 160, 320, 640, 2560}},
	{"RepVGG-B3", [5]int{1, 4, 6, 16, 1}, [5]int{64, 192, 384, 768, 2560}},
}

// RepVGGNames lists the configurations of RepVGG: RepVGG-A0 to A2 and B0 to B3.
func RepVGGNames() []string {
	var names []string
	for _, r := range repVGGs {
		names = append(names, r.name)
	}
	return names
}

// lookupRepVGG returns a configuration of RepVGG by its name, or by timm's, repvgg_a0. ok
// says that the name is one of RepVGG's, which some are whose networks are not computed.
func lookupRepVGG(name string) (cfg Config, ok bool, err error) {
	variant, ok := strings.CutPrefix(strings.ToUpper(name), "REPVGG")
	if !ok {
		return cfg, false, nil
	}
	variant = strings.TrimLeft(variant, "-_")
	for i := range repVGGs {
		if r := &repVGGs[i]; "RepVGG-"+variant == r.name {
			var words []string
			for s, n := range r.blocks {
				words = append(words, fmt.Sprintf("%d/2", r.widths[s]))
				words = append(words, slices.Repeat([]string{fmt.Sprint(r.widths[s])}, n-1)...)
			}
			layers, err := ParseLayers(strings.Join(words, " ") + " G F1000")
			return Config{Name: r.name, Channels: 3, Size: 224, Pad: 1, Layers: layers}, true, err
		}
	}
	why := ""
	if strings.ContainsAny(variant, "G") || strings.HasSuffix(variant, "SE") {
		why = ": grouped convolutions and squeeze-and-excitation are not computed"
	}
	return cfg, true, fmt.Errorf("vgg: configuration %q%s; want one of %s: %w", name, why, strings.Join(RepVGGNames(), ", "), ErrConfig)
}
