//go:build !linux && !darwin

package testutil

import "testing"

func guarded[T Element](t testing.TB, n int, _ bool) []T {
	t.Helper()
	t.Log("testutil: no guard pages on this system, using an ordinary slice")
	return make([]T, n)
}
