package bench

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/nonet-go/nonet/vgg"
)

func TestParseConv(t *testing.T) {
	t.Parallel()
	want := Conv{"", 1, 256, 56, 56, 256, 3, 1}
	for _, s := range []string{
		"ic256ih56oc256oh56kh3ph1", "ic256ih56oc256kh3ph1", "ic256ih56oc256oh56kh3", want.String(),
		"g1mb1_ic256_ih56iw56_oc256oh56ow56_kh3kw3_sh1sw1_ph1pw1_dh0dw0",
	} {
		c, err := ParseConv(s)
		require.NoError(t, err, s)
		require.Equal(t, want, c, s)
	}
	c, err := ParseConv(`mb64ic512ih28iw30oc512kh1ph0n"vgg:x*3"`)
	require.NoError(t, err)
	require.Equal(t, Conv{"vgg:x*3", 64, 512, 28, 30, 512, 1, 0}, c)
	back, err := ParseConv(c.String())
	c.Name = ""
	require.NoError(t, err)
	require.Equal(t, c, back)
	for s, word := range map[string]string{
		"": "ic", "ic3": "ih", "ic3ih8oc4kh3ph1x": `"x"`, "ic3ih8oc4kh5": "5×5", "ic3ih8oc4kh3sh2": "strides", "ic3ih8oc4kh3g3": "groups",
		"ic3ih8oc4oh7kh3ph1": "7×7", "ic3ih8oc4kh3ph2": "padding", "ic3ih8oc4kh3id8": "id", "ic99999999999999999999ih8oc4kh3": "too large",
		"ic3ih1oc4kh3ph0": "smaller", "ic3ih8oc4kh3ph1pw0": "padding", "ic0ih8oc4kh3": "ic", "ic32oc13_ih13oh12kh3ph0": "12×12",
	} {
		_, err := ParseConv(s)
		require.ErrorContains(t, err, word, s)
	}
}

func FuzzParseConv(f *testing.F) {
	f.Add("mb1ic16oc16_ih1oh1kh3ph1")
	f.Add(`mb64ic3ih224oc64oh224kh3ph1n"vgg_19:conv1_1"`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseConv(s)
		if err != nil {
			return
		}
		c.Name = ""
		back, err := ParseConv(c.String())
		require.NoError(t, err)
		require.Equal(t, c, back)
	})
}

// TestConvsAreVGG compares the list with the layers of the configurations.
func TestConvsAreVGG(t *testing.T) {
	t.Parallel()
	have, missing := map[Conv]bool{}, map[Conv]string{}
	for _, c := range Convs {
		c.Name = ""
		require.False(t, have[c], "%v stands there twice", c)
		have[c] = true
	}
	fcs := map[FC]bool{}
	for _, name := range vgg.Names() {
		cfg, err := vgg.Lookup(name)
		require.NoError(t, err)
		shapes, err := cfg.Shapes(224, 224)
		require.NoError(t, err)
		in := vgg.Shape{C: 3, H: 224, W: 224}
		for i, l := range cfg.Layers {
			switch l.Kind {
			case vgg.Conv:
				c := Conv{"", 1, in.C, in.H, in.W, l.Out, l.Kernel, l.Kernel / 2}
				if have[c] {
					missing[c] = ""
				} else {
					missing[c] = name + " " + l.Name
				}
			case vgg.FC:
				fcs[FC{l.Name, in.Len(), l.Out}] = true
			}
			in = shapes[i]
		}
	}
	for c, where := range missing {
		require.Empty(t, where, "%v is not in Convs", c)
	}
	require.Len(t, missing, len(Convs), "a shape of Convs is no network's")
	require.Len(t, fcs, len(FCs))
	for _, f := range FCs {
		require.True(t, fcs[f], "%v is no network's", f)
	}
}

// TestBenchdnnShapes reads lists of benchdnn's, where they are.
func TestBenchdnnShapes(t *testing.T) {
	t.Parallel()
	f, err := os.Open(testutil.Shared(t, "data/shapes/conv_shapes_vgg_19"))
	require.NoError(t, err)
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		c, err := ParseConv(line)
		require.NoError(t, err)
		require.Equal(t, 64, c.N)
		n++
	}
	require.Equal(t, 9, n)
}
