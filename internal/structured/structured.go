// Package structured changes files at the level of their parts: tensors, layers, markers,
// chunks, members, fields. Tests and fuzz targets of readers use it. A file that a writer made
// is parsed into a tree, the tree is edited as the bytes of a fuzzer say, and printed with
// right lengths and checksums. So what a reader refuses is the content, and not the first
// length that a flipped bit has made wrong.
package structured

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A Part is a node of a file's tree: a leaf with data, or what print makes of its parts.
type Part struct {
	data  []byte
	parts []*Part
	print func(parts [][]byte, self *Part) []byte // nil: a leaf, or parts one after another
	tag   []byte                                  // what print has beside the parts: a marker, a key
}

// Bytes returns the file, or nil if it has more than most bytes.
func (p *Part) Bytes(most int) []byte {
	if p.size() > most {
		return nil
	}
	return p.bytes()
}

func (p *Part) bytes() []byte {
	if p.print == nil && p.parts == nil {
		return p.data
	}
	inner := make([][]byte, len(p.parts))
	for i, q := range p.parts {
		inner[i] = q.bytes()
	}
	if p.print == nil {
		return bytes.Join(inner, nil)
	}
	return p.print(inner, p)
}

// size is about the length of the file. Parts that are used twice count twice.
func (p *Part) size() int {
	n := len(p.data) + len(p.tag) + 8
	for _, q := range p.parts {
		if n += q.size(); n > 1<<30 {
			break
		}
	}
	return n
}

// clone copies the tree, but for data, which are never changed in place.
func (p *Part) clone() *Part {
	c := *p
	c.parts = make([]*Part, len(p.parts))
	for i, q := range p.parts {
		c.parts[i] = q.clone()
	}
	if p.parts == nil {
		c.parts = nil
	}
	return &c
}

// all lists p and what is below it.
func (p *Part) all() []*Part {
	list := []*Part{p}
	for _, q := range p.parts {
		list = append(list, q.all()...)
	}
	return list
}

// Kinds of edits. Those of hostile files are among them: nesting, one part many times, huge
// sizes, a long name.
const (
	remove = iota
	twice
	many
	move
	replace
	nest
	edge
	flip
	grow
	cut
	kinds
)

// Edit returns a copy of p that is changed as program says: four bytes for each edit, its kind,
// a part (two bytes) and an operand. It makes at most 8 edits and at most limit bytes.
func (p *Part) Edit(program []byte, limit int) *Part {
	root := &Part{parts: []*Part{p.clone()}}
	for n := 0; len(program) >= 4 && n < 8; n++ {
		op, at, arg := program[0], int(binary.LittleEndian.Uint16(program[1:])), int(program[3])
		program = program[4:]
		root.edit(int(op)%kinds, at, arg)
		if root.size() > limit {
			break
		}
	}
	return root
}

// edit makes one change.
func (p *Part) edit(op, at, arg int) {
	parents := slices.DeleteFunc(p.all(), func(q *Part) bool { return len(q.parts) == 0 })
	leaves := slices.DeleteFunc(p.all(), func(q *Part) bool { return len(q.parts) > 0 })
	if len(parents) == 0 {
		return // all parts were removed
	}
	parent := parents[at%len(parents)]
	i := arg % len(parent.parts)
	part := parent.parts[i]
	switch op {
	case remove:
		parent.parts = slices.Delete(parent.parts, i, i+1)
	case twice:
		parent.parts = slices.Insert(parent.parts, i, part.clone())
	case many:
		copies := slices.Repeat([]*Part{part}, 1<<(arg>>4)) // 1 to 32768 times
		parent.parts = slices.Insert(parent.parts, i, copies...)
	case move:
		j := (i + 1 + arg>>4) % len(parent.parts)
		parent.parts[i], parent.parts[j] = parent.parts[j], parent.parts[i]
	case replace:
		all := p.all()
		parent.parts[i] = all[(at+arg)%len(all)].clone()
	case nest:
		for range 1 + arg*4 { // up to a thousand deep
			around := *parent
			around.parts = []*Part{part}
			part = &around
		}
		parent.parts[i] = part
	default:
		if len(leaves) > 0 {
			leaf := leaves[at%len(leaves)]
			leaf.data = editData(op, leaf.data, arg)
		}
	}
}

// edges are numbers at which readers go wrong.
var edges = []uint64{0, 1, 1<<7 - 1, 1 << 7, 1<<15 - 1, 1 << 15, 1<<16 - 1, 1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// editData changes a leaf. The result is new.
func editData(op int, data []byte, arg int) []byte {
	d := bytes.Clone(data)
	switch op {
	case edge: // a number of the length of the leaf, in either order, or as text
		v := edges[arg%len(edges)]
		if len(d) > 0 && '0' <= d[0] && d[0] <= '9' {
			return []byte(decimal(v))
		}
		number := binary.LittleEndian.AppendUint64(nil, v)
		if arg&16 != 0 {
			slices.Reverse(number)
			number = number[8-min(len(d), 8):]
		}
		copy(d, number[:min(len(d), 8)])
	case flip:
		if len(d) > 0 {
			d[arg%len(d)] ^= 1 << (arg >> 5)
		}
	case grow:
		d = append(d, bytes.Repeat([]byte{byte(arg), 'x', 0x1b}, 1<<(arg>>4))...)
	case cut:
		d = d[:len(d)*arg/256]
	}
	return d
}

func decimal(v uint64) string {
	var b []byte
	for v > 0 || b == nil {
		b = append(b, byte('0'+v%10))
		v /= 10
	}
	slices.Reverse(b)
	return string(b)
}

func leaf(data []byte) *Part { return &Part{data: data} }
