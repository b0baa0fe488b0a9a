package conv3x3

import (
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/winograd"
	"github.com/stretchr/testify/require"
)

// TestStored: a filter in fixed point that was taken apart is the same again.
func TestStored(t *testing.T) {
	t.Parallel()
	const c, k = 20, 35
	w, b := testutil.Normal(1, k*c*9), testutil.Normal(2, k)
	f, err := NewFilter(c, k, w, b, nil, Fixed())
	require.NoError(t, err)
	require.True(t, f.Stores())
	again, err := NewStoredFilter(c, k, func(kb int, b winograd.StoredBlock) error { f.StoreFixed(kb, b); return nil }, b, nil)
	require.NoError(t, err)
	require.Equal(t, f, again)
	for _, opts := range [][]Option{nil, {Direct()}, {Fixed(), Stride(2)}} {
		f, err := NewFilter(c, k, w, b, nil, opts...)
		require.NoError(t, err)
		require.False(t, f.Stores())
	}
	_, err = NewStoredFilter(c, k, nil, b[1:], nil)
	require.ErrorIs(t, err, ErrShape)
	_, err = NewStoredFilter(15, k, nil, nil, nil)
	require.ErrorIs(t, err, ErrShape)
}
