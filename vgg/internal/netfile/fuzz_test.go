package netfile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// fakeSource has names and shapes, and no data.
type fakeSource struct {
	weights.Source
	names  []string
	shapes map[string][]int
	format string
}

func (s *fakeSource) Names() []string { return s.names }
func (s *fakeSource) Format() string  { return s.format }
func (s *fakeSource) Info(name string) (weights.DType, []int, error) {
	return weights.F32, s.shapes[name], nil
}

// parseSource reads lines of a name and a shape: features.0.weight 8,3,3,3.
func parseSource(text, format string) *fakeSource {
	s := &fakeSource{shapes: map[string][]int{}, format: format}
	for line := range strings.SplitSeq(text, "\n") {
		name, dims, _ := strings.Cut(line, " ")
		if s.shapes[name] != nil {
			continue
		}
		shape := []int{}
		for d := range strings.SplitSeq(dims, ",") {
			if n, err := strconv.Atoi(d); err == nil && n >= 0 && n < 1<<30 {
				shape = append(shape, n)
			}
		}
		s.names = append(s.names, name)
		s.shapes[name] = shape
	}
	return s
}

// torchNames are the tensors of convolutions at some indices and classifiers.
func torchNames(features, classifier []int) string {
	var lines []string
	in := 3
	for _, i := range features {
		lines = append(lines, fmt.Sprintf("features.%d.weight 4,%d,3,3\nfeatures.%d.bias 4", i, in, i))
		in = 4
	}
	in = 4 * 49
	for _, i := range classifier {
		lines = append(lines, fmt.Sprintf("classifier.%d.weight 4,%d\nclassifier.%d.bias 4", i, in, i))
		in = 4
	}
	return strings.Join(lines, "\n")
}

// FuzzRead: whatever names and shapes a file has, it is a network with all tensors
// that matter, or an error of a bounded length; each line of an error is of layers
// that match the file.
func FuzzRead(f *testing.F) {
	f.Add(torchNames([]int{0, 3, 6, 8, 11, 13, 16, 18}, []int{0, 3, 6}), "safetensors", "")
	f.Add(torchNames([]int{0, 2, 5, 7}, []int{1, 4, 6}), "torch", "")
	f.Add("conv1_1.weight 4,3,3,3\nconv1_1.bias 4\nbn1_1.running_mean 4\nbn1_1.running_var 4\nfc6.weight 4,4", "safetensors", "")
	f.Add("block1_conv1/block1_conv1/kernel:0 3,3,3,4\nblock1_conv1/block1_conv1/bias:0 4\npredictions/predictions/kernel:0 4,4", "safetensors", "")
	f.Add("a.conv1.weight 4,3,3,3\na.bn1.running_mean 4\nb.conv1.weight 4,3,3,3\nweight 4,4\nbias 4", "torch", "a")
	f.Add("layer1.0.weight 4,3,3,3\nlayer1.1.running_mean 4\nlayer1.1.running_var 4\nscale1.weight 4\nscale1.bias 4\nfc.weight_g 4,1\nfc.weight_v 4,4", "ONNX", "")
	f.Fuzz(func(t *testing.T, text, format, key string) {
		src := parseSource(text, format)
		file, err := Read(src, key)
		if err != nil {
			testutil.Message(t, err)
			return
		}
		tensors := len(file.Ignored())
		for _, l := range append(file.layers(), file.scales...) {
			tensors += len(l.parts)
			if l.norm != nil {
				tensors += len(l.norm.parts)
			}
		}
		require.Equal(t, len(src.names), tensors, "every tensor is accounted for")
		if _, err = file.Network(); err != nil {
			testutil.Message(t, err)
		}
		if _, err := file.Match(nil); err != nil {
			testutil.Message(t, err)
		}
	})
}
