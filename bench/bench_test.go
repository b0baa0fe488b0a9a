package bench

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/nonet-go/nonet/conv3x3"
	"github.com/nonet-go/nonet/fuse"
	"github.com/nonet-go/nonet/gemm"
	"github.com/nonet-go/nonet/internal/cpu"
	"github.com/nonet-go/nonet/internal/ref"
	"github.com/nonet-go/nonet/internal/seeded"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/layout"
	"github.com/nonet-go/nonet/parallel"
	"github.com/nonet-go/nonet/vgg"
)

func random(n int, tensor uint64) []float32 {
	x := make([]float32, n)
	seeded.Fill(x, 1, tensor, 1)
	return x
}

// rate reports the rate of the definition, whatever the algorithm.
func rate(b *testing.B, flop float64) {
	b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// operands of a convolution, as NCHW and OIHW.
func (c Conv) operands() (x, w, bias []float32) {
	return random(c.N*c.C*c.H*c.W, 1), random(c.K*c.C*c.Kernel*c.Kernel, 2), random(c.K, 3)
}

// exec binds a convolution by an algorithm of nonet on a team: blocked operands
// and what computes them.
func (c Conv) exec(t testing.TB, team *parallel.Team, opts ...conv3x3.Option) (run func(context.Context, []float32, []float32) error, dst, src []float32) {
	x, w, bias := c.operands()
	src, dst = layout.Alloc(layout.Len(c.C, c.H, c.W)), layout.Alloc(layout.Len(c.K, c.OH(), c.OW()))
	layout.FromNCHW(c.C, c.H, c.W, src, x)
	if c.Kernel == 1 {
		p, err := gemm.NewPointwise(c.C, c.K, w, bias)
		require.NoError(t, err)
		e, err := p.NewExec(1, c.H, c.W, fuse.Epilogue{}, team)
		require.NoError(t, err)
		return e.Run, dst, src
	}
	f, err := conv3x3.NewFilter(c.C, c.K, w, bias, team, opts...)
	require.NoError(t, err)
	spec := conv3x3.Spec{N: 1, H: c.H, W: c.W, Pad: c.Pad}
	n, err := f.ScratchLen(spec, team.Workers())
	require.NoError(t, err)
	e, err := f.NewExec(spec, layout.Alloc(n), team)
	require.NoError(t, err)
	return e.Run, dst, src
}

// algorithms of nonet for a convolution. "auto" is another name of one of them.
func (c Conv) algorithms() map[string][]conv3x3.Option {
	switch {
	case c.Kernel == 1:
		return map[string][]conv3x3.Option{"product": nil}
	case c.C < 16:
		return map[string][]conv3x3.Option{"direct": nil}
	}
	return map[string][]conv3x3.Option{"direct": {conv3x3.Direct()}, "winograd2": {conv3x3.Winograd(2)}, "winograd4": {conv3x3.Winograd(4)}}
}

// others compute the same without nonet's kernels, from and to NCHW.
var others = map[string]func(c Conv, x, w, bias []float32) []float32{
	"reference": func(c Conv, x, w, bias []float32) []float32 {
		y, _ := ref.Conv2D(ref.ConvShape{N: 1, C: c.C, H: c.H, W: c.W, K: c.K, KH: c.Kernel, KW: c.Kernel, Pad: c.Pad}, x, w, bias)
		return ref.Float32(y)
	},
	"loop":  loopConv,
	"gonum": gonumConv,
}

// loopConv is what one writes in an afternoon: float32, and the loops in an order
// that reads and writes memory in rows.
func loopConv(c Conv, x, w, bias []float32) []float32 {
	oh, ow := c.OH(), c.OW()
	y := make([]float32, c.K*oh*ow)
	for k := range c.K {
		plane := y[k*oh*ow:][:oh*ow]
		for i := range plane {
			plane[i] = bias[k]
		}
		for ch := range c.C {
			for i := range c.Kernel {
				for j := range c.Kernel {
					tap := w[((k*c.C+ch)*c.Kernel+i)*c.Kernel+j]
					for r := range oh {
						in := r + i - c.Pad
						if in < 0 || in >= c.H {
							continue
						}
						from, to := max(0, c.Pad-j), min(ow, c.W+c.Pad-j)
						src, dst := x[(ch*c.H+in)*c.W+from+j-c.Pad:][:to-from], plane[r*ow+from:][:to-from]
						for p, v := range src {
							dst[p] += tap * v
						}
					}
				}
			}
		}
	}
	return y
}

// gonumConv gathers every window of the input and lets gonum multiply.
func gonumConv(c Conv, x, w, bias []float32) []float32 {
	oh, ow := c.OH(), c.OW()
	y, windows := make([]float32, c.K*oh*ow), make([]float32, c.C*c.Kernel*c.Kernel*oh*ow)
	at := 0
	for ch := range c.C {
		for i := range c.Kernel {
			for j := range c.Kernel {
				for r := range oh {
					for q := range ow {
						if in, col := r+i-c.Pad, q+j-c.Pad; in >= 0 && in < c.H && col >= 0 && col < c.W {
							windows[at] = x[(ch*c.H+in)*c.W+col]
						}
						at++
					}
				}
			}
		}
	}
	for i := range y {
		y[i] = bias[i/(oh*ow)]
	}
	taps := c.C * c.Kernel * c.Kernel
	gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, c.K, oh*ow, taps, 1, w, taps, windows, oh*ow, 1, y, oh*ow)
	return y
}

