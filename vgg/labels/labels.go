// Package labels names the classes of networks: the thousand of ILSVRC-2012, and
// what files of labels say.
//
// A label is a name, or a WordNet id with a name behind it: "n01440764 tench,
// Tinca tinca". Ids tell classes apart where names do not (ImageNet has two
// cranes), and where the order of classes is another.
package labels

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrFormat is wrapped by errors about files of labels.
var ErrFormat = errors.New("bad file of labels")

// The ids are those of the benchmark; the names are WordNet 3.0's. WordNet 3.0
// Copyright 2006 by Princeton University. All rights reserved. THIS SOFTWARE AND
// DATABASE IS PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR
// WARRANTIES, EXPRESS OR IMPLIED. See https://wordnet.princeton.edu/license-and-commercial-use.
//
//go:generate sh -c "go run gen.go /usr/share/wordnet/data.noun <ilsvrc2012.txt >new.txt && mv new.txt ilsvrc2012.txt"
//go:embed ilsvrc2012.txt
var ilsvrc2012 string

// ILSVRC2012 returns the labels of the thousand classes in the order of their ids,
// which is that of the models of torchvision, Keras and the paper's authors. The
// slice is the caller's.
func ILSVRC2012() []string { return strings.Split(strings.TrimSpace(ilsvrc2012), "\n") }

// wordNetID matches the id of a noun, alone or before a name.
var wordNetID = regexp.MustCompile(`^(n[0-9]{8})(?:[\s,:]+(.*))?$`)

// Split parts a label into its WordNet id, empty if it has none, and its name.
func Split(label string) (id, name string) {
	if m := wordNetID.FindStringSubmatch(label); m != nil {
		return m[1], m[2]
	}
	return "", label
}

// maxFile bounds a file of labels, bytes.
const maxFile = 16 << 20

// Read reads labels in any of the forms that they come in:
//
//	one a line                             tench, or n01440764 tench, Tinca tinca
//	a JSON list                            ["tench", "goldfish"]
//	Keras's imagenet_class_index.json      {"0": ["n01440764", "tench"], "1": …}
//	a JSON object of numbers and names     {"0": "tench", "1": …}
//
// Empty lines are left out. name stands in errors, which wrap ErrFormat or are
// r's.
func Read(name string, r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("labels: %s: %w", name, err)
	}
	fail := func(format string, args ...any) ([]string, error) {
		return nil, fmt.Errorf("labels: %s: %s: %w", name, fmt.Sprintf(format, args...), ErrFormat)
	}
	if len(text) > maxFile {
		return fail("more than %d bytes", maxFile)
	}
	var list []string
	switch trimmed := strings.TrimSpace(string(text)); {
	case strings.HasPrefix(trimmed, "["):
		if err := json.Unmarshal(text, &list); err != nil {
			return fail("%v", err)
		}
	case strings.HasPrefix(trimmed, "{"):
		if list, err = readIndex(text); err != nil {
			return fail("%v", err)
		}
	default:
		for line := range strings.Lines(trimmed) {
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, line)
			}
		}
	}
	if len(list) == 0 {
		return fail("no labels")
	}
	if i := slices.IndexFunc(list, func(s string) bool { return strings.ContainsRune(s, 0) }); i >= 0 {
		return fail("label %d is not text", i+1)
	}
	return list, nil
}

// readIndex reads an object whose keys are the numbers of the classes.
func readIndex(text []byte) ([]string, error) {
	var index map[string]json.RawMessage
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	list := make([]string, len(index))
	for key, value := range index {
		class, err := strconv.Atoi(key)
		if err != nil || class < 0 || class >= len(list) || list[class] != "" {
			return nil, fmt.Errorf("class %q of %d", key, len(list))
		}
		var label string
		var pair []string
		switch {
		case json.Unmarshal(value, &label) == nil:
		case json.Unmarshal(value, &pair) == nil && len(pair) == 2:
			label = pair[0] + " " + strings.ReplaceAll(pair[1], "_", " ")
		default:
			return nil, fmt.Errorf("class %q is %s, want a name, or an id and a name", key, value[:min(len(value), 100)])
		}
		if label == "" {
			return nil, fmt.Errorf("class %q has no name", key)
		}
		list[class] = label
	}
	return list, nil
}
