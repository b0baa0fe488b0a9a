package weights

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
)

// A pickle is a program for a stack machine that builds Python objects. This machine knows
// the instructions that torch.save writes, and calls only the names in its table of globals:
// it builds dictionaries, lists, numbers, strings, and the results of those globals. Any
// other global is a pyObject. It is never called: a call of it gives a pyObject again.
//
// Memory is bounded. Each instruction pushes at most one value, and there are at most
// maxValues of them. Values are shared, and spend counts what a global copies.
type unpickler struct {
	in      []byte
	at      int
	spent   int
	made    int // values pushed or stored
	depth   int // of calls in each other
	stack   []any
	marks   []int // heights of the stack
	memo    map[int]any
	globals func(module, name string) (any, bool)
	persist func(id any) (any, error)
}

// The values of the machine, beside nil, bool, int64, float64, *big.Int, string,
// []byte and what globals and persistent ids stand for.
type (
	pyTuple []any
	pyList  struct{ items []any }
	pyDict  struct{ keys, values []any }
	// pyFunc is a global that can be called.
	pyFunc func(u *unpickler, args pyTuple) (any, error)
	// pyObject is a global that is not known, or what was made of one: a number of
	// numpy's, a device, a dictionary of a class of its own.
	pyObject struct {
		class string  // module and name of the global
		items *pyDict // what was put into it by keys, or nil
		state any     // what BUILD gave it
	}
)

// maxValues bounds how many values a pickle makes: those of VGG-19's state_dict are
// some thousand, of a checkpoint with its optimizer some ten thousand.
const maxValues = 1 << 18

// get returns the value of a string key.
func (d *pyDict) get(key string) any {
	for i, k := range d.keys {
		if k == key {
			return d.values[i]
		}
	}
	return nil
}

func (u *unpickler) failf(format string, args ...any) error {
	return formatf("", "pickle, byte %d: "+format, append([]any{u.at}, args...)...)
}

// spend counts n copied values. There are never more than the pickle has bytes, unless it
// uses one long list again and again to fill the memory.
func (u *unpickler) spend(n int) error {
	if u.spent += n; u.spent > len(u.in) {
		return u.failf("makes more values than it has bytes")
	}
	return nil
}

func (u *unpickler) read(n int) ([]byte, error) {
	if n < 0 || n > len(u.in)-u.at {
		return nil, u.failf("%d more bytes wanted, %d are there", n, len(u.in)-u.at)
	}
	b := u.in[u.at:][:n]
	u.at += n
	return b, nil
}

// number reads an unsigned little-endian integer of n bytes.
func (u *unpickler) number(n int) (int, error) {
	b, err := u.read(n)
	if err != nil {
		return 0, err
	}
	v := uint64(0)
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	if v > math.MaxInt32 && n == 8 {
		return 0, u.failf("length %d", v)
	}
	return int(v), nil
}

// counted reads a length of n bytes and as many bytes as it says.
func (u *unpickler) counted(n int) ([]byte, error) {
	length, err := u.number(n)
	if err != nil {
		return nil, err
	}
	return u.read(length)
}

func (u *unpickler) line() (string, error) {
	i := slices.Index(u.in[u.at:], '\n')
	if i < 0 {
		return "", u.failf("a line without end")
	}
	s := string(u.in[u.at : u.at+i])
	u.at += i + 1
	return s, nil
}

func (u *unpickler) push(v any) {
	u.made++
	u.stack = append(u.stack, v)
}

// store keeps the value on top of the stack under a number.
func (u *unpickler) store(i int) error {
	v, err := u.top()
	u.made++
	u.memo[i] = v
	return err
}

// pop takes n values off the stack; not below the last mark.
func (u *unpickler) pop(n int) ([]any, error) {
	floor := 0
	if len(u.marks) > 0 {
		floor = u.marks[len(u.marks)-1]
	}
	if n > len(u.stack)-floor {
		return nil, u.failf("%d values wanted, %d are on the stack", n, len(u.stack)-floor)
	}
	v := u.stack[len(u.stack)-n:]
	u.stack = u.stack[:len(u.stack)-n]
	return v, nil
}

// popMark takes what lies above the last mark.
func (u *unpickler) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, u.failf("no mark on the stack")
	}
	v := slices.Clone(u.stack[u.marks[len(u.marks)-1]:])
	u.stack = u.stack[:u.marks[len(u.marks)-1]]
	u.marks = u.marks[:len(u.marks)-1]
	return v, nil
}

func (u *unpickler) top() (any, error) {
	if len(u.stack) == 0 {
		return nil, u.failf("the stack is empty")
	}
	return u.stack[len(u.stack)-1], nil
}

