package netfile

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Network is the layers that a file has, or may have.
type Network struct {
	Layers   string // as vgg.ParseLayers reads them
	Channels int    // of the input
	Size     int    // side of the input, or its height
	Width    int    // of the input, or 0 if it is a square
	HWC      bool   // the columns of the first fully connected layer are in the order HWC
}

// maxSize bounds the side of the input that a fully connected layer's shape may give.
const maxSize = 1024

// known are the convolutions of a block in the networks whose modules have the
// indices of torchvision's, or one for each convolution with its ReLU, as mmcls has
// them. Widths are in the proportion of the paper's.
var (
	known       = [][]int{{1, 1, 2, 2, 2}, {2, 2, 2, 2, 2}, {2, 2, 3, 3, 3}, {2, 2, 4, 4, 4}} // A, B, D, E
	knownWidths = []int{64, 128, 256, 512, 512}
)

// Network returns the network of the file if its names and shapes leave nothing open:
//
//   - convolutions of as many blocks as configuration A, B, C, D or E has, with widths in
//     proportion, that are named by block and number, or whose indices are exactly
//     torchvision's, with or without batch normalisation;
//   - fully connected layers with ReLU and dropout between them, as their indices show, or with
//     the names that the paper's have in Caffe, Keras and timm; the last may have any name;
//   - as many columns as the pools leave pixels of a square of at most 1024;
//   - or blocks of RepVGG, for training or for inference, with its authors' names or timm's, and
//     one fully connected layer;
//   - or VGGish as in torchvggish: six convolutions of one channel of 96×64, and embeddings
//     whose columns are in the order HWC, with a ReLU at the end.
//
// If 1×1 pixels are left, as of 32×32 by five pools, a network for larger pictures with the
// mean of all pixels looks the same. So of these only the known networks for 32×32 are
// taken: with torchvision's classifier (0, 3, 6), with that of the networks for CIFAR (1, 4,
// 6, or one layer called classifier and batch normalisation), or with the paper's names. At
// that size both forms compute the same.
//
// Otherwise the error says what is open, and shows what the network looks like as flags of
// the command.
func (f *File) Network() (Network, error) {
	if f.isVGGish() {
		return f.vggish(), nil
	}
	if f.isRepVGG() {
		n, why := f.repVGG()
		if why != "" {
			return n, f.unclear(why)
		}
		return n, nil
	}
	blocks, why := f.blocks()
	if why == "" {
		why = f.openDense()
	}
	if why != "" {
		return Network{}, f.unclear(why)
	}
	var words []string
	i := 0
	for _, n := range blocks {
		for range n {
			words = append(words, f.features[i].word())
			i++
		}
		words = append(words, "M")
	}
	pools := len(blocks)
	if first := f.features[0]; first.block && first.at[0] == 0 { // conv0 is a block of its own, without pool
		words = slices.Delete(words, 1, 2)
		words[0], pools = "="+words[0], pools-1
	}
	size, ok := f.size(pools)
	if !ok {
		return Network{}, f.unclear(fmt.Sprintf("%s has %d columns, which are no square of %d channels of a picture of at most %d×%d", Quote(f.dense[0].main()), f.dense[0].In, f.last().Out, maxSize, maxSize))
	}
	for _, l := range f.dense {
		words = append(words, l.word())
	}
	return Network{Layers: strings.Join(words, " "), Channels: f.features[0].In, Size: size}, nil
}

// Keras reports whether the names are Keras's.
func (f *File) Keras() bool {
	return slices.ContainsFunc(f.layers(), func(l *Layer) bool { return l.layout == keras })
}

func (l *Layer) word() string {
	switch {
	case l.Kind == FC:
		return fmt.Sprintf("F%d", l.Out)
	case l.Kind == Scale:
		return "S"
	case l.Kernel == 1:
		return fmt.Sprintf("%d/1", l.Out)
	}
	return fmt.Sprint(l.Out)
}

// last returns the last layer of the features.
func (f *File) last() *Layer { return f.features[len(f.features)-1] }

// side returns the side of the activation that the first fully connected layer
// flattens.
func (f *File) side() (int, bool) {
	c, in := f.last().Out, f.dense[0].In
	s := int(math.Sqrt(float64(in / c)))
	return s, s >= 1 && s <= maxSize && c*s*s == in
}

