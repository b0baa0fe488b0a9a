package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"path"
	"strconv"
	"strings"
)

const torch = "torch"

// maxPickle bounds the pickles of a file, bytes: that of VGG-19 has 5,000. One byte
// of a pickle may take some 50 of memory.
const maxPickle = 4 << 20

// The beginnings of torch.save's two formats: a zip archive, and before version
// 1.6 a sequence of pickles, of which the first is this number.
var (
	zipMagic    = []byte("PK\x03\x04")
	legacyMagic = []byte{0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'}
)

// torchTypes are the storages by their class in package torch.
var torchTypes = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
}

// torchStorage is a run of elements somewhere in the file, which tensors are
// views of.
type torchStorage struct {
	dtype  DType
	key    string
	numel  int64
	offset int64          // in the file, once it is known
	packed *packedStorage // instead: it is deflated
}

// torchTensor is a view of a storage.
type torchTensor struct {
	storage       *torchStorage
	offset        int64 // elements
	shape, stride []int
}

// torchReader reads the pickles of one file.
type torchReader struct {
	f        *File
	storages map[string]*torchStorage
	copied   int64 // bytes of tensors that are not views of the file
	inflated int64 // bytes of deflated storages
}

// torchGlobals is the table of what a pickle may call.
//
//	collections.OrderedDict, defaultdict         a dictionary
//	torch._utils._rebuild_tensor_v2              a view of a storage
//	torch._utils._rebuild_tensor                 likewise, before version 0.4
//	torch._utils._rebuild_parameter, …_with_state   the tensor of a parameter
//	torch._tensor._rebuild_from_type_v2          the tensor of a class of its own
//	torch.FloatStorage …                         the type of a storage
func torchGlobals(module, name string) (any, bool) {
	switch module + "." + name {
	case "collections.OrderedDict":
		return pyFunc(orderedDict), true
	case "collections.defaultdict":
		return pyFunc(func(*unpickler, pyTuple) (any, error) { return &pyDict{}, nil }), true
	case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
		return pyFunc(rebuildTensor), true
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		return pyFunc(rebuildParameter), true
	case "torch._tensor._rebuild_from_type_v2":
		return pyFunc(rebuildFromType), true
	}
	if d, ok := torchTypes[name]; ok && module == "torch" {
		return d, true
	}
	return nil, false
}

// rebuildParameter returns the tensor of (tensor, requires_grad, …).
func rebuildParameter(_ *unpickler, args pyTuple) (any, error) {
	if len(args) > 0 {
		switch args[0].(type) {
		case *torchTensor, *pyObject:
			return args[0], nil
		}
	}
	return nil, formatf("", "a parameter that is no tensor")
}

// rebuildFromType calls the function of (function, class, arguments, state).
func rebuildFromType(u *unpickler, args pyTuple) (any, error) {
	if len(args) > 2 {
		f, ok1 := args[0].(pyFunc)
		inner, ok2 := args[2].(pyTuple)
		if u.depth++; u.depth > maxNesting {
			return nil, formatf("", "calls in calls, more than %d deep", maxNesting)
		}
		defer func() { u.depth-- }()
		if ok1 && ok2 {
			return f(u, inner)
		}
	}
	return &pyObject{class: "torch._utils._rebuild_from_type"}, nil
}

func orderedDict(u *unpickler, args pyTuple) (any, error) {
	d := &pyDict{}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := args[0].(*pyList)
	if !ok {
		return nil, formatf("", "a dictionary of what is no list")
	}
	if err := u.spend(len(pairs.items)); err != nil {
		return nil, err
	}
	d.keys, d.values = make([]any, 0, len(pairs.items)), make([]any, 0, len(pairs.items))
	for _, p := range pairs.items {
		var key, value any
		switch p := p.(type) {
		case pyTuple:
			if len(p) == 2 {
				key, value = p[0], p[1]
			}
		case *pyList:
			if len(p.items) == 2 {
				key, value = p.items[0], p.items[1]
			}
		}
		if key == nil {
			return nil, formatf("", "a dictionary of what are no pairs")
		}
		d.keys, d.values = append(d.keys, key), append(d.values, value)
	}
	return d, nil
}

