//go:build !race

package testutil

const Slower = 1
