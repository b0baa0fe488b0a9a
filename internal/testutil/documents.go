package testutil

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Block is a fenced piece of code in one of the module's documents.
type Block struct {
	File string // from the root of the module
	Line int    // of its first line
	Lang string // go, sh, …
	Text string
}

// Documents returns the root of the module, the text of its Markdown files by
// their path from there, and all fenced blocks in them.
func Documents(t testing.TB) (root string, files map[string]string, blocks []Block) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	files = map[string]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path) // both come from WalkDir
		name = filepath.ToSlash(name)
		files[name] = string(text)
		blocks = append(blocks, blocksOf(name, string(text))...)
		return err
	})
	if err != nil {
		t.Fatalf("testutil: %v", err)
	}
	return root, files, blocks
}

// blocksOf finds what stands between lines that begin with three backquotes,
// which may be indented.
func blocksOf(file, text string) (blocks []Block) {
	var open *Block
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		fence, rest, ok := strings.Cut(line, "```")
		switch {
		case ok && strings.TrimSpace(fence) == "" && open == nil:
			open, indent = &Block{File: file, Line: i + 2, Lang: rest}, fence
		case ok && strings.TrimSpace(fence) == "":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.Text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return blocks
}

// Commands splits a block of shell into its commands: the words of each line, less
// variables in front, comments, and what is behind a pipe.
func (b Block) Commands() (list [][]string) {
	for line := range strings.Lines(b.Text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		line, _, _ = strings.Cut(line, " | ")
		for part := range strings.SplitSeq(line, " && ") {
			words := shellWords(part)
			for len(words) > 0 && strings.Contains(words[0], "=") {
				words = words[1:]
			}
			if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
				list = append(list, words)
			}
		}
	}
	return list
}

// shellWords splits at spaces outside of single quotes.
func shellWords(s string) (words []string) {
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}
