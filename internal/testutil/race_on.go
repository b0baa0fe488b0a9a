//go:build race

package testutil

// Slower is how many times as long the race detector takes.
const Slower = 10

// Forgetful is how many times as much is allocated under the race detector, where a sync.Pool
// forgets at random.
const Forgetful = 100
