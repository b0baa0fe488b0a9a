package evaluate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg"
)

// PaperRow is a row of the tables 3 to 6 of Simonyan & Zisserman
// (arXiv:1409.1556v6): errors on the 50,000 validation pictures of ILSVRC-2012.
type PaperRow struct {
	Table   int         `json:"table"`
	Views   Views       `json:"-"`
	Members []PaperUnit `json:"-"`
	Top1    float64     `json:"top1_error_percent"`
	Top5    float64     `json:"top5_error_percent"`
}

// PaperUnit is a network of the paper: its configuration and its scales of training and
// test.
type PaperUnit struct {
	Config   string
	Training Training
	Scales   []int
}

var (
	s256, s384, jitter = Training{256, 256}, Training{384, 384}, Training{256, 512}

	about256 = []int{224, 256, 288}
	about384 = []int{352, 384, 416}
	wide     = []int{256, 384, 512}
)

func unit(config string, t Training, scales ...int) PaperUnit { return PaperUnit{config, t, scales} }

func one(table int, v Views, u PaperUnit, top1, top5 float64) PaperRow {
	return PaperRow{table, v, []PaperUnit{u}, top1, top5}
}

// bestTwo are the networks of the paper's best results.
var bestTwo = []PaperUnit{unit("D", jitter, wide...), unit("E", jitter, wide...)}

var paper = []PaperRow{
	one(3, Dense, unit("A", s256, 256), 29.6, 10.4),
	one(3, Dense, unit("A-LRN", s256, 256), 29.7, 10.5),
	one(3, Dense, unit("B", s256, 256), 28.7, 9.9),
	one(3, Dense, unit("C", s256, 256), 28.1, 9.4),
	one(3, Dense, unit("C", s384, 384), 28.1, 9.3),
	one(3, Dense, unit("C", jitter, 384), 27.3, 8.8),
	one(3, Dense, unit("D", s256, 256), 27.0, 8.8),
	one(3, Dense, unit("D", s384, 384), 26.8, 8.7),
	one(3, Dense, unit("D", jitter, 384), 25.6, 8.1),
	one(3, Dense, unit("E", s256, 256), 27.3, 9.0),
	one(3, Dense, unit("E", s384, 384), 26.9, 8.7),
	one(3, Dense, unit("E", jitter, 384), 25.5, 8.0),

	one(4, Dense, unit("B", s256, about256...), 28.2, 9.6),
	one(4, Dense, unit("C", s256, about256...), 27.7, 9.2),
	one(4, Dense, unit("C", s384, about384...), 27.8, 9.2),
	one(4, Dense, unit("C", jitter, wide...), 26.3, 8.2),
	one(4, Dense, unit("D", s256, about256...), 26.6, 8.6),
	one(4, Dense, unit("D", s384, about384...), 26.5, 8.6),
	one(4, Dense, unit("D", jitter, wide...), 24.8, 7.5),
	one(4, Dense, unit("E", s256, about256...), 26.9, 8.7),
	one(4, Dense, unit("E", s384, about384...), 26.7, 8.6),
	one(4, Dense, unit("E", jitter, wide...), 24.8, 7.5),

	one(5, Dense, unit("D", jitter, wide...), 24.8, 7.5),
	one(5, MultiCrop, unit("D", jitter, wide...), 24.6, 7.5),
	one(5, MultiCrop|Dense, unit("D", jitter, wide...), 24.4, 7.2),
	one(5, Dense, unit("E", jitter, wide...), 24.8, 7.5),
	one(5, MultiCrop, unit("E", jitter, wide...), 24.6, 7.4),
	one(5, MultiCrop|Dense, unit("E", jitter, wide...), 24.4, 7.1),

	{6, Dense, []PaperUnit{unit("D", s256, about256...), unit("D", s384, about384...), unit("D", jitter, wide...),
		unit("C", s256, about256...), unit("C", s384, about384...), unit("E", s256, about256...), unit("E", s384, about384...)}, 24.7, 7.5},
	{6, Dense, bestTwo, 24.0, 7.1},
	{6, MultiCrop, bestTwo, 23.9, 7.2},
	{6, MultiCrop | Dense, bestTwo, 23.7, 6.8},
}

// PaperRows returns the rows of tables 3 to 6.
func PaperRows() []PaperRow { return slices.Clone(paper) }

// FindPaper returns the row of the paper that an evaluation of the members on ILSVRC-2012
// repeats: it has the same configurations, training and test scales, and views. It returns
// rows that are in both table 4 and table 5 from table 4.
func FindPaper(members []Member) (PaperRow, bool) {
	var views []Views
	var units []PaperUnit
	for _, m := range members {
		if !isPapers(m.Model.Config()) {
			return PaperRow{}, false
		}
		views, units = append(views, m.Protocol.Views), append(units, m.unit())
	}
	return findPaper(views, units)
}

// isPapers reports whether cfg is a configuration of the paper, with its widths, classes and
// size.
func isPapers(cfg vgg.Config) bool {
	known, err := vgg.Lookup(cfg.Name)
	return err == nil && known.LayerString() == cfg.LayerString() && known.Size == cfg.Size && known.Pad == cfg.Pad && cfg.Width == 0 && !cfg.HWC
}

// findPaper returns the row of networks with their views, in any order.
func findPaper(views []Views, units []PaperUnit) (PaperRow, bool) {
	for _, row := range paper {
		others := slices.ContainsFunc(views, func(v Views) bool { return v != row.Views })
		if !others && slices.Equal(sorted(row.Members), sorted(units)) {
			return row, true
		}
	}
	return PaperRow{}, false
}

func (m Member) unit() PaperUnit {
	return PaperUnit{m.Model.Config().Name, m.Training, m.Protocol.Scales}
}

// String describes m as the paper does its networks: D/[256;512]/256,384,512.
func (m Member) String() string { return m.unit().String() }

// sorted returns the descriptions of units in an order that does not depend on
// theirs.
func sorted(units []PaperUnit) []string {
	var list []string
	for _, u := range units {
		list = append(list, u.String())
	}
	slices.Sort(list)
	return list
}

// String writes u as the paper does: D/[256;512]/256,384,512.
func (u PaperUnit) String() string {
	return fmt.Sprintf("%s/%v/%s", u.Config, u.Training, strings.Trim(strings.ReplaceAll(fmt.Sprint(u.Scales), " ", ","), "[]"))
}

// Command returns the arguments of the command vgg that repeat the row on a copy of
// ImageNet, with placeholders for files.
func (r PaperRow) Command() string {
	protocol := "single"
	switch {
	case r.Views == MultiCrop:
		protocol = "multi-crop"
	case r.Views == MultiCrop|Dense:
		protocol = "multi-crop+dense"
	case r.Table == 5:
		protocol = "dense"
	case len(r.Members[0].Scales) > 1:
		protocol = "multi-scale"
	}
	file := func(u PaperUnit) string { return fmt.Sprintf("%s-%s.safetensors", u.Config, u.Training.flag()) }
	first := r.Members[0]
	s := fmt.Sprintf("vgg eval --data val --weights %s --train-scale %s --protocol %s", file(first), first.Training.flag(), protocol)
	for _, u := range r.Members[1:] {
		s += fmt.Sprintf(" --fuse %s@%s", file(u), u.Training.flag())
	}
	return s
}

// flag writes t without brackets, which shells take for patterns.
func (t Training) flag() string {
	return strings.NewReplacer("[", "", "]", "", ";", "-").Replace(t.String())
}
