package ref

import (
	"math"
	"slices"
)

// LogSoftmax returns x − log Σ exp x of each of the rows of n columns, the row's
// maximum being subtracted first.
func LogSoftmax[T Float](rows, n int, x []T) []float64 {
	mustLen("x", len(x), rows*n)
	y := Float64(x)
	for r := range rows {
		row := y[r*n:][:n]
		largest := slices.Max(row)
		var sum float64
		for _, v := range row {
			sum += math.Exp(v - largest)
		}
		for i := range row {
			row[i] = row[i] - largest - math.Log(sum)
		}
	}
	return y
}

// Softmax returns exp x / Σ exp x of each of the rows.
func Softmax[T Float](rows, n int, x []T) []float64 {
	y := LogSoftmax(rows, n, x)
	for i, v := range y {
		y[i] = math.Exp(v)
	}
	return y
}

// SoftmaxCrossEntropy returns the mean over the rows of −log softmax(x)[target]
// and its gradient with respect to x, (softmax(x) − onehot(target)) / rows.
func SoftmaxCrossEntropy[T Float](rows, n int, x []T, target []int) (loss float64, dx []float64) {
	mustLen("target", len(target), rows)
	log := LogSoftmax(rows, n, x)
	dx = Softmax(rows, n, x)
	for r, t := range target {
		loss -= log[r*n+t]
		dx[r*n+t]--
	}
	for i := range dx {
		dx[i] /= float64(rows)
	}
	return loss / float64(rows), dx
}
