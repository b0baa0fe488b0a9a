// Package extract computes features and classes of any number of pictures, in shards
// that run on their own, on any machine and in any order.
//
// A [Spec] says what is wanted of each picture: activations of layers, pooled or not,
// and the most probable classes. A [Job] computes a shard of a [Data] and writes it in
// a [Format]; a kill loses at most the batch under way. [Verify] checks that all shards
// of a directory are there and belong together. Whoever has pictures by other ways
// uses a [Computer].
//
// The result of a picture is the same bits for any number of shards, batch size and
// number of workers, on one instruction set.
package extract
