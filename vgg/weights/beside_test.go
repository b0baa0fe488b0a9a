package weights

import (
	"testing"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// FuzzConfig reads damaged configurations: what is read can be written as metadata.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architecture": "vgg16_bn.tv_in1k", "num_classes": 2, "label_names": ["a", "b"], "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "input_size": [3, 32, 64], "crop_pct": 0.875}}`))
	f.Add([]byte(`{"architectures": ["VGG"], "id2label": {"0": "a", "1": "b"}}`))
	f.Add([]byte(`{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 16}, "resample": 2}`))
	f.Add([]byte(`{"size": 36, "crop_size": 32, "do_normalize": false, "rescale_factor": 0.00392156862745098}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte) (Meta, error){configMeta, preprocessorMeta} {
			var meta Meta
			err := testutil.Bounded(t, len(text), func() (_ int64, err error) {
				meta, err = read(text)
				return 0, err
			})
			if err != nil {
				continue
			}
			file := &File{}
			if file.mergeMeta(meta) == nil {
				_, err := ParseMeta(file.metadata)
				require.NoError(t, err)
			}
		}
	})
}
