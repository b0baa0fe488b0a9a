package gemm

// smallB is the most elements of B for which a plain loop is faster than a micro-kernel with
// its packing: 4×4. Beyond, at 5³, the micro-kernel wins (BenchmarkSmall).
const smallB = 16

// isSmall reports whether a plain loop is faster.
func (p *problem) isSmall() bool { return p.n*p.k <= smallB }

// computeSmall computes a problem by definition, with sums in float64 and any alpha.
func (p *problem) computeSmall() {
	b := p.b
	if p.packed != nil {
		b = p.packed.smallMatrix()
	}
	for i := range p.m {
		row := p.c.from(i, 0)[:p.n]
		for j := range row {
			sum, x, y := float64(0), i*p.a.rs, j*b.cs
			for range p.k {
				sum += float64(p.a.data[x]) * float64(b.data[y])
				x, y = x+p.a.cs, y+b.rs
			}
			sum *= float64(p.alpha)
			if p.beta != 0 {
				sum += float64(p.beta) * float64(row[j])
			}
			row[j] = float32(sum)
		}
	}
}
