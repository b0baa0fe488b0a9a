// Package crash is a file system for tests that fails, and whose machine crashes.
//
// A Disk is a folder whose files package outfile changes through it. It writes what each
// call changes into a real folder, and knows which of it is on the disk: the content of a
// file once it was synced, and the names in the folder once that was synced. States makes
// every folder that a crash may leave. In such a state any of the changes of names since
// the last sync of the folder may be lost. Of the content that was not synced any part may
// be lost: nothing of it is there, it is cut, or there are zeros in the place of its
// sectors.
package crash

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nonet-go/nonet/internal/outfile"
)

// Disk is an outfile.System of one folder. One goroutine at a time may use it.
type Disk struct {
	Dir   string
	Calls int // so far
	// Fail is the number of a call, from 1, that fails with Err: 0 for none. A write that
	// fails has written half.
	Fail int
	Err  error
	// Short makes that call write half, and say so, without an error.
	Short bool

	os      outfile.OS
	inodes  map[string]*inode // of the names, as programs see them
	durable map[string]*inode // of the names on the disk
	pending []change          // of names
	moments []moment
}

// inode is the content of a file.
type inode struct{ seen, synced []byte }

// change is what happens to a name: it gets an inode, and another name may lose it.
type change struct {
	name, from string // from is empty for a new file
	to         *inode // nil: the name is removed
}

// moment is the state of a Disk after a call.
type moment struct {
	call    string
	n       int // of the call, from 1
	durable map[string]*inode
	pending []change
	content map[*inode]inode
}

// New makes a Disk of a folder, whose files are all on the disk.
func New(t testing.TB, dir string) *Disk {
	t.Helper()
	d := &Disk{Dir: dir, inodes: map[string]*inode{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		d.inodes[e.Name()] = &inode{b, b}
	}
	d.durable = maps.Clone(d.inodes)
	d.remember("begin")
	t.Cleanup(outfile.Intercept(dir, d))
	return d
}

// begin counts a call, and returns an error if it is to fail.
func (d *Disk) begin(call string) error {
	if d.Calls++; d.Calls == d.Fail && !d.Short {
		d.remember(call + " fails")
		return &fs.PathError{Op: call, Path: d.Dir, Err: d.Err}
	}
	return nil
}

// remember keeps the present state.
func (d *Disk) remember(call string) {
	m := moment{call, d.Calls, maps.Clone(d.durable), slices.Clone(d.pending), map[*inode]inode{}}
	for _, names := range []map[string]*inode{d.inodes, d.durable} {
		for _, i := range names {
			m.content[i] = *i
		}
	}
	for _, c := range d.pending {
		if c.to != nil {
			m.content[c.to] = *c.to
		}
	}
	d.moments = append(d.moments, m)
}

func (d *Disk) change(c change) {
	d.pending = append(d.pending, c)
	apply(d.inodes, c)
}

func apply(names map[string]*inode, c change) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.to
	}
}

// OpenFile is os.OpenFile.
func (d *Disk) OpenFile(name string, flag int, mode fs.FileMode) (outfile.File, error) {
	if err := d.begin("open"); err != nil {
		return nil, err
	}
	f, err := d.os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(name)
	if d.inodes[base] == nil {
		d.change(change{name: base, to: &inode{}})
	}
	d.remember("open")
	return &file{File: f, disk: d, inode: d.inodes[base]}, nil
}

// Rename is os.Rename.
func (d *Disk) Rename(from, to string) error {
	err := d.begin("rename")
	if err == nil {
		err = d.os.Rename(from, to)
	}
	if err == nil {
		d.change(change{filepath.Base(to), filepath.Base(from), d.inodes[filepath.Base(from)]})
		d.remember("rename")
	}
	return err
}

// Remove is os.Remove.
func (d *Disk) Remove(name string) error {
	err := d.begin("remove")
	if err == nil {
		err = d.os.Remove(name)
	}
	if err == nil {
		d.change(change{name: filepath.Base(name)})
		d.remember("remove")
	}
	return err
}

// SyncDir puts the names on the disk.
func (d *Disk) SyncDir(string) error {
	if err := d.begin("sync of the folder"); err != nil {
		return err
	}
	d.durable, d.pending = maps.Clone(d.inodes), nil
	d.remember("sync of the folder")
	return nil
}

// file is a file of a Disk. It appends.
type file struct {
	outfile.File
	disk  *Disk
	inode *inode
}

func (f *file) Write(b []byte) (int, error) {
	err := f.disk.begin("write")
	part := b
	if f.disk.Calls == f.disk.Fail {
		part = b[:len(b)/2]
	}
	n, failed := f.File.Write(part)
	f.inode.seen = append(slices.Clip(f.inode.seen), part[:n]...)
	f.disk.remember("write")
	if err == nil {
		err = failed
	}
	return n, err
}

func (f *file) Truncate(size int64) error {
	err := f.disk.begin("truncate")
	if err == nil {
		err = f.File.Truncate(size)
	}
	if err == nil {
		f.inode.seen = f.inode.seen[:size:size]
		f.disk.remember("truncate")
	}
	return err
}

