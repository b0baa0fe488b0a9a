package beam

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/fileio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/nonet-go/nonet/vgg/picture"
)

func init() {
	beam.RegisterType(reflect.TypeFor[readFn]())
	register.Emitter2[string, []byte]()
	register.Emitter1[Failure]()
}

// Read finds pictures on any filesystem that Beam has: the files that match a pattern,
// and the pictures in those of them whose names end with .tar. It gives a
// PCollection<KV<string, []byte>> of their paths and contents, and a
// PCollection<Failure> of what could not be read. A picture in a tar file has the path
// of the file, a slash and its own. The files are spread over the workers; the pictures
// of one tar file are read by one, and beam.Reshuffle spreads them if tar files are few.
func Read(s beam.Scope, pattern string) (pictures, failures beam.PCollection) {
	s = s.Scope("nonet.Read")
	files := fileio.MatchFiles(s, pattern, fileio.MatchEmptyDisallow())
	return beam.ParDo2(s, &readFn{}, beam.Reshuffle(s, files))
}

type readFn struct{}

// maxFile bounds the memory that one picture takes before it is decoded.
const maxFile = 1 << 30

func (*readFn) ProcessElement(ctx context.Context, f fileio.FileMetadata, emit func(string, []byte), fail func(Failure)) error {
	fs, err := filesystem.New(ctx, f.Path)
	if err != nil {
		return err
	}
	defer fs.Close()
	r, err := fs.OpenRead(ctx, f.Path)
	if err != nil {
		fail(Failure{f.Path, err.Error()})
		return nil
	}
	defer r.Close()
	if strings.HasSuffix(strings.ToLower(f.Path), ".tar") {
		return readTar(ctx, f.Path, r, emit, fail)
	}
	data, err := readAll(r)
	if err != nil {
		fail(Failure{f.Path, err.Error()})
		return nil
	}
	emit(f.Path, data)
	return nil
}

// readAll reads a picture of a size that is not told.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return data, err
}

// readTar emits the pictures of a tar file. Of a damaged one those before the damage
// are emitted, and the file fails.
func readTar(ctx context.Context, name string, r io.Reader, emit func(string, []byte), fail func(Failure)) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			fail(Failure{name, err.Error()})
			return nil
		}
		if h.Typeflag != tar.TypeReg || !isPicture(h.Name) {
			continue
		}
		key := name + "/" + path.Clean(h.Name)
		data, err := readAll(t)
		if err != nil {
			fail(Failure{key, err.Error()})
			continue
		}
		emit(key, data)
	}
}

func isPicture(name string) bool {
	return slices.Contains(picture.Extensions(), strings.ToLower(path.Ext(name))) && !strings.HasPrefix(path.Base(name), ".")
}
