//go:build !unix

package weights

// syncDir does nothing where directories cannot be opened as files.
func syncDir(string) error { return nil }
