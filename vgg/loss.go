package vgg

import "math"

// crossEntropy returns the mean loss and sets d to its gradient with respect to
// the logits, (softmax − onehot) / rows.
func crossEntropy(d, logits []float32, targets []int, classes int) (r Result) {
	rows := len(targets)
	for i, target := range targets {
		row, out := logits[i*classes:][:classes], d[i*classes:][:classes]
		best, largest := 0, float64(row[0])
		for j, v := range row {
			if float64(v) > largest {
				best, largest = j, float64(v)
			}
		}
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - largest)
		}
		for j, v := range row {
			p := math.Exp(float64(v)-largest) / sum
			if j == target {
				p--
			}
			out[j] = float32(p / float64(rows))
		}
		r.Loss += (math.Log(sum) + largest - float64(row[target])) / float64(rows)
		if best == target {
			r.Correct++
		}
	}
	return r
}