// rebuildTensor makes a tensor of (storage, offset, size, stride, …).
func rebuildTensor(u *unpickler, args pyTuple) (any, error) {
	if len(args) < 4 {
		return nil, formatf("", "a tensor of %d arguments, want at least 4", len(args))
	}
	for _, sizes := range args[2:4] {
		t, _ := sizes.(pyTuple)
		if err := u.spend(len(t)); err != nil {
			return nil, err
		}
	}
	if unknown, ok := args[0].(*pyObject); ok { // of a type that is not read
		return &pyObject{class: rebuilds + "tensor_v2 of " + unknown.class}, nil
	}
	s, ok1 := args[0].(*torchStorage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := dims(args[2])
	stride, ok4 := dims(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || offset < 0 || len(shape) != len(stride) || len(shape) > maxRank {
		return nil, formatf("", "a tensor of arguments that make none")
	}
	return &torchTensor{s, offset, shape, stride}, nil
}

// dims returns the numbers of a tuple.
func dims(v any) ([]int, bool) {
	t, ok := v.(pyTuple)
	list := make([]int, 0, len(t))
	for _, x := range t {
		n, isInt := x.(int64)
		if !isInt || n < 0 || n != int64(int(n)) {
			return nil, false
		}
		list = append(list, int(n))
	}
	return list, ok
}

// persist makes the storage of ('storage', type, key, device, elements, …).
func (r *torchReader) persist(id any) (any, error) {
	t, ok := id.(pyTuple)
	if ok && len(t) > 1 && t[0] == "module" { // a class and its source, before version 1.6
		if class, isObject := t[1].(*pyObject); isObject {
			return class, nil
		}
	}
	if ok && len(t) >= 5 && t[0] == "storage" {
		if class, isObject := t[1].(*pyObject); isObject {
			return class, nil
		}
	}
	if !ok || len(t) < 5 || t[0] != "storage" {
		return nil, formatf("", "a persistent id that is no storage's")
	}
	dtype, ok1 := t[1].(DType)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || numel < 0 || numel > 1<<60/int64(dtype.Size()) {
		return nil, formatf("", "a storage of arguments that make none")
	}
	if len(t) > 5 && t[5] != nil {
		return nil, &Error{Detail: "a view of a storage", Err: ErrUnsupported}
	}
	if s := r.storages[key]; s != nil {
		if s.dtype != dtype || s.numel != numel {
			return nil, formatf("", "storage %s is both %d × %s and %d × %s", quote(key), s.numel, s.dtype, numel, dtype)
		}
		return s, nil
	}
	s := &torchStorage{dtype: dtype, key: key, numel: numel, offset: -1}
	r.storages[key] = s
	return s, nil
}

// parseTorchZip reads what torch.save writes since version 1.6: a zip archive of
// NAME/data.pkl and the storages NAME/data/KEY, as they are or deflated by another
// program.
func (f *File) parseTorchZip() error {
	z, err := zip.NewReader(f.reader(), f.size)
	if err != nil {
		return formatf("", "%v", err)
	}
	var pickle *zip.File
	members := map[string]*zip.File{}
	for _, m := range z.File {
		if path.Base(m.Name) == "data.pkl" && strings.Count(m.Name, "/") <= 1 {
			pickle = m
		}
		members[m.Name] = m
	}
	if pickle == nil {
		return formatf("", "a zip archive without data.pkl: no file of torch.save")
	}
	root := strings.TrimSuffix(pickle.Name, "data.pkl")
	if order := members[root+"byteorder"]; order != nil {
		text, err := readMember(order, 16)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(text)) != "little" {
			return &Error{Detail: "byte order " + quote(string(text)), Err: ErrUnsupported}
		}
	}
	program, err := readMember(pickle, maxPickle)
	if err != nil {
		return err
	}
	r := &torchReader{f: f, storages: map[string]*torchStorage{}}
	u := &unpickler{in: program, globals: torchGlobals, persist: r.persist}
	object, err := u.run()
	if err != nil {
		return err
	}
	for key, s := range r.storages {
		m := members[root+"data/"+key]
		if m == nil {
			return formatf("", "the archive has no storage %s", quote(key))
		}
		if err := r.place(s, m); err != nil {
			return err
		}
	}
	return r.finish(object)
}

// place finds the elements of a storage: in the file, or in a deflated member.
func (r *torchReader) place(s *torchStorage, m *zip.File) (err error) {
	want := s.numel * int64(s.dtype.Size())
	switch {
	case m.UncompressedSize64 != uint64(want):
		return formatf("", "storage %s has %d bytes, want %d", quote(s.key), m.UncompressedSize64, want)
	case m.Method == zip.Deflate:
		s.packed, s.offset = &packedStorage{member: m, size: want}, 0
		if want > maxInflated*r.f.size-r.inflated {
			return formatf("", "the deflated storages up to %s take more than %d times the %d bytes of the file", quote(s.key), maxInflated, r.f.size)
		}
		r.inflated += want
		return nil
	case m.Method != zip.Store:
		return &Error{Detail: fmt.Sprintf("storage %s is compressed by method %d, want 8, deflate", quote(s.key), m.Method), Err: ErrUnsupported}
	}
	if s.offset, err = m.DataOffset(); err != nil {
		return formatf("", "storage %s: %v", quote(s.key), err)
	}
	if s.offset > r.f.size-want {
		return formatf("", "storage %s has %d bytes at byte %d of %d", quote(s.key), want, s.offset, r.f.size)
	}
	return nil
}

// readMember reads a member of an archive of at most most bytes.
func readMember(m *zip.File, most int64) ([]byte, error) {
	rc, err := m.Open()
	if err != nil {
		return nil, formatf("", "%s: %v", quote(m.Name), err)
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, most+1))
	if err != nil {
		return nil, formatf("", "%s: %v", quote(m.Name), err)
	}
	if int64(len(b)) > most {
		return nil, formatf("", "%s has more than %d bytes", quote(m.Name), most)
	}
	return b, nil
}

