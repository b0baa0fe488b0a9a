package picture

import (
	"errors"
	"fmt"
	"math"
)

// Values of the tag ExtraSamples.
const associatedAlpha = 1 // colours are multiplied by it

// chooseConvert finds how rows become RGB, as Pillow's convert("RGB") has it. Alpha and other
// extra samples are left.
func (f *tiffPicture) chooseConvert() error {
	colours := map[uint64]int{whiteIsZero: 1, blackIsZero: 1, trueColour: 3, paletted: 1, separated: 4, yCbCr: 3}[f.photometric]
	if colours == 0 {
		return fmt.Errorf("tiff: photometric interpretation %d is not read", f.photometric)
	}
	if colours > f.samples {
		return fmt.Errorf("tiff: %d samples a pixel for photometric interpretation %d", f.samples, f.photometric)
	}
	alpha := len(f.extra) > 0 && f.extra[0] == associatedAlpha
	if f.format != 1 && (f.bits < 16 || colours > 1) || f.format > 3 || f.format == 3 && f.bits != 32 {
		return fmt.Errorf("tiff: sample format %d with %d bits is not read", f.format, f.bits)
	}
	switch {
	case f.photometric == yCbCr:
		if f.compression != compressionJPEG || f.bits != 8 {
			return errors.New("tiff: YCbCr without JPEG is not read")
		}
	case f.bits == 32 && colours > 1, alpha && colours != 3:
		return fmt.Errorf("tiff: photometric interpretation %d with %d bits and extra samples %d is not read", f.photometric, f.bits, f.extra)
	case f.photometric == paletted:
		return f.indexed()
	case colours == 1 && f.bits <= 8:
		f.convert = f.tableRow(f.greys())
	case colours == 1:
		return f.wideGrey()
	case f.photometric == separated:
		f.convert = f.cmykRow
	case alpha && f.samples > 3:
		f.convert = f.associatedRow
	default:
		f.convert = f.rgbRow
	}
	return nil
}

// greys are the shades of samples of up to 8 bits.
func (f *tiffPicture) greys() (t [256][3]uint8) {
	top := 1<<f.bits - 1
	for i := range top + 1 {
		v := uint8(i * 255 / top)
		if f.photometric == whiteIsZero {
			v = 255 - v
		}
		t[i] = [3]uint8{v, v, v}
	}
	return t
}

// indexed reads the palette.
func (f *tiffPicture) indexed() error {
	m := f.tags[tagColorMap]
	n := 1 << min(f.bits, 8)
	if f.bits > 8 || len(m) != 3*n {
		return fmt.Errorf("tiff: palette of %d values for indices of %d bits", len(m), f.bits)
	}
	var t [256][3]uint8
	for i := range n {
		t[i] = [3]uint8{uint8(m[i] >> 8), uint8(m[n+i] >> 8), uint8(m[2*n+i] >> 8)}
	}
	f.convert = f.tableRow(t)
	return nil
}

// tableRow converts the first sample of each pixel, of up to 8 bits, by a table.
func (f *tiffPicture) tableRow(t [256][3]uint8) func(dst, src []byte) {
	perByte, mask := 8/f.bits, uint8(1<<f.bits-1)
	return func(dst, src []byte) {
		for x := range len(dst) / 3 {
			shift := 8 - f.bits*(x%perByte+1)
			v := src[x/perByte*f.samples] >> shift & mask
			*(*[3]uint8)(dst[3*x:]) = t[v]
		}
	}
}

// wideGrey converts samples of 16 and 32 bits: values are cut to 0 … 255, not scaled.
func (f *tiffPicture) wideGrey() error {
	if f.photometric == whiteIsZero {
		return fmt.Errorf("tiff: grey of %d bits whose white is zero is not read", f.bits)
	}
	value := func(b []byte) int64 { return int64(f.order.Uint16(b)) }
	switch {
	case f.format == 3:
		value = func(b []byte) int64 {
			v := math.Float32frombits(f.order.Uint32(b))
			if v > 0 {
				return int64(min(v, 255))
			}
			return 0 // NaN too
		}
	case f.format == 2 && f.bits == 16:
		value = func(b []byte) int64 { return int64(int16(f.order.Uint16(b))) }
	case f.bits == 32: // unsigned ones beyond 2³¹ are negative to Pillow
		value = func(b []byte) int64 { return int64(int32(f.order.Uint32(b))) }
	}
	size := f.bits / 8
	f.convert = func(dst, src []byte) {
		for x := range len(dst) / 3 {
			v := uint8(min(max(value(src[x*f.samples*size:]), 0), 255))
			*(*[3]uint8)(dst[3*x:]) = [3]uint8{v, v, v}
		}
	}
	return nil
}

// high returns the place of a sample's high byte, and the bytes of a pixel.
func (f *tiffPicture) high() (at, size, step int) {
	size = f.bits / 8
	if size == 2 && f.order.Uint16([]byte{1, 0}) == 1 {
		at = 1
	}
	return at, size, f.samples * size
}

func (f *tiffPicture) rgbRow(dst, src []byte) {
	at, size, step := f.high()
	for x := range len(dst) / 3 {
		s := src[x*step+at:]
		*(*[3]uint8)(dst[3*x:]) = [3]uint8{s[0], s[size], s[2*size]}
	}
}

// associatedRow divides colours by alpha.
func (f *tiffPicture) associatedRow(dst, src []byte) {
	at, size, step := f.high()
	for x := range len(dst) / 3 {
		s := src[x*step+at:]
		a := int(s[3*size])
		for c := range 3 {
			v := int(s[c*size])
			switch a {
			case 0:
				v = 0
			case 255:
			default:
				v = min(v*255/a, 255)
			}
			dst[3*x+c] = uint8(v)
		}
	}
}

func (f *tiffPicture) cmykRow(dst, src []byte) {
	at, size, step := f.high()
	for x := range len(dst) / 3 {
		s := src[x*step+at:]
		white := 255 - uint32(s[3*size])
		for c := range 3 {
			dst[3*x+c] = uint8(white - divide255(uint32(s[c*size])*white))
		}
	}
}
