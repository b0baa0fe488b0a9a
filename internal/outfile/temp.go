package outfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// unfinished are the temporary files that this program writes.
var unfinished = struct {
	sync.Mutex
	names     map[string]bool
	swept     map[string]bool // targets
	abandoned bool
}{names: map[string]bool{}, swept: map[string]bool{}}

var errAbandoned = errors.New("the program is ending")

func remember(name string) error {
	unfinished.Lock()
	defer unfinished.Unlock()
	if unfinished.abandoned {
		return errAbandoned
	}
	unfinished.names[name] = true
	return nil
}

func forget(name string) {
	unfinished.Lock()
	defer unfinished.Unlock()
	delete(unfinished.names, name)
}

// Abandon removes the temporary files of all Writes that are under way and lets no
// other begin, for a program that is about to exit.
func Abandon() {
	unfinished.Lock()
	defer unfinished.Unlock()
	unfinished.abandoned = true
	for name := range unfinished.names {
		_ = os.Remove(name) // it only takes room
	}
}

// sweep removes what killed programs have left beside a target, once for each target.
func sweep(target string) {
	unfinished.Lock()
	done := unfinished.swept[target]
	unfinished.swept[target] = true
	unfinished.Unlock()
	if done {
		return
	}
	dir, base := filepath.Split(target)
	d, err := os.Open(filepath.Clean(dir)) // of "" is "."
	if err != nil {
		return
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			if isTemp(name, base) {
				removeDead(filepath.Join(dir, name))
			}
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

// isTemp reports whether a file is called .<base>.<16 digits>.tmp.
func isTemp(name, base string) bool {
	middle, ok := strings.CutPrefix(name, "."+base+".")
	middle, end := strings.CutSuffix(middle, ".tmp")
	return ok && end && len(middle) == 16 && strings.Trim(middle, "0123456789abcdef") == ""
}

// removeDead removes a temporary file that no living program has locked.
func removeDead(name string) {
	info, err := os.Lstat(name)
	// On Windows a file is unlocked for a moment before it is renamed.
	if err != nil || !info.Mode().IsRegular() || runtime.GOOS == "windows" && time.Since(info.ModTime()) < time.Hour {
		return
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if lock(f) != nil {
		return
	}
	if runtime.GOOS == "windows" {
		f.Close()
	}
	_ = os.Remove(name)
}
