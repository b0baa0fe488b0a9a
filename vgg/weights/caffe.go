package weights

import "fmt"

const caffe = "Caffe"

// The fields of Caffe's messages that a network of VGG's shape has, by number.
//
//	NetParameter       layers 2 (V1), layer 100
//	V1LayerParameter   name 4, blobs 6
//	LayerParameter     name 1, blobs 7
//	BlobProto          num 1, channels 2, height 3, width 4, data 5, shape 7, double_data 8
//	BlobShape          dim 1
//
// A layer's first blob becomes NAME.weight and its second NAME.bias; the names
// of the authors' files are the paper's: conv1_1 … fc8. Blobs of old files have
// four dimensions; those of 1 in front are left out of a fully connected layer's.
var caffeLayers = map[int]struct{ name, blobs int }{2: {4, 6}, 100: {1, 7}}

const (
	maxBlobs = 16
	maxName  = 1 << 10
)

func (f *File) parseCaffe() error {
	m, err := f.message()
	if err != nil {
		return err
	}
	entries := map[string]entry{}
	err = m.each(func(x field) error {
		fields, ok := caffeLayers[x.number]
		if !ok || x.wire != 2 {
			return nil
		}
		return caffeLayer(x.body, fields.name, fields.blobs, entries)
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return formatf("", "no layer with weights: no file of Caffe")
	}
	f.format = caffe
	// Its networks take BGR, less a mean: the preparation, not the weights.
	f.metadata = map[string]string{KeyPreset: PresetCaffe}
	f.setEntries(entries)
	return nil
}

func caffeLayer(m message, nameField, blobsField int, entries map[string]entry) error {
	name := ""
	var blobs []message
	err := m.each(func(x field) error {
		switch {
		case x.number == nameField && x.wire == 2:
			name = x.text()
		case x.number == blobsField && x.wire == 2:
			blobs = append(blobs, x.body)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(blobs) > maxBlobs || len(name) > maxName {
		return formatf(name, "a layer of %d blobs and a name of %d bytes, want at most %d and %d", len(blobs), len(name), maxBlobs, maxName)
	}
	for i, b := range blobs {
		kind := fmt.Sprint("blob", i)
		if i < 2 {
			kind = [...]string{"weight", "bias"}[i]
		}
		tensor := name + "." + kind
		if _, twice := entries[tensor]; twice {
			return formatf(tensor, "is there twice")
		}
		if entries[tensor], err = caffeBlob(tensor, b, i); err != nil {
			return err
		}
	}
	return nil
}

func caffeBlob(name string, m message, i int) (entry, error) {
	var v values
	var old [4]int64
	var shape []int64
	v.dtype = F32
	err := m.each(func(x field) (err error) {
		switch {
		case x.number <= 4 && x.wire == 0:
			old[x.number-1] = int64(x.value)
		case x.number == 5:
			v.add(F32, x)
		case x.number == 8:
			v.add(F64, x)
		case x.number == 7 && x.wire == 2:
			err = x.body.each(func(d field) (err error) {
				if d.number == 1 {
					shape, err = d.ints(shape)
				}
				return err
			})
		}
		return err
	})
	if err != nil {
		return entry{}, err
	}
	if shape == nil {
		// [1][1][out][in] and [1][1][1][out] of a fully connected layer.
		shape = old[:]
		switch {
		case i > 0 && old[0] == 1 && old[1] == 1 && old[2] == 1:
			shape = old[3:]
		case i == 0 && old[0] == 1 && old[1] == 1:
			shape = old[2:]
		}
	}
	dims, err := intDims(name, shape)
	if err != nil {
		return entry{}, err
	}
	return v.place(name, dims)
}

// intDims converts a shape from a file.
func intDims(tensor string, shape []int64) ([]int, error) {
	if len(shape) > maxRank {
		return nil, formatf(tensor, "%d dimensions", len(shape))
	}
	dims := make([]int, len(shape))
	for i, d := range shape {
		if d < 0 || d != int64(int(d)) {
			return nil, formatf(tensor, "shape is %v", shape)
		}
		dims[i] = int(d)
	}
	return dims, nil
}
