package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/cpu"
)

// A work is one thing to compare: a network at a batch size, a training step,
// a list of layers, or a product.
type work struct {
	kind    string // "vgg", "layers", "hot", "train" or "gemm"
	config  string
	batch   int
	product product
	threads int
}

type product struct{ m, n, k int }

func (w work) name() string {
	switch w.kind {
	case "gemm":
		s := fmt.Sprintf("sgemm_%dx%dx%d", w.product.m, w.product.n, w.product.k)
		if w.batch > 1 {
			s += "_x" + itoa(w.batch)
		}
		return s
	case "vgg":
		return fmt.Sprintf("%s_b%d", w.network(), w.batch)
	}
	return fmt.Sprintf("%s_b%d_%s", w.network(), w.batch, w.kind)
}

// network names the configuration.
func (w work) network() string {
	if strings.HasPrefix(w.config, "RepVGG") {
		return w.config
	}
	return "vgg" + w.config
}

// flop counts the arithmetic of a run where a rate is worth printing.
func (w work) flop() float64 {
	if w.kind != "gemm" {
		return 0
	}
	return 2 * float64(w.batch) * float64(w.product.m) * float64(w.product.n) * float64(w.product.k)
}

// command is what a driver is asked for n timed samples.
func (w work) command(n int) string {
	switch w.kind {
	case "gemm":
		return fmt.Sprintf("gemm %d %d %d %d %d", w.product.m, w.product.n, w.product.k, w.batch, n)
	case "layers", "hot":
		return w.kind + " " + itoa(n)
	}
	return "run " + itoa(n)
}

// parseProduct reads MxNxK or MxNxK@BATCH.
func parseProduct(s string) (p product, batch int, err error) {
	batch = 1
	shape, count, many := strings.Cut(s, "@")
	if many {
		if batch, err = strconv.Atoi(count); err != nil || batch < 1 {
			return p, 0, fmt.Errorf("product %q: bad batch", s)
		}
	}
	if _, err := fmt.Sscanf(shape, "%dx%dx%d", &p.m, &p.n, &p.k); err != nil || min(p.m, p.n, p.k) < 1 {
		return p, 0, fmt.Errorf("product %q: want MxNxK or MxNxK@BATCH", s)
	}
	return p, batch, nil
}

// tuned lets PyTorch keep its memory instead of returning it to the system
// after every layer.
const tuned = "LD_PRELOAD=libtcmalloc_minimal.so.4"

// bound keeps each thread of an OpenMP library on one of the CPUs. All subjects are pinned to
// the same set of CPUs; the others leave it to the system where in the set a thread runs.
const bound = "OMP_PROC_BIND=true"

