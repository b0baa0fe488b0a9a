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
// A file is data from outside. A reader refuses what it does not understand with an *Error
// that names the file and the tensor. It never panics. It needs memory in proportion to the
// bytes of the file, not to the sizes that the file claims. The header of a safetensors file
// must describe every byte of the file exactly once. The pickle in a file of PyTorch is a
// program. It may build dictionaries, lists and tensors and call the few functions of a
// table; any other function is refused by its name. The graph of an ONNX file must be a
// chain of VGG's layers; the error names the first node that is none. Its elements may be in
// other files of its folder. No path or link may lead out of the folder.
//
// # ONNX
//
// The tensors of a graph have the names of vgg.ParseLayers, whatever the file calls
// them, and the metadata hold the layers and the size of the input. A node is one of
//
//	Conv                                3×3 or 1×1, stride 1, maybe behind a Pad; as large as its input, a fully connected layer
//	Gemm, MatMul                        a fully connected layer, with its operands in either order
//	BatchNormalization, Add, Sub,       folded into the layer before, or a scale of each channel;
//	Mul, Div by constants               before the first layer, means and deviations of pictures
//	Relu, Clip and Max from 0 on        ReLU
//	MaxPool, AveragePool                2×2, stride 2, without partial windows
//	GlobalAveragePool, ReduceMean       mean of each channel, as an AveragePool of the whole input is
//	LRN                                 over 5 channels, with Krizhevsky's constants
//	Flatten, Reshape, Transpose,        of which only the order of the columns of the first fully
//	Squeeze, Unsqueeze                  connected layer remains
//	Cast, Dropout, Identity             leave no trace
//	Softmax, LogSoftmax, Sigmoid        at the end: the network gives what goes in
//
// Another process may cut a file short, or write to it, while it is mapped. The methods that
// copy elements then return an error, and File.Unchanged reports the change. Reading
// Tensor.Data or a view faults.
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
