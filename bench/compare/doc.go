// Command compare measures nonet beside other libraries on the same machine:
// oneDNN, ONNX Runtime and PyTorch for VGG networks, oneDNN layer by layer,
// oneDNN, OpenBLAS, BLIS and gonum for SGEMM, PyTorch for training steps.
//
//	go run ./bench/compare                     VGG-16, one picture, 1 and all threads
//	go run ./bench/compare -works gemm         products instead
//	go run ./bench/compare -readme FILE        put a result's table into README.md
//
// It installs what is missing first, and writes a result with all samples, the
// machine, versions, commit and command, and its pictures, to bench/results.
//
// The peers come from Debian's and npm's registries; nothing of nonet depends
// on them. Every subject is a process that stays alive, holds its weights and
// answers one command at a time. They take turns, the order moving on by one
// each round, so that a change of the machine's speed meets all alike. The
// first run of a turn is thrown away: it finds the caches filled by another.
//
// All subjects get the same seeded weights and pictures, and before anything
// is timed their results are compared.
package main
