// Package oip reads and writes the messages of the Open Inference Protocol, version 2, as
// KServe, Triton and their clients speak it: JSON over HTTP, the binary tensor extension,
// and gRPC.
//
//	HTTP body ── Decode ──► Request ──► (server) ──► Response ── WriteTo ──► HTTP body
//	gRPC      ── FromGRPC ─►                                   ── ToGRPC ──► gRPC
//
// Numbers are read while the body arrives, without a tree of values in between: the
// 150,528 of a picture of 224×224 take some milliseconds as text, and a tenth of one as
// binary data. Tensors of this package are FP32, or BYTES for encoded pictures and labels;
// others are read far enough to say what was wrong with them.
//
// In the binary extension the header Inference-Header-Content-Length says how long the
// JSON is. The data of the tensors whose parameter binary_data_size says so follow it, in
// the order of the inputs, little-endian; a BYTES element has its length in front, as 32
// bits.
//
// Errors of what a client sent wrap ErrFormat, and those of its size ErrTooLarge. Nothing
// that arrives makes this package panic or use more memory than its Limits say.
package oip
