//go:build linux || darwin

package testutil

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func guarded[T Element](t testing.TB, n int, tail bool) []T {
	t.Helper()
	var zero T
	size, page := n*int(unsafe.Sizeof(zero)), unix.Getpagesize()
	body := max(1, (size+page-1)/page) * page
	mem, err := unix.Mmap(-1, 0, page+body+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("testutil: mmap: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Errorf("testutil: munmap: %v", err)
		}
	})
	for _, guard := range [][]byte{mem[:page], mem[page+body:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatalf("testutil: mprotect: %v", err)
		}
	}
	first := page
	if tail {
		first = page + body - size
	}
	if n == 0 {
		return []T{}
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[first])), n)
}
