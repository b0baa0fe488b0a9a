package evaluate

import (
	"testing"

	"github.com/nonet-go/nonet/vgg"
	"github.com/stretchr/testify/require"
)

// TestCheckMember: what cannot be computed is refused, and the limits themselves are not.
func TestCheckMember(t *testing.T) {
	m := model(t) // of 8×8 pixels
	for _, c := range []struct {
		views  Views
		scales []int
		err    string
	}{
		{Center, []int{1}, ""}, {Center, []int{0, 9}, "a scale of 0 is less than 1"}, {Center, []int{maxScale}, ""}, {Center, []int{9, maxScale + 1}, "at most 16384"},
		{Dense, []int{8}, ""}, {MultiCrop, []int{12, 7, 9}, "a scale of 7 is less than 8"}, {Center | Dense, []int{7}, "less than 8"},
		{Center | Dense | MultiCrop, []int{8}, ""}, {8, []int{8}, "without views"}, {9, []int{8}, "without views"}, {0, []int{8}, "without views"}, {Dense, nil, "or scales"},
	} {
		err := Member{Model: m, Protocol: Protocol{Views: c.views, Scales: c.scales}}.check()
		if c.err == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.err)
	}
	for text, change := range map[string]func(c *vgg.Config){
		"the network takes 8×9":        func(c *vgg.Config) { c.Width = 9 },
		"the network takes 1 channels": func(c *vgg.Config) { c.Channels = 1 },
	} {
		cfg := m.Config()
		change(&cfg)
		src, err := vgg.Seeded(cfg, 1)
		require.NoError(t, err)
		other, err := vgg.New(cfg, src)
		require.NoError(t, err)
		err = Member{Model: other, Protocol: Protocol{Views: Center, Scales: []int{8}}}.check()
		require.ErrorIs(t, err, vgg.ErrShape)
		require.ErrorContains(t, err, text)
	}
}

// TestSteps: the scales around a fixed side are 32 away for 224 pixels and in proportion for
// other sizes, to the nearest pixel.
func TestSteps(t *testing.T) {
	for size, step := range map[int]int{224: 32, 112: 16, 32: 5, 64: 9, 24: 3, 10: 1, 11: 2, 4: 1, 3: 0} {
		p, err := NewProtocol("multi-crop", Training{300, 300}, size)
		require.NoError(t, err)
		require.Equal(t, []int{300 - step, 300, 300 + step}, p.Scales, "size %d", size)
	}
	m := member(t, model(t), "center") // without a range of training
	require.Equal(t, []int{m.Model.Picture().Side}, m.Protocol.Scales)
	require.Equal(t, Training{m.Model.Picture().Side, m.Model.Picture().Side}, m.Training)
	m = member(t, model(t), "center", 9, 14)
	require.Equal(t, []int{11}, m.Protocol.Scales)
	require.Equal(t, Training{9, 14}, m.Training)
}