// parseTorchLegacy reads what torch.save wrote before version 1.6: pickles of a
// magic number, a version, the system, the object and the keys of the storages,
// and the storages, each with its number of elements before it.
func (f *File) parseTorchLegacy() error {
	head, err := f.section(0, min(f.size, maxPickle))
	if err != nil {
		return err
	}
	r := &torchReader{f: f, storages: map[string]*torchStorage{}}
	u := &unpickler{in: head, globals: torchGlobals, persist: r.persist}
	var parts [5]any
	for i := range parts {
		if parts[i], err = u.run(); err != nil {
			return err
		}
	}
	magic, isBig := parts[0].(*big.Int)
	if !isBig || magic.Text(16) != "1950a86a20f9469cfc6c" || parts[1] != int64(1001) {
		return formatf("", "not the magic number and protocol 1001 of torch.save")
	}
	if system, ok := parts[2].(*pyDict); ok && system.get("little_endian") == false {
		return &Error{Detail: "the file was written on a big-endian machine", Err: ErrUnsupported}
	}
	keys, ok := parts[4].(*pyList)
	if !ok {
		return formatf("", "no list of storages")
	}
	at := int64(u.at)
	for _, k := range keys.items {
		key, _ := k.(string)
		s := r.storages[key]
		if s == nil || s.offset >= 0 {
			return formatf("", "storage %s is not known, or there twice", quote(key))
		}
		if f.size-at < 8 {
			return formatf("", "storage %s: the file ends at byte %d", quote(key), f.size)
		}
		length, err := f.section(at, 8)
		if err != nil {
			return err
		}
		want := s.numel * int64(s.dtype.Size())
		if n := int64(binary.LittleEndian.Uint64(length)); n != s.numel || want > f.size-at-8 {
			return formatf("", "storage %s has %d elements at byte %d of %d, want %d", quote(key), n, at, f.size, s.numel)
		}
		s.offset = at + 8
		at += 8 + want
	}
	return r.finish(parts[3])
}

