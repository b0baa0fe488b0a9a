package weights

// DType is the type of a tensor's elements, spelt as in safetensors headers.
type DType string

// The element types. Values of the first four convert to floats; the others
// are held as bytes.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"  // IEEE 754 binary16
	BF16   DType = "BF16" // the upper half of an F32
	C64    DType = "C64"  // two F32
	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL" // a byte, 0 or 1
)

var dtypeSizes = map[DType]int{
	F64: 8, F32: 4, F16: 2, BF16: 2, C64: 8, F8E4M3: 1, F8E5M2: 1,
	I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, Bool: 1,
}

// Size returns the number of bytes of an element, or 0 if the type is unknown.
func (d DType) Size() int { return dtypeSizes[d] }

// IsFloat reports whether values of the type convert to float32: F64, F32, F16
// and BF16.
func (d DType) IsFloat() bool { return d == F32 || d == F16 || d == BF16 || d == F64 }

// maxRank bounds the dimensions of a tensor, as numpy does.
const maxRank = 64

// byteLen returns the bytes of a tensor of the given shape, or false if a
// dimension is negative, there are too many, or the product is no int64.
func byteLen(d DType, shape []int) (int64, bool) {
	const most = 1<<63 - 1
	if len(shape) > maxRank {
		return 0, false
	}
	n, zero := int64(d.Size()), false
	for _, dim := range shape {
		switch {
		case dim < 0:
			return 0, false
		case dim == 0:
			zero = true
		case n > most/int64(dim):
			return 0, false
		default:
			n *= int64(dim)
		}
	}
	if zero {
		n = 0
	}
	return n, true
}
