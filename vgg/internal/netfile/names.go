package netfile

import (
	"regexp"
	"slices"
	"strings"

	"github.com/nonet-go/nonet/vgg/weights"
)

// A part is the role of a tensor in its module.
type part uint8

const (
	weight part = iota
	bias
	runningMean
	runningVar
	weightOrig // before a mask (weightMask), or before its spectral norm (weightU, weightV) is taken out
	weightMask
	biasOrig
	biasMask
	weightG // weight normalisation: g·v/‖v‖, by rows
	weightV
	weightU
)

// layout is the order of a module's weights.
type layout uint8

const (
	// [out][in][3][3] and [out][in]; timm keeps fully connected layers as convolutions
	// of 7×7 and 1×1, whose elements lie in the same order.
	outIn layout = iota
	// Keras's: [3][3][in][out] and [in][out], and the columns of the first fully
	// connected layer come in the order HWC.
	keras
	// [in][out], columns CHW: a product that an ONNX file does not transpose.
	inOut
)

// endings are how tensors' names end. The longest that fits counts.
var endings = []struct {
	text   string
	part   part
	layout layout
}{
	{".weight", weight, outIn},
	{".bias", bias, outIn},
	{".running_mean", runningMean, outIn},
	{".running_var", runningVar, outIn},
	// torch.nn.utils.prune
	{".weight_orig", weightOrig, outIn},
	{".weight_mask", weightMask, outIn},
	{".bias_orig", biasOrig, outIn},
	{".bias_mask", biasMask, outIn},
	// torch.nn.utils.weight_norm and spectral_norm, and both as parametrizations
	{".weight_g", weightG, outIn},
	{".weight_v", weightV, outIn},
	{".weight_u", weightU, outIn},
	{".parametrizations.weight.original0", weightG, outIn},
	{".parametrizations.weight.original1", weightV, outIn},
	{".parametrizations.weight.original", weightOrig, outIn},
	{".parametrizations.weight.0._u", weightU, outIn},
	{".parametrizations.weight.0._v", weightV, outIn},
	// Keras's, as h5py and its own savers give them
	{".kernel", weight, keras},
	{"/kernel", weight, keras},
	{"/bias", bias, keras},
	{"/kernel:0", weight, keras},
	{"/bias:0", bias, keras},
	{"_W_1:0", weight, keras},
	{"_b_1:0", bias, keras},
}

// ending splits a name into that of the module and the part.
func ending(name string) (module string, p part, l layout, ok bool) {
	best := 0
	for _, e := range endings {
		if m, has := strings.CutSuffix(name, e.text); has && len(e.text) > best {
			best, module, p, l, ok = len(e.text), m, e.part, e.layout, true
		}
	}
	if !ok && !strings.ContainsAny(name, "./") { // of a module without a name
		for _, e := range endings {
			if text, dotted := strings.CutPrefix(e.text, "."); dotted && text == name {
				return "", e.part, e.layout, true
			}
		}
	}
	return module, p, l, ok
}

// An Ignored tensor is of a kind that does not matter to the network.
type Ignored struct {
	Name   string
	Reason string
}

// ignorable are the tensors that do not matter, by a component of their names. A
// pattern fits whole components.
var ignorable = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{component(`num_batches_tracked`), "counts the batches that a normalisation saw"},
	{component(`[a-z_]*optim[a-z]*(_states?|_state_dicts?|_weights)?|opt`), "the state of an optimizer"},
	{component(`momentum|momentum_buffer|exp_avg(_sq)?|max_exp_avg_sq|square_avg|acc_delta`), "the state of an optimizer"},
	{component(`(lr_)?schedulers?(_state_dict)?|lr_schedulers?`), "the state of a schedule"},
	{component(`(amp_|grad_)?scaler(_state_dict)?`), "the scale of gradients"},
	{component(`callbacks|loops`), "the state of a training program"},
	{component(`criterion|loss|loss_fn|loss_func`), "belongs to the loss that was trained with"},
	{component(`([a-z_]*_)?rng_states?(_all)?`), "the state of a random generator"},
	{component(`total_ops|total_params`), "a count of operations, by a profiler"},
	{component(`[a-zA-Z0-9_]+_aux|aux_[a-z]+|AuxLogits`), "an auxiliary output for training"},
	{component(`n_averaged`), "counts the models that were averaged"},
}

func component(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[./])(?:` + pattern + `)(?:[./]|$)`)
}

// whyIgnored returns why a tensor does not matter, or an empty text if it may matter.
func whyIgnored(name string, dtype weights.DType, shape []int) string {
	for _, i := range ignorable {
		if i.pattern.MatchString(name) {
			return i.reason
		}
	}
	if len(shape) == 0 && !strings.ContainsAny(name, "./") && dtype.Size() > 0 {
		return "a single number beside the network"
	}
	return ""
}

// wrappers are components that wrappers of modules insert into names, at any place.
var wrappers = []string{"module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module"}

// components splits a module's name, without wrappers and without Keras's repetitions.
func components(module string, l layout) []string {
	parts := strings.FieldsFunc(module, func(r rune) bool { return r == '.' || r == '/' })
	parts = slices.DeleteFunc(parts, func(s string) bool { return slices.Contains(wrappers, s) })
	if l == keras {
		parts = slices.Compact(parts)
	}
	return parts
}
