package structured

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
)

// Parse returns the tree of a file in one of the formats that readers of this module read,
// by its content; of any other, one leaf.
func Parse(file []byte) *Part {
	switch {
	case bytes.HasPrefix(file, []byte("PK\x03\x04")):
		return parseZip(file)
	case bytes.HasPrefix(file, []byte("\x80\x02")):
		return parsePickle(file)
	case bytes.HasPrefix(file, []byte("\xff\xd8")):
		return parseJPEG(file)
	case bytes.HasPrefix(file, []byte(pngMagic)):
		return parsePNG(file)
	case bytes.HasPrefix(file, []byte("RIFF")):
		return parseRIFF(file)
	case bytes.HasPrefix(file, []byte("II*\x00")):
		return parseTIFF(file)
	case len(file) > 262 && string(file[257:262]) == "ustar":
		return parseTar(file)
	case len(file) > 9 && file[8] == '{':
		return parseSafetensors(file)
	case len(file) > 0 && (file[0] == '{' || file[0] == '['):
		return parseJSON(file)
	case len(file) > 0 && (file[0] == 0x08 || file[0] == 0x0a || file[0] == 0x12 || file[0] == 0xa2):
		return parseProto(file, 6)
	case bytes.HasPrefix(file, []byte("GIF8")):
		return &Part{parts: []*Part{leaf(file[:6]), leaf(file[6:8]), leaf(file[8:10]), leaf(file[10:min(13, len(file))]), leaf(file[min(13, len(file)):])}}
	case bytes.HasPrefix(file, []byte("BM")) && len(file) > 54:
		p := &Part{parts: []*Part{leaf(file[:10])}}
		for i := 10; i < 54; i += 4 {
			p.parts = append(p.parts, leaf(file[i:i+4]))
		}
		p.parts = append(p.parts, leaf(file[54:]))
		return p
	}
	return leaf(file)
}

// parseSafetensors: the header's JSON and the data. The length is made anew.
func parseSafetensors(file []byte) *Part {
	n := binary.LittleEndian.Uint64(file)
	if n > uint64(len(file)-8) {
		return leaf(file)
	}
	return &Part{parts: []*Part{parseJSON(file[8 : 8+n]), leaf(file[8+n:])}, print: func(parts [][]byte, _ *Part) []byte {
		length := uint64(0)
		if len(parts) > 0 {
			length = uint64(len(parts[0]))
		}
		return append(binary.LittleEndian.AppendUint64(nil, length), bytes.Join(parts, nil)...)
	}}
}

// parseJSON: objects have pairs, whose key and value are parts; arrays have values.
func parseJSON(text []byte) *Part {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	p, err := jsonValue(d)
	if err != nil {
		return leaf(text)
	}
	return p
}

func jsonValue(d *json.Decoder) (*Part, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		text, err := json.Marshal(t)
		return leaf(text), err
	}
	p := &Part{tag: []byte(string(open)), print: func(parts [][]byte, self *Part) []byte {
		end := byte(']')
		if self.tag[0] == '{' {
			end = '}'
		}
		return append(append(bytes.Clone(self.tag), bytes.Join(parts, []byte(","))...), end)
	}}
	for d.More() {
		q, err := jsonValue(d)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			value, err := jsonValue(d)
			if err != nil {
				return nil, err
			}
			q = &Part{parts: []*Part{q, value}, print: func(parts [][]byte, _ *Part) []byte { return bytes.Join(parts, []byte(":")) }}
		}
		p.parts = append(p.parts, q)
	}
	_, err = d.Token()
	return p, err
}

// parseProto: the fields of a protocol buffer, those of messages in it too. Lengths are made
// anew. What is no message is a leaf.
func parseProto(b []byte, depth int) *Part {
	p := &Part{}
	for rest := b; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		if n <= 0 || tag>>3 == 0 {
			return leaf(b)
		}
		head := rest[:n]
		rest = rest[n:]
		size := 0
		switch tag & 7 {
		case 0:
			_, size = binary.Uvarint(rest)
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			length, n := binary.Uvarint(rest)
			if n <= 0 || length > uint64(len(rest)-n) {
				return leaf(b)
			}
			body := leaf(rest[n : n+int(length)])
			if depth > 0 && length > 1 {
				body = parseProto(body.data, depth-1)
			}
			p.parts = append(p.parts, &Part{tag: head, parts: []*Part{body}, print: protoBody})
			rest = rest[n+int(length):]
			continue
		}
		if size <= 0 || size > len(rest) {
			return leaf(b)
		}
		p.parts = append(p.parts, &Part{tag: head, parts: []*Part{leaf(rest[:size])}, print: func(parts [][]byte, self *Part) []byte {
			return append(bytes.Clone(self.tag), bytes.Join(parts, nil)...)
		}})
		rest = rest[size:]
	}
	return p
}

