package half

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// format describes a 16-bit format to the tests, in terms of float64 arithmetic.
type format struct {
	name     string
	expBits  int
	fracBits int
	narrow   func(float32) uint16
	widen    func(uint16) float32
}

var formats = []format{
	{"f16", 5, 10, FromFloat32, ToFloat32},
	{"bf16", 8, 7, BFromFloat32, BToFloat32},
}

// value decodes h by the definition of the format.
func (f format) value(h uint16) float64 {
	frac := int(h) & (1<<f.fracBits - 1)
	exp := int(h) >> f.fracBits & (1<<f.expBits - 1)
	bias := 1<<(f.expBits-1) - 1
	v := math.Ldexp(float64(frac), 1-bias-f.fracBits)
	switch {
	case exp == 1<<f.expBits-1 && frac != 0:
		v = math.NaN()
	case exp == 1<<f.expBits-1:
		v = math.Inf(1)
	case exp > 0:
		v = math.Ldexp(float64(frac+1<<f.fracBits), exp-bias-f.fracBits)
	}
	if h>>15 == 1 {
		v = -v
	}
	return v
}

func TestEveryValue(t *testing.T) {
	for _, f := range formats {
		for i := range 1 << 16 {
			h := uint16(i)
			want, got := f.value(h), f.widen(h)
			if math.IsNaN(want) {
				require.True(t, got != got, "%s %#04x: got %v, want NaN", f.name, h, got)
				quiet := h | 1<<(f.fracBits-1)
				require.Equal(t, quiet, f.narrow(got), "%s %#04x: NaN after both ways", f.name, h)
				continue
			}
			require.Equal(t, want, float64(got), "%s %#04x", f.name, h)
			require.Equal(t, math.Signbit(want), math.Signbit(float64(got)), "%s %#04x: sign", f.name, h)
			require.Equal(t, h, f.narrow(got), "%s %#04x: after both ways", f.name, h)
		}
	}
}

// TestRounding tries, between each value and the next, the float32 at the middle
// and the two next to it: every place where the result changes.
func TestRounding(t *testing.T) {
	for _, f := range formats {
		inf := uint16(1<<f.expBits-1) << f.fracBits
		for lo := uint16(0); lo < inf; lo++ {
			hi := lo + 1
			above := f.value(hi)
			if hi == inf { // overflow starts half a unit above the greatest value
				above = 2*f.value(lo) - f.value(lo-1)
			}
			mid64 := (f.value(lo) + above) / 2
			mid := float32(mid64)
			require.Equal(t, mid64, float64(mid), "%s %#04x: the middle is a float32", f.name, lo)
			even := lo + lo&1
			for _, sign := range []uint16{0, 1 << 15} {
				s := float32(1)
				if sign != 0 {
					s = -1
				}
				below := math.Nextafter32(mid, 0)
				beyond := math.Nextafter32(mid, float32(math.Inf(1)))
				require.Equal(t, sign|lo, f.narrow(s*below), "%s: %v", f.name, s*below)
				require.Equal(t, sign|even, f.narrow(s*mid), "%s: %v", f.name, s*mid)
				require.Equal(t, sign|hi, f.narrow(s*beyond), "%s: %v", f.name, s*beyond)
			}
		}
		require.Equal(t, inf, f.narrow(math.MaxFloat32), f.name)
		require.Equal(t, inf, f.narrow(float32(math.Inf(1))), f.name)
		require.Equal(t, uint16(1)<<15, f.narrow(float32(math.Copysign(0, -1))), f.name)
		require.Equal(t, uint16(0), f.narrow(math.SmallestNonzeroFloat32), f.name)
	}
}

func TestNaNPayload(t *testing.T) {
	for _, bits := range []uint32{0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0x7fa02000} {
		x := math.Float32frombits(bits)
		require.Equal(t, uint16(bits>>16&0x8000|0x7e00|bits>>13&0x3ff), FromFloat32(x), "%#x", bits)
		require.Equal(t, uint16(bits>>16|0x40), BFromFloat32(x), "%#x", bits)
	}
}

func BenchmarkToFloat32(b *testing.B) {
	src := make([]uint16, 4096)
	for i := range src {
		src[i] = uint16(i * 13)
	}
	dst := make([]float32, len(src))
	for b.Loop() {
		for i, h := range src {
			dst[i] = ToFloat32(h)
		}
	}
	b.ReportMetric(float64(len(src))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}

func BenchmarkFromFloat32(b *testing.B) {
	src := make([]float32, 4096)
	for i := range src {
		src[i] = float32(i-2048) / 1024
	}
	dst := make([]uint16, len(src))
	for b.Loop() {
		for i, x := range src {
			dst[i] = FromFloat32(x)
		}
	}
	b.ReportMetric(float64(len(src))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}

// TestHolds: f16 holds what it widens to, but for signalling NaNs, and no number next to it.
func TestHolds(t *testing.T) {
	require.True(t, Holds(nil))
	for i := range 1 << 16 {
		x := ToFloat32(uint16(i))
		require.True(t, Holds([]float32{x, 1, x}), "%#04x", i)
		for _, bit := range []uint32{1, 1 << 12} {
			next := math.Float32frombits(math.Float32bits(x) ^ bit)
			require.False(t, Holds([]float32{1, next}), "%x", math.Float32bits(next))
		}
	}
	for _, x := range []float32{0x1p-25, 0x1.8p-24, 65504 + 16, 0x1p16, 0x1p-149, math.MaxFloat32} {
		require.False(t, Holds([]float32{x, 0}), x)
	}
}
