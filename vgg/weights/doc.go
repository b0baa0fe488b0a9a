// Package weights reads files of named tensors: safetensors, what torch.save
// writes, Caffe's and ONNX's; and writes safetensors.
//
// Its own format is safetensors: an 8-byte little-endian length, a JSON header
// that gives each tensor a type, a shape and a range of bytes, and the bytes
// themselves, little-endian and without gaps
// (https://github.com/huggingface/safetensors). Files are mapped into memory
// where the system can, so opening one costs the reading of its header, and
// a Tensor is a view of the mapping.
//
// # Trust
//
// A file is data from outside. A reader refuses what it does not understand with an
// *Error that names the file and the tensor, never panics, and needs memory in
// proportion to the bytes that are there, not to what they say. The header of a
// safetensors file must describe every byte of the file exactly once. The pickle in
// a file of PyTorch is a program: it may build dictionaries, lists and tensors, and
// call the few functions of a table; all others are refused by their names. The
// graph of an ONNX file must be a chain of VGG's layers, and its first node that is
// none is named.
//
// Another process may cut a file short, or write to it, while it is mapped. The
// methods that copy elements then return an error, and File.Unchanged tells. To
// read Tensor.Data or a view faults.
//
// # Order of use
//
//	f, err := weights.Open("vgg16.safetensors")
//	t, err := f.Tensor("conv1_1.weight") // [64][3][3][3]
//	w := make([]float32, t.Len())
//	err = t.Float32s(w)
//	t.Release() // its pages no longer count as resident
//	f.Close()
package weights