func protoBody(parts [][]byte, self *Part) []byte {
	body := bytes.Join(parts, nil)
	return append(binary.AppendUvarint(bytes.Clone(self.tag), uint64(len(body))), body...)
}

// parseZip: members of a name and a content, which may be a pickle. Checksums are made anew.
func parseZip(file []byte) *Part {
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return leaf(file)
	}
	p := &Part{print: func(parts [][]byte, _ *Part) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, m := range parts {
			if len(m) < 4 {
				continue
			}
			n := int(binary.LittleEndian.Uint16(m[2:]))
			if n > len(m)-4 {
				continue
			}
			f, err := w.CreateHeader(&zip.FileHeader{Name: string(m[4 : 4+n]), Method: uint16(m[0]) & 8})
			if err == nil {
				_, _ = f.Write(m[4+n:]) // fails for the name of a directory
			}
		}
		if w.Close() != nil {
			return nil
		}
		return b.Bytes()
	}}
	for _, m := range z.File {
		r, err := m.Open()
		if err != nil {
			return leaf(file)
		}
		data, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return leaf(file)
		}
		content := leaf(data)
		if bytes.HasPrefix(data, []byte("\x80\x02")) {
			content = parsePickle(data)
		}
		p.parts = append(p.parts, &Part{parts: []*Part{leaf([]byte{byte(m.Method)}), leaf([]byte(m.Name)), content}, print: zipMember})
	}
	return p
}

// zipMember packs method, name and content for the printer of the archive.
func zipMember(parts [][]byte, _ *Part) []byte {
	if len(parts) < 3 || len(parts[0]) == 0 || len(parts[1]) > 1<<15 {
		return nil
	}
	b := binary.LittleEndian.AppendUint16([]byte{parts[0][0], 0}, uint16(len(parts[1])))
	return append(append(b, parts[1]...), bytes.Join(parts[2:], nil)...)
}

// parsePickle: instructions, whose texts have right lengths. What follows the last STOP is
// one leaf.
func parsePickle(b []byte) *Part {
	p := &Part{}
	fixed := map[byte]int{'K': 1, 'M': 2, 'J': 4, 'q': 1, 'r': 4, 'h': 1, 'j': 4, 'G': 8, 0x80: 1}
	for len(b) > 0 {
		op := b[0]
		n := fixed[op]
		switch {
		case op == 'X' && len(b) >= 5:
			length := int(binary.LittleEndian.Uint32(b[1:]))
			if length > len(b)-5 {
				p.parts = append(p.parts, leaf(b))
				return p
			}
			p.parts = append(p.parts, &Part{parts: []*Part{leaf(b[5 : 5+length])}, print: func(parts [][]byte, _ *Part) []byte {
				text := bytes.Join(parts, nil)
				return append(binary.LittleEndian.AppendUint32([]byte{'X'}, uint32(len(text))), text...)
			}})
			b = b[5+length:]
			continue
		case op == 0x8a && len(b) >= 2:
			n = 1 + int(b[1])
		case op == 'c':
			first := bytes.IndexByte(b, '\n') + 1
			n = first + bytes.IndexByte(b[first:], '\n')
		}
		if n+1 > len(b) || op == '.' && !bytes.HasPrefix(b[1:], []byte("\x80\x02")) {
			p.parts = append(p.parts, leaf(b))
			return p
		}
		p.parts = append(p.parts, leaf(b[:1+n]))
		b = b[1+n:]
	}
	return p
}

// parseJPEG: segments of a marker and data, whose length is made anew, and scans.
func parseJPEG(b []byte) *Part {
	p := &Part{parts: []*Part{leaf(b[:2])}}
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		n := 2 + int(binary.BigEndian.Uint16(b[2:]))
		if b[1] >= 0xd0 && b[1] <= 0xd9 || n > len(b) || n < 4 {
			break
		}
		s := &Part{tag: b[:2], print: func(parts [][]byte, self *Part) []byte {
			body := bytes.Join(parts, nil)
			return append(binary.BigEndian.AppendUint16(bytes.Clone(self.tag), uint16(2+len(body))), body...)
		}}
		for at := 4; at < n; at += 4 {
			s.parts = append(s.parts, leaf(b[at:min(at+4, n)]))
		}
		if s.parts == nil {
			s.parts = []*Part{leaf(nil)}
		}
		scan := b[1] == 0xda
		b = b[n:]
		p.parts = append(p.parts, s)
		if scan {
			end := 0
			for end+1 < len(b) && (b[end] != 0xff || b[end+1] == 0 || b[end+1]&0xf8 == 0xd0) {
				end++
			}
			p.parts = append(p.parts, leaf(b[:end]))
			b = b[end:]
		}
	}
	p.parts = append(p.parts, leaf(b))
	return p
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// parsePNG: chunks with right checksums. The pixels are edited as they are before deflate.
func parsePNG(b []byte) *Part {
	p := &Part{parts: []*Part{leaf(b[:8])}}
	for b = b[8:]; len(b) >= 12; {
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-12 {
			break
		}
		kind, body := string(b[4:8]), b[8:8+n]
		chunk := &Part{tag: b[4:8], parts: []*Part{leaf(body)}, print: pngChunk}
		if kind == "IHDR" && n == 13 {
			chunk.parts = []*Part{leaf(body[:4]), leaf(body[4:8]), leaf(body[8:9]), leaf(body[9:10]), leaf(body[10:])}
		}
		if z, err := zlib.NewReader(bytes.NewReader(body)); kind == "IDAT" && err == nil {
			if raw, err := io.ReadAll(io.LimitReader(z, 1<<20)); err == nil {
				chunk.parts = []*Part{{parts: []*Part{leaf(raw)}, print: deflate}}
			}
		}
		p.parts = append(p.parts, chunk)
		b = b[12+n:]
	}
	return p
}

