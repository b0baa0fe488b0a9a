// Package netfile finds out which network a file of tensors holds.
//
// It knows names alone, not how a network is computed. Read takes every tensor of
// a file into account: it belongs to a layer, or it is of a kind that is known not
// to matter and is listed as Ignored, or the file is refused with its name.
//
//	names      which part of a module a tensor is, and what may be ignored
//	layers     modules become convolutions, fully connected layers, normalisations, in order
//	known      the networks whose indices tell where pools are
//	guess      what the order of layers looks like, for a network that is not known
//	match      a configuration's layers and the file's, one to one
//	tensors    a layer's weights in the form that package vgg wants
//
// Where a file does not tell its network, the error has what it looks like, as flags
// of the command.
package netfile
