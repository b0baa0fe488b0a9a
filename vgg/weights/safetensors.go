package weights

import (
	"cmp"
	"encoding/binary"
	"slices"
)

const (
	maxHeader   = 100_000_000 // bytes of JSON, as in the reference implementation
	metadataKey = "__metadata__"
	safetensors = "safetensors"
)

func (f *File) parseSafetensors() error {
	if f.size < 8 {
		return formatf("", "%d bytes, want at least the 8 of the header's length", f.size)
	}
	prefix, err := f.section(0, 8)
	if err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(prefix)
	if length > maxHeader || int64(length) > f.size-8 {
		return formatf("", "header of %d bytes in a file of %d, want at most %d", length, f.size, maxHeader)
	}
	text, err := f.section(8, int64(length))
	if err != nil {
		return err
	}
	h, err := parseHeader(text)
	if err != nil {
		return err
	}
	if err := h.checkLayout(f.size - 8 - int64(length)); err != nil {
		return err
	}
	entries := make(map[string]entry, len(h.tensors))
	for _, t := range h.tensors {
		t.entry.offset += 8 + int64(length)
		entries[t.name] = t.entry
	}
	f.format, f.metadata = safetensors, h.metadata
	f.setEntries(entries)
	return nil
}

// header is the JSON of a file. Offsets count from the end of the header.
type header struct {
	tensors  []named
	metadata map[string]string
}

type named struct {
	name string
	entry
}

// checkLayout checks that the tensors fill size bytes, each byte once, and sorts
// them by their place.
func (h *header) checkLayout(size int64) error {
	slices.SortFunc(h.tensors, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.length, b.length), cmp.Compare(a.name, b.name))
	})
	end := int64(0)
	for _, t := range h.tensors {
		switch {
		case t.offset > size || t.length > size-t.offset:
			return formatf(t.name, "bytes %d to %d of %d", t.offset, t.offset+t.length, size)
		case t.offset < end:
			return formatf(t.name, "begins at byte %d, inside the tensor before it, which ends at %d", t.offset, end)
		case t.offset > end:
			return formatf(t.name, "begins at byte %d, want %d: there is a gap", t.offset, end)
		}
		end = t.offset + t.length
	}
	if end != size {
		return formatf("", "tensors take %d bytes, the file has %d", end, size)
	}
	return nil
}