func pngChunk(parts [][]byte, self *Part) []byte {
	body := bytes.Join(parts, nil)
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), self.tag...)
	out = append(out, body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

func deflate(parts [][]byte, _ *Part) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	for _, p := range parts {
		_, _ = z.Write(p) // a buffer takes all
	}
	if z.Close() != nil {
		return nil
	}
	return b.Bytes()
}

// parseRIFF: chunks, with lengths made anew.
func parseRIFF(b []byte) *Part {
	if len(b) < 12 {
		return leaf(b)
	}
	p := &Part{parts: []*Part{leaf(b[8:12])}, print: func(parts [][]byte, _ *Part) []byte {
		body := bytes.Join(parts, nil)
		return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
	}}
	for b = b[12:]; len(b) >= 8; {
		n := int(binary.LittleEndian.Uint32(b[4:]))
		if n > len(b)-8 {
			break
		}
		body := b[8 : 8+n]
		head := min(10, n)
		p.parts = append(p.parts, &Part{tag: b[:4], parts: []*Part{leaf(body[:head]), leaf(body[head:])}, print: func(parts [][]byte, self *Part) []byte {
			body := bytes.Join(parts, nil)
			out := append(binary.LittleEndian.AppendUint32(bytes.Clone(self.tag), uint32(len(body))), body...)
			return append(out, make([]byte, len(body)%2)...)
		}})
		b = b[min(len(b), 8+n+n%2):]
	}
	return p
}

// parseTIFF: what is in front of the directory, and its entries. Behind the copy of the
// entries there is no other directory.
func parseTIFF(b []byte) *Part {
	le := binary.LittleEndian
	at := int(le.Uint32(b[4:]))
	if at > len(b)-2 || at+2+12*int(le.Uint16(b[at:])) > len(b) {
		return leaf(b)
	}
	directory := &Part{print: func(parts [][]byte, _ *Part) []byte {
		return append(append(le.AppendUint16(nil, uint16(len(parts))), bytes.Join(parts, nil)...), 0, 0, 0, 0)
	}}
	for i := range int(le.Uint16(b[at:])) {
		e := b[at+2+12*i:][:12]
		directory.parts = append(directory.parts, &Part{parts: []*Part{leaf(e[:2]), leaf(e[2:4]), leaf(e[4:8]), leaf(e[8:])}})
	}
	if end := at + 2 + 12*len(directory.parts) + 4; end == len(b) {
		b = b[:at] // it is made anew
	}
	return &Part{parts: []*Part{leaf(b), directory}, print: func(parts [][]byte, _ *Part) []byte {
		if len(parts) == 0 {
			return nil
		}
		out := bytes.Clone(parts[0])
		if len(out) >= 8 {
			le.PutUint32(out[4:], uint32(len(out)))
		}
		return append(out, bytes.Join(parts[1:], nil)...)
	}}
}

// parseTar: members of a name and a content.
func parseTar(b []byte) *Part {
	p := &Part{print: func(parts [][]byte, _ *Part) []byte { return append(bytes.Join(parts, nil), make([]byte, 1024)...) }}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err != nil {
			return p
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return p
		}
		p.parts = append(p.parts, &Part{parts: []*Part{leaf([]byte(h.Name)), leaf(data)}, print: func(parts [][]byte, _ *Part) []byte {
			if len(parts) < 2 {
				return nil
			}
			body := bytes.Join(parts[1:], nil)
			var out bytes.Buffer
			w := tar.NewWriter(&out)
			if w.WriteHeader(&tar.Header{Name: string(parts[0]), Mode: 0o600, Size: int64(len(body))}) != nil {
				return nil
			}
			_, _ = w.Write(body) // a buffer takes all
			_ = w.Flush()        // pads it
			return out.Bytes()
		}})
	}
}