// TestAgree: what the benchmarks compare computes the same.
func TestAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []Conv{{"", 1, 20, 9, 7, 18, 3, 1}, {"", 1, 3, 8, 8, 17, 3, 0}, {"", 1, 20, 9, 7, 18, 1, 0}} {
		x, w, bias := c.operands()
		y, _ := ref.Conv2D(ref.ConvShape{N: 1, C: c.C, H: c.H, W: c.W, K: c.K, KH: c.Kernel, KW: c.Kernel, Pad: c.Pad}, x, w, bias)
		for name, f := range others {
			largest, _ := testutil.RelErrors(f(c, x, w, bias), y)
			require.Less(t, largest, 1e-5, "%v by %s", c, name)
		}
		for name, opts := range c.algorithms() {
			run, dst, src := c.exec(t, nil, opts...)
			require.NoError(t, run(context.Background(), dst, src))
			got := make([]float32, len(y))
			layout.ToNCHW(c.K, c.OH(), c.OW(), got, dst)
			largest, _ := testutil.RelErrors(got, y)
			require.Less(t, largest, 3e-5, "%v by %s", c, name)
		}
	}
}

// BenchmarkConv runs every algorithm on every distinct convolution of VGG, its
// operands in blocks as inside of a network. What is not nonet's runs on conv5_1
// alone, on one thread, from NCHW: the others take up to half a minute each.
func BenchmarkConv(b *testing.B) {
	for _, c := range Convs {
		name := func(threads int, algorithm string) string {
			return fmt.Sprintf("layer=%s/threads=%d/isa=%v/algorithm=%s", c.Name, threads, cpu.Best(), algorithm)
		}
		for _, threads := range threadCounts() {
			for _, algorithm := range []string{"direct", "winograd2", "winograd4", "product"} {
				opts, ok := c.algorithms()[algorithm]
				if !ok {
					continue
				}
				b.Run(name(threads, algorithm), func(b *testing.B) {
					team := parallel.NewTeam(threads)
					team.Begin()
					defer team.End()
					run, dst, src := c.exec(b, team, opts...)
					for b.Loop() {
						require.NoError(b, run(context.Background(), dst, src))
					}
					rate(b, c.FLOP())
				})
			}
		}
		if c.Name != "conv5_1" {
			continue
		}
		x, w, bias := c.operands()
		for _, other := range []string{"reference", "loop", "gonum"} {
			b.Run(name(1, other), func(b *testing.B) {
				before := runtime.GOMAXPROCS(1) // gonum takes all there are
				defer runtime.GOMAXPROCS(before)
				for b.Loop() {
					others[other](c, x, w, bias)
				}
				rate(b, c.FLOP())
			})
		}
	}
}

