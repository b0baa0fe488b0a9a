package style

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nonet-go/nonet/vgg/weights"
)

// ErrCheckpoint is wrapped by errors about checkpoints of another transfer.
var ErrCheckpoint = errors.New("checkpoint of another transfer")

// checkpointKey is the metadata of a checkpoint.
const checkpointKey = "nonet.style"

// saved is what a checkpoint says beside its tensors.
type saved struct {
	Recipe    Recipe `json:"recipe"`
	Identity  string `json:"identity"` // of pictures, network and instruction set
	Iteration int    `json:"iteration"`
	Losses    Losses `json:"losses"`
	Points    int    `json:"points"`
}

// Save writes all that Restore needs as a safetensors file. path names the old file, or
// none, until the new one is whole.
func (t *Transfer) Save(path string) error {
	points := append([]point{t.at}, t.method.state()...)
	text, err := json.Marshal(saved{t.recipe, t.identity, t.steps, t.losses, len(points)})
	if err != nil {
		return err
	}
	shape := []int{3, t.objective.h, t.objective.w}
	var list []weights.Out
	for i, p := range points {
		list = append(list, weights.Out{Name: fmt.Sprintf("%d.x", i), DType: weights.F32, Shape: shape, Floats: p.x},
			weights.Out{Name: fmt.Sprintf("%d.dx", i), DType: weights.F32, Shape: shape, Floats: p.dx})
	}
	return weights.WriteFile(path, list, map[string]string{checkpointKey: string(text)})
}

// Restore goes on from what Save wrote: the next steps give the same bits as if there had
// been no interruption. The checkpoint must be of the same recipe, pictures, network
// and instruction set, else the error wraps ErrCheckpoint; other errors are those of
// package weights. An error leaves the Transfer as it was.
func (t *Transfer) Restore(path string) error {
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var s saved
	if err := json.Unmarshal([]byte(f.Metadata()[checkpointKey]), &s); err != nil {
		return fmt.Errorf("style: %s is no checkpoint of a transfer: %w", path, ErrCheckpoint)
	}
	now, _ := json.Marshal(t.recipe) // Save has done it
	then, _ := json.Marshal(s.Recipe)
	switch {
	case string(now) != string(then):
		return fmt.Errorf("style: %s was made by the recipe %s, not by %s: %w", path, then, now, ErrCheckpoint)
	case s.Identity != t.identity:
		return fmt.Errorf("style: %s was made with other pictures, another network or another instruction set: %w", path, ErrCheckpoint)
	case s.Iteration < 0 || s.Points < 1 || s.Points > t.recipe.History+2 || t.recipe.Method == Adam && s.Points != 2:
		return fmt.Errorf("style: %s holds %d points of iteration %d: %w", path, s.Points, s.Iteration, ErrCheckpoint)
	}
	var points []point
	for i := range s.Points {
		p := newPoint(len(t.at.x))
		for name, x := range map[string][]float32{"x": p.x, "dx": p.dx} {
			tensor, err := f.Tensor(fmt.Sprintf("%d.%s", i, name))
			if err == nil {
				err = tensor.CheckShape(3, t.objective.h, t.objective.w)
			}
			if err == nil {
				err = tensor.Float32s(x)
			}
			if err != nil {
				return err
			}
		}
		points = append(points, p)
	}
	t.at, t.steps, t.losses = points[0], s.Iteration, s.Losses
	t.method.restore(points[1:], s.Iteration)
	return nil
}
