package picture

import (
	"context"
	"fmt"
	"io"
)

// Limits on what a file of few bytes may ask for. A hundred million pixels of one colour
// compress to a thousandth of their size, and with 16 bits a sample, four samples and several
// passes they take ten times the work of a photograph. With these limits no file of less than
// 1 MB takes more than 2 s of a core of an AMD Zen 3, or more than 1.6 GB.
const (
	freeWork      = 400_000_000 // bytes of samples as they are stored, for a file of any length
	workPerByte   = 64          // and for each byte of the file; photographs need 2 to 20
	freeLossless  = 50_000_000  // pixels of lossless WebP, which take 35 ns each with all transforms
	pixelsPerByte = 16
)

// checkWork returns an error if a file of length bytes has too many bytes of samples.
func checkWork(samples int64, length int) error {
	if samples > freeWork+workPerByte*int64(length) {
		return fmt.Errorf("%d bytes of samples in a file of %d bytes: %w", samples, length, ErrSize)
	}
	return nil
}

// stopping reads from r until ctx is done, whose error it then returns.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}