// Widths returns the outputs of the convolutions and of the fully connected layers,
// in their order.
func (f *File) Widths() (convs, dense []int) {
	for _, l := range f.layers() {
		switch l.Kind {
		case Conv:
			convs = append(convs, l.Out)
		case FC:
			dense = append(dense, l.Out)
		}
	}
	return convs, dense
}

// Norms returns for each convolution and fully connected layer, in order, whether batch
// normalisation follows right after it. It is folded into the layer.
func (f *File) Norms() []bool {
	var norms []bool
	for _, l := range f.layers() {
		if l.Kind == Conv || l.Kind == FC {
			norms = append(norms, l.norm != nil)
		}
	}
	return norms
}

// Channels returns the channels of the input, or 0 if there is no convolution.
func (f *File) Channels() int {
	if len(f.features) == 0 {
		return 0
	}
	return f.features[0].In
}

// Size returns the side of the input that fits the first fully connected layer after some
// pools. It is 0 if there is no such layer or it fits no square.
func (f *File) Size(pools int) int {
	if len(f.features) == 0 || len(f.dense) == 0 {
		return 0
	}
	if size, ok := f.size(pools); ok {
		return size
	}
	return 0
}

// size returns the side of the input of some pools.
func (f *File) size(pools int) (int, bool) {
	s, ok := f.side()
	return s << min(pools, 16), ok && pools <= 10 && s<<pools <= maxSize
}

// blocks returns how many convolutions each block has, or why that is unknown.
func (f *File) blocks() ([]int, string) {
	if len(f.features) == 0 {
		return nil, "it has fully connected layers alone"
	}
	if i := slices.IndexFunc(f.features, func(l *Layer) bool { return l.Kind == Scale }); i >= 0 {
		return nil, fmt.Sprintf("the batch normalisation %s does not stand right behind a convolution", Quote(f.features[i].Name))
	}
	if f.features[0].block {
		blocks, why := f.namedBlocks()
		if why == "" && !f.paperBlocks(blocks) {
			why = fmt.Sprintf("%d convolutions in %d blocks are no configuration of the paper, and pools and padding have no tensors", len(f.features), len(blocks))
		}
		return blocks, why
	}
	for _, blocks := range known {
		if f.isKnown(blocks) {
			return blocks, ""
		}
	}
	var at []string
	for _, l := range f.features {
		at = append(at, l.Name)
	}
	return nil, fmt.Sprintf("%d convolutions (%s) are in the places of no network that is known, and pools and dropout have no tensors", len(at), list(at))
}

// namedBlocks reads blocks from names such as conv3_2.
func (f *File) namedBlocks() ([]int, string) {
	var blocks []int
	block, conv := f.features[0].at[0], 0
	if block > 1 {
		return nil, fmt.Sprintf("the first convolution is %s", Quote(f.features[0].Name))
	}
	blocks = append(blocks, 0)
	for _, l := range f.features {
		if !l.block {
			return nil, fmt.Sprintf("the name of %s does not say which block it is of", Quote(l.Name))
		}
		if l.at[0] == block+1 {
			block, conv = block+1, 0
			blocks = append(blocks, 0)
		}
		first := conv
		if l.at[0] == 0 {
			first = -1
		}
		if l.at[0] != block || l.at[1] != first+1 {
			return nil, fmt.Sprintf("the convolution before %s is missing", Quote(l.Name))
		}
		conv = l.at[1]
		blocks[len(blocks)-1]++
	}
	return blocks, ""
}

// paperBlocks reports whether blocks, after a conv0 if there is one, and widths are
// those of a configuration of the paper.
func (f *File) paperBlocks(blocks []int) bool {
	rest := f.features
	if rest[0].at[0] == 0 {
		rest, blocks = rest[1:], blocks[1:]
	}
	if !slices.ContainsFunc(known, func(k []int) bool { return slices.Equal(k, blocks) }) {
		return false
	}
	pointwise := slices.ContainsFunc(rest, func(l *Layer) bool { return l.Kernel == 1 })
	for _, l := range rest {
		third := l.at[0] >= 3 && l.at[1] == 3 // 1×1 in configuration C
		if l.Out*knownWidths[0] != rest[0].Out*knownWidths[l.at[0]-1] || (l.Kernel == 1) != (pointwise && third && slices.Equal(blocks, known[2])) {
			return false
		}
	}
	return true
}

