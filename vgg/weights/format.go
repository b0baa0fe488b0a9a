package weights

import (
	"bytes"
	"encoding/binary"
	"io"
)

// formats are recognised by the beginning of a file, not by its name. An index of several
// files is JSON; the others are:
//
//	safetensors   a length, and "{"
//	torch         a zip archive, or the magic number of older files
//	ONNX          a protocol buffer whose first field is the version
//	Caffe         a protocol buffer whose first field is the network's name or a layer
//	HDF5          Keras's .h5, which is refused with a way to convert it
//
// The error for a placeholder of a file that was not fetched says what it is.
var formats = []struct {
	begins func(head []byte) bool
	parse  func(*File) error
}{
	{isPointer, (*File).errPointer},
	{isPage, func(*File) error { return errPage() }},
	{func(h []byte) bool { return bytes.HasPrefix(h, zipMagic) }, (*File).parseTorchZip},
	{func(h []byte) bool { return bytes.HasPrefix(h, legacyMagic) }, (*File).parseTorchLegacy},
	{func(h []byte) bool { return bytes.HasPrefix(h, []byte("\x89HDF\r\n\x1a\n")) }, func(*File) error { return errHDF5() }},
	{hasLength, (*File).parseSafetensors},
	{func(h []byte) bool { return bytes.HasPrefix(h, []byte{0x08}) }, (*File).parseONNX},
	{func(h []byte) bool { return len(h) > 0 && (h[0] == 0x0a || h[0] == 0x12 || h[0] == 0xa2) }, (*File).parseCaffe},
	{func(h []byte) bool { return len(h) > 8 && h[8] == '{' }, (*File).parseSafetensors}, // whose length is wrong
}

// errHDF5 says how to convert a Keras file.
func errHDF5() error {
	return &Error{Detail: "an HDF5 file, such as Keras writes. Two lines of Python make one that can be read: " +
		"import h5py, safetensors.numpy; " +
		"w = {}; h5py.File('vgg16.h5').visititems(lambda n, d: w.update({n: d[()]}) if hasattr(d, 'shape') else None); " +
		"safetensors.numpy.save_file(w, 'vgg16.safetensors')", Err: ErrUnsupported}
}

// hasLength reports whether a file begins as safetensors do: no other format has four bytes
// of zeros there. It is also true for a file that is too short, so that the reader of
// safetensors reports it.
func hasLength(h []byte) bool { return len(h) < 9 || binary.LittleEndian.Uint64(h) < 1<<32 }

// Open opens a file of weights: safetensors, torch.save's two formats, ONNX, Caffe, or the
// index of a network in several such files. The content tells the format. The files of an
// index are in its folder.
//
// A folder, as Hugging Face's and timm's programs save it, is opened by its
// model.safetensors, model.safetensors.index.json, pytorch_model.bin or
// pytorch_model.bin.index.json. With files of these names Open also reads config.json and
// preprocessor_config.json in the same folder. Their architecture, labels and preparation of
// pictures become metadata.
//
// Open reads headers only. Tensors are mapped into memory on Linux and macOS, and read on
// demand elsewhere. Errors wrap ErrFormat or ErrUnsupported, or are the file system's.
func Open(path string) (*File, error) {
	file, configured, err := snapshot(path)
	if err == nil {
		err = checkShard(file)
	}
	if err != nil {
		return nil, inFile(path, err)
	}
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	if f, err = f.parsed(); err != nil || !configured {
		return f, err
	}
	if err := f.readBeside(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// FromBytes reads a file in memory, for instance one embedded in the program. Its tensors
// are views of data, which must not change. Errors contain the name.
func FromBytes(name string, data []byte) (*File, error) {
	f := &File{name: name, size: int64(len(data)), data: data, r: bytes.NewReader(data)}
	return f.parsed()
}

// Read reads a file of size bytes from r: headers now, and each tensor on demand. r must
// stay usable until Close, which does not close it.
func Read(name string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{name: name, size: size, r: r}
	return f.parsed()
}

// parsed reads the headers, and closes f if that fails.
func (f *File) parsed() (*File, error) {
	// Headers are read in the mapping, too.
	var err error
	if fault := guard(func() { err = f.parse() }); fault != nil {
		err = fault
	}
	if err != nil {
		f.Close()
		return nil, inFile(f.name, err)
	}
	return f, nil
}

func (f *File) parse() error {
	head, err := f.section(0, min(f.size, 64))
	if err != nil {
		return err
	}
	if len(head) > 0 && head[0] == '{' { // opens others, and stands in no table of its own readers
		return f.parseIndex()
	}
	for _, format := range formats {
		if format.begins(head) {
			return format.parse(f)
		}
	}
	return formatf("", "begins with % x: neither safetensors, torch, ONNX nor Caffe", head[:8])
}
