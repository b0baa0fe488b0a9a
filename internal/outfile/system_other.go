//go:build !unix

package outfile

import "io/fs"

// syncDir does nothing where directories cannot be opened as files.
func syncDir(string) error { return nil }

// access leaves the answer to the first write.
func access(string) error { return nil }

// keepOwner does nothing where files have other owners.
func keepOwner(File, fs.FileInfo) {}
