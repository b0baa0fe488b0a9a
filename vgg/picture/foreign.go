package picture

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nonet-go/nonet/internal/printable"
)

// foreign are formats that are not read, and commands that convert them.
var foreign = []struct {
	name    string
	is      func(head []byte) bool
	command string
}{
	{"AVIF", brand("avif", "avis"), "avifdec in.avif out.png"},
	{"HEIC", brand("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"), "heif-convert in.heic out.png"},
	{"camera raw (CR3)", brand("crx "), rawCommand},
	{"JPEG XL", begins("\xff\x0a", "\x00\x00\x00\x0cJXL \r\n\x87\n"), "djxl in.jxl out.png"},
	{"JPEG 2000", begins("\x00\x00\x00\x0cjP  \r\n\x87\n", "\xff\x4f\xff\x51"), "opj_decompress -i in.jp2 -o out.png"},
	{"PDF", begins("%PDF-"), "pdftoppm -png in.pdf out"},
	{"PostScript", begins("%!PS", "\xc5\xd0\xd3\xc6"), "magick in.eps out.png"},
	{"camera raw (CR2)", begins("II*\x00????CR"), rawCommand},
	{"camera raw", begins("FUJIFILMCCD-RAW", "IIRO", "IIRS", "MMOR", "IIU\x00"), rawCommand},
	{"Photoshop", begins("8BPS"), "magick 'in.psd[0]' out.png"},
	{"OpenEXR", begins("\x76\x2f\x31\x01"), "magick in.exr out.png"},
	{"Windows icon", begins("\x00\x00\x01\x00", "\x00\x00\x02\x00"), "magick 'in.ico[0]' out.png"},
	{"PNM", begins("P1\n", "P2\n", "P3\n", "P4\n", "P5\n", "P6\n", "P7\n"), "pnmtopng in.pnm > out.png"},
	{"SVG", isSVG, "rsvg-convert in.svg -o out.png"},
}

const rawCommand = "darktable-cli in.raw out.png"

// brand returns a test for files of ISO base media by their major brand.
func brand(names ...string) func(head []byte) bool {
	var magics []string
	for _, n := range names {
		magics = append(magics, "????ftyp"+n)
	}
	return begins(magics...)
}

func isSVG(head []byte) bool {
	text := markup(head)
	return strings.HasPrefix(text, "<svg") || strings.HasPrefix(text, "<!doctype svg") || strings.HasPrefix(text, "<?xml") && strings.Contains(text, "<svg")
}

// markup returns the beginning of a text in lower case, without what may stand in front.
func markup(head []byte) string {
	head = bytes.TrimSpace(bytes.TrimPrefix(head[:min(len(head), 1024)], []byte("\ufeff")))
	return strings.ToLower(string(head))
}

// stray says what data are that are no picture of a format that is read, or "".
func stray(data []byte) string {
	for _, f := range foreign {
		if f.is(data) {
			return fmt.Sprintf("%s is not read; to convert it: %s", f.name, f.command)
		}
	}
	text := markup(data)
	if strings.HasPrefix(text, "version https://git-lfs") {
		return "a pointer of git-lfs, which stands for a picture that was not fetched: git lfs pull"
	}
	for _, begin := range []string{"<!doctype", "<html", "<head", "<?xml", "<!--"} {
		if strings.HasPrefix(text, begin) {
			return "a page of HTML or XML: a server sent it in the place of the picture"
		}
	}
	return ""
}

// openRegular opens a file. Others are refused, because opening some of them waits.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	what := "no file"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return os.Open(path)
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return nil, fmt.Errorf("%s is %s: %w", printable.Name(path), what, ErrFormat)
}
