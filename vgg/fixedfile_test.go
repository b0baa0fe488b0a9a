package vgg_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/weights"
	"github.com/stretchr/testify/require"
)

// fixedNets have fully connected layers of every kind: behind planes of several sizes, of
// channels and outputs that fill no block, in HWC order, and behind a global pool.
func fixedNets(t *testing.T) (list []vgg.Config) {
	for _, layers := range []string{"16 M F33 F10", "20 M 37 M F100 F7", "16 G F5"} {
		l, err := vgg.ParseLayers(layers)
		require.NoError(t, err)
		list = append(list, vgg.Config{Name: "test", Channels: 3, Size: 12, Pad: 1, Layers: l})
	}
	hwc := list[1]
	hwc.HWC = true
	return append(list, hwc)
}

func fixedLogits(t *testing.T, m *vgg.Model, x []float32) []float32 {
	t.Helper()
	s, err := m.NewSession()
	require.NoError(t, err)
	y := make([]float32, m.Config().Classes())
	require.NoError(t, s.Run(context.Background(), y, x))
	return y
}

// TestFixedFile: a file of whole numbers gives the bits of the model that was packed from floats,
// in a quarter of the size; and to what asks it for floats, the rounded weights.
func TestFixedFile(t *testing.T) {
	t.Parallel()
	for _, cfg := range fixedNets(t) {
		src, err := vgg.Seeded(cfg, 3)
		require.NoError(t, err)
		x := testutil.Normal(1, 3*12*12)
		packed, err := vgg.New(cfg, src, vgg.FixedFC())
		require.NoError(t, err)
		want := fixedLogits(t, packed, x)
		path := filepath.Join(t.TempDir(), "fixed.safetensors")
		require.NoError(t, vgg.Save(path, cfg, src, false, vgg.FixedFC()))
		opened, err := vgg.Open(path)
		require.NoError(t, err)
		testutil.CheckBits(t, "opened", cfg.LayerString(), fixedLogits(t, opened, x), want)
		require.Equal(t, packed.Bytes(), opened.Bytes())

		f, err := weights.Open(path)
		require.NoError(t, err)
		n, err := vgg.Describe(f)
		require.NoError(t, err)
		require.Equal(t, cfg.LayerString(), n.Config.LayerString())
		require.Empty(t, n.Ignored)
		// The rounded weights, as floats: written again as whole numbers they are the same.
		again := filepath.Join(t.TempDir(), "again.safetensors")
		require.NoError(t, vgg.Save(again, n.Config, n.Source, false, vgg.FixedFC()))
		m, err := vgg.Open(again)
		require.NoError(t, err)
		largest, _ := testutil.RelErrors(fixedLogits(t, m, x), wide(want))
		require.Less(t, largest, 1e-5, cfg.LayerString())
		floats := filepath.Join(t.TempDir(), "floats.safetensors")
		require.NoError(t, vgg.Save(floats, n.Config, n.Source, false))
		require.NoError(t, f.Close())
		m, err = vgg.Open(floats)
		require.NoError(t, err)
		largest, _ = testutil.RelErrors(fixedLogits(t, m, x), wide(want))
		require.NotZero(t, largest)
		require.Less(t, largest, 1e-3, "activations alone are rounded: %s", cfg.LayerString())
	}
}

func wide(x []float32) (y []float64) {
	for _, v := range x {
		y = append(y, float64(v))
	}
	return y
}

