package vgg

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSoftmax(t *testing.T) {
	Softmax(nil, []float32{}) // does not panic
	p := []float64{-7}
	Softmax(p, []float32{1000})
	require.Equal(t, []float64{1}, p)
	p = make([]float64, 3)
	Softmax(p, []float64{1000, 1000 + math.Log(2), 1000 - math.Log(2)})
	require.InDeltaSlice(t, []float64{2. / 7, 4. / 7, 1. / 7}, p, 1e-12)
	same := []float64{0, math.Log(3)}
	Softmax(same, same)
	require.InDeltaSlice(t, []float64{0.25, 0.75}, same, 1e-12)
}

// TestRank: equal probabilities stay in the order of the classes, NaN comes last, and there are
// no more than there are classes.
func TestRank(t *testing.T) {
	m := &Model{}
	m.opts.labels = []string{"n00000001 ant", "bee", "n00000003"}
	p := []float64{0.2, 0.4, 0.2, math.NaN(), 0.4}
	list := m.Rank(p, 9)
	require.Len(t, list, 5)
	for i, class := range []int{1, 4, 0, 2, 3} {
		require.Equal(t, class, list[i].Class)
	}
	require.Equal(t, Prediction{Class: 1, Label: "bee", Probability: 0.4}, list[0])
	require.Equal(t, Prediction{Class: 4, Label: "4", Probability: 0.4}, list[1])
	require.Equal(t, Prediction{Class: 0, ID: "n00000001", Label: "ant", Probability: 0.2}, list[2])
	require.Equal(t, Prediction{Class: 2, ID: "n00000003", Label: "n00000003", Probability: 0.2}, list[3])
	require.Equal(t, "3", list[4].Label)
	require.Empty(t, m.Rank(p, 0))
	require.Empty(t, m.Rank(p, -1))
	require.Len(t, m.Rank(p, 2), 2)
}
