package layout

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages behind b. If the system refuses, only speed suffers.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
