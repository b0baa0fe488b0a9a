package extract

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/nonet-go/nonet/vgg/internal/collection"
	"github.com/nonet-go/nonet/vgg/shard"
)

// Header says what a shard is of. It is the first line of a manifest.
type Header struct {
	Kind    string       `json:"kind"` // kindName
	Shard   shard.Shard  `json:"shard"`
	Origin  shard.Origin `json:"origin"`
	Config  string       `json:"config"`
	Preset  string       `json:"preset"` // how pictures were prepared: colours,
	Side    int          `json:"side"`   // and the shorter side before the crop
	Spec    Spec         `json:"spec"`
	Format  string       `json:"format"`
	Columns []Column     `json:"columns"`
	Labels  []string     `json:"labels,omitempty"` // of the classes, if classes were wanted
}

const kindName = "nonet features 1"

// difference says in what the settings of two shards of one origin differ, or nothing.
func (h Header) difference(o Header) string {
	if d := h.Origin.Difference(o.Origin); d != "" {
		return d
	}
	h.Shard, h.Origin = o.Shard, o.Origin
	a, _ := json.Marshal(h) // no value of a Header fails
	b, _ := json.Marshal(o)
	if bytes.Equal(a, b) {
		return ""
	}
	return fmt.Sprintf("settings: %s %+v and %s %+v", h.Format, h.Spec, o.Format, o.Spec)
}

// Item is one picture of a shard.
type Item struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // of the file; −1 if it is not known
	// Row is the place of its row in the shard's files, or −1 if it failed.
	Row int    `json:"row"`
	Err string `json:"error,omitempty"` // why it failed
}

// quoted returns the item as it stands in a file of lines.
func (it Item) quoted() Item {
	it.Path, it.Err = collection.Quote(it.Path), collection.Quote(it.Err)
	return it
}

func (it Item) unquoted() Item {
	it.Path, it.Err = collection.Unquote(it.Path), collection.Unquote(it.Err)
	return it
}

// File is one of a shard's files.
type File struct {
	Name   string `json:"name"` // in the directory of the manifest
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Footer is the last line of a manifest.
type Footer struct {
	Pictures int    `json:"pictures"`
	Failed   int    `json:"failed"`
	Failure  string `json:"failure,omitempty"` // of the first that failed
	Files    []File `json:"files"`
}

// manifestName is the name of a shard's manifest.
func manifestName(s shard.Shard) string { return "manifest." + s.Name() + ".jsonl" }

// maxLine bounds a line of a manifest: the names of a million classes.
const maxLine = 1 << 26

// Manifest is a file that says what a shard of features is and of which pictures: a
// Header, an Item for each picture in the order of the data, and a Footer, each as a
// line of JSON. It appears when the shard is complete.
type Manifest struct {
	Header Header
	Footer Footer
	path   string
}

// ReadManifest reads a manifest and calls each, unless it is nil, with its items in
// order. Memory does not depend on their number. Errors wrap ErrData or those of the
// file system.
func ReadManifest(path string, each func(Item) error) (*Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := &Manifest{path: path}
	if err := m.read(f, each); err != nil {
		return nil, fmt.Errorf("extract: %s: %w", path, err)
	}
	return m, nil
}

func (m *Manifest) read(r io.Reader, each func(Item) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	if !sc.Scan() {
		return errors.Join(sc.Err(), fmt.Errorf("it is empty: %w", ErrData))
	}
	if err := json.Unmarshal(sc.Bytes(), &m.Header); err != nil || m.Header.Kind != kindName || !m.Header.Shard.Valid() {
		return fmt.Errorf("it is no manifest of features: %w", ErrData)
	}
	items, rows, ended := 0, 0, false
	for sc.Scan() {
		if ended {
			return fmt.Errorf("it goes on after its end: %w", ErrData)
		}
		var line struct {
			Item
			End *Footer `json:"end"`
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			return fmt.Errorf("line %d: %v: %w", items+2, err, ErrData)
		}
		if line.End != nil {
			m.Footer, ended = *line.End, true
			continue
		}
		if items++; line.Row >= 0 {
			if line.Row != rows {
				return fmt.Errorf("line %d: row %d, want %d: %w", items+1, line.Row, rows, ErrData)
			}
			rows++
		}
		if each != nil {
			if err := each(line.unquoted()); err != nil {
				return err
			}
		}
	}
	first, end := m.Header.Shard.Range(m.Header.Origin.Pictures)
	switch {
	case sc.Err() != nil:
		return sc.Err()
	case !ended || items != m.Footer.Pictures || items-rows != m.Footer.Failed || items != end-first:
		return fmt.Errorf("it is not whole: %w", ErrData)
	}
	return nil
}

// write writes a manifest with the items of a part.
func (m *Manifest) write(w io.Writer, p *part) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(m.Header); err != nil {
		return err
	}
	for rec, err := range p.records() {
		if err == nil {
			err = e.Encode(rec.Item.quoted())
		}
		if err != nil {
			return err
		}
	}
	return e.Encode(map[string]Footer{"end": m.Footer})
}

// there reports whether the shard's files have the sizes that the manifest says.
func (m *Manifest) there() bool {
	for _, f := range m.Footer.Files {
		info, err := os.Stat(filepath.Join(filepath.Dir(m.path), filepath.Base(f.Name)))
		if err != nil || info.Size() != f.Bytes {
			return false
		}
	}
	return true
}
