package evaluate

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg"
	"github.com/nonet-go/nonet/vgg/internal/collection"
)

// Log is a file with a line for each picture, from which an interrupted evaluation
// continues. No line ever changes. Each is written as a whole, and Close puts all on the
// disk. When the file is opened again, a last line that a kill has cut is removed, and what
// a crash of the machine has lost: from the first line with a zero byte on.
//
// A file whose name ends with .csv has comma-separated values, with the names of the columns
// in its first line. Other files have one JSON object a line: an Outcome, and the name of
// the run. Texts with control characters or invalid UTF-8 are written as Go's string
// literals.
type Log struct {
	file *outfile.Appender
	logged
	first bool // no line is on the disk
}

// logged is the content of a log.
type logged struct {
	r    io.ReaderAt
	name string // of the file
	form form
	run  string
	old  int64 // bytes of whole lines
}

// form is how lines are written and read.
type form interface {
	header() []byte
	line(run string, o Outcome) ([]byte, error)
	parse(line []byte) (run string, o Outcome, err error)
}

// OpenLog opens the file for the outcomes of a run. Each line has the name of the run, which
// stands for everything that results depend on: networks, protocols and data. With resume
// the existing lines of the same run are kept. Without resume the file must not exist.
// Errors wrap ErrData if the file has lines of another run, or anything else.
func OpenLog(path, run string, resume bool) (*Log, error) {
	f, err := outfile.OpenAppender(path, !resume)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	l := &Log{file: f, logged: logged{r: f, name: path, form: formOf(path), run: run}}
	if err := l.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("evaluate: %s: %w", path, err), f.Close())
	}
	return l, nil
}

func formOf(path string) form {
	if strings.HasSuffix(strings.ToLower(path), ".csv") {
		return csvForm{}
	}
	return jsonForm{}
}

// open removes a torn line, writes the header of an empty file, and checks that
// the first line is of this run.
func (l *Log) open() error {
	whole, err := outfile.Whole(l.r)
	if err != nil {
		return err
	}
	l.old = whole
	if whole == 0 {
		return l.begin()
	}
	for _, err := range l.Done() {
		if err != nil {
			return err // of the first line: the file is not ours to change
		}
		break
	}
	return l.file.Truncate(whole)
}

// begin writes the header of a file without a whole line. Such a file is empty or has a part
// of its first line, and zeros where a crash of the machine has lost the rest.
func (l *Log) begin() error {
	l.first = true
	first := []byte(`{"run":`)
	if len(l.form.header()) > 0 {
		first = l.form.header()
	}
	if err := onlyTorn(l.r, first); err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	if header := l.form.header(); len(header) > 0 {
		return l.file.Append(header)
	}
	return nil
}

// onlyTorn returns an error unless a file without a whole line is a part of a line that
// begins with first, and zeros.
func onlyTorn(f io.ReaderAt, first []byte) error {
	r := bufio.NewReader(io.NewSectionReader(f, 0, math.MaxInt64))
	for i, zeros := 0, false; ; i++ {
		b, err := r.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case b == 0:
			zeros = true
		case zeros || i < len(first) && b != first[i]:
			return fmt.Errorf("it is no log of an evaluation: %w", ErrData)
		}
	}
}

// Done lists the outcomes that were in the file when it was opened, for Options.Done. It
// reads them one at a time.
func (l *logged) Done() iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		r := bufio.NewReader(io.NewSectionReader(l.r, 0, l.old))
		for n := 1; ; n++ {
			line, err := r.ReadBytes('\n')
			if err == io.EOF {
				return // all lines are whole
			}
			var o Outcome
			if err == nil && n == 1 && len(l.form.header()) > 0 {
				if !bytes.Equal(line, l.form.header()) {
					yield(o, fmt.Errorf("evaluate: %s: its first line is not %q: %w", l.name, bytes.TrimSpace(l.form.header()), ErrData))
					return
				}
				continue
			}
			if err == nil {
				o, err = l.parse(line, n)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

func (l *logged) parse(line []byte, n int) (Outcome, error) {
	run, o, err := l.form.parse(line)
	switch {
	case err != nil:
		err = fmt.Errorf("evaluate: %s: line %d: %w: %v", l.name, n, ErrData, err)
	case run != l.run:
		err = fmt.Errorf("evaluate: %s: line %d is of another run (%q, this is %q): other networks, protocols or data: %w", l.name, n, run, l.run, ErrData)
	}
	return o, err
}

// Append writes the line of one picture.
func (l *Log) Append(o Outcome) error {
	line, err := l.form.line(l.run, o)
	if err == nil {
		err = l.file.Append(line)
	}
	if err == nil && l.first { // it shows whose file this is, after a crash as well
		l.first, err = false, l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	return nil
}

// Close brings the lines to the disk and closes the file.
func (l *Log) Close() error { return l.file.Close() }

// jsonForm is one object a line.
type jsonForm struct{}

type jsonLine struct {
	Run string `json:"run"`
	Outcome
}

func (jsonForm) header() []byte { return nil }

func (jsonForm) line(run string, o Outcome) ([]byte, error) {
	o.Path, o.Label, o.Err = collection.Quote(o.Path), collection.Quote(o.Label), collection.Quote(o.Err)
	b, err := json.Marshal(jsonLine{run, o})
	return append(b, '\n'), err
}

func (jsonForm) parse(line []byte) (string, Outcome, error) {
	var l jsonLine
	err := json.Unmarshal(line, &l)
	o := l.Outcome
	o.Path, o.Label, o.Err = collection.Unquote(o.Path), collection.Unquote(o.Label), collection.Unquote(o.Err)
	return l.Run, o, err
}

// csvForm has columns for the five most probable classes, which may be empty.
type csvForm struct{}

const csvTop = 5

func (csvForm) header() []byte {
	columns := "run,path,class,label,error"
	for i := 1; i <= csvTop; i++ {
		columns += fmt.Sprintf(",class%d,id%d,label%d,probability%d", i, i, i, i)
	}
	return []byte(columns + "\n")
}

func (csvForm) line(run string, o Outcome) ([]byte, error) {
	fields := []string{run, collection.Quote(o.Path), strconv.Itoa(o.Class), collection.Quote(o.Label), collection.Quote(o.Err)}
	for i := range csvTop {
		if i < len(o.Top) {
			p := o.Top[i]
			fields = append(fields, strconv.Itoa(p.Class), collection.Quote(p.ID), collection.Quote(p.Label), strconv.FormatFloat(p.Probability, 'g', -1, 64))
		} else {
			fields = append(fields, "", "", "", "")
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // into memory
	w.Flush()
	return b.Bytes(), w.Error()
}

func (csvForm) parse(line []byte) (string, Outcome, error) {
	r := csv.NewReader(bytes.NewReader(line))
	r.FieldsPerRecord = 5 + 4*csvTop
	f, err := r.Read()
	if err != nil {
		return "", Outcome{}, err
	}
	o := Outcome{Path: collection.Unquote(f[1]), Label: collection.Unquote(f[3]), Err: collection.Unquote(f[4])}
	o.Class, err = strconv.Atoi(f[2])
	for top := f[5:]; err == nil && len(top) > 0 && top[0] != ""; top = top[4:] {
		p := vgg.Prediction{ID: collection.Unquote(top[1]), Label: collection.Unquote(top[2])}
		var err2 error
		p.Class, err = strconv.Atoi(top[0])
		p.Probability, err2 = strconv.ParseFloat(top[3], 64)
		err = errors.Join(err, err2)
		o.Top = append(o.Top, p)
	}
	return f[0], o, err
}
