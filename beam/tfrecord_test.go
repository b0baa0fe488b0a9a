package beam

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// tfrecords reads the examples of a file by the protocol buffers' own library. A record is
// the length in 8 bytes, its checksum, the data, and their checksum; a checksum c of
// CRC-32C is stored as (c>>15 | c<<17) + 0xa282ead8.
func tfrecords(t testing.TB, name string) (list []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	example := exampleMessage(t)
	r := bufio.NewReader(f)
	checked := func(n uint64) []byte {
		b := make([]byte, n+4)
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
		c := binary.LittleEndian.Uint32(b[n:]) - 0xa282ead8
		require.Equal(t, crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli)), c>>17|c<<15)
		return b[:n]
	}
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return list
		}
		m := dynamicpb.NewMessage(example)
		require.NoError(t, proto.Unmarshal(checked(binary.LittleEndian.Uint64(checked(8))), m))
		require.Empty(t, m.GetUnknown())
		list = append(list, valuesOf(t, m))
	}
}

// exampleMessage describes TensorFlow's example.proto and feature.proto.
func exampleMessage(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	field := func(name string, number int32, repeated bool, kind descriptorpb.FieldDescriptorProto_Type, message string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if repeated {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if message != "" {
			f.TypeName = proto.String(".tensorflow." + message)
		}
		return f
	}
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	const (
		bytes, floats, ints = descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_FLOAT, descriptorpb.FieldDescriptorProto_TYPE_INT64
		text, other         = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	features := message("Features", field("feature", 1, true, other, "Features.FeatureEntry"))
	entry := message("FeatureEntry", field("key", 1, false, text, ""), field("value", 2, false, other, "Feature"))
	entry.Options = &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)}
	features.NestedType = append(features.NestedType, entry)
	feature := message("Feature", field("bytes_list", 1, false, other, "BytesList"), field("float_list", 2, false, other, "FloatList"), field("int64_list", 3, false, other, "Int64List"))
	feature.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("kind")}}
	for _, f := range feature.Field {
		f.OneofIndex = proto.Int32(0)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("example.proto"), Package: proto.String("tensorflow"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("Example", field("features", 1, false, other, "Features")), features, feature,
			message("BytesList", field("value", 1, true, bytes, "")), message("FloatList", field("value", 1, true, floats, "")), message("Int64List", field("value", 1, true, ints, "")),
		},
	}, nil)
	require.NoError(t, err)
	return file.Messages().ByName("Example")
}

// valuesOf returns the features of an example by their names, as JSON has them: path is a
// text, all others are lists.
func valuesOf(t testing.TB, example protoreflect.Message) map[string]any {
	t.Helper()
	only := func(m protoreflect.Message) protoreflect.Value {
		var v protoreflect.Value
		m.Range(func(_ protoreflect.FieldDescriptor, x protoreflect.Value) bool { v = x; return true })
		return v
	}
	row := map[string]any{}
	only(example).Message().Range(func(_ protoreflect.FieldDescriptor, features protoreflect.Value) bool {
		features.Map().Range(func(key protoreflect.MapKey, feature protoreflect.Value) bool {
			var list []any
			values := only(only(feature.Message()).Message()).List()
			for i := range values.Len() {
				switch x := values.Get(i).Interface().(type) {
				case []byte:
					list = append(list, string(x))
				case float32:
					list = append(list, x)
				case int64:
					list = append(list, float32(x))
				}
			}
			row[key.String()] = list
			return true
		})
		return true
	})
	require.Len(t, row["path"], 1)
	row["path"] = row["path"].([]any)[0]
	return row
}

// jsonRows reads the rows of a file of JSON, with numbers as float32.
func jsonRows(t testing.TB, name string) (list []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	for d := json.NewDecoder(f); d.More(); {
		row := map[string]any{}
		require.NoError(t, d.Decode(&row))
		for _, column := range row {
			values, _ := column.([]any)
			for i, v := range values {
				if x, ok := v.(float64); ok {
					values[i] = float32(x)
				}
			}
		}
		list = append(list, row)
	}
	return list
}

// TestMasked has a value of the format's definition: the CRC-32C of 32 zeros is
// 0x8a9136aa.
func TestMasked(t *testing.T) {
	c := uint32(0x8a9136aa)
	require.Equal(t, (c>>15|c<<17)+0xa282ead8, masked(make([]byte, 32)))
}
