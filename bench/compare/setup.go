package main

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed peers
var peerSources embed.FS

// The packages of Debian and npm that the drivers need.
var debian = []string{
	"g++", "util-linux", "libdnnl-dev", "libopenblas-pthread-dev", "libblis-pthread-dev",
	"python3-torch", "python3-numpy", "libtcmalloc-minimal4", "nodejs", "npm",
}

// onnxRuntime is pinned; --ignore-scripts leaves out its download of CUDA.
const onnxRuntime = "onnxruntime-node@1.30.0"

// programs lists what is compiled, with the compiler's arguments.
var programs = []struct {
	name string
	args []string
}{
	{"peak", []string{"gcc", "-O2", "-pthread", "peak.c"}},
	{"onednn_vgg", []string{"g++", "-O2", "-std=c++17", "onednn_vgg.cc", "-ldnnl"}},
	{"gemm_onednn", []string{"g++", "-O2", "-std=c++17", "-DONEDNN", "gemm.cc", "-ldnnl"}},
	{"gemm_openblas", []string{"g++", "-O2", "-std=c++17", "-DOPENBLAS", "-I/usr/include/ARCH/openblas-pthread", "gemm.cc", "/usr/lib/ARCH/openblas-pthread/libopenblas.so"}},
	{"gemm_blis", []string{"g++", "-O2", "-std=c++17", "-DBLIS", "-I/usr/include/ARCH/blis-pthread", "gemm.cc", "/usr/lib/ARCH/blis-pthread/libblis.so.4"}},
}

// cacheDir holds drivers, weights and node modules: about 4 GB.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "nonet-compare")
	return dir, os.MkdirAll(dir, 0o755)
}

// ready reports whether setup has been done, with the drivers of today.
func ready(dir string) bool {
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(dir, p.name)); err != nil {
			return false
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		return false
	}
	return fs.WalkDir(peerSources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, _ := peerSources.ReadFile(path) // WalkDir has found it
		got, err := os.ReadFile(filepath.Join(dir, "src", filepath.FromSlash(path)))
		if err == nil && !bytes.Equal(got, want) {
			err = fs.ErrInvalid
		}
		return err
	}) == nil
}

// setup installs the peers and builds the drivers.
func setup(dir string) error {
	if os.Geteuid() == 0 {
		if err := install(); err != nil {
			return err
		}
	} else {
		fmt.Println("not root, so install these by hand:", strings.Join(debian, " "))
	}
	if err := command(dir, "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", onnxRuntime); err != nil {
		return err
	}
	return build(dir)
}

// install skips what is installed, so that a newer node or compiler stays.
func install() error {
	have := map[string]string{"g++": "g++", "nodejs": "node", "npm": "npm", "util-linux": "taskset"}
	var missing []string
	for _, p := range debian {
		if _, err := exec.LookPath(have[p]); have[p] == "" || err != nil {
			missing = append(missing, p)
		}
	}
	return command("", "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
}

// build writes the drivers' sources into the cache and compiles them.
func build(dir string) error {
	src := filepath.Join(dir, "src")
	if err := os.RemoveAll(src); err != nil {
		return err
	}
	if err := os.CopyFS(src, peerSources); err != nil {
		return err
	}
	out, err := exec.Command("gcc", "-print-multiarch").Output()
	if err != nil {
		return err
	}
	arch := strings.TrimSpace(string(out))
	for _, p := range programs {
		args := append([]string(nil), p.args[1:]...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "ARCH", arch)
		}
		args = append(args, "-o", filepath.Join(dir, p.name))
		if err := command(filepath.Join(src, "peers"), p.args[0], args...); err != nil {
			return err
		}
	}
	return nil
}

func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}
