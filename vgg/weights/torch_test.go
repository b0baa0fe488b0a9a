package weights

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pyTensor is a program that makes a view of storage "0", which has n floats.
func pyTensor(n int, shape, stride []int) string {
	return strings.TrimSuffix(strings.TrimPrefix(tensorOf(storageOf("FloatStorage", n), 0, shape, stride), "}X\x01\x00\x00\x00w"), "s")
}

// TestTorchObjects: what a pickle holds tensors in, and the names that they get.
func TestTorchObjects(t *testing.T) {
	tensor := pyTensor(12, []int{12}, []int{1})
	const class, parameter, fromType = "cother\nClass\n", "ctorch._utils\n_rebuild_parameter\n", "ctorch._tensor\n_rebuild_from_type_v2\n"
	function := tensor[:strings.IndexByte(tensor, '(')]
	arguments := strings.TrimSuffix(tensor[len(function):], "R")
	key := pyText("k")
	for program, want := range map[string][]string{
		"}" + key + tensor + "s":                                                            {"k"},
		"}" + key + "}" + pyText("l") + tensor + "ss":                                       {"k.l"},
		"}K\x07" + tensor + "s":                                                             {"7"},
		"}N" + tensor + "s":                                                                 {"[0]"},
		"}" + key + "K\x01sN" + tensor + "s":                                                {"[1]"},
		"](" + tensor + "K\x01" + tensor + "e":                                              {"0", "2"},
		"(" + tensor + "}" + key + tensor + "st":                                            {"0", "1.k"},
		"}" + key + class + ")R" + pyText("l") + tensor + "ss":                              {"k.l"},
		"}" + key + parameter + "(" + tensor + "\x88tRs":                                    {"k"},
		"}" + key + "ctorch._utils\n_rebuild_parameter_with_state\n(" + tensor + "\x88}tRs": {"k"},
		"}" + key + fromType + "(" + function + class + arguments + "}tRs":                  {"k"},
		"}" + key + "]" + tensor + "as" + pyText("no") + "K\x01s":                           {"k.0"},
		"}" + key + tensor + "sK\x05b":                                                      {"k"},
		"}" + key + class + "}" + pyText("x") + tensor + "sbs" + pyText("l") + tensor + "s": {"l"}, // a state is skipped
	} {
		f, err := FromBytes("torch", zipFile(t, program, make([]byte, 48), zip.Store))
		require.NoError(t, err, "%q", program)
		require.Equal(t, want, f.Names(), "%q", program)
		require.NoError(t, readAll(f))
	}

	for program, want := range map[string]string{
		"}" + key + parameter + ")Rs":       "a parameter that is no tensor",
		"}" + key + parameter + "(K\x01tRs": "a parameter that is no tensor",
		"}":                                 "no dictionary of tensors", "K\x01": "no dictionary of tensors", "}" + key + "K\x01s": "no dictionary of tensors",
		"}" + key + tensor + "s" + key + tensor + "s":             `tensor "k": is there twice`,
		"}" + key + function + "(K\x01K\x00)" + ")tRs":            "arguments that make none",
		"}" + key + function + "(K\x01tRs":                        "a tensor of 1 arguments, want at least 4",
		"}" + key + "cnn\nNet\n)R}" + pyText("_modules") + "}sbs": `torch.load(OLD, weights_only=False)["k"].state_dict()`,
		"]cnn\nNet\n)R}" + pyText("_modules") + "}sba":            `a whole model, of class "nn.Net", whose code is not run. What can be read is its state_dict, which Python writes: torch.save(torch.load(OLD, weights_only=False)[0].state_dict(), NEW)`,
		"}K\x05cnn\nNet\n)R}" + pyText("_modules") + "}sbs":       `weights_only=False)[5].state_dict()`,
		"c__torch__.nn\nNet\n)R}b":                                "torch.jit.load(OLD).state_dict()",
		"cnn\nNet\n)R}b":                                          "no dictionary of tensors",
	} {
		_, err := FromBytes("torch", zipFile(t, program, make([]byte, 48), zip.Store))
		require.ErrorContains(t, err, want, "%q", program)
	}

	// A whole model beside a state_dict with convolutions is passed over.
	convolution := pyTensor(12, []int{2, 1, 2, 3}, []int{6, 6, 3, 1})
	f, err := FromBytes("torch", zipFile(t, "}"+key+"cnn\nNet\n)R}"+pyText("_modules")+"}sbs"+pyText("w")+convolution+"s", make([]byte, 48), zip.Store))
	require.NoError(t, err)
	require.Equal(t, []string{"w"}, f.Names())
}

