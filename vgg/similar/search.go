package similar

import (
	"cmp"
	"context"
	"path"
	"slices"

	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/shape"
	"github.com/nonet-go/nonet/parallel"
)

// Searcher compares queries with all pictures of an index. One goroutine at a time may use
// it.
type Searcher struct {
	index *Index
	team  *parallel.Team
	exec  *gemm.LinearExec
}

// NewSearcher plans up to batch queries at a time on a number of workers.
func (x *Index) NewSearcher(batch, workers int) (*Searcher, error) {
	team := parallel.NewTeam(workers)
	e, err := x.linear.NewExec(batch, team)
	if err != nil {
		return nil, err
	}
	return &Searcher{x, team, e}, nil
}

// Cosines sets dst [n][Len] to the cosines of n queries, each an embedding of length 1,
// with all pictures. It does not allocate. It returns an error for wrong lengths or when
// ctx ends.
func (s *Searcher) Cosines(ctx context.Context, dst, queries []float32, n int) error {
	s.team.Begin()
	defer s.team.End()
	return s.exec.Run(ctx, n, dst, queries)
}

// Hit is a picture of an index and the cosine of its embedding with a query.
type Hit struct {
	Picture int
	Cosine  float32
}

// Nearest returns the n pictures that are most like a query, best first; equal ones in
// their order. The query is an embedding of length 1.
func (s *Searcher) Nearest(ctx context.Context, query []float32, n int) ([]Hit, error) {
	if len(query) != s.index.Dim {
		return nil, shape.Errorf("similar: a query of %d values, the index has embeddings of %d", len(query), s.index.Dim)
	}
	cosines := make([]float32, s.index.Len())
	if err := s.Cosines(ctx, cosines, query, 1); err != nil {
		return nil, err
	}
	return best(cosines, n), nil
}

// best returns the n largest of a list, which it keeps in order while it reads on.
func best(cosines []float32, n int) []Hit {
	n = min(max(n, 0), len(cosines))
	list := make([]Hit, 0, n+1)
	for i, v := range cosines {
		if len(list) == n && (n == 0 || !(v > list[n-1].Cosine)) {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, v, func(h Hit, v float32) int {
			if h.Cosine >= v {
				return -1
			}
			return 1
		})
		list = slices.Insert(list, at, Hit{i, v})
		list = list[:min(len(list), n)]
	}
	return list
}

// Pair is two pictures of an index.
type Pair struct {
	A, B   int // A < B
	Cosine float32
}

// queries is how many pictures of an index are compared with all others at a time.
const queries = 64

// Pairs returns the pairs of pictures whose cosine is at least threshold, the closest
// first, but not more than most; and how many there are. It compares each picture with each
// other: n²·Dim multiply-adds.
func (x *Index) Pairs(ctx context.Context, threshold float32, most, workers int) (pairs []Pair, n int, err error) {
	closest := func() {
		slices.SortFunc(pairs, func(a, b Pair) int {
			return cmp.Or(cmp.Compare(b.Cosine, a.Cosine), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
		})
		pairs = pairs[:min(len(pairs), most)]
	}
	err = x.each(ctx, workers, func(i int, cosines []float32) {
		for j := i + 1; j < len(cosines); j++ {
			if cosines[j] < threshold {
				continue
			}
			n++
			if pairs = append(pairs, Pair{i, j, cosines[j]}); len(pairs) >= 2*most+1024 {
				closest()
			}
		}
	})
	closest()
	return pairs, n, err
}

// Neighbours returns the nearest neighbour of each picture, which is not itself. An index
// of one picture has none: its neighbour is −1.
func (x *Index) Neighbours(ctx context.Context, workers int) ([]Hit, error) {
	list := make([]Hit, x.Len())
	err := x.each(ctx, workers, func(i int, cosines []float32) {
		hit := Hit{Picture: -1}
		for j, v := range cosines {
			if j != i && (hit.Picture < 0 || v > hit.Cosine) {
				hit = Hit{j, v}
			}
		}
		list[i] = hit
	})
	return list, err
}

// each calls use with the cosines of each picture with all, in order.
func (x *Index) each(ctx context.Context, workers int, use func(i int, cosines []float32)) error {
	n := min(queries, x.Len())
	s, err := x.NewSearcher(n, workers)
	if err != nil {
		return err
	}
	vectors, cosines := make([]float32, n*x.Dim), make([]float32, n*x.Len())
	for first := 0; first < x.Len(); first += n {
		count := min(n, x.Len()-first)
		if err := x.Vectors(vectors[:count*x.Dim], first); err != nil {
			return err
		}
		if err := s.Cosines(ctx, cosines[:count*x.Len()], vectors[:count*x.Dim], count); err != nil {
			return err
		}
		for i := range count {
			use(first+i, cosines[i*x.Len():][:x.Len()])
		}
	}
	return nil
}

// SameClass returns the part of the pictures whose nearest neighbour lies in a folder of
// the same name. hits are those of Neighbours.
func (x *Index) SameClass(hits []Hit) float64 {
	same := 0
	for i, h := range hits {
		if h.Picture >= 0 && class(x.Paths[i]) == class(x.Paths[h.Picture]) {
			same++
		}
	}
	return float64(same) / float64(len(hits))
}

// class is the folder that a picture lies in.
func class(p string) string { return path.Base(path.Dir(p)) }