// isKnown reports whether indices and widths are exactly those of a network.
func (f *File) isKnown(blocks []int) bool {
	index, i := 0, 0
	for b, n := range blocks {
		for range n {
			if i == len(f.features) || len(f.features[i].at) == 0 {
				return false
			}
			l, first := f.features[i], f.features[0]
			if l.Kernel != 3 || l.at[0] != index || l.style != first.style || (l.norm != nil) != (first.norm != nil) || l.Out*knownWidths[0] != first.Out*knownWidths[b] {
				return false
			}
			switch {
			case l.style == "N" && l.norm == nil:
				index += 2
			case l.style == "N":
				index += 3
			case l.style == "N.part" && l.at[1] == 0:
				index++
			default:
				return false
			}
			i++
		}
		index++
	}
	return i == len(f.features)
}

// vggishBlocks are the convolutions of VGGish.
var vggishBlocks = []int{1, 1, 2, 2}

func (f *File) isVGGish() bool {
	if len(f.features) == 0 || !f.isKnown(vggishBlocks) || f.features[0].norm != nil || f.features[0].style != "N" || f.features[0].In != 1 || !f.denseAt(0, 2, 4) {
		return false
	}
	path := f.dense[0].path
	return len(path) > 1 && path[len(path)-2] == "embeddings" && f.dense[0].In == f.last().Out*6*4
}

func (f *File) vggish() Network {
	c, d := f.features, f.dense
	layers := fmt.Sprintf("%d M %d M %d %d M %d %d M F%d F%d F%d+", c[0].Out, c[1].Out, c[2].Out, c[3].Out, c[4].Out, c[5].Out, d[0].Out, d[1].Out, d[2].Out)
	return Network{Layers: layers, Channels: 1, Size: 96, Width: 64, HWC: true}
}

// openDense says what the names of the fully connected layers leave open, or returns
// nothing.
func (f *File) openDense() string {
	if len(f.dense) == 0 {
		return "it has no fully connected layers, and whether it ends with a pool has no tensors"
	}
	if f.cifarHead() {
		return ""
	}
	for i, l := range f.dense {
		if l.Kind == Scale {
			return fmt.Sprintf("the batch normalisation %s does not stand right behind a layer", Quote(l.Name))
		}
		if i == 0 {
			continue
		}
		before := f.dense[i-1]
		free := i == len(f.dense)-1 && l.group != before.group // a new head of any name
		switch known := knownHead(before); {
		case joined(before, l) == 1, known && (knownHead(l) || free):
		case free && i == 2 && before.style == "N" && before.at[0] == 3 && f.dense[0].at[0] == 0 && before.norm == nil:
		default:
			return fmt.Sprintf("%s and %s may have a ReLU between, or none", Quote(before.Name), Quote(l.Name))
		}
	}
	if s, ok := f.side(); ok && s == 1 && !f.denseAt(0, 3, 6) && !knownHead(f.dense[0]) {
		return fmt.Sprintf("%s has a column for each of %d channels: either 1×1 pixels are left, or their mean is taken", Quote(f.dense[0].main()), f.last().Out)
	}
	return ""
}

// cifarHead reports whether the fully connected layers are those of the most used networks
// for CIFAR-10.
func (f *File) cifarHead() bool {
	if f.denseAt(1, 4, 6) {
		return true
	}
	l := f.dense[0]
	return len(f.dense) == 1 && f.features[0].norm != nil && len(l.at) == 0 && l.norm == nil && len(l.path) > 0 && l.path[len(l.path)-1] == "classifier"
}

// denseAt reports whether the fully connected layers are modules of these indices.
func (f *File) denseAt(indices ...int) bool {
	if len(f.dense) != len(indices) {
		return false
	}
	for i, l := range f.dense {
		if l.style != "N" || len(l.at) != 1 || l.at[0] != indices[i] || l.norm != nil {
			return false
		}
	}
	return true
}
