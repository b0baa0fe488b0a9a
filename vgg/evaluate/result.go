package evaluate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/nonet-go/nonet/vgg"
)

// Outcome is the result of one picture.
type Outcome struct {
	Path  string           `json:"path"`
	Class int              `json:"class"`           // of the model; −1 if it has no such class
	Label string           `json:"label"`           // the class's name in the data
	Top   []vgg.Prediction `json:"top,omitempty"`   // the five most probable classes
	Err   string           `json:"error,omitempty"` // why it could not be read or computed
	// Scores are the probabilities of all classes. They are nil for pictures that
	// could not be read, and only valid during a call of OnPicture.
	Scores []float64 `json:"-"`
}

// of reports whether a network of so many classes can have the outcome.
func (o Outcome) of(classes int) bool {
	return o.Class < classes && (o.Err != "" || len(o.Top) > 0) &&
		!slices.ContainsFunc(o.Top, func(p vgg.Prediction) bool { return p.Class < 0 || p.Class >= classes })
}

// Result is the result of all pictures. Errors are fractions of the pictures that could be
// read. Intervals contain the true fraction with 95 % confidence (Wilson's score interval),
// if the pictures are a random sample.
type Result struct {
	N            int        `json:"n"`
	Unreadable   int        `json:"unreadable"`
	Unknown      int        `json:"unknown_class"` // pictures of classes that the network lacks; they count as errors
	Top1Error    float64    `json:"top1_error"`
	Top1Interval [2]float64 `json:"top1_interval"`
	Top5Error    float64    `json:"top5_error"`
	Top5Interval [2]float64 `json:"top5_interval"`
	// Paper is the row of the paper that this evaluation repeats, or nil.
	Paper *PaperRow `json:"paper,omitempty"`
	// Classes lists the model's classes.
	Classes []ClassResult `json:"classes,omitempty"`
	// Confusion counts pictures by [class][prediction].
	Confusion [][]int `json:"confusion,omitempty"`
}

// ClassResult is the result of the pictures of one class.
type ClassResult struct {
	Label    string     `json:"label"`
	N        int        `json:"n"`
	Accuracy float64    `json:"top1_accuracy"` // without meaning if N is 0, and left out of JSON; so are the others
	Interval [2]float64 `json:"top1_interval"`
	Top5     float64    `json:"top5_accuracy"`
}

// MarshalJSON omits what no picture has measured.
func (c ClassResult) MarshalJSON() ([]byte, error) {
	if c.N == 0 {
		return json.Marshal(struct {
			Label string `json:"label"`
			N     int    `json:"n"`
		}{c.Label, 0})
	}
	type all ClassResult
	return json.Marshal(all(c))
}

// tally counts outcomes.
type tally struct {
	n, unreadable, unknown int
	hits1, hits5           int
	confusion              [][]int
	in5                    []int  // by class: pictures whose class is among the five
	failure                string // of the first picture that failed
}

func newTally(classes int) *tally {
	t := &tally{in5: make([]int, classes)}
	for range classes {
		t.confusion = append(t.confusion, make([]int, classes))
	}
	return t
}

func (t *tally) add(o Outcome) {
	if o.Err != "" {
		t.unreadable++
		t.failure = cmp.Or(t.failure, o.Err)
		return
	}
	t.n++
	if o.Class < 0 {
		t.unknown++
		return
	}
	t.confusion[o.Class][o.Top[0].Class]++
	if o.Top[0].Class == o.Class {
		t.hits1++
	}
	if slices.ContainsFunc(o.Top, func(p vgg.Prediction) bool { return p.Class == o.Class }) {
		t.hits5++
		t.in5[o.Class]++
	}
}

// Summarize counts the outcomes of an evaluation that was computed elsewhere, in any
// order. labels are those of the network's classes. It ends with the first error of
// outcomes, or one that wraps ErrData for an outcome of another network, or if nothing
// was measured.
func Summarize(outcomes iter.Seq2[Outcome, error], labels []string) (Result, error) {
	t := newTally(len(labels))
	for o, err := range outcomes {
		if err == nil && !o.of(len(labels)) {
			err = fmt.Errorf("evaluate: %s is of no class of the network: %w", o.Path, ErrData)
		}
		if err != nil {
			return Result{}, err
		}
		t.add(o)
	}
	r := t.result(func(class int) string { return labels[class] })
	if r.N == 0 {
		return r, t.nothing("outcomes")
	}
	return r, nil
}

// nothing is the error of an evaluation without a single outcome.
func (t *tally) nothing(data string) error {
	if t.unreadable == 0 {
		return fmt.Errorf("evaluate: %s: there are no pictures: %w", data, ErrData)
	}
	return fmt.Errorf("evaluate: %s: none of the %d pictures could be measured; the first failure: %s: %w", data, t.unreadable, t.failure, ErrData)
}

func (t *tally) result(label func(class int) string) Result {
	r := Result{N: t.n, Unreadable: t.unreadable, Unknown: t.unknown, Confusion: t.confusion}
	r.Top1Error, r.Top1Interval = fraction(t.n-t.hits1, t.n)
	r.Top5Error, r.Top5Interval = fraction(t.n-t.hits5, t.n)
	for class, row := range t.confusion {
		c := ClassResult{Label: label(class)}
		for _, n := range row {
			c.N += n
		}
		c.Accuracy, c.Interval = fraction(row[class], c.N)
		c.Top5, _ = fraction(t.in5[class], c.N)
		r.Classes = append(r.Classes, c)
	}
	return r
}

// fraction returns k/n with Wilson's interval for 95 % confidence; 0 and all of
// [0, 1] if n is 0.
func fraction(k, n int) (p float64, interval [2]float64) {
	if n == 0 {
		return 0, [2]float64{0, 1}
	}
	const z = 1.959963984540054
	count := float64(n)
	p = float64(k) / count
	middle := (p + z*z/(2*count)) / (1 + z*z/count)
	half := z / (1 + z*z/count) * math.Sqrt(p*(1-p)/count+z*z/(4*count*count))
	return p, [2]float64{max(0, middle-half), min(1, middle+half)}
}
