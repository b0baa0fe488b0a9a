// Package inference has the messages and the service of the Open Inference Protocol over
// gRPC. inference.proto says what they mean; all else is generated from it.
package inference

//go:generate ./generate.sh
