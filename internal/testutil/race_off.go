//go:build !race

package testutil

const slower = 1
