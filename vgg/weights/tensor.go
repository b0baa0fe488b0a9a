package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"

	"github.com/nonet-go/nonet/internal/half"
)

// A Tensor is an array in a file. Its shape counts elements, the last dimension
// varying fastest. A Tensor is a value; copies share Data.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // empty for a scalar
	// Data holds the elements, little-endian. It may be a read-only view of the
	// file: it must not be written to, nor used after the file is closed.
	Data []byte

	file *File // nil if made elsewhere
}

// Len returns the number of elements, 1 for a scalar.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// CheckShape returns nil if t has exactly the given shape. Otherwise it returns an *Error
// with both shapes, which wraps ErrShape.
func (t Tensor) CheckShape(want ...int) error {
	if slices.Equal(t.Shape, want) {
		return nil
	}
	return &Error{File: t.fileName(), Tensor: t.Name, Want: want, Got: t.Shape, Err: ErrShape,
		Detail: fmt.Sprintf("shape is %v, want %v", t.Shape, want)}
}

// Float32s converts all elements to float32, and rounds F64 to nearest even. dst has t.Len()
// elements and does not overlap Data. It does not allocate. The error wraps ErrShape if dst
// has another length or the elements are no floats.
//
// If the file was cut short after it was opened, the error wraps ErrFormat, and dst is
// partly written.
func (t Tensor) Float32s(dst []float32) error {
	if err := t.checkDst(len(dst)); err != nil {
		return err
	}
	if err := guard(func() { float32s(dst, t.DType, t.Data) }); err != nil {
		return &Error{File: t.fileName(), Tensor: t.Name, Err: err}
	}
	return nil
}

// Float32sAt is Float32s for the part of the elements that begins with element
// first and fills dst. It panics if there are fewer, and returns an error if the
// elements are no floats or the file was cut short. Several goroutines may read
// parts of one tensor.
func (t Tensor) Float32sAt(dst []float32, first int) error {
	if !t.DType.IsFloat() {
		return t.notFloats()
	}
	size := t.DType.Size()
	part := t.Data[first*size : (first+len(dst))*size]
	if err := guard(func() { float32s(dst, t.DType, part) }); err != nil {
		return &Error{File: t.fileName(), Tensor: t.Name, Err: err}
	}
	return nil
}

// Int8sAt sets dst to the elements from element first on, which are I8. Otherwise it is
// Float32sAt. From a mapped file it reads them by the file, past the mapping: none of its pages
// become resident.
func (t Tensor) Int8sAt(dst []int8, first int) error {
	return t.integersAt(I8, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst)), first)
}

// Int16sAt is Int8sAt for I16.
func (t Tensor) Int16sAt(dst []int16, first int) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), 2*len(dst))
	if err := t.integersAt(I16, b, first); err != nil || littleEndian {
		return err
	}
	for i := 0; i < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return nil
}

// integersAt sets dst to the bytes of elements of the given type, from element first on.
func (t Tensor) integersAt(want DType, dst []byte, first int) error {
	if t.DType != want {
		return &Error{File: t.fileName(), Tensor: t.Name, Err: ErrShape, Detail: fmt.Sprintf("elements are %s, want %s", t.DType, want)}
	}
	first *= want.Size()
	part := t.Data[first : first+len(dst)]
	var err error
	if t.file != nil {
		err = t.file.copyPart(dst, part)
	} else {
		copy(dst, part)
	}
	if err != nil {
		return &Error{File: t.fileName(), Tensor: t.Name, Err: err}
	}
	return nil
}

// Float64s is Float32s for float64.
func (t Tensor) Float64s(dst []float64) error {
	if err := t.checkDst(len(dst)); err != nil {
		return err
	}
	if err := guard(func() { float64s(dst, t.DType, t.Data) }); err != nil {
		return &Error{File: t.fileName(), Tensor: t.Name, Err: err}
	}
	return nil
}

func (t Tensor) checkDst(n int) error {
	switch {
	case !t.DType.IsFloat():
		return t.notFloats()
	case n != t.Len() || n*t.DType.Size() != len(t.Data):
		return &Error{File: t.fileName(), Tensor: t.Name, Err: ErrShape,
			Detail: fmt.Sprintf("shape is %v, %d elements in %d bytes, want %d elements", t.Shape, t.Len(), len(t.Data), n)}
	}
	return nil
}

