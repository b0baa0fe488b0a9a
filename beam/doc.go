// Package beam runs networks of VGG's shape on Apache Beam: on prism in this process,
// and on the engines that run Beam elsewhere (Flink, Spark, Dataflow).
//
// Its transforms take pictures as KV<string, []byte>, a key and the bytes of a picture
// file, which [Read] finds on any filesystem of Beam; [Classify], [Features] and
// [Evaluate] compute, and [Write] writes what they give. A picture that fails does not
// end the pipeline: it goes to a second collection of [Failure].
//
//	p, s := beam.NewPipelineWithRoot()
//	pictures, unread := nonet.Read(s, "gs://archive/*/*.jpg")
//	rows, failed := nonet.Features(s, nonet.Network{}, extract.Spec{Layers: []string{"fc7"}}, pictures)
//	nonet.Write(s, nonet.Network{}, spec, rows, "gs://features/fc7.parquet", 16)
//
// A worker process opens a network once, and all its bundles share it. The pictures of a
// bundle are computed in batches. The result of a picture depends on neither the
// bundles nor the batches nor the worker, bit for bit, on workers of one instruction
// set.
//
// Counters in the namespace nonet: pictures, failed; and the distribution batch.
package beam
