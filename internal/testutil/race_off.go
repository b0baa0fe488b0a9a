//go:build !race

package testutil

const Slower = 1

const Forgetful = 1
