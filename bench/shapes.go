// Package bench holds the shapes that nonet is measured by: the distinct layers
// of the VGG networks, and the strings by which benchdnn, oneDNN's benchmark,
// describes a convolution. Its benchmarks run every algorithm on every layer,
// and whole networks:
//
//	go test ./bench -run '^$' -bench Conv -count 10 | benchstat -col /algorithm -
//
// Names are in key=value form. Results of two instruction sets side by side:
//
//	for isa in avx2 avx512; do NONET_ISA=$isa go test ./bench -run '^$' -bench Conv; done | benchstat -col /isa -
//
// bench/compare measures nonet beside other libraries; bench/mca asks llvm-mca
// about inner loops.
package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Conv is a convolution with stride 1 of N pictures of C×H×W to K channels,
// by filters of Kernel×Kernel taps (3 or 1), with Pad zeros on each side.
type Conv struct {
	Name                       string // the paper's, of the first layer of this shape
	N, C, H, W, K, Kernel, Pad int
}

// Convs lists the distinct convolutions of configurations A to E, for one
// picture of 224×224. That of conv5_1 is also conv5_2's and so on.
var Convs = []Conv{
	{"conv1_1", 1, 3, 224, 224, 64, 3, 1},
	{"conv1_2", 1, 64, 224, 224, 64, 3, 1},
	{"conv2_1", 1, 64, 112, 112, 128, 3, 1},
	{"conv2_2", 1, 128, 112, 112, 128, 3, 1},
	{"conv3_1", 1, 128, 56, 56, 256, 3, 1},
	{"conv3_2", 1, 256, 56, 56, 256, 3, 1},
	{"conv4_1", 1, 256, 28, 28, 512, 3, 1},
	{"conv4_2", 1, 512, 28, 28, 512, 3, 1},
	{"conv5_1", 1, 512, 14, 14, 512, 3, 1},
	{"conv3_3_C", 1, 256, 56, 56, 256, 1, 0}, // configuration C's 1×1 convolutions
	{"conv4_3_C", 1, 512, 28, 28, 512, 1, 0},
	{"conv5_3_C", 1, 512, 14, 14, 512, 1, 0},
}

// An FC is a fully connected layer.
type FC struct {
	Name    string
	In, Out int
}

// FCs lists the fully connected layers of configurations A to E.
var FCs = []FC{{"fc6", 25088, 4096}, {"fc7", 4096, 4096}, {"fc8", 4096, 1000}}

// OH and OW are the height and width of the result.
func (c Conv) OH() int { return c.H + 2*c.Pad - c.Kernel + 1 }
func (c Conv) OW() int { return c.W + 2*c.Pad - c.Kernel + 1 }

// FLOP counts the floating-point operations of the definition: two for each tap.
func (c Conv) FLOP() float64 {
	return 2 * float64(c.Kernel*c.Kernel) * float64(c.N) * float64(c.C) * float64(c.K) * float64(c.OH()) * float64(c.OW())
}

// String describes c as benchdnn does.
func (c Conv) String() string {
	s := fmt.Sprintf("mb%dic%dih%doc%doh%dkh%dph%d", c.N, c.C, c.H, c.K, c.OH(), c.Kernel, c.Pad)
	if c.W != c.H {
		s = fmt.Sprintf("mb%dic%dih%diw%doc%doh%dow%dkh%dph%d", c.N, c.C, c.H, c.W, c.K, c.OH(), c.OW(), c.Kernel, c.Pad)
	}
	return s
}

// maxSize bounds each number of a shape.
const maxSize = 1 << 20

var shapeField = regexp.MustCompile(`^([a-z]+)(\d+)_?`)

// ParseConv reads a convolution as benchdnn spells it: fields with a number
// behind each, in any order, with or without _ between them. mb is the number of
// pictures (1 if absent, where benchdnn takes 2), ic ih iw the input, oc oh ow
// the output, kh kw the filter, ph pw the padding; a name may follow after n.
// What the definition gives may be absent: iw, ow, kw and pw are those of the
// other direction, and padding follows from the sizes. Strides, dilation, groups
// and a third dimension must be 1, 0, 1 and absent: nonet has none.
func ParseConv(s string) (Conv, error) {
	fail := func(format string, args ...any) (Conv, error) {
		return Conv{}, fmt.Errorf("shape %q: %s", s, fmt.Sprintf(format, args...))
	}
	v := map[string]int{"mb": 1, "g": 1, "sh": 1, "sw": 1, "dh": 0, "dw": 0}
	name := ""
	for rest := s; rest != ""; {
		m := shapeField.FindStringSubmatch(rest)
		if m == nil {
			var ok bool
			if name, ok = strings.CutPrefix(rest, "n"); ok {
				name = strings.Trim(name, `"`)
				break
			}
			return fail("cannot read %q", rest)
		}
		n, err := strconv.Atoi(m[2])
		if err != nil || n > maxSize {
			return fail("%s of %s is too large", m[1], m[2])
		}
		v[m[1]] = n
		rest = rest[len(m[0]):]
	}
	known := map[string]string{"mb": "", "g": "", "ic": "", "ih": "", "iw": "ih", "oc": "", "oh": "", "ow": "oh", "kh": "", "kw": "kh",
		"sh": "", "sw": "", "dh": "", "dw": "", "ph": "", "pw": "ph"}
	for field := range v {
		if _, ok := known[field]; !ok {
			return fail("%s is not a field that a 2-D convolution has", field)
		}
	}
	for field, other := range known {
		if _, given := v[field]; !given && other != "" {
			if n, ok := v[other]; ok {
				v[field] = n
			}
		}
	}
	for _, field := range []string{"mb", "ic", "ih", "oc", "kh"} {
		if v[field] < 1 {
			return fail("%s is missing or 0", field)
		}
	}
	if _, given := v["ph"]; !given && v["oh"] > 0 {
		v["ph"], v["pw"] = (v["oh"]-v["ih"]+v["kh"]-1)/2, (v["ow"]-v["iw"]+v["kw"]-1)/2
	}
	c := Conv{name, v["mb"], v["ic"], v["ih"], v["iw"], v["oc"], v["kh"], v["ph"]}
	switch {
	case v["g"] != 1 || v["sh"] != 1 || v["sw"] != 1 || v["dh"] != 0 || v["dw"] != 0:
		return fail("nonet has no groups, strides or dilation")
	case c.Kernel != 3 && c.Kernel != 1 || v["kw"] != c.Kernel:
		return fail("a filter of %d×%d, nonet has 3×3 and 1×1", c.Kernel, v["kw"])
	case v["pw"] != c.Pad || c.Pad < 0 || c.Pad > c.Kernel/2:
		return fail("padding of %d×%d, want %d at most on each side", c.Pad, v["pw"], c.Kernel/2)
	case c.OH() < 1 || c.OW() < 1:
		return fail("the input is smaller than the filter")
	case v["oh"] != 0 && (v["oh"] != c.OH() || v["ow"] != c.OW()):
		return fail("an output of %d×%d, the other fields give %d×%d", v["oh"], v["ow"], c.OH(), c.OW())
	}
	return c, nil
}
