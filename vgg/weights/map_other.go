//go:build !(linux || darwin)

package weights

import "os"

// mapFile maps nothing here: files are read tensor by tensor.
func mapFile(*os.File, int) ([]byte, bool) { return nil, false }

func unmapFile([]byte) error { return nil }

func release([]byte) {}
