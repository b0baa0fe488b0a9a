//go:build ignore

// Command gen writes the names of ILSVRC-2012's classes from WordNet 3.0, which
// Debian has as wordnet-base:
//
//	go run gen.go /usr/share/wordnet/data.noun <ilsvrc2012.txt >new && mv new ilsvrc2012.txt
//
// Each line begins with a WordNet id: n and the offset of a noun in WordNet's file.
// What stands behind it is replaced by the noun's synonyms.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("want the path of WordNet's data.noun")
	}
	nouns, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		id, _, _ := strings.Cut(sc.Text(), " ")
		names, err := synonyms(string(nouns), id)
		if err != nil {
			log.Fatalf("%s: %v", id, err)
		}
		fmt.Println(id, strings.Join(names, ", "))
	}
}

// synonyms reads the words of a noun: its line is the offset, a number, "n", the
// count of words in hexadecimal, and each word with a number behind it.
func synonyms(nouns, id string) ([]string, error) {
	offset, err := strconv.Atoi(strings.TrimPrefix(id, "n"))
	if err != nil || offset >= len(nouns) {
		return nil, fmt.Errorf("no offset of a noun")
	}
	line, _, _ := strings.Cut(nouns[offset:], "\n")
	fields := strings.Fields(line)
	if len(fields) < 4 || "n"+fields[0] != id {
		return nil, fmt.Errorf("no noun begins there")
	}
	count, err := strconv.ParseInt(fields[3], 16, 32)
	if err != nil || len(fields) < 4+2*int(count) {
		return nil, fmt.Errorf("bad line %q", line)
	}
	var names []string
	for i := range int(count) {
		names = append(names, strings.ReplaceAll(fields[4+2*i], "_", " "))
	}
	return names, nil
}
