package weights

import (
	"bytes"
	"fmt"
	"strings"
)

// isPointer reports whether a file begins as those that git-lfs leaves in the place
// of large ones.
func isPointer(head []byte) bool { return bytes.HasPrefix(head, []byte("version https://git-lfs")) }

func (f *File) errPointer() error {
	text, err := f.section(0, min(f.size, 1024))
	if err != nil {
		return err
	}
	size := ""
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "size "); ok && len(n) < 20 {
			size = fmt.Sprintf(" of %s bytes", n)
		}
	}
	return formatf("", "a pointer of git-lfs, which stands for a file%s that was not fetched: git lfs pull", size)
}

// isPage reports whether a file begins as a page of HTML or XML.
func isPage(head []byte) bool {
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\ufeff"))))
	for _, begin := range []string{"<!doctype", "<html", "<head", "<?xml", "<!--"} {
		if bytes.HasPrefix(text, []byte(begin)) {
			return true
		}
	}
	return false
}

func errPage() error {
	return formatf("", "a page of HTML or XML: a server sent it in the place of the file")
}