// rebuilds begins the names of the functions that make tensors.
const rebuilds = "torch._utils._rebuild_"

const (
	maxNesting   = 64      // of dictionaries in each other
	maxNameBytes = 1 << 22 // of all names together
	maxShared    = 4       // how often the tensors may fill the file: those that share memory count each time
)

// finish lists the tensors in the object that torch.save was given: a state_dict, or a
// checkpoint that holds one at any depth. The keys of dictionaries and the indices of lists
// make their names: state_dict.features.0.weight. Other objects are skipped.
func (r *torchReader) finish(root any) error {
	w := &torchWalk{r: r, entries: map[string]entry{}}
	if err := w.walk("", root, 0); err != nil {
		return err
	}
	if w.module != "" && !w.convolution {
		return wholeModel(w.module, w.moduleAt)
	}
	if len(w.entries) == 0 {
		return formatf("", "the file holds no dictionary of tensors")
	}
	r.f.format = torch
	r.f.setEntries(w.entries)
	return nil
}

// wholeModel is the error of a file with an object of a class in place of tensors. at is its
// place among dictionaries and lists, in Python's notation.
func wholeModel(class, at string) error {
	what, load := "a whole model, of class "+quote(class)+", whose code is not run", "torch.load(OLD, weights_only=False)"
	if strings.HasPrefix(class, scriptClass) {
		what, load, at = "a program of TorchScript, which is not run", "torch.jit.load(OLD)", ""
	}
	return &Error{Detail: "the file holds " + what + ". What can be read is its state_dict, which Python writes: " +
		"torch.save(" + load + at + ".state_dict(), NEW)", Err: ErrUnsupported}
}

// scriptClass begins the classes of TorchScript's modules.
const scriptClass = "__torch__."

// torchWalk collects tensors.
type torchWalk struct {
	r           *torchReader
	entries     map[string]entry
	nameBytes   int
	bytes       int64    // of all tensors
	steps       int      // values visited: those that are shared count each time
	convolution bool     // a tensor has four dimensions
	module      string   // the class of a whole model that was met, or empty
	moduleAt    string   // where
	at          []string // keys that lead to what is visited, as Python says them
}

func (w *torchWalk) walk(name string, v any, depth int) error {
	if w.steps++; w.steps > 2*maxValues {
		return formatf("", "dictionaries that hold each other many times over")
	}
	switch v := v.(type) {
	case *torchTensor:
		return w.tensor(name, v)
	case *pyDict:
		return w.dict(name, v, depth)
	case *pyList:
		return w.list(name, v.items, depth)
	case pyTuple:
		return w.list(name, v, depth)
	case *pyObject:
		if w.module == "" && v.isModule() {
			w.module, w.moduleAt = v.class, strings.Join(w.at, "")
		}
		if strings.HasPrefix(v.class, rebuilds) { // a tensor that cannot be read
			return w.add(name, entry{dtype: DType(v.class)})
		}
		if v.items != nil {
			return w.dict(name, v.items, depth)
		}
	}
	return nil
}

// isModule reports whether an object is a whole model.
func (o *pyObject) isModule() bool {
	state, ok := o.state.(*pyDict)
	return ok && (state.get("_modules") != nil || strings.HasPrefix(o.class, scriptClass))
}

