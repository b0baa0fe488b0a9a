package collection

import (
	"os"
	"path/filepath"
)

// Size returns the bytes of a picture's file.
func (c *Collection) Size(it Item) (int64, error) {
	if c.tar != nil {
		return it.Size, nil
	}
	path := filepath.FromSlash(it.Path)
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