// Sync puts the content on the disk. One that fails has lost what was not there: a second
// one would succeed and change nothing.
func (f *file) Sync() error {
	if err := f.disk.begin("sync"); err != nil {
		return err
	}
	f.inode.synced = slices.Clone(f.inode.seen)
	f.disk.remember("sync")
	return nil
}

func (f *file) Chmod(mode fs.FileMode) error {
	if err := f.disk.begin("chmod"); err != nil {
		return err
	}
	return f.File.Chmod(mode)
}

func (f *file) Close() error {
	err := f.disk.begin("close")
	if failed := f.File.Close(); err == nil {
		err = failed
	}
	return err
}

// States calls check for every state that a crash after any call so far may leave, with a
// folder of its files and a name of the state. States with the same files are one.
func (d *Disk) States(t *testing.T, check func(dir, state string)) {
	t.Helper()
	each(t, d.moments, check)
}

// Failed is States for a crash after the call that has failed or any later one: what a program
// does about a failure may be cut short as well. If none has failed it is Final.
func (d *Disk) Failed(t *testing.T, check func(dir, state string)) {
	t.Helper()
	first := slices.IndexFunc(d.moments, func(m moment) bool { return m.n >= d.Fail })
	if d.Fail == 0 || first < 0 {
		first = len(d.moments) - 1
	}
	each(t, d.moments[first:], check)
}

// Final is States for a crash after the last call.
func (d *Disk) Final(t *testing.T, check func(dir, state string)) {
	t.Helper()
	each(t, d.moments[len(d.moments)-1:], check)
}

// each calls check for the states after some moments.
func each(t *testing.T, moments []moment, check func(dir, state string)) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range moments {
		m.states(func(files map[string][]byte) {
			key := hash(files)
			if seen[key] {
				return
			}
			seen[key] = true
			dir := t.TempDir()
			for name, b := range files {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			check(dir, fmt.Sprintf("after call %d, %s: %s", i, m.call, sizes(files)))
		})
	}
}

func hash(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d ", name, len(files[name]))
		h.Write(files[name])
	}
	return string(h.Sum(nil))
}

func sizes(files map[string][]byte) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fmt.Sprintf("%s of %d bytes", name, len(files[name])))
	}
	return fmt.Sprint(list)
}

// states calls f with the files of every state after a crash.
func (m moment) states(f func(map[string][]byte)) {
	for subset := range 1 << len(m.pending) { // of the changes of names
		names := maps.Clone(m.durable)
		for i, c := range m.pending {
			if subset>>i&1 == 1 {
				apply(names, c)
			}
		}
		files := map[string][]byte{}
		m.contents(slices.Sorted(maps.Keys(names)), names, files, f)
	}
}

// contents calls f with each combination of what may be left of the files called list.
func (m moment) contents(list []string, names map[string]*inode, files map[string][]byte, f func(map[string][]byte)) {
	if len(list) == 0 {
		f(files)
		return
	}
	for _, b := range left(m.content[names[list[0]]]) {
		files[list[0]] = b
		m.contents(list[1:], names, files, f)
	}
	delete(files, list[0])
}

// sector is what a disk writes as a whole, bytes.
const sector = 512

// left lists what a crash may leave of a file.
func left(i inode) [][]byte {
	if bytes.Equal(i.seen, i.synced) {
		return [][]byte{i.seen}
	}
	same := 0 // bytes that have not changed since the sync
	for same < min(len(i.seen), len(i.synced)) && i.seen[same] == i.synced[same] {
		same++
	}
	fresh := len(i.seen) - same
	list := [][]byte{i.synced, i.seen, i.seen[:same]}
	for _, cut := range []int{1, fresh / 2, fresh - 1} {
		if cut > 0 {
			list = append(list, i.seen[:same+cut])
		}
	}
	middle := (same + fresh/2) / sector * sector
	for _, hole := range [][2]int{{same, len(i.seen)}, {same, middle}, {middle, len(i.seen)}} {
		b := slices.Clone(i.seen)
		if from := max(hole[0], same); from < hole[1] {
			clear(b[from:hole[1]])
		}
		list = append(list, b)
	}
	return list
}

// Each runs what once for every call that it makes, which fails: by each of some errors,
// and by half a write. what gets a Disk of a fresh folder, made by prepare, and its result
// is given to check, with a name of the failure.
func Each(t *testing.T, errs []error, prepare func(dir string), what func(d *Disk) error, check func(d *Disk, failure string, err error)) {
	t.Helper()
	for _, err := range append(errs, nil) {
		for n := 1; ; n++ {
			dir := t.TempDir()
			prepare(dir)
			d := New(t, dir)
			d.Fail, d.Err, d.Short = n, err, err == nil
			result := what(d)
			check(d, fmt.Sprintf("call %d: %v", n, err), result)
			if d.Calls < n {
				break // all have failed once
			}
		}
	}
}
