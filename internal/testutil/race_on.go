//go:build race

package testutil

// slower is how many times as long the race detector takes.
const slower = 10
