package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/internal/collection"
)

// identity identifies a data set by the paths, sizes and classes of its pictures. The place
// of the data set does not matter.
type identity struct {
	Name     string `json:"name"` // to tell a person
	Pictures int    `json:"pictures"`
	Bytes    int64  `json:"bytes"`
	Hash     string `json:"hash"` // of all pictures' marks
}

// A mark is 16 bytes of SHA-256 of a picture's path, size and class. The marks of a data set
// are added modulo 2, so that one can be exchanged.
type mark [16]byte

func (m *mark) add(other mark) {
	for i, b := range other {
		m[i] ^= b
	}
}

func (m mark) String() string { return hex.EncodeToString(m[:]) }

func (m mark) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m *mark) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(m) {
		return fmt.Errorf("%q, want %d hexadecimal digits", text, 2*len(m))
	}
	_, err := hex.Decode(m[:], text)
	return err
}

// mark returns the mark and the size of example i. A picture without a file, which
// ends a run when it is needed, has size −1.
func (d *Dataset) mark(i int) (mark, int64) {
	e := d.Examples[i]
	size, err := d.pictures.Size(collection.Item{Path: e.Path, Offset: e.offset, Size: e.size})
	if err != nil {
		size = -1
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d", e.Path, d.Classes[e.Class], size)
	return mark(h.Sum(nil)[:16]), size
}

// identify computes the identity. It asks the file system for each picture's size.
func (d *Dataset) identify(ctx context.Context) (*identity, error) {
	id := &identity{Name: d.Name, Pictures: len(d.Examples)}
	var all mark
	for i := range d.Examples {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, size := d.mark(i)
		all.add(m)
		id.Bytes += max(0, size)
	}
	id.Hash = all.String()
	return id, nil
}

// unreadable is a picture that has ended a run. It may be another when the run continues.
type unreadable struct {
	Validate bool   `json:"validate,omitempty"` // it is one of Run.Validate
	Path     string `json:"path"`
	Mark     mark   `json:"mark"`
	Size     int64  `json:"size"`
}

// unreadable describes example i.
func (d *Dataset) unreadable(i int, validate bool) unreadable {
	m, size := d.mark(i)
	return unreadable{validate, d.Examples[i].Path, m, size}
}

// mended returns the identity that now would have if the pictures that ended the run before
// were unchanged.
func (d *Dataset) mended(now identity, before []unreadable, validate bool) identity {
	var all mark
	_ = all.UnmarshalText([]byte(now.Hash)) // identify made it
	for _, u := range before {
		i := slices.IndexFunc(d.Examples, func(e Example) bool { return e.Path == u.Path })
		if i < 0 || u.Validate != validate {
			continue
		}
		m, size := d.mark(i)
		all.add(m)
		all.add(u.Mark)
		now.Bytes += max(0, u.Size) - max(0, size)
	}
	now.Hash = all.String()
	return now
}

// difference says how two data sets differ, or returns nothing.
func (id identity) difference(now identity) string {
	switch {
	case id.Hash == now.Hash && id.Pictures == now.Pictures:
		return ""
	case id.Pictures != now.Pictures:
		return fmt.Sprintf("%d pictures of %s in the checkpoint, %d of %s now", id.Pictures, id.Name, now.Pictures, now.Name)
	case id.Bytes != now.Bytes:
		return fmt.Sprintf("%d bytes of pictures of %s in the checkpoint, %d of %s now", id.Bytes, id.Name, now.Bytes, now.Name)
	}
	return fmt.Sprintf("other paths, sizes or classes of pictures: %s of %s in the checkpoint, %s of %s now", id.Hash, id.Name, now.Hash, now.Name)
}

// recipeDifferences lists the fields in which two recipes differ, with both values. A
// field that one does not have counts as zero. More epochs are no difference.
func recipeDifferences(saved, now json.RawMessage) ([]string, error) {
	a, b := map[string]string{}, map[string]string{}
	for text, fields := range map[*json.RawMessage]map[string]string{&saved: a, &now: b} {
		d := json.NewDecoder(strings.NewReader(string(*text)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		flatten(fields, "", v)
	}
	var list []string
	for _, name := range sortedKeys(a, b) {
		x, y := a[name], b[name]
		if x == y || name == "Epochs" && fewer(x, y) {
			continue
		}
		list = append(list, fmt.Sprintf("%s is %s in the checkpoint and %s now", name, orNothing(x), orNothing(y)))
	}
	return list, nil
}

func fewer(a, b string) bool {
	var x, y int
	_, errX := fmt.Sscan(a, &x)
	_, errY := fmt.Sscan(b, &y)
	return errX == nil && errY == nil && x < y
}

func orNothing(s string) string {
	if s == "" {
		return "not given"
	}
	return s
}

func sortedKeys(maps ...map[string]string) (keys []string) {
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// flatten lists the fields of a JSON value that are not zero, as Schedule.rate.
func flatten(to map[string]string, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, field := range v {
			flatten(to, strings.TrimPrefix(name+"."+key, "."), field)
		}
	case []any:
		for i, element := range v {
			flatten(to, fmt.Sprintf("%s[%d]", name, i), element)
		}
	case nil:
	default:
		if text := fmt.Sprint(v); text != "" && text != "0" && text != "false" {
			to[name] = text
		}
	}
}