// run executes one pickle, up to its STOP, and returns what it leaves.
func (u *unpickler) run() (any, error) {
	u.stack, u.marks, u.memo = nil, nil, map[int]any{}
	for {
		op, err := u.read(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			v, err := u.pop(1)
			if err != nil {
				return nil, err
			}
			return v[0], nil
		}
		step, ok := pickleOps[op[0]]
		if !ok {
			return nil, u.failf("instruction %#02x is none that torch.save writes", op[0])
		}
		if u.made > maxValues {
			return nil, u.failf("makes more than %d values", maxValues)
		}
		if err := step(u); err != nil {
			return nil, err
		}
	}
}

// pickleOps are the instructions by their byte, named as in Python's pickletools.
var pickleOps map[byte]func(*unpickler) error

func init() { // the table's functions and the machine refer to each other
	constant := func(v any) func(*unpickler) error {
		return func(u *unpickler) error { u.push(v); return nil }
	}
	integer := func(n int, signed bool) func(*unpickler) error {
		return func(u *unpickler) error {
			v, err := u.number(n)
			if signed {
				v = int(int32(v))
			}
			u.push(int64(v))
			return err
		}
	}
	text := func(n int) func(*unpickler) error {
		return func(u *unpickler) error {
			b, err := u.counted(n)
			u.push(string(b))
			return err
		}
	}
	raw := func(n int) func(*unpickler) error {
		return func(u *unpickler) error {
			b, err := u.counted(n)
			u.push(b)
			return err
		}
	}
	tuple := func(n int) func(*unpickler) error {
		return func(u *unpickler) error {
			v, err := u.pop(n)
			u.push(pyTuple(slices.Clone(v)))
			return err
		}
	}
	put := func(n int) func(*unpickler) error {
		return func(u *unpickler) error {
			i, err := u.number(n)
			if err != nil {
				return err
			}
			return u.store(i)
		}
	}
	get := func(n int) func(*unpickler) error {
		return func(u *unpickler) error {
			i, err := u.number(n)
			if err != nil {
				return err
			}
			v, ok := u.memo[i]
			if !ok {
				return u.failf("nothing was stored as %d", i)
			}
			u.push(v)
			return nil
		}
	}
	pickleOps = map[byte]func(*unpickler) error{
		0x80: func(u *unpickler) error { _, err := u.read(1); return err }, // PROTO
		0x95: func(u *unpickler) error { _, err := u.read(8); return err }, // FRAME
		'N':  constant(nil), 0x88: constant(true), 0x89: constant(false),   // NONE NEWTRUE NEWFALSE
		'K': integer(1, false), 'M': integer(2, false), 'J': integer(4, true), // BININT1 BININT2 BININT
		0x8a: func(u *unpickler) error { return u.long(1) }, 0x8b: func(u *unpickler) error { return u.long(4) }, // LONG1 LONG4
		'G': (*unpickler).binfloat,                               // BINFLOAT
		'X': text(4), 0x8c: text(1), 0x8d: text(8), 'U': text(1), // BINUNICODE SHORT_BINUNICODE BINUNICODE8 SHORT_BINSTRING
		'T': text(4), 'B': raw(4), 'C': raw(1), 0x8e: raw(8), 0x96: raw(8), // BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
		0x8f: func(u *unpickler) error { u.push(&pyList{}); return nil },                         // EMPTY_SET
		0x90: func(u *unpickler) error { v, err := u.popMark(); return u.extend(v, err) },        // ADDITEMS
		0x91: func(u *unpickler) error { v, err := u.popMark(); u.push(&pyList{v}); return err }, // FROZENSET
		'}':  func(u *unpickler) error { u.push(&pyDict{}); return nil },                         // EMPTY_DICT
		']':  func(u *unpickler) error { u.push(&pyList{}); return nil },                         // EMPTY_LIST
		')':  constant(pyTuple(nil)), 0x85: tuple(1), 0x86: tuple(2), 0x87: tuple(3),
		'(': func(u *unpickler) error { u.marks = append(u.marks, len(u.stack)); return nil },   // MARK
		't': func(u *unpickler) error { v, err := u.popMark(); u.push(pyTuple(v)); return err }, // TUPLE
		'0': func(u *unpickler) error { _, err := u.pop(1); return err },                        // POP
		'1': func(u *unpickler) error { _, err := u.popMark(); return err },                     // POP_MARK
		'2': func(u *unpickler) error { v, err := u.top(); u.push(v); return err },              // DUP
		'q': put(1), 'r': put(4), 'h': get(1), 'j': get(4),                                      // BINPUT LONG_BINPUT BINGET LONG_BINGET
		0x94: func(u *unpickler) error { return u.store(len(u.memo)) },                      // MEMOIZE
		'a':  func(u *unpickler) error { v, err := u.pop(1); return u.extend(v, err) },      // APPEND
		'e':  func(u *unpickler) error { v, err := u.popMark(); return u.extend(v, err) },   // APPENDS
		's':  func(u *unpickler) error { v, err := u.pop(2); return u.setItems(v, err) },    // SETITEM
		'u':  func(u *unpickler) error { v, err := u.popMark(); return u.setItems(v, err) }, // SETITEMS
		'c':  (*unpickler).global,                                                           // GLOBAL
		0x93: (*unpickler).stackGlobal,                                                      // STACK_GLOBAL
		'R':  (*unpickler).reduce, 0x81: (*unpickler).reduce, 0x92: (*unpickler).newObject,  // REDUCE NEWOBJ NEWOBJ_EX
		'b': (*unpickler).buildState, // BUILD
		'Q': (*unpickler).persistent, // BINPERSID
	}
}

