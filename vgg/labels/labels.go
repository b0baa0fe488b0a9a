// Package labels names the classes of networks: the thousand of ILSVRC-2012, and
// what files of labels say.
//
// A label is a name, or a WordNet id with a name behind it: "n01440764 tench,
// Tinca tinca". Ids tell classes apart where names do not (ImageNet has two
// cranes), and where the order of classes is another.
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
