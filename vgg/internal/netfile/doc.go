// Package netfile finds out which network a file of tensors holds.
//
// It knows names, but not how a network is computed. Read accounts for every tensor of a
// file. A tensor belongs to a layer, or it is of a kind that does not matter and is listed
// as Ignored, or the file is refused with the tensor's name.
//
//	names      which part of a module a tensor is, and what may be ignored
//	layers     modules become convolutions, fully connected layers, normalisations, in order
//	known      the networks whose indices tell where pools are
//	guess      what the order of layers looks like, for an unknown network
//	match      a configuration's layers and the file's, one to one
//	tensors    a layer's weights in the form that package vgg wants
//
// If a file does not tell its network, the error shows what the file looks like, as flags of
// the command.
package netfile
