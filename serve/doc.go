// Package serve answers requests for networks of VGG's shape over HTTP: a Server is an
// http.Handler.
//
//	/v2/…         Open Inference Protocol, version 2, over REST, and over gRPC at
//	              /inference.GRPCInferenceService/: health, metadata, inference, repository, statistics
//	/v1/…         pictures: classify, features, explain, distance, similar; models and their layers
//	/openapi.json /metrics /healthz        descriptions, Prometheus's numbers, a sign of life
//	/             the files of Page
//
// The way of a request:
//
//	body ─► place in the queue ─► decode ─► batch.Queue ─► one executor, all cores ─► answer
//	 │            │                  │           │
//	 413, 429     429                400, 413    504; a client that has gone is not computed
//
// Each network has two names: NAME takes tensors, FP32 [-1,3,224,224] called input, and
// NAME-image takes encoded pictures, BYTES [-1] called image. Outputs are logits,
// probabilities, and any layer by its name. A picture's results are the same bits whatever
// else is computed: see package vgg.
//
// All memory that requests take is bounded: see MaxBody, Memory, QueueSize, MaxPixels and
// Decoders. All errors are JSON, {"error": …}. A panic of a request answers 500, and the
// server lives. docs/serving.md has the table of what is guaranteed, and the test of each.
package serve
