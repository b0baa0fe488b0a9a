package winograd

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/parallel"
	"github.com/stretchr/testify/require"
)

// checkStored takes filters out in blocks, which are the same of every kernel, and makes the same
// filters of them.
func checkStored(t *testing.T, c, k int, w []float32) {
	t.Helper()
	var blocks []StoredBlock
	read := func(kb int, b StoredBlock) error {
		copy(b.U, blocks[kb].U)
		copy(b.Scale, blocks[kb].Scale)
		return nil
	}
	for i, v := range fixedVariants() {
		f := v.filter(t, problem{c: c, k: k}, w)
		for kb := range f.outputs() / 16 {
			b := NewStoredBlock(c)
			f.StoreFixed(kb, b)
			if i == 0 {
				blocks = append(blocks, b)
			}
			require.Equal(t, blocks[kb], b, "%v: %d×%d filters, block %d", v, k, c, kb)
		}
		again, err := newStoredFilter(v.kern, v.tr, c, k, read, parallel.NewTeam(1+i%2))
		require.NoError(t, err)
		require.Equal(t, f, again, "%v: %d×%d filters", v, k, c)
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	for _, s := range [][2]int{{16, 1}, {17, 40}, {130, 64}, {32, 100}} {
		checkStored(t, s[0], s[1], testutil.Normal(1, s[0]*s[1]*9))
	}
}

func TestStoredErrors(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	_, err := NewStoredFilter(20, 70, func(int, StoredBlock) error { return bad }, nil)
	require.ErrorIs(t, err, bad)
	_, err = NewStoredFilter(0, 1, nil, nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewStoredFilter(math.MaxInt/64, math.MaxInt/64, nil, nil)
	require.ErrorIs(t, err, ErrShape)
}

// storedOnce makes a filter of 16 channels and k outputs of one block that change has changed, all
// others are zeros.
func storedOnce(k int, change func(b StoredBlock)) error {
	_, err := NewStoredFilter(20, k, func(kb int, b StoredBlock) error {
		clear(b.U)
		if kb == 0 {
			change(b)
		}
		return nil
	}, nil)
	return err
}

// TestStoredOverflow refuses blocks whose sums might wrap around, and takes the largest that
// cannot.
func TestStoredOverflow(t *testing.T) {
	t.Parallel()
	fill := func(sum int64) func(b StoredBlock) {
		return func(b StoredBlock) {
			for ch := range 20 {
				v := min(sum, math.MaxInt16)
				b.U[(7*16+ch/2)*storedLine+3*2+ch%2] = int16(v)
				sum -= v
			}
		}
	}
	most := math.MaxInt32 / int64(fixedLimit(20)) // of the sum of all channels
	require.NoError(t, storedOnce(16, fill(most)))
	require.ErrorIs(t, storedOnce(16, fill(most+1)), ErrShape)
	require.ErrorIs(t, storedOnce(16, func(b StoredBlock) {
		for i := range b.U {
			b.U[i] = math.MinInt16
		}
	}), ErrShape)
}

// TestStoredPadding refuses filters of outputs beyond the last, which later layers would read.
func TestStoredPadding(t *testing.T) {
	t.Parallel()
	one := func(b StoredBlock) { b.U[35*16*storedLine+2*9+1] = -1 } // of output 9
	require.NoError(t, storedOnce(10, one))
	require.NoError(t, storedOnce(26, one))
	require.ErrorIs(t, storedOnce(9, one), ErrShape)
}

// checkMagnitudes compares the sums of all kernels with a plain loop, against pages that fault.
func checkMagnitudes(t *testing.T, u []int16) {
	t.Helper()
	var want [16]uint32
	for i, v := range u {
		want[i%storedLine/2] += uint32(abs(int(v)))
	}
	for i := range fixedTable {
		tr := &fixedTable[i]
		if !cpu.Has(tr.isa) {
			continue
		}
		tail, head := testutil.Guarded[uint32](t, 16), testutil.GuardedHead[uint32](t, 16)
		tr.magnitudes(len(u)/storedLine, &testutil.GuardedCopy(t, u)[0], &tail[0])
		tr.magnitudes(len(u)/storedLine, &testutil.GuardedHeadCopy(t, u)[0], &head[0])
		require.Equal(t, want[:], tail, "%s, %d elements", tr.name, len(u))
		require.Equal(t, want[:], head, "%s, %d elements", tr.name, len(u))
	}
}

func TestMagnitudes(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{1, 2, 3, 7} {
		u := make([]int16, lines*storedLine)
		for i, v := range testutil.Normal(uint64(lines), len(u)) {
			u[i] = int16(max(math.MinInt16, min(v*20000, math.MaxInt16)))
		}
		checkMagnitudes(t, u)
	}
	for _, v := range []int16{0, -1, math.MaxInt16, math.MinInt16} { // no sum wraps around
		u := make([]int16, 65535*storedLine)
		for i := range u {
			u[i] = v
		}
		checkMagnitudes(t, u)
	}
}

func FuzzStored(f *testing.F) {
	f.Add(uint64(1), uint8(17), uint8(40))
	f.Fuzz(func(t *testing.T, seed uint64, c, k uint8) {
		channels, outputs := 1+int(c)%70, 1+int(k)%80
		checkStored(t, channels, outputs, testutil.Normal(seed, channels*outputs*9))
		u := make([]int16, (1+int(c))*storedLine)
		for i := range u {
			seed = seed*6364136223846793005 + 1442695040888963407
			u[i] = int16(seed >> 48)
		}
		checkMagnitudes(t, u)
	})
}

// BenchmarkFixedStored loads filters from blocks in memory.
func BenchmarkFixedStored(b *testing.B) {
	const c, k = 512, 512
	f, err := NewFixedFilter(c, k, testutil.Uniform(1, c*k*9), nil)
	require.NoError(b, err)
	var blocks []StoredBlock
	for kb := range k / 16 {
		blocks = append(blocks, NewStoredBlock(c))
		f.StoreFixed(kb, blocks[kb])
	}
	for _, v := range fixedVariants() {
		b.Run(fmt.Sprintf("layer=conv5_1/kernel=%v", v), func(b *testing.B) {
			b.SetBytes(f.Bytes())
			for b.Loop() {
				_, err := newStoredFilter(v.kern, v.tr, c, k, func(kb int, to StoredBlock) error {
					copy(to.U, blocks[kb].U)
					return nil
				}, nil)
				require.NoError(b, err)
			}
		})
	}
}
