package beam

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/nonet-go/nonet/vgg/extract"
)

// TFRecord writes a tf.train.Example for each row: path as bytes, activations and
// probabilities as floats, classes as integers, and label, the names of the classes, if
// there are any.
var TFRecord extract.Format = tfrecord{}

type tfrecord struct{}

func (tfrecord) Name() string                      { return "tfrecord" }
func (tfrecord) Endings([]extract.Column) []string { return []string{".tfrecord"} }

func (tfrecord) Write(w io.Writer, _ int, t extract.Table) error {
	for rec, err := range t.Records {
		if err != nil {
			return err
		}
		example, err := encodeExample(t.Header, rec)
		if err != nil {
			return err
		}
		if _, err := w.Write(frame(example)); err != nil {
			return err
		}
	}
	return nil
}

// frame puts a record between its length and checksums: u64 length, u32 masked CRC-32C
// of the length, the data, u32 masked CRC-32C of the data.
func frame(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum that the format has in place of a plain one.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Fields of the protocol buffers Example, Features and Feature:
//
//	Example   { Features features = 1 }
//	Features  { map<string, Feature> feature = 1 }: entries { string key = 1; Feature value = 2 }
//	Feature   { BytesList = 1 | FloatList = 2 | Int64List = 3 }, each { repeated value = 1 }, numbers packed
func encodeExample(h extract.Header, rec extract.Record) ([]byte, error) {
	values, err := extract.Values(h.Columns, rec.Data)
	if err != nil {
		return nil, err
	}
	features := entry(nil, "path", 1, field(nil, 1, []byte(rec.Path)))
	for i, c := range h.Columns {
		var packed []byte
		switch x := values[i].(type) {
		case []float32:
			for _, v := range x {
				packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(v))
			}
			features = entry(features, c.Name, 2, field(nil, 1, packed))
		case []int32:
			var labels []byte
			for _, v := range x {
				packed = binary.AppendUvarint(packed, uint64(v)) // it is a class: not negative
				if h.Labels != nil {
					labels = field(labels, 1, []byte(h.Labels[v]))
				}
			}
			features = entry(features, c.Name, 3, field(nil, 1, packed))
			if h.Labels != nil {
				features = entry(features, "label", 1, labels)
			}
		}
	}
	return field(nil, 1, features), nil
}

// entry appends a feature whose list is of the kind that is field number kind.
func entry(b []byte, name string, kind int, list []byte) []byte {
	return field(b, 1, field(field(nil, 1, []byte(name)), 2, field(nil, kind, list)))
}

// field appends a field of bytes.
func field(b []byte, number int, data []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}
