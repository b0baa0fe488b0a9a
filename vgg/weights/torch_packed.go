package weights

import (
	"archive/zip"
	"fmt"
	"io"
	"sync"
)

// maxInflated bounds the memory of the deflated storages of a file, in sizes of the file.
// Trained weights shrink by a tenth; deflate reaches a factor of a thousand only with zeros.
const maxInflated = 32

// packedStorage is a storage that a program deflated after torch.save.
type packedStorage struct {
	member *zip.File
	size   int64
	users  int // tensors

	mu   sync.Mutex
	kept []byte // inflated, if several tensors are views of it
}

// section returns bytes of the storage, inflated anew unless tensors share it.
func (p *packedStorage) section(offset, length int64) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.kept
	if b == nil {
		var err error
		if b, err = p.inflate(); err != nil {
			return nil, err
		}
		if p.users > 1 {
			p.kept = b
		}
	}
	return b[offset : offset+length : offset+length], nil
}

// inflate reads the member and compares its checksum.
func (p *packedStorage) inflate() (b []byte, err error) {
	fault := guard(func() {
		var r io.ReadCloser
		if r, err = p.member.Open(); err != nil {
			return
		}
		defer r.Close()
		b = make([]byte, p.size)
		if _, err = io.ReadFull(r, b); err == nil {
			_, err = io.ReadFull(r, make([]byte, 1)) // the checksum comes at the end
		}
		if err == io.EOF {
			err = nil
		}
	})
	switch {
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, fmt.Errorf("storage %s: %w: %w", quote(p.member.Name), err, ErrFormat)
	}
	return b, nil
}

// elements returns all bytes of a storage.
func (r *torchReader) elements(s *torchStorage) ([]byte, error) {
	if s.packed != nil {
		return s.packed.section(0, s.packed.size)
	}
	return r.f.section(s.offset, s.numel*int64(s.dtype.Size()))
}
