package evaluate

import (
	"encoding/json"
	"errors"
	"iter"
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// told returns the outcomes, and err behind them.
func told(err error, list ...Outcome) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for _, o := range list {
			if !yield(o, nil) {
				return
			}
		}
		if err != nil {
			yield(Outcome{}, err)
		}
	}
}

// ranked are predictions of classes.
func ranked(classes ...int) (list []vgg.Prediction) {
	for _, c := range classes {
		list = append(list, vgg.Prediction{Class: c})
	}
	return list
}

// TestSummarize counts outcomes by hand.
func TestSummarize(t *testing.T) {
	labels := []string{"a", "b", "c"}
	r, err := Summarize(told(nil,
		Outcome{Class: 0, Top: ranked(0, 1)},
		Outcome{Class: 0, Top: ranked(1, 0)},
		Outcome{Class: 1, Top: ranked(2, 0)},
		Outcome{Class: -1, Top: ranked(0)},
		Outcome{Class: 2, Err: "no picture"},
	), labels)
	require.NoError(t, err)
	require.Equal(t, []int{4, 1, 1}, []int{r.N, r.Unreadable, r.Unknown})
	require.InDelta(t, 3.0/4, r.Top1Error, 1e-15)
	require.InDelta(t, 2.0/4, r.Top5Error, 1e-15)
	require.Equal(t, [][]int{{1, 1, 0}, {0, 0, 1}, {0, 0, 0}}, r.Confusion)
	require.Equal(t, "b", r.Classes[1].Label)
	require.Equal(t, []int{2, 1, 0}, []int{r.Classes[0].N, r.Classes[1].N, r.Classes[2].N})
	require.InDelta(t, 0.5, r.Classes[0].Accuracy, 1e-15)
	require.InDelta(t, 1, r.Classes[0].Top5, 1e-15)
	require.Zero(t, r.Classes[1].Top5)
	_, half := fraction(1, 2)
	require.Equal(t, half, r.Classes[0].Interval)

	b, err := json.Marshal(r.Classes)
	require.NoError(t, err)
	require.Contains(t, string(b), `{"label":"a","n":2,"top1_accuracy":0.5,"top1_interval":[0.`)
	require.Contains(t, string(b), `,{"label":"c","n":0}]`, "nothing was measured")
}

// TestSummarizeErrors: outcomes that no network of these classes has are refused.
func TestSummarizeErrors(t *testing.T) {
	labels, good := []string{"a", "b"}, Outcome{Class: 1, Top: ranked(1, 0)}
	for name, bad := range map[string]Outcome{
		"class": {Class: 2, Top: ranked(0)}, "failed class": {Class: 2, Err: "x"}, "prediction": {Class: 1, Top: ranked(0, 2)},
		"negative prediction": {Class: 1, Top: ranked(0, -1)}, "nothing": {Class: 1}, "failed prediction": {Err: "x", Top: ranked(2)},
	} {
		_, err := Summarize(told(nil, good, bad), labels)
		require.ErrorIs(t, err, ErrData, name)
	}
	stop := errors.New("stop")
	_, err := Summarize(told(stop, good), labels)
	require.ErrorIs(t, err, stop)

	r, err := Summarize(told(nil), labels)
	require.ErrorIs(t, err, ErrData)
	require.ErrorContains(t, err, "there are no pictures")
	require.Equal(t, [2]float64{0, 1}, r.Top1Interval, "nothing is known")
	r, err = Summarize(told(nil, Outcome{Err: "first"}, Outcome{Err: "second"}), labels)
	require.ErrorContains(t, err, "none of the 2 pictures could be measured; the first failure: first")
	require.Equal(t, 2, r.Unreadable)
}