func (t Tensor) notFloats() error {
	return &Error{File: t.fileName(), Tensor: t.Name, Err: ErrShape,
		Detail: fmt.Sprintf("elements are %s, want F32, F16, BF16 or F64", t.DType)}
}

// Float32View returns Data itself as float32s, without a copy. It returns false if the
// elements are not F32, if their address is no multiple of 4, or on a big-endian machine;
// Float32s works for all of these. The view is valid as long as Data, and as read-only as
// Data.
//
// If another process cuts the file short, reading through the view crashes the program, as
// with every mapped file. WriteFile replaces files whole, so readers of the old file keep
// it.
func (t Tensor) Float32View() ([]float32, bool) {
	p := unsafe.Pointer(unsafe.SliceData(t.Data))
	if t.DType != F32 || !littleEndian || uintptr(p)%4 != 0 {
		return nil, false
	}
	if len(t.Data) == 0 {
		return nil, true
	}
	return unsafe.Slice((*float32)(p), len(t.Data)/4), true
}

// Release tells the system that the tensor's pages are not needed soon. They leave the
// process's resident memory, and are read from the file again if touched. It is a hint, and
// does nothing for tensors that are not mapped.
func (t Tensor) Release() {
	if t.file != nil {
		t.file.releasePart(t.Data)
	}
}

func (t Tensor) fileName() string {
	if t.file == nil {
		return ""
	}
	return t.file.name
}

// littleEndian is constant-folded.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// float32s converts a whole tensor; lengths were checked.
func float32s(dst []float32, d DType, src []byte) {
	switch d {
	case F32:
		if littleEndian {
			copy(floatBytes(dst), src)
			return
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = half.ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = half.BToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	}
}

func float64s(dst []float64, d DType, src []byte) {
	switch d {
	case F32:
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case F16:
		for i := range dst {
			dst[i] = float64(half.ToFloat32(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case BF16:
		for i := range dst {
			dst[i] = float64(half.BToFloat32(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case F64:
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
	}
}

// putFloats stores src as elements of type d, which is a float type.
func putFloats(dst []byte, d DType, src []float32) {
	switch d {
	case F32:
		if littleEndian {
			copy(dst, floatBytes(src))
			return
		}
		for i, x := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case F16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], half.FromFloat32(x))
		}
	case BF16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], half.BFromFloat32(x))
		}
	case F64:
		for i, x := range src {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
		}
	}
}

// NotFinite returns the index of the first element that is NaN or infinite, or −1.
func NotFinite(x []float32) int {
	const run = 1024 // stays in the first-level cache
	for at := 0; at < len(x); at += run {
		part := x[at:min(at+run, len(x))]
		if !anyNotFinite(part) {
			continue
		}
		for i, v := range part {
			if v-v != 0 {
				return at + i
			}
		}
	}
	return -1
}

// anyNotFinite tests two elements at a time: an exponent of ones, which NaN and
// infinities have and no others, carries into the bit above it.
func anyNotFinite(x []float32) bool {
	const exponents, carry = 0x7f800000_7f800000, 0x00800000_00800000
	found := uint64(0)
	b := floatBytes(x)
	for ; len(b) >= 32; b = b[32:] {
		found |= binary.NativeEndian.Uint64(b)&exponents + carry
		found |= binary.NativeEndian.Uint64(b[8:])&exponents + carry
		found |= binary.NativeEndian.Uint64(b[16:])&exponents + carry
		found |= binary.NativeEndian.Uint64(b[24:])&exponents + carry
	}
	for ; len(b) > 0; b = b[4:] {
		found |= uint64(binary.NativeEndian.Uint32(b))&exponents + carry
	}
	return found&0x80000000_80000000 != 0
}

// floatBytes returns the memory of f.
func floatBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

var errCut = fmt.Errorf("the file was cut short after it was opened: %w", ErrFormat)

// guard runs f, which reads Data, and turns the fault of a mapped file that was
// cut short into an error.
func guard(f func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		switch r := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = errCut
		case runtime.Error:
			// Emulators do not tell the address. f reads nothing but Data.
			if !strings.Contains(r.Error(), "invalid memory address") {
				panic(r)
			}
			err = errCut
		default:
			panic(r)
		}
	}()
	f()
	return nil
}