// TestTorchUnread: tensors of kinds that are not read are named, and refused when they are asked for.
func TestTorchUnread(t *testing.T) {
	tensor := pyTensor(12, []int{12}, []int{1})
	function := tensor[:strings.IndexByte(tensor, '(')]
	arguments := strings.TrimSuffix(tensor[len(function):], "R")
	const class, fromType = "cother\nClass\n", "ctorch._tensor\n_rebuild_from_type_v2\n"
	for _, tensor := range []string{
		"ctorch._utils\n_rebuild_sparse_tensor\n)R",
		strings.Replace(tensor, "FloatStorage", "ComplexStorage", 1),
		fromType + "(" + function + "tR",
		fromType + "(" + function + class + "tR",
		fromType + "(" + class + class + arguments + "tR",
		fromType + "(" + function + class + class + "tR",
	} {
		f, err := FromBytes("torch", zipFile(t, "}"+pyText("k")+tensor+"s"+pyText("w")+pyTensor(12, []int{12}, []int{1})+"s", make([]byte, 48), zip.Store))
		require.NoError(t, err)
		require.Equal(t, []string{"k", "w"}, f.Names())
		_, err = f.Tensor("k")
		require.ErrorIs(t, err, ErrUnsupported)
		require.ErrorContains(t, err, "elements made by")
		_, err = f.Tensor("w")
		require.NoError(t, err)
	}
}

// TestTorchNesting: containers may hold each other 64 deep.
func TestTorchNesting(t *testing.T) {
	tensor := pyTensor(12, []int{12}, []int{1})
	for depth, ok := range map[int]bool{maxNesting: true, maxNesting + 1: false} {
		f, err := FromBytes("torch", zipFile(t, strings.Repeat("]", depth)+tensor+strings.Repeat("a", depth), make([]byte, 48), zip.Store))
		if !ok {
			require.ErrorIs(t, err, ErrFormat)
			require.ErrorContains(t, err, "more than 64 deep")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, []string{strings.TrimSuffix(strings.Repeat("0.", depth), ".")}, f.Names())
	}
}

// TestTorchShared: tensors may share memory, but not so that they are many times the file.
func TestTorchShared(t *testing.T) {
	file := func(n int) []byte {
		program := "}" + pyText("a") + tensorOf(storageOf("FloatStorage", 120), 0, []int{120}, []int{1})[7:]
		program = strings.TrimSuffix(program, "s") + "q\x01s"
		for i := range n - 1 {
			program += pyText(fmt.Sprint("b", i)) + "h\x01s"
		}
		return zipFile(t, program, make([]byte, 480), zip.Store)
	}
	f, err := FromBytes("torch", file(4))
	require.NoError(t, err)
	require.Len(t, f.Names(), 4)
	_, err = FromBytes("torch", file(24))
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorContains(t, err, "the same ones many times over")
}