func (u *unpickler) long(n int) error {
	b, err := u.counted(n)
	if err != nil {
		return err
	}
	if len(b) <= 8 {
		v := int64(0)
		for i, c := range b {
			v |= int64(c) << (8 * i)
		}
		if n := len(b); n > 0 && n < 8 && b[n-1] >= 0x80 {
			v -= 1 << (8 * n)
		}
		u.push(v)
		return nil
	}
	big := new(big.Int)
	big.SetBytes(reversed(b))
	u.push(big)
	return nil
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

func (u *unpickler) binfloat() error {
	b, err := u.read(8)
	if err != nil {
		return err
	}
	u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	return nil
}

func (u *unpickler) extend(v []any, err error) error {
	if err != nil {
		return err
	}
	top, err := u.top()
	if err != nil {
		return err
	}
	switch l := top.(type) {
	case *pyList:
		l.items = append(l.items, v...)
	case *pyObject: // a list of a class of its own: its values have no keys
		for _, x := range v {
			l.set(int64(l.len()), x)
		}
	default:
		return u.failf("appends to what is no list")
	}
	return nil
}

func (u *unpickler) setItems(v []any, err error) error {
	if err != nil {
		return err
	}
	top, err := u.top()
	if err != nil {
		return err
	}
	d, ok := top.(*pyDict)
	object, isObject := top.(*pyObject)
	if !ok && !isObject || len(v)%2 != 0 {
		return u.failf("sets %d keys and values of what is no dictionary", len(v))
	}
	for i := 0; i < len(v); i += 2 {
		if isObject {
			object.set(v[i], v[i+1])
		} else {
			d.keys, d.values = append(d.keys, v[i]), append(d.values, v[i+1])
		}
	}
	return nil
}

// set adds a value under a key.
func (o *pyObject) set(key, value any) {
	if o.items == nil {
		o.items = &pyDict{}
	}
	o.items.keys, o.items.values = append(o.items.keys, key), append(o.items.values, value)
}

func (o *pyObject) len() int {
	if o.items == nil {
		return 0
	}
	return len(o.items.keys)
}

func (u *unpickler) global() error {
	module, err := u.line()
	if err != nil {
		return err
	}
	name, err := u.line()
	if err != nil {
		return err
	}
	return u.pushGlobal(module, name)
}

func (u *unpickler) stackGlobal() error {
	v, err := u.pop(2)
	if err != nil {
		return err
	}
	module, ok1 := v[0].(string)
	name, ok2 := v[1].(string)
	if !ok1 || !ok2 {
		return u.failf("a global without a name")
	}
	return u.pushGlobal(module, name)
}

func (u *unpickler) pushGlobal(module, name string) error {
	if v, ok := u.globals(module, name); ok {
		u.push(v)
	} else {
		u.push(&pyObject{class: module + "." + name})
	}
	return nil
}

func (u *unpickler) reduce() error {
	v, err := u.pop(2)
	if err != nil {
		return err
	}
	args, isTuple := v[1].(pyTuple)
	switch f := v[0].(type) {
	case *pyObject:
		u.push(&pyObject{class: f.class})
		return nil
	case pyFunc:
		if isTuple {
			made, err := f(u, args)
			u.push(made)
			return err
		}
	}
	return u.failf("calls what is no function")
}

// newObject is reduce with keyword arguments, which torch's own objects do not have.
func (u *unpickler) newObject() error {
	if _, err := u.pop(1); err != nil {
		return err
	}
	return u.reduce()
}

// buildState drops the attributes of a dictionary or tensor; those of a state_dict are
// version numbers. It keeps those of a pyObject.
func (u *unpickler) buildState() error {
	state, err := u.pop(1)
	if err != nil {
		return err
	}
	top, err := u.top()
	if err != nil {
		return err
	}
	switch o := top.(type) {
	case *pyObject:
		o.state = state[0]
	case *pyDict, *pyList, *torchTensor:
	default:
		return u.failf("attributes of what is no object")
	}
	return nil
}

func (u *unpickler) persistent() error {
	v, err := u.pop(1)
	if err != nil {
		return err
	}
	made, err := u.persist(v[0])
	u.push(made)
	return err
}