// TestFixedFileConvolutions: the same of a file with convolutions in fixed point.
func TestFixedFileConvolutions(t *testing.T) {
	t.Parallel()
	layers, err := vgg.ParseLayers("20 33 M 16 64/2 16 M F2000 F7")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 24, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	x := testutil.Normal(1, 3*24*24)
	packed, err := vgg.New(cfg, src, vgg.Fixed())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "fixed.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false, vgg.Fixed()))
	opened, err := vgg.Open(path)
	require.NoError(t, err)
	want := fixedLogits(t, packed, x)
	testutil.CheckBits(t, "opened", cfg.LayerString(), fixedLogits(t, opened, x), want)
	require.Equal(t, packed.Bytes(), opened.Bytes())
	require.Equal(t, packed.Summary(), opened.Summary())

	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, "conv1_2 20:33,conv2_1 33:16,conv3_2 64:16,fc4 16x3x3", f.Metadata()[weights.KeyFixed])
	n, err := vgg.Describe(f)
	require.NoError(t, err)
	full, err := vgg.New(cfg, n.Source) // in float32, of the rounded weights
	require.NoError(t, err)
	largest, _ := testutil.RelErrors(fixedLogits(t, full, x), wide(want))
	require.NotZero(t, largest)
	require.Less(t, largest, 1e-2)
	for text, wantErr := range map[string]error{
		"conv1_2 20:":   weights.ErrFormat,
		"conv1_2 0:33":  weights.ErrFormat,
		"conv1_2 20:99": vgg.ErrShape,
		"conv1_2 33:33": vgg.ErrShape,
		"conv1_2 21:33,conv2_1 33:16,conv3_2 64:16,fc4 16x3x3": vgg.ErrShape,
		"conv9_2 20:33":           weights.ErrNotFound,
		"conv1_2 1048576:1048576": vgg.ErrShape,
	} {
		require.ErrorIs(t, rewrite(t, f, func(meta map[string]string, _ map[string]*weights.Out) { meta[weights.KeyFixed] = text }), wantErr, text)
	}
	require.ErrorIs(t, rewrite(t, f, func(_ map[string]string, x map[string]*weights.Out) {
		data := slices.Clone(x["conv1_2.weight"].Data)
		for i := range data {
			data[i] = 0x7f // sums that wrap around
		}
		x["conv1_2.weight"].Data = data
	}), vgg.ErrShape)
	require.ErrorIs(t, rewrite(t, f, func(_ map[string]string, x map[string]*weights.Out) {
		data := slices.Clone(x["conv1_2.weight"].Data)
		data[len(data)-2] = 1 // of output 47 of 33
		x["conv1_2.weight"].Data = data
	}), vgg.ErrShape)
	require.ErrorIs(t, rewrite(t, f, func(_ map[string]string, x map[string]*weights.Out) {
		x["conv1_2.weight"].Shape = []int{3, 36, 32, 16} // of two channels of 16 bits, as another version may store them
	}), vgg.ErrShape)
}

// rewrite changes a file, and opens it.
func rewrite(t *testing.T, f *weights.File, change func(meta map[string]string, tensors map[string]*weights.Out)) error {
	t.Helper()
	var list []weights.Out
	byName := map[string]*weights.Out{}
	for _, name := range f.Names() {
		x, err := f.Tensor(name)
		require.NoError(t, err)
		list = append(list, weights.Out{Name: name, DType: x.DType, Shape: x.Shape, Data: x.Data})
	}
	for i := range list {
		byName[list[i].Name] = &list[i]
	}
	meta := f.Metadata()
	change(meta, byName)
	bad := filepath.Join(t.TempDir(), "bad.safetensors")
	require.NoError(t, weights.WriteFile(bad, list, meta))
	_, err := vgg.Open(bad)
	return err
}

