package evaluate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/labels"
)

// labelIndex finds the class of a name.
type labelIndex map[string]int

// ambiguous is the class of a name that several classes have: ImageNet has two cranes.
const ambiguous = -2

func indexLabels(list []string) labelIndex {
	x := labelIndex{}
	add := func(name string, class int) {
		name = strings.ToLower(strings.TrimSpace(name))
		if other, taken := x[name]; taken && other != class {
			class = ambiguous
		}
		if name != "" {
			x[name] = class
		}
	}
	for i, l := range list {
		add(l, i)
		if id, name := labels.Split(l); id != "" {
			add(id, i)
			add(name, i)
		}
	}
	return x
}

// find returns the class of a WordNet id at the beginning of name. A name without an id is
// looked up as a whole. find returns −1 if there is no such class.
func (x labelIndex) find(name string) int {
	id, name := labels.Split(name)
	if class, ok := x[id]; ok && id != "" {
		return class
	}
	if class, ok := x[strings.ToLower(strings.TrimSpace(name))]; ok {
		return class
	}
	return -1
}

// match finds the model's class for each of the data's by WordNet id or by name. Numbers
// count only if the model has no labels, or with byIndex: the numbers that the data give
// their classes, or else their positions, if there are as many as the model has.
func match(m *vgg.Model, names []string, byIndex bool) ([]int, error) {
	own := m.Labels()
	if own == nil || byIndex {
		return matchNumbers(names, m.Config().Classes())
	}
	index := indexLabels(own)
	classes := make([]int, len(names))
	for i, name := range names {
		if classes[i] = index.find(name); classes[i] == ambiguous {
			return nil, fmt.Errorf("several classes of the network are called %q: name the data's classes by WordNet id: %w", name, ErrData)
		}
	}
	if slices.ContainsFunc(classes, func(c int) bool { return c >= 0 }) {
		return classes, nil
	}
	hint := "give the network labels that have the data's names or WordNet ids"
	if _, err := matchNumbers(names, len(own)); err == nil && isNumber(names[0]) {
		hint = "name the numbers, or say that they are the network's own"
	}
	return nil, fmt.Errorf("its classes (%s, …) are not those of the network (%s, …): %s: %w", names[0], own[0], hint, ErrData)
}

func isNumber(s string) bool { _, err := strconv.Atoi(s); return err == nil }

func matchNumbers(names []string, classes int) ([]int, error) {
	list := make([]int, len(names))
	for i, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || n >= classes {
			list = nil
			break
		}
		list[i] = n
	}
	if list != nil {
		return list, nil
	}
	if len(names) != classes {
		return nil, fmt.Errorf("it has %d classes (%s, …), and the network %d that have no names: give the network labels: %w", len(names), names[0], classes, ErrData)
	}
	for i := range names {
		list = append(list, i)
	}
	return list, nil
}
