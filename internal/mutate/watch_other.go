//go:build !linux

package main

import "errors"

// canWatch reports whether watch holds bounds here.
const canWatch = false

func watch(bounds, []string) (int, string, error) {
	return 0, "", errors.New("-watch: only on Linux")
}