// subjects lists who takes part in a work. nonet comes first: ratios are
// nonet's time over the peer's.
func subjects(dir string, w work) ([]subject, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := itoa(w.threads)
	program := func(name string) string { return filepath.Join(dir, name) }
	openmp := []string{"OMP_NUM_THREADS=" + t, bound}
	unbound := openmp[:1]
	nonet := subject{"nonet", "", []string{self, "-driver", w.kind, "-threads", t}, nil}

	if w.kind == "gemm" {
		list := []subject{
			nonet,
			{"oneDNN", "dnnl_sgemm, " + bound, []string{program("gemm_onednn"), "--threads", t}, openmp},
			{"OpenBLAS", "", []string{program("gemm_openblas"), "--threads", t}, nil},
			{"BLIS", "its own choice of kernels", []string{program("gemm_blis"), "--threads", t}, nil},
			{"gonum", "", []string{self, "-driver", "gonum", "-threads", t}, []string{"GOMAXPROCS=" + t}},
		}
		if w.threads > 1 {
			list = append(list, subject{"oneDNN unbound", "dnnl_sgemm, threads not bound", list[1].argv, unbound})
		}
		if hasAVX512() {
			// BLIS 0.9 takes processors made after it for generic ones.
			list = append(list, subject{"BLIS skx", "kernels for skx asked for by name", list[3].argv, []string{"BLIS_ARCH_TYPE=0"}})
		}
		return list, nil
	}

	weights, err := weightFile(dir, w.config)
	if err != nil {
		return nil, err
	}
	net := []string{"--config", w.config, "--batch", itoa(w.batch), "--threads", t, "--weights", weights}
	nonet.argv = append(nonet.argv, "-config", w.config, "-batch", itoa(w.batch), "-weights", weights)
	onednn := func(algo string) subject {
		return subject{"oneDNN " + algo, bound, append([]string{program("onednn_vgg"), "--algo", algo}, net...), openmp}
	}
	torch := func(name string, env []string, more ...string) subject {
		argv := append([]string{"/usr/bin/python3", program("src/peers/torch_vgg.py")}, net...)
		// Its OpenBLAS has threads of its own beside OpenMP's.
		env = append(append(env, "OPENBLAS_NUM_THREADS="+t), openmp...)
		return subject{name, strings.Join(append(env, more...), " "), append(argv, more...), env}
	}
	switch w.kind {
	case "layers", "hot":
		return []subject{nonet, onednn("winograd"), onednn("direct"), onednn("auto")}, nil
	case "train":
		return []subject{nonet, torch("PyTorch", nil, "--mode", "train"), torch("PyTorch tuned", []string{tuned}, "--mode", "train")}, nil
	}
	model, err := onnxFile(dir, w.config, w.batch)
	if err != nil {
		return nil, err
	}
	ort := subject{"ONNX Runtime", "graph optimisation: all",
		[]string{"node", program("src/peers/ort_vgg.js"), "--model", model, "--threads", t, "--batch", itoa(w.batch)},
		[]string{"NONET_NODE_MODULES=" + program("node_modules")}}
	variant := func(name, note string, env []string, argv ...string) subject {
		return subject{name, note, append(slices.Clone(nonet.argv), argv...), env}
	}
	list := []subject{nonet}
	if cpu.Best() == cpu.AVX512 {
		list = append(list, variant("nonet AVX2", "NONET_ISA=avx2", []string{"NONET_ISA=avx2"}))
	}
	list = append(list,
		variant("nonet F(2×2)", "F(2×2,3×3) for all layers", nil, "-variant", "f2"),
		variant("nonet f16 FC", "half-precision storage of fully connected layers", nil, "-variant", "f16"),
		variant("nonet fixed FC", "fully connected layers of 8 bits", nil, "-variant", "fixed-fc"),
		variant("nonet fixed", "fixed point: convolutions of 16 bits, fully connected layers of 8", nil, "-variant", "fixed"),
		onednn("winograd"), subject{"oneDNN winograd, unbound", "threads not bound", onednn("winograd").argv, unbound}, onednn("auto"), ort,
		torch("PyTorch", nil), torch("PyTorch tuned", []string{tuned}, "--layout", "nhwc"),
	)
	if len(w.config) == 1 { // VGG without normalisation
		peers, err := int8Peers(dir, w, onednn("direct"), ort)
		if err != nil {
			return nil, err
		}
		list = append(list, peers...)
	}
	return list, nil
}

// int8Peers are oneDNN and ONNX Runtime with bytes for weights and activations.
func int8Peers(dir string, w work, onednn, ort subject) ([]subject, error) {
	path, _, err := maxima(dir, w.config)
	if err != nil {
		return nil, err
	}
	model, err := onnxInt8File(dir, w.config, w.batch)
	if err != nil {
		return nil, err
	}
	levels := itoa(int8Levels())
	onednn.name, onednn.note = "oneDNN int8", "u8 activations, s8 weights up to "+levels
	onednn.argv = append(slices.Clone(onednn.argv), "--maxima", path, "--levels", levels)
	ort.name, ort.note = "ONNX Runtime int8", "QDQ, u8 activations, s8 weights up to "+levels
	ort.argv = slices.Clone(ort.argv)
	ort.argv[slices.Index(ort.argv, "--model")+1] = model
	return []subject{onednn, ort}, nil
}

func itoa(n int) string { return strconv.Itoa(n) }
