package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nonet-go/nonet/internal/outfile"
	"github.com/nonet-go/nonet/vgg/train"
)

// trainLog is the file of --log. It has a line for each epoch: a JSON object, or a row of a
// table if its name ends in .csv. Without a path it does nothing.
type trainLog struct {
	path string
	file *outfile.Appender
}

const logHeader = "epoch,rate,loss,accuracy,validation_loss,validation_accuracy,seconds,pictures_per_second\n"

func (l *trainLog) csv() bool { return filepath.Ext(l.path) == ".csv" }

// open completes the file, so that a resumed run has a line for each epoch of history, and
// opens it for further lines.
func (l *trainLog) open(history []train.Epoch) error {
	if l.path == "" {
		return nil
	}
	info, err := os.Stat(l.path)
	special := err == nil && !info.Mode().IsRegular()
	if !special {
		if err := l.complete(history); err != nil {
			return fmt.Errorf("--log: %w", err)
		}
	}
	if l.file, err = outfile.OpenAppender(l.path, false); err != nil {
		return err
	}
	if special && l.csv() {
		err = l.file.Append([]byte(logHeader))
	}
	return err
}

// complete writes the file anew if it lacks lines of history or ends in a cut line.
func (l *trainLog) complete(history []train.Epoch) error {
	old, err := os.ReadFile(l.path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	want, err := l.whole(old, history)
	if err != nil || bytes.Equal(want, old) {
		return err
	}
	return outfile.Write(l.path, func(w io.Writer) error {
		_, err := w.Write(want)
		return err
	})
}

// whole returns the complete content of the file: if its last run is that of history, the
// old content with that run completed, else the old content followed by history.
func (l *trainLog) whole(old []byte, history []train.Epoch) ([]byte, error) {
	var lines []string
	for line := range strings.Lines(string(old)) {
		// Else it was torn: by a kill, or by a crash of the machine, which leaves zeros.
		if strings.HasSuffix(line, "\n") && !strings.Contains(line, "\x00") {
			lines = append(lines, line)
		}
	}
	if l.csv() && len(lines) == 0 {
		lines = []string{logHeader}
	}
	ours := make([]string, len(history))
	for i, e := range history {
		var err error
		if ours[i], err = l.line(e); err != nil {
			return nil, err
		}
	}
	if len(ours) > 0 {
		lines = append(lines[:l.lastRun(lines, ours)], ours...)
	}
	return []byte(strings.Join(lines, "")), nil
}

// lastRun returns the index of the first line of the last run in the file, if no line of it
// contradicts ours, else the number of lines.
func (l *trainLog) lastRun(lines, ours []string) int {
	at, after := len(lines), len(ours)+1 // epoch of the line behind
	for at > 0 {
		n := l.epoch(lines[at-1])
		if n < 1 || n >= after {
			break
		}
		if lines[at-1] != ours[n-1] {
			return len(lines)
		}
		at, after = at-1, n
	}
	return at
}

// epoch returns the number of a line's epoch, or 0.
func (l *trainLog) epoch(line string) int {
	if l.csv() {
		first, _, _ := strings.Cut(line, ",")
		n, _ := strconv.Atoi(first)
		return n
	}
	var e train.Epoch
	_ = json.Unmarshal([]byte(line), &e)
	return e.Epoch
}

func (l *trainLog) line(e train.Epoch) (string, error) {
	if l.csv() {
		return fmt.Sprintf("%d,%g,%g,%g,%g,%g,%.1f,%.1f\n", e.Epoch, e.Rate, e.Loss, e.Accuracy, e.ValLoss, e.Validation, e.Seconds, e.PerSecond), nil
	}
	b, err := json.Marshal(e)
	return string(b) + "\n", err
}

// append writes the line of an epoch, to the disk: the checkpoint has the epoch already.
func (l *trainLog) append(e train.Epoch) error {
	if l.path == "" {
		return nil
	}
	line, err := l.line(e)
	if err == nil {
		err = l.file.Append([]byte(line))
	}
	if err == nil {
		err = l.file.Sync()
	}
	return err
}

func (l *trainLog) close() {
	if l.file != nil {
		l.file.Close() // each line was synced by itself
	}
}
