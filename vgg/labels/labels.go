// Package labels names the classes of networks: it has the thousand of ILSVRC-2012, and
// reads files of labels.
//
// A label is a name, or a WordNet id and a name: "n01440764 tench, Tinca tinca". Ids
// distinguish classes of the same name (ImageNet has two cranes), and find classes in
// another order.
package labels

import (
	_ "embed"
	"errors"
	"regexp"
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

// ILSVRC2012 returns the labels of the thousand classes in ascending order of their ids. The
// models of torchvision, Keras and the paper's authors have the same order. The slice is the
// caller's.
func ILSVRC2012() []string { return strings.Split(strings.TrimSpace(ilsvrc2012), "\n") }

// wordNetID matches the id of a noun, alone or before a name.
var wordNetID = regexp.MustCompile(`^(n[0-9]{8})(?:[\s,:]+(.*))?$`)

// Split splits a label into its WordNet id, empty if it has none, and its name.
func Split(label string) (id, name string) {
	if m := wordNetID.FindStringSubmatch(label); m != nil {
		return m[1], m[2]
	}
	return "", label
}
