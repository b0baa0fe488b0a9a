// Package similar finds pictures that look alike to a network: the cosine of two
// embeddings, the activation before the one that gives the classes,
//
//	cos(a, b) = ⟨a, b⟩ / (|a|·|b|)
//
// [Build] computes the embeddings of a collection of pictures once, into a file of
// safetensors; a kill loses at most the batch under way. [Open] reads it, and an [Index]
// finds the nearest neighbours of a picture, pairs that are nearly the same, and how often a
// picture's nearest neighbour has its class. Nothing is approximated: each query is the product
// of the embeddings with a vector, by package gemm.
//
// Embeddings are divided by their length and kept as float32, or as IEEE half precision: half
// the memory, and cosines to within 10⁻³. A query reads all of them, so that memory bounds its
// time. Cosines are the same bits for any number of workers and of queries at a time.
package similar
