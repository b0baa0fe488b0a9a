package pretrained_test

import (
	"context"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/pretrained"
	"github.com/nonet-go/nonet/vgg/train"
	"github.com/stretchr/testify/require"
)

// TestFixed classifies the pictures that were set apart in training: in fixed point the
// network gives the class that it gives in float32 for 99.8 % of them, and is right as often
// to within 0.2 points. With -short it takes the first 500.
func TestFixed(t *testing.T) {
	d, err := train.Open(testutil.Shared(t, "data", "cifar10-train.tar"))
	require.NoError(t, err)
	defer d.Close()
	set, _ := d.Split(0.1)
	n := len(set.Examples)
	require.Equal(t, 5068, n)
	if testing.Short() {
		n = 500
	}
	classes := func(opts ...vgg.Option) (list []int) {
		m, err := pretrained.CIFAR10(opts...)
		require.NoError(t, err)
		for i := range n {
			img, err := set.Picture(i)
			require.NoError(t, err)
			top, err := m.Classify(context.Background(), img, 1)
			require.NoError(t, err)
			list = append(list, top[0].Class)
		}
		return list
	}
	full, fixed := classes(), classes(vgg.Fixed())
	same, right, fixedRight := 0, 0, 0
	for i := range full {
		want := set.Examples[i].Class
		same += count(full[i] == fixed[i])
		right += count(full[i] == want)
		fixedRight += count(fixed[i] == want)
	}
	t.Logf("of %d pictures: the same class for %d, right in float32 %d, in fixed point %d", n, same, right, fixedRight)
	require.GreaterOrEqual(t, float64(same), 0.998*float64(n))
	require.InDelta(t, right, fixedRight, 0.002*float64(n))
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
