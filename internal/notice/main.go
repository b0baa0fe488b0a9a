// Command notice writes what the licences of the modules in the command vgg ask for: NOTICE,
// their texts, and sbom.json, a list of them in CycloneDX's format.
//
//	go run ./internal/notice
//
// The modules are those of cmd/vgg on any of the systems that it is built for.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

const command = "./cmd/vgg"

// systems have different sets of modules.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

// module is what the go command says of one.
type module struct {
	Path, Version, Dir string
	Main               bool
	ids                []string // of licences, as SPDX has them
	texts              []string
}

func main() {
	files, err := contents(".")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err == nil {
			err = os.WriteFile(name, files[name], 0o666)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

// contents returns the two files for the module in a folder.
func contents(root string) (map[string][]byte, error) {
	all := map[string]*module{}
	for _, system := range systems {
		if err := list(root, system, all); err != nil {
			return nil, err
		}
	}
	modules := make([]*module, 0, len(all))
	for _, path := range slices.Sorted(maps.Keys(all)) {
		m := all[path]
		if err := m.readLicences(); err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	sbom, err := bill(modules)
	return map[string][]byte{"NOTICE": notice(modules), "sbom.json": sbom}, err
}

// list adds the modules of the command on a system.
func list(root, system string, all map[string]*module) error {
	cmd := exec.Command("go", "list", "-deps", "-f", `{{with .Module}}{"Path":"{{.Path}}","Version":"{{.Version}}","Dir":{{printf "%q" .Dir}},"Main":{{.Main}}}{{end}}`, command)
	cmd.Dir, cmd.Env = root, append(cmd.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list for %s: %w", system, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m module
		if err := d.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !m.Main {
			all[m.Path] = &m
		}
	}
}

// licences are known by a phrase. The first that fits is that of the file.
var licences = []struct{ phrase, id string }{
	{"Use of the Freetype-Go software is subject to your choice", ""}, // the text is in the next file
	{"The FreeType Project LICENSE", "FTL"},
	{"SIL OPEN FONT LICENSE", "OFL-1.1"},
	{"Creative Commons Attribution 4.0 International", "CC-BY-4.0"},
	{"Apache License", "Apache-2.0"},
	{"Permission is hereby granted, free of charge", "MIT"},
	{"Neither the name", "BSD-3-Clause"},
	{"Redistribution and use in source and binary forms", "BSD-2-Clause"},
	{"Additional IP Rights Grant (Patents)", ""},
}

// readLicences reads the texts. Of two licences to choose from, the first one is ours.
func (m *module) readLicences() error {
	var files []string
	for _, pattern := range []string{"LICENSE*", "COPYING*", "NOTICE*", "PATENTS", "licenses/ftl.txt"} {
		found, err := filepath.Glob(filepath.Join(m.Dir, pattern))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !utf8.Valid(text) { // Latin-1
			runes := make([]rune, len(text))
			for i, c := range text {
				runes[i] = rune(c)
			}
			text = []byte(string(runes))
		}
		plain := strings.Join(strings.Fields(string(text)), " ")
		m.texts = append(m.texts, strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")))
		for _, l := range licences {
			if strings.Contains(strings.ToLower(plain), strings.ToLower(l.phrase)) {
				if l.id != "" && !slices.Contains(m.ids, l.id) && !strings.HasPrefix(filepath.Base(file), "NOTICE") {
					m.ids = append(m.ids, l.id)
				}
				break
			}
		}
	}
	if len(m.ids) == 0 {
		return fmt.Errorf("%s %s: no known licence in %s", m.Path, m.Version, m.Dir)
	}
	return nil
}

// notice is the file of texts. One that several modules have stands there once.
func notice(modules []*module) []byte {
	var b bytes.Buffer
	b.WriteString("The command vgg consists of this module, whose licence is in LICENSE, of Go's standard library, and of the\n" +
		"modules below. Programs that import packages of this module link those modules that the packages import.\n")
	users := map[string][]string{}
	var order []string
	for _, m := range modules {
		fmt.Fprintf(&b, "\n%s %s: %s", m.Path, m.Version, strings.Join(m.ids, ", "))
		for _, text := range m.texts {
			if users[text] == nil {
				order = append(order, text)
			}
			users[text] = append(users[text], m.Path)
		}
	}
	b.WriteString("\n")
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\nOf %s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], ", "), text)
	}
	return b.Bytes()
}

// bill is the list in CycloneDX's format, without a date or a number of its own: it is the
// same each time.
func bill(modules []*module) ([]byte, error) {
	list := []component{}
	for _, m := range modules {
		list = append(list, componentOf("library", m.Path, m.Version, m.ids))
	}
	text, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":   map[string]any{"component": componentOf("application", "github.com/nonet-go/nonet/cmd/vgg", "", []string{"BSD-3-Clause"})},
		"components": list,
	}, "", "  ")
	return append(text, '\n'), err
}

// component is one of CycloneDX's.
type component struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	PURL     string `json:"purl"`
	Licenses []any  `json:"licenses"`
}

func componentOf(kind, path, version string, ids []string) component {
	c := component{Type: kind, Name: path, Version: version, PURL: "pkg:golang/" + path}
	if version != "" {
		c.PURL += "@" + version
	}
	for _, id := range ids {
		c.Licenses = append(c.Licenses, map[string]any{"license": map[string]string{"id": id}})
	}
	return c
}