// threadCounts are 1 and all cores.
func threadCounts() []int {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return []int{1, n}
	}
	return []int{1}
}

// BenchmarkFC runs the fully connected layers for one picture and for many, with
// weights in single and in half precision, and in whole numbers of 8 bits.
func BenchmarkFC(b *testing.B) {
	for _, l := range FCs {
		for _, storage := range []string{"float32", "half", "fixed"} {
			opts := map[string][]gemm.Option{"half": {gemm.Half()}, "fixed": {gemm.Fixed()}}[storage]
			for _, batch := range []int{1, 32} {
				b.Run(fmt.Sprintf("layer=%s/batch=%d/isa=%v/storage=%s", l.Name, batch, cpu.Best(), storage), func(b *testing.B) {
					linear, err := gemm.NewLinear(l.In, l.Out, random(l.In*l.Out, 2), nil, nil, opts...)
					require.NoError(b, err)
					team := parallel.NewTeam(runtime.GOMAXPROCS(0))
					team.Begin()
					defer team.End()
					e, err := linear.NewExec(batch, team)
					require.NoError(b, err)
					x, y := random(batch*l.In, 1), make([]float32, batch*l.Out)
					for b.Loop() {
						require.NoError(b, e.Run(context.Background(), batch, y, x))
					}
					rate(b, 2*float64(l.In*l.Out*batch))
				})
			}
		}
	}
}

// BenchmarkSGEMM multiplies what the layers are as products: the windows of a
// convolution with its filters, inputs of a fully connected layer with its
// weights, and squares. Names are those of package gemm's benchmark.
func BenchmarkSGEMM(b *testing.B) {
	type product struct{ m, n, k int }
	list := []product{{512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}}
	for _, c := range Convs {
		list = append(list, product{c.OH() * c.OW(), c.K, c.C * c.Kernel * c.Kernel})
	}
	for _, f := range FCs {
		list = append(list, product{1, f.Out, f.In}, product{32, f.Out, f.In})
	}
	for _, p := range list {
		for _, workers := range threadCounts() {
			team := parallel.NewTeam(workers)
			g := gemm.NewMultiplier(team)
			b.Run(fmt.Sprintf("m=%d/n=%d/k=%d/workers=%d/kernel=%s", p.m, p.n, p.k, workers, g.Kernel()), func(b *testing.B) {
				team.Begin()
				defer team.End()
				x, y, z := random(p.m*p.k, 1), random(p.k*p.n, 2), make([]float32, p.m*p.n)
				for b.Loop() {
					require.NoError(b, g.SGEMM(context.Background(), false, false, p.m, p.n, p.k, 1, x, p.k, y, p.n, 0, z, p.n))
				}
				rate(b, 2*float64(p.m)*float64(p.n)*float64(p.k))
			})
		}
	}
}

// BenchmarkNet runs whole networks with random weights.
func BenchmarkNet(b *testing.B) {
	for _, name := range vgg.Names() {
		cfg, err := vgg.Lookup(name)
		require.NoError(b, err)
		var m *vgg.Model // made when the first benchmark of it runs
		for _, batch := range []int{1, 8} {
			for _, threads := range threadCounts() {
				b.Run(fmt.Sprintf("config=%s/batch=%d/threads=%d/isa=%v", name, batch, threads, cpu.Best()), func(b *testing.B) {
					if m == nil {
						src, err := vgg.Seeded(cfg, 1)
						require.NoError(b, err)
						m, err = vgg.New(cfg, src)
						require.NoError(b, err)
					}
					s, err := m.NewSession(vgg.Batch(batch), vgg.Workers(threads))
					require.NoError(b, err)
					x, y := random(batch*3*224*224, 1000), make([]float32, batch*1000)
					for b.Loop() {
						require.NoError(b, s.Run(context.Background(), y, x))
					}
					sum, err := cfg.Summary()
					require.NoError(b, err)
					rate(b, 2*float64(sum.MACs)*float64(batch))
					b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "pictures/s")
				})
			}
		}
	}
}
