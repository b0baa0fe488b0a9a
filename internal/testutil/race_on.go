//go:build race

package testutil

// Slower is how many times as long the race detector takes.
const Slower = 10
