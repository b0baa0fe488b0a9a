// Package batch holds the queue of a server that computes several requests at a time.
//
//	Reserve ─► Do ─► calls in order of arrival ─► executor: up to MaxBatch items of one key
//	   │                                             │
//	   └─ ErrFull, ErrDraining                       └─ run(ctx, key, items)
//
// There is one executor, which has the whole machine: it takes what waits, at once or
// after MaxDelay, and never two batches at the same time. Items of one batch have the
// same key, such as a model and the outputs that are wanted of it.
//
//   - The queue is bounded. It counts items from Reserve to Release, so that a server
//     refuses a request before it spends memory or time on it.
//   - Calls take turns, one item each, so that a call of many items does not hold up one
//     that comes after it. No key is passed over for longer than the calls before it.
//   - The items of a call whose context has ended are never begun; if that is so of all
//     calls of the batch that is being computed, its context ends too.
//   - A panic of run is an error of the calls of that batch, and the queue goes on.
package batch