func (w *torchWalk) dict(name string, d *pyDict, depth int) error {
	for i, k := range d.keys {
		var key string
		switch k := k.(type) {
		case string:
			key = k
		case int64:
			key = strconv.FormatInt(k, 10)
		default:
			key = fmt.Sprintf("[%d]", i)
		}
		if _, isName := k.(string); isName {
			w.at = append(w.at, "["+quote(key)+"]")
		} else {
			w.at = append(w.at, "["+key+"]")
		}
		err := w.enter(name, key, d.values[i], depth)
		w.at = w.at[:len(w.at)-1]
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *torchWalk) list(name string, items []any, depth int) error {
	for i, v := range items {
		w.at = append(w.at, "["+strconv.Itoa(i)+"]")
		err := w.enter(name, strconv.Itoa(i), v, depth)
		w.at = w.at[:len(w.at)-1]
		if err != nil {
			return err
		}
	}
	return nil
}

// enter visits a value under a key. It skips values that are neither tensors nor containers.
func (w *torchWalk) enter(name, key string, v any, depth int) error {
	switch v.(type) {
	case *torchTensor, *pyDict, *pyList, pyTuple, *pyObject:
	default:
		return nil
	}
	if depth >= maxNesting {
		return formatf("", "dictionaries and lists in each other, more than %d deep", maxNesting)
	}
	if name != "" {
		key = name + "." + key
	}
	if w.nameBytes += len(key); w.nameBytes > maxNameBytes {
		return formatf("", "the names take more than %d bytes", maxNameBytes)
	}
	return w.walk(key, v, depth+1)
}

func (w *torchWalk) tensor(name string, t *torchTensor) error {
	e, err := w.r.entry(name, t)
	if err != nil {
		return err
	}
	if w.bytes += e.length; w.bytes > maxShared*(w.r.f.size+w.r.inflated) {
		return formatf(name, "the tensors up to here take %d bytes, the file has %d: they are the same ones many times over", w.bytes, w.r.f.size)
	}
	w.convolution = w.convolution || len(t.shape) == 4
	return w.add(name, e)
}

func (w *torchWalk) add(name string, e entry) error {
	if _, twice := w.entries[name]; twice {
		return formatf(name, "is there twice")
	}
	w.entries[name] = e
	return nil
}

// entry returns a view of the file for a tensor, or a copy if its elements are not in order.
func (r *torchReader) entry(name string, t *torchTensor) (entry, error) {
	s := t.storage
	e := entry{dtype: s.dtype, shape: t.shape}
	length, ok := byteLen(s.dtype, t.shape)
	size := int64(s.dtype.Size())
	if !ok || s.offset < 0 {
		return e, formatf(name, "shape is %v", t.shape)
	}
	e.length = length
	if length == 0 {
		return e, nil
	}
	last, contiguous, step := t.offset, true, 1
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] > 1 && t.stride[i] != step {
			contiguous = false
		}
		step *= t.shape[i]
		if t.stride[i] > 0 && int64(t.shape[i]-1) > (s.numel-last)/int64(t.stride[i]) {
			return e, formatf(name, "shape %v with strides %v from element %d is larger than its storage of %d", t.shape, t.stride, t.offset, s.numel)
		}
		last += int64(t.shape[i]-1) * int64(t.stride[i])
	}
	switch {
	case last >= s.numel:
		return e, formatf(name, "shape %v with strides %v from element %d is larger than its storage of %d", t.shape, t.stride, t.offset, s.numel)
	case contiguous && s.packed != nil:
		s.packed.users++
		at := t.offset * size
		e.compute = func() ([]byte, error) { return s.packed.section(at, length) }
		return e, nil
	case contiguous:
		e.offset = s.offset + t.offset*size
		return e, nil
	case length > s.numel*size:
		return e, &Error{Tensor: name, Detail: fmt.Sprintf("shape %v repeats elements of its storage of %d", t.shape, s.numel), Err: ErrUnsupported}
	}
	// Many names of one such tensor would be as many copies.
	if r.copied += length; r.copied > r.f.size+r.inflated {
		return e, formatf(name, "shape %v with strides %v: the tensors that are to be reordered are larger than the file", t.shape, t.stride)
	}
	from, err := r.elements(s)
	if err != nil {
		return e, err
	}
	e.own = make([]byte, 0, length)
	at := make([]int, len(t.shape))
	for int64(len(e.own)) < length {
		i := t.offset
		for d, x := range at {
			i += int64(x) * int64(t.stride[d])
		}
		e.own = append(e.own, from[i*size:][:size]...)
		for d := len(at) - 1; d >= 0; d-- {
			if at[d]++; at[d] < t.shape[d] {
				break
			}
			at[d] = 0
		}
	}
	return e, nil
}

// reader returns the whole file.
func (f *File) reader() io.ReaderAt {
	if f.data != nil {
		return bytes.NewReader(f.data)
	}
	return f.r
}
