package labels

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nonet-go/nonet/internal/printable"
)

const (
	maxFile    = 16 << 20 // bytes of a file of labels
	maxClasses = 1 << 20
)

// Read reads labels in any of the forms that they come in:
//
//	one a line                             tench, or n01440764 tench, Tinca tinca
//	a JSON or Python list                  ["tench", "goldfish"]
//	numbers and names, JSON or Python      {"0": "tench", "1": …}, {0: 'tench, Tinca tinca', 1: …}
//	Keras's imagenet_class_index.json      {"0": ["n01440764", "tench"], "1": …}
//	class_to_idx of torchvision's folders  {"goldfish": 1, "tench": 0}
//	config.json of Hugging Face            {"id2label": {"0": "tench", …}, …}
//	config.json of timm                    {"label_names": ["n01440764", …], "label_descriptions": {"n01440764": "tench, …"}, …}
//
// Where classes have numbers, these are 0 to n−1, each once. Empty lines are left
// out. name stands in errors, which wrap ErrFormat or are r's.
func Read(name string, r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("labels: %s: %w", printable.Name(name), err)
	}
	list, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("labels: %s: %w: %w", printable.Name(name), err, ErrFormat)
	}
	return list, nil
}

// parse is Read without the name.
func parse(text []byte) ([]string, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("not UTF-8")
	}
	trimmed := strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff"))
	var list []string
	var err error
	if strings.HasPrefix(trimmed, "[") || strings.HasPrefix(trimmed, "{") {
		var v any
		if v, err = parseLiteral(trimmed, json.Valid([]byte(trimmed))); err == nil {
			list, err = fromLiteral(v)
		}
	} else {
		list, err = fromLines(trimmed)
	}
	if err != nil {
		return nil, err
	}
	return list, check(list)
}

// check returns an error for a list that cannot be one of labels.
func check(list []string) error {
	if len(list) == 0 {
		return fmt.Errorf("no labels")
	}
	if len(list) > maxClasses {
		return fmt.Errorf("%d labels, want at most %d", len(list), maxClasses)
	}
	for i, s := range list {
		if strings.TrimSpace(s) == "" {
			return fmt.Errorf("class %d has no name", i)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
			return fmt.Errorf("class %d: %s is not text", i, quote(s))
		}
	}
	return nil
}

// numbered matches a line that begins with a number.
var numbered = regexp.MustCompile(`^([0-9]{1,7})[\s:,;]+\S`)

// fromLines reads one label a line. If all lines begin with the numbers of the classes,
// these must be in order.
func fromLines(text string) ([]string, error) {
	var list []string
	places := map[int]int{} // of the numbers
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if m := numbered.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			places[n] = len(list)
		}
		list = append(list, line)
	}
	inOrder := true
	for n := range list {
		place, ok := places[n]
		if !ok {
			return list, nil // not numbers of classes
		}
		inOrder = inOrder && place == n
	}
	if !inOrder {
		return nil, fmt.Errorf("the lines have the numbers 0 to %d in another order", len(list)-1)
	}
	return list, nil
}

// fromLiteral finds the labels in a list or an object.
func fromLiteral(v any) ([]string, error) {
	if items, ok := v.([]any); ok {
		list := make([]string, len(items))
		for i, item := range items {
			var err error
			if list[i], err = label(item); err != nil {
				return nil, fmt.Errorf("class %d %w", i, err)
			}
		}
		return list, nil
	}
	d := v.(dict) // there is no third that begins as Read has seen
	for _, inside := range []string{"id2label", "class_to_idx", "label_names", "labels"} {
		if v, ok := d.get(inside); ok && isNested(v) {
			list, err := fromLiteral(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", inside, err)
			}
			if descriptions, ok := d.get("label_descriptions"); ok && inside == "label_names" {
				return describe(list, descriptions)
			}
			return list, nil
		}
	}
	if inner, ok := d.get("pretrained_cfg"); ok {
		if _, ok := inner.(dict); ok {
			return fromLiteral(inner)
		}
	}
	return fromDict(d)
}

func isNested(v any) bool {
	switch v := v.(type) {
	case dict:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return false
}

// fromDict reads numbers with names, or names with numbers.
func fromDict(d dict) ([]string, error) {
	list, seen := make([]string, len(d)), make([]bool, len(d))
	for _, p := range d {
		class, name, err := classOf(p)
		switch {
		case err != nil:
			return nil, err
		case class < 0 || class >= int64(len(d)):
			return nil, fmt.Errorf("%s is class %d of %d, want 0 to %d", quote(name), class, len(d), len(d)-1)
		case seen[class]:
			return nil, fmt.Errorf("class %d is there twice: %s and %s", class, quote(list[class]), quote(name))
		}
		list[class], seen[class] = name, true
	}
	return list, nil // n different numbers below n are all
}

// classOf reads one entry of a dictionary of classes.
func classOf(p pair) (class int64, name string, err error) {
	key, isName := p.key.(string)
	if n, ok := p.value.(int64); ok && isName {
		return n, key, nil
	}
	class, isNumber := p.key.(int64)
	if isName {
		class, err = strconv.ParseInt(key, 10, 64)
		isNumber = err == nil
	}
	if !isNumber {
		return 0, "", fmt.Errorf("%s stands for %s: neither is the number of a class", show(p.key), show(p.value))
	}
	name, err = label(p.value)
	if err != nil {
		return 0, "", fmt.Errorf("class %d %w", class, err)
	}
	return class, name, nil
}

// label reads a name, or a WordNet id and a name.
func label(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []any:
		if len(v) == 2 {
			id, ok1 := v[0].(string)
			name, ok2 := v[1].(string)
			if ok1 && ok2 {
				return id + " " + strings.ReplaceAll(name, "_", " "), nil
			}
		}
	}
	return "", fmt.Errorf("is %s, want a name, or an id and a name", show(v))
}

// describe adds timm's descriptions to WordNet ids. Other names stay as they are.
func describe(list []string, descriptions any) ([]string, error) {
	d, ok := descriptions.(dict)
	if !ok {
		return nil, fmt.Errorf("label_descriptions is %s, want an object", show(descriptions))
	}
	texts := map[string]string{}
	for _, p := range d {
		key, _ := p.key.(string)
		texts[key], _ = p.value.(string)
	}
	for i, name := range list {
		if id, rest := Split(name); id != "" && rest == "" && texts[id] != "" {
			list[i] = id + " " + texts[id]
		}
	}
	return list, nil
}
