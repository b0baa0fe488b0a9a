package gemm_test

import (
	"context"
	"fmt"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/parallel"
)

func ExampleSGEMM() {
	a := []float32{ // 2×3
		1, 2, 3,
		4, 5, 6,
	}
	b := []float32{ // 3×2
		1, 0,
		0, 1,
		1, 1,
	}
	c := make([]float32, 2*2)
	gemm.SGEMM(false, false, 2, 2, 3, 1, a, 3, b, 2, 0, c, 2)
	fmt.Println(c)
	// Output: [4 5 10 11]
}

// One layer for many inputs: weights packed once, workers that share the work.
func ExampleNewLinear() {
	weights := []float32{ // out×in
		1, 1, 1,
		1, -1, 0,
	}
	l, err := gemm.NewLinear(3, 2, weights, []float32{0.5, 0}, nil, gemm.ReLU())
	if err != nil {
		panic(err)
	}
	team := parallel.NewTeam(2)
	team.Begin()
	defer team.End()
	e, err := l.NewExec(2, team)
	if err != nil {
		panic(err)
	}
	x := []float32{1, 2, 3, 0, 1, 0}
	y := make([]float32, 2*2)
	fmt.Println(e.Run(context.Background(), 2, y, x), y)
	// Output: <nil> [6.5 0 1.5 0]
}

// Two threads, and a right operand that is packed once.
func ExampleMultiplier_Packed() {
	team := parallel.NewTeam(2)
	team.Begin()
	defer team.End()
	g := gemm.NewMultiplier(team)
	b := g.Pack(true, 2, 3, []float32{1, 0, 1, 0, 1, -1}, 3) // Bᵀ is 2×3
	for _, a := range [][]float32{{1, 2, 3}, {4, 5, 6}} {
		c := make([]float32, 2)
		if err := g.Packed(context.Background(), false, 1, a, 3, b, 0, c, 2); err != nil {
			fmt.Println(err)
		}
		fmt.Println(c)
	}
	// Output:
	// [4 -1]
	// [10 -1]
}
