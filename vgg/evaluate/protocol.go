package evaluate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg"
)

// Views is the parts of a picture that a network sees at each scale.
type Views uint8

// The views. Dense and MultiCrop together are the mean of the two.
const (
	// Center is the square of the network's size in the middle.
	Center Views = 1 << iota
	// Dense is the whole picture and its mirror image. The network slides over them. The
	// logits are averaged over the positions, and the probabilities over the two images. See
	// vgg.Dense.
	Dense
	// MultiCrop is a regular grid of 5×5 squares of the network's size, and their
	// mirror images. See picture.Grid.
	MultiCrop
)

// gridSide is the number of crops along each side of MultiCrop's grid.
const gridSide = 5

// Training is the range of the shorter sides, S in the paper, to which the pictures of a
// network's training were scaled. Min and Max are equal for a fixed side.
type Training struct{ Min, Max int }

// ParseTraining reads 256, 256-512, or the paper's [256;512].
func ParseTraining(s string) (Training, error) {
	lo, hi, ranged := strings.Cut(strings.NewReplacer(";", "-", "[", "", "]", "").Replace(s), "-")
	if !ranged {
		hi = lo
	}
	low, err1 := strconv.Atoi(lo)
	high, err2 := strconv.Atoi(hi)
	if err1 != nil || err2 != nil || low < 1 || high < low || high > maxScale {
		return Training{}, fmt.Errorf("evaluate: training scale %q: want a side such as 256, or a range such as 256-512", s)
	}
	return Training{low, high}, nil
}

// maxScale bounds the shorter side of a picture.
const maxScale = 1 << 14

func (t Training) String() string {
	if t.Min == t.Max {
		return strconv.Itoa(t.Min)
	}
	return fmt.Sprintf("[%d;%d]", t.Min, t.Max)
}

// Protocol says which views of a picture a network sees, and at which scales. The picture is
// scaled so that its shorter side is each of Scales, Q in the paper, one after another. The
// result is the mean of the probabilities over views and scales.
type Protocol struct {
	Name   string
	Views  Views
	Scales []int
}

// protocols are those with names. The scales are one, or three around it.
var protocols = []struct {
	name   string
	views  Views
	single bool
}{
	{"center", Center, true},
	{"single", Dense, true},
	{"multi-scale", Dense, false},
	{"dense", Dense, false},
	{"multi-crop", MultiCrop, false},
	{"multi-crop+dense", MultiCrop | Dense, false},
}

// ProtocolNames lists the names that NewProtocol knows.
func ProtocolNames() []string {
	var names []string
	for _, p := range protocols {
		names = append(names, p.name)
	}
	return names
}

// NewProtocol returns the protocol of that name for a network of the given input size, whose
// training pictures had the sides t:
//
//	center            Center at Q = S or Q = (Smin+Smax)/2: not in the paper, but
//	                  what most others report
//	single            Dense at the same scale: table 3
//	multi-scale       Dense at S−32, S, S+32 or Smin, (Smin+Smax)/2, Smax: table 4
//	dense             the same, by its name in table 5
//	multi-crop        MultiCrop at these three scales, 150 crops: table 5
//	multi-crop+dense  the mean of the two: table 5
//
// The distance is 32 for a network of 224×224 pixels, and in proportion for others.
func NewProtocol(name string, t Training, size int) (Protocol, error) {
	for _, p := range protocols {
		if p.name != name {
			continue
		}
		scales := []int{(t.Min + t.Max) / 2}
		if !p.single {
			low, high := t.Min, t.Max
			if low == high {
				step := (32*size + 112) / 224
				low, high = low-step, high+step
			}
			scales = []int{low, scales[0], high}
		}
		return Protocol{Name: name, Views: p.views, Scales: scales}, nil
	}
	return Protocol{}, fmt.Errorf("evaluate: protocol %q: want one of %s", name, strings.Join(ProtocolNames(), ", "))
}

// Member is a network with its protocol of evaluation. Several are fused: the result is the
// mean of their probabilities.
type Member struct {
	Model    *vgg.Model
	Protocol Protocol
	Training Training // to find the paper's figure; may be zero
}

// NewMember is a Member with the protocol of that name. If t is zero, the side of the
// network's preparation, Model.Picture, is taken for the side of training.
func NewMember(m *vgg.Model, protocol string, t Training) (Member, error) {
	if t == (Training{}) {
		t = Training{m.Picture().Side, m.Picture().Side}
	}
	p, err := NewProtocol(protocol, t, m.Config().Size)
	return Member{m, p, t}, err
}

// check returns an error for what cannot be computed.
func (m Member) check() error {
	cfg, p := m.Model.Config(), m.Protocol
	switch {
	case cfg.Width != 0:
		return fmt.Errorf("evaluate: the views of a protocol are squares, and the network takes %d×%d: %w", cfg.Size, cfg.Width, vgg.ErrShape)
	case cfg.Classes() == 0:
		return fmt.Errorf("evaluate: configuration %s ends without classes: %w", cfg.Name, vgg.ErrConfig)
	case cfg.Channels != 3:
		return fmt.Errorf("evaluate: the network takes %d channels, a picture has 3: %w", cfg.Channels, vgg.ErrShape)
	case p.Views == 0 || p.Views >= 2*MultiCrop || len(p.Scales) == 0:
		return fmt.Errorf("evaluate: a protocol without views or scales")
	}
	least := cfg.Size
	if p.Views == Center {
		least = 1 // a crop beyond the picture is padded
	}
	if low := slices.Min(p.Scales); low < least {
		return fmt.Errorf("evaluate: a scale of %d is less than %d, the network's size: %w", low, least, vgg.ErrShape)
	}
	if high := slices.Max(p.Scales); high > maxScale {
		return fmt.Errorf("evaluate: a scale of %d, want at most %d: %w", high, maxScale, vgg.ErrShape)
	}
	return nil
}

// views returns how many views of a picture the network sees.
func (m Member) views() int {
	perScale := 0
	for view, n := range map[Views]int{Center: 1, Dense: 2, MultiCrop: 2 * gridSide * gridSide} {
		if m.Protocol.Views&view != 0 {
			perScale += n
		}
	}
	return perScale * len(m.Protocol.Scales)
}