// TestFixedFileResident: a process that opens a file and classifies needs memory for the weights, once,
// and for the session, which is small here. It runs in a process of its own, since the system counts the
// peak of a whole process.
func TestFixedFileResident(t *testing.T) {
	const child = "NONET_TEST_RESIDENT"
	if path := os.Getenv(child); path != "" {
		before := peakBytes(t)
		m, err := vgg.Open(path)
		require.NoError(t, err)
		fixedLogits(t, m, testutil.Uniform(1, 3*24*24))
		fmt.Printf("bytes: %d %d\n", m.Bytes(), peakBytes(t)-before)
		return
	}
	if testing.Short() {
		t.Skip("packs and writes 35 MB")
	}
	peakBytes(t) // or skip
	layers, err := vgg.ParseLayers("16 M 256 256 256 256 M F2048 F1000")
	require.NoError(t, err)
	cfg := vgg.Config{Name: "test", Channels: 3, Size: 24, Pad: 1, Layers: layers}
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "fixed.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false, vgg.Fixed()))
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run", "^TestFixedFileResident$", "-test.v")
	cmd.Env = append(os.Environ(), child+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(err.Error(), "exec format") {
		t.Skip("the test program runs in an emulator and can't start itself")
	}
	require.NoError(t, err, "%s", out)
	_, text, found := strings.Cut(string(out), "bytes: ")
	require.True(t, found, "%s", out)
	var weights, grown int64
	_, err = fmt.Sscan(text, &weights, &grown)
	require.NoError(t, err, "%s", out)
	t.Logf("%.1f MB of weights, the process grew by %.1f MB", float64(weights)/1e6, float64(grown)/1e6)
	require.Greater(t, weights, int64(30e6))
	require.Greater(t, grown, weights)
	require.Less(t, grown, weights*5/4+4<<20)
}

// peakBytes returns the largest resident set of this process so far.
func peakBytes(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("needs /proc/self/status")
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Skip("needs the peak of the resident set")
	}
	return kib << 10
}

// TestFixedFileRefused: what the metadata say and what the tensors are must agree.
func TestFixedFileRefused(t *testing.T) {
	t.Parallel()
	cfg := fixedNets(t)[0]
	src, err := vgg.Seeded(cfg, 3)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "fixed.safetensors")
	require.NoError(t, vgg.Save(path, cfg, src, false, vgg.FixedFC()))
	f, err := weights.Open(path)
	require.NoError(t, err)
	defer f.Close()
	write := func(t *testing.T, change func(meta map[string]string, tensors map[string]*weights.Out)) error {
		return rewrite(t, f, change)
	}
	const key = weights.KeyFixed
	require.NoError(t, write(t, func(map[string]string, map[string]*weights.Out) {}))
	require.Equal(t, "fc2 16x6x6,fc3 33", f.Metadata()[key])
	for text, want := range map[string]error{
		"":                           weights.ErrFormat,
		"fc2":                        weights.ErrFormat,
		"fc2 16x6,fc3 33":            weights.ErrFormat,
		"fc2 16x6x0,fc3 33":          weights.ErrFormat,
		"fc2 16x6x-6,fc3 33":         weights.ErrFormat,
		"fc2 16x7x6,fc3 33":          vgg.ErrShape,
		"fc2 1000000x9999x9999":      vgg.ErrShape,
		"fc2 1048576x1048576x999999": vgg.ErrShape,
		"fc9 16x6x6,fc3 33":          weights.ErrNotFound,
		"fc2 16x6x6,fc3 10":          vgg.ErrShape,
	} {
		err := write(t, func(meta map[string]string, _ map[string]*weights.Out) { meta[key] = text })
		require.ErrorIs(t, err, want, text)
	}
	require.Error(t, write(t, func(meta map[string]string, _ map[string]*weights.Out) { delete(meta, key) }), "tensors that no layer has")
	require.ErrorIs(t, write(t, func(_ map[string]string, x map[string]*weights.Out) { x["fc2.weight"].DType = weights.U8 }), vgg.ErrShape)
	require.ErrorIs(t, write(t, func(_ map[string]string, x map[string]*weights.Out) {
		x["fc3.weight_scale"].Data = []byte{9: 0, 2: 0xc0, 3: 0x7f, 39: 0}
	}), vgg.ErrNotFinite)
	require.ErrorIs(t, write(t, func(meta map[string]string, _ map[string]*weights.Out) { meta[weights.KeyLayers] = "16 M F32 F10" }), vgg.ErrShape)

	// Cut short after it was opened, and as it is opened.
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut.safetensors")
	require.NoError(t, os.WriteFile(cut, whole[:len(whole)-40], 0o644))
	_, err = vgg.Open(cut)
	require.ErrorIs(t, err, weights.ErrFormat)
}
