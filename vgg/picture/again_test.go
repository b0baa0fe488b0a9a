package picture

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nonet-go/nonet/internal/structured"
	"github.com/nonet-go/nonet/internal/testutil"
	"github.com/stretchr/testify/require"
)

// pillow prints size and hash of each file, or none.
const pillow = `
import hashlib, sys, warnings
import PIL
from PIL import Image
warnings.simplefilter("ignore")
print(PIL.__version__)
for path in sys.stdin.read().split("\n"):
    if not path: continue
    try:
        m = Image.open(path).convert("RGB")
        print(m.width, m.height, hashlib.sha256(m.tobytes()).hexdigest())
    except Exception as e:
        print("none")
`

// TestPillowAgain compares with the Pillow that is installed: files of every format, and changed
// ones of them. Where both read a file, they find the same size, and in JPEG the same pixels.
func TestPillowAgain(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(25, 5))
	var files [][]byte
	for i, file := range seedFiles(t) {
		files = append(files, file)
		tree := structured.Parse(file)
		for range 3 {
			program := make([]byte, 4*(1+i%2))
			for k := range program {
				program[k] = byte(rng.Uint32())
			}
			if changed := tree.Edit(program, 1<<18).Bytes(1 << 18); changed != nil {
				files = append(files, changed)
			}
		}
	}
	var names strings.Builder
	for i, file := range files {
		path := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(path, file, 0o600))
		fmt.Fprintln(&names, path)
	}
	lines := strings.Split(strings.TrimSpace(testutil.Python(t, "PIL", pillow, names.String())), "\n")
	require.Len(t, lines, 1+len(files))
	both, same, jpegs := 0, 0, 0
	for i, file := range files {
		m, err := Decode(fmt.Sprint(i), bytes.NewReader(file), IgnoreOrientation())
		if err != nil || lines[1+i] == "none" {
			continue
		}
		p := FromImage(m)
		size := fmt.Sprintf("%d %d ", p.W, p.H)
		if isTIFF(file) && !strings.HasPrefix(lines[1+i], size) { // Pillow itself turns TIFF, also by damaged tags
			size = fmt.Sprintf("%d %d ", p.H, p.W)
		}
		require.True(t, strings.HasPrefix(lines[1+i], size), "file %d, %q …: %s, Pillow %s", i, file[:min(len(file), 30)], size, lines[1+i])
		both++
		equal := lines[1+i] == fmt.Sprintf("%s%x", size, sha256.Sum256(p.Pix))
		if equal {
			same++
		}
		if isJPEG(file) {
			jpegs++
			require.True(t, equal, "file %d: the pixels of a JPEG file differ", i)
		}
	}
	t.Logf("Pillow %s: %d files, %d that both read, %d with the same pixels, of %d JPEG files all", lines[0], len(files), both, same, jpegs)
	require.Greater(t, both, 150)
	require.Greater(t, same, both*8/10)
}
