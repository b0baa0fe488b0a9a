package weights

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxBeside bounds the files that the elements of one graph may be spread over.
const maxBeside = 1 << 12

// openExternal opens the files that hold elements of tensors: in the folder of
// the graph's file, or below it, and nowhere else.
func (g *onnxGraph) openExternal() error {
	tensors := g.allTensors()
	open := map[string]*File{}
	var root *os.Root
	for _, t := range tensors {
		if t.external == nil {
			continue
		}
		if root == nil {
			var err error
			if root, err = g.file.folder(t.name); err != nil {
				return err
			}
			defer root.Close()
		}
		if err := t.openExternal(g.file, root, open); err != nil {
			return err
		}
	}
	return nil
}

// allTensors lists the initializers, by name, and the values of nodes.
func (g *onnxGraph) allTensors() []*onnxTensor {
	var list []*onnxTensor
	for _, t := range g.tensors {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *onnxTensor) int { return strings.Compare(a.name, b.name) })
	for _, n := range g.nodes {
		for _, a := range n.attributes {
			if a.tensor != nil {
				list = append(list, a.tensor)
			}
		}
	}
	return list
}

// folder opens the folder of a file that was opened by its path.
func (f *File) folder(tensor string) (*os.Root, error) {
	if !f.path {
		return nil, &Error{Tensor: tensor, Detail: "the elements are in another file, which is found only if this one is opened by its path", Err: ErrUnsupported}
	}
	root, err := os.OpenRoot(filepath.Dir(f.name))
	if err != nil {
		return nil, &Error{Tensor: tensor, Detail: "the elements are in a file beside", Err: plain(err)}
	}
	return root, nil
}

func (t *onnxTensor) openExternal(f *File, root *os.Root, open map[string]*File) error {
	for key := range t.external {
		if !slices.Contains([]string{"location", "offset", "length", "checksum"}, key) {
			return &Error{Tensor: t.name, Detail: "external_data has the unknown key " + quote(key), Err: ErrUnsupported}
		}
	}
	location := t.external["location"]
	if !filepath.IsLocal(location) || strings.ContainsAny(location, "\\\x00") {
		return formatf(t.name, "the elements are in %s, want a file in the folder of this one", quote(location))
	}
	location = filepath.Clean(location)
	beside := open[location]
	if beside == nil {
		if len(open) == maxBeside {
			return formatf(t.name, "the elements are in more than %d files", maxBeside)
		}
		var err error
		if beside, err = openIn(root, location, filepath.Join(filepath.Dir(f.name), location)); err != nil {
			return &Error{Tensor: t.name, Detail: "the elements are in " + quote(location) + " beside this file", Err: plain(err)}
		}
		open[location] = beside
		f.beside = append(f.beside, beside)
	}
	return t.placeExternal(beside, location)
}

// placeExternal takes the values from a part of a file, which must be inside.
func (t *onnxTensor) placeExternal(beside *File, location string) error {
	number := func(key string, otherwise int64) (int64, error) {
		text, ok := t.external[key]
		if !ok {
			return otherwise, nil
		}
		v, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return 0, formatf(t.name, "external_data has the %s %s, want a number of bytes", key, quote(text))
		}
		return int64(v), nil
	}
	offset, err := number("offset", 0)
	if err != nil {
		return err
	}
	length, err := number("length", max(beside.size-offset, 0))
	if err != nil {
		return err
	}
	switch {
	case t.values.parts > 0 || len(t.ints) > 0:
		return formatf(t.name, "has elements here and in %s", quote(location))
	case offset > beside.size || length > beside.size-offset:
		return formatf(t.name, "%d bytes at %d of %s, which has %d", length, offset, quote(location), beside.size)
	}
	t.beside = beside
	t.values.entry.offset, t.values.entry.length, t.values.entry.file = offset, length, beside
	return nil
}
