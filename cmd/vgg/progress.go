package main

import (
	"fmt"
	"io"
	"time"

	"github.com/nonet-go/nonet/vgg/extract"
)

// progress prints every few seconds how many pictures are done. One goroutine at a time may
// use it.
type progress struct {
	w              io.Writer
	start, shown   time.Time
	total          int
	done, computed int // by this run and earlier ones, by this one
}

func newProgress(w io.Writer, total int) *progress {
	now := time.Now()
	return &progress{w: w, start: now, shown: now, total: total}
}

// earlier counts n pictures of an earlier run.
func (p *progress) earlier(n int) { p.done += n }

// step counts a picture of this run.
func (p *progress) step() {
	p.computed++
	p.done++
	if time.Since(p.shown) > 5*time.Second {
		p.shown = time.Now()
		left := time.Duration(float64(p.total-p.done) / p.rate() * 1e9)
		fmt.Fprintf(p.w, "%d of %d pictures, %.3g/s, %v left\n", p.done, p.total, p.rate(), left.Round(time.Second))
	}
}

// rate returns the pictures of this run per second.
func (p *progress) rate() float64 { return float64(p.computed) / time.Since(p.start).Seconds() }

// onPicture counts the pictures of a job of package extract and tells of those that failed.
func (p *progress) onPicture(s streams) func(it extract.Item, earlier bool) error {
	return func(it extract.Item, earlier bool) error {
		if earlier {
			p.earlier(1)
			return nil
		}
		if it.Err != "" {
			fmt.Fprintln(s.err, "vgg:", printableLines(it.Err))
		}
		p.step()
		return nil
	}
}