// TestTorchArchive: members that make no file of torch.save are refused.
func TestTorchArchive(t *testing.T) {
	object := tensorOf(storageOf("FloatStorage", 2), 0, []int{2}, []int{1})
	archive := func(method uint16, members ...string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		z.RegisterCompressor(12, func(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil })
		for i := 0; i < len(members); i += 2 {
			m := uint16(zip.Store)
			if strings.Contains(members[i], "/data/") || strings.HasPrefix(members[i], "data/") {
				m = method
			}
			w, err := z.CreateHeader(&zip.FileHeader{Name: members[i], Method: m})
			require.NoError(t, err)
			_, err = w.Write([]byte(members[i+1]))
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	program := "\x80\x02" + object + "."
	for _, c := range []struct {
		file []byte
		err  string
	}{
		{archive(zip.Store, "a/data.pkl", program, "a/data/0", "12345678"), ""},
		{archive(zip.Store, "data.pkl", program, "data/0", "12345678"), ""},
		{archive(zip.Store, "a/b/data.pkl", program, "a/b/data/0", "12345678"), "without data.pkl"},
		{archive(zip.Store, "a/data.pkl", program, "b/data/0", "12345678"), `no storage "0"`},
		{archive(zip.Store, "a/data.pkl", program, "a/data/0", "1234567"), "has 7 bytes, want 8"},
		{archive(12, "a/data.pkl", program, "a/data/0", "12345678"), "compressed by method 12"},
		{archive(zip.Store, "a/data.pkl", program, "a/byteorder", strings.Repeat(" ", 17), "a/data/0", "12345678"), "more than 16 bytes"},
		{archive(zip.Store, "a/data.pkl", program, "a/byteorder", "little"+strings.Repeat(" ", 10), "a/data/0", "12345678"), ""},
		{archive(zip.Store, "a/data.pkl", program[:20], "a/data/0", "12345678"), "pickle, byte"},
		{archive(zip.Store, "a/data.pkl", program, "a/data/0", "12345678")[:40], ""},
	} {
		f, err := FromBytes("torch", c.file)
		if len(c.file) == 40 {
			require.ErrorIs(t, err, ErrFormat)
			continue
		}
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, readAll(f))
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// TestTorchLegacyParts: each pickle of the older format is what it must be.
func TestTorchLegacyParts(t *testing.T) {
	whole := string(legacyFile(tensorOf(storageOf("FloatStorage", 2), 0, []int{2}, []int{1}), make([]byte, 8)))
	require.NotContains(t, whole, "\x80\x02K\x01.")
	for old, change := range map[string][2]string{
		"M\xe9\x03": {"M\xea\x03", "protocol 1001"},
		"magic":     {"\x6d", "protocol 1001"},
	} {
		if old == "magic" {
			old = "\x6c\xfc\x9c\x46"
			change[0] = "\x6c\xfc\x9c\x47"
		}
		require.Contains(t, whole, old)
		_, err := FromBytes("torch", []byte(strings.Replace(whole, old, change[0], 1)))
		require.ErrorIs(t, err, ErrFormat, "%q", old)
	}
	f, err := FromBytes("torch", []byte(whole))
	require.NoError(t, err)
	require.NoError(t, readAll(f))
}

// TestTorchStorageIDs: the persistent ids that name storages, and those that do not.
func TestTorchStorageIDs(t *testing.T) {
	id := func(kind, class, key, rest string) string {
		return "(" + kind + class + key + pyText("cpu") + rest + "tQ"
	}
	storage, float, long, key := pyText("storage"), "ctorch\nFloatStorage\n", "ctorch\nLongStorage\n", pyText("0")
	s := &torchStorage{dtype: F32, key: "0", numel: 12, offset: -1}
	class := &pyObject{class: "torch.Strange"}
	for program, want := range map[string]any{
		id(storage, float, key, "K\x0c"): s, id(storage, float, key, "K\x0cN"): s,
		id(storage, float, key, "K\x0c") + id(storage, float, key, "K\x0c") + "\x86":            pyTuple{s, s},
		id(storage, "ctorch\nStrange\n", key, "K\x0c"):                                          class,
		"(" + pyText("module") + "ctorch\nStrange\n" + pyText("file") + pyText("source") + "tQ": class,
		id(storage, float, key, "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x04"):                     &torchStorage{dtype: F32, key: "0", numel: 1 << 58, offset: -1},
	} {
		got, err := unpickle(program)
		require.NoError(t, err, "%q", program)
		require.Equal(t, want, got, "%q", program)
	}
	for program, want := range map[string]string{
		id(storage, float, key, "K\x0cK\x01"): "a view of a storage", id(storage, float, key, ""): "no storage's", id(pyText("other"), float, key, "K\x0c"): "no storage's", "K\x01Q": "no storage's",
		id(storage, float, "K\x01", "K\x0c"): "make none", id(storage, "K\x01", key, "K\x0c"): "make none", id(storage, float, key, "N"): "make none", id(storage, float, key, "J\xff\xff\xff\xff"): "make none",
		id(storage, float, key, "\x8a\x08\x01\x00\x00\x00\x00\x00\x00\x04"):          "make none",
		id(storage, float, key, "K\x0c") + id(storage, float, key, "K\x0d") + "\x86": `storage "0" is both 12 × F32 and 13 × F32`,
		id(storage, float, key, "K\x0c") + id(storage, long, key, "K\x0c") + "\x86":  `12 × F32 and 12 × I64`,
		"(" + pyText("module") + "K\x01tQ":                                           "no storage's", "(" + pyText("module") + "tQ": "no storage's",
	} {
		_, err := unpickle(program)
		require.ErrorContains(t, err, want, "%q", program)
	}
}
