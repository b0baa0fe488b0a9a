// Package evaluate measures the errors of networks on labelled pictures by the
// protocols of Simonyan & Zisserman (arXiv:1409.1556), sections 3.2 and 4.
//
// A picture is scaled so that its shorter side is Q. Of the scaled picture a
// network sees
//
//	Center     the square in its middle
//	Dense      all of it, and its mirror image: fc6 is a 7×7 convolution, fc7 and
//	           fc8 are 1×1. The logits are averaged over the class map, and the
//	           probabilities of the two images over both
//	MultiCrop  5×5 squares on a regular grid, and their mirror images
//
// at one scale Q or at several. The probabilities are averaged over views and scales.
// [Protocol] has the views and scales; [NewProtocol] knows protocols by the paper's names.
// Several networks, each with its own protocol, are fused: their probabilities are
// averaged. [Run] does all of this on data of any length in constant memory. It decodes
// pictures on all cores ahead of their use, fills batches with crops of several pictures,
// and reports the outcomes in order. A [Log] writes the outcomes to a file, from which an
// interrupted run continues.
//
// # The paper's tables
//
// These calls repeat the rows of the paper's tables. val is a copy of ILSVRC-2012's
// validation pictures, with one directory of pictures for each WordNet id. The files of
// networks have the names of configuration and training scale. The last two columns are
// the paper's errors. The command prints them beside its own.
//
//	table 3   vgg eval --data val -w A-256.safetensors       --train-scale 256     --protocol single  29.6  10.4
//	          vgg eval --data val -w A-LRN-256.safetensors   --train-scale 256     --protocol single  29.7  10.5
//	          vgg eval --data val -w B-256.safetensors       --train-scale 256     --protocol single  28.7   9.9
//	          vgg eval --data val -w C-256.safetensors       --train-scale 256     --protocol single  28.1   9.4
//	          vgg eval --data val -w C-384.safetensors       --train-scale 384     --protocol single  28.1   9.3
//	          vgg eval --data val -w C-256-512.safetensors   --train-scale 256-512 --protocol single  27.3   8.8
//	          vgg eval --data val -w D-256.safetensors       --train-scale 256     --protocol single  27.0   8.8
//	          vgg eval --data val -w D-384.safetensors       --train-scale 384     --protocol single  26.8   8.7
//	          vgg eval --data val -w D-256-512.safetensors   --train-scale 256-512 --protocol single  25.6   8.1
//	          vgg eval --data val -w E-256.safetensors       --train-scale 256     --protocol single  27.3   9.0
//	          vgg eval --data val -w E-384.safetensors       --train-scale 384     --protocol single  26.9   8.7
//	          vgg eval --data val -w E-256-512.safetensors   --train-scale 256-512 --protocol single  25.5   8.0
//	table 4   the same with --protocol multi-scale:
//	          B-256 28.2 9.6, C-256 27.7 9.2, C-384 27.8 9.2, C-256-512 26.3 8.2, D-256 26.6 8.6, D-384 26.5 8.6,
//	          D-256-512 24.8 7.5, E-256 26.9 8.7, E-384 26.7 8.6, E-256-512 24.8 7.5
//	table 5   the same with D-256-512 and E-256-512 and
//	          --protocol dense             24.8 7.5 and 24.8 7.5
//	          --protocol multi-crop        24.6 7.5 and 24.6 7.4
//	          --protocol multi-crop+dense  24.4 7.2 and 24.4 7.1
//	table 6   vgg eval --data val -w D-256-512.safetensors --train-scale 256-512 --fuse E-256-512.safetensors@256-512
//	          --protocol multi-scale       24.0 7.1
//	          --protocol multi-crop        23.9 7.2
//	          --protocol multi-crop+dense  23.7 6.8
//	          vgg eval --data val -w D-256.safetensors --train-scale 256 --protocol multi-scale
//	          --fuse D-384.safetensors@384 --fuse D-256-512.safetensors@256-512 --fuse C-256.safetensors@256
//	          --fuse C-384.safetensors@384 --fuse E-256.safetensors@256 --fuse E-384.safetensors@384  24.7 7.5
//
// [PaperRows] has the table, and [PaperRow.Command] writes the calls. The training scale
// belongs to the weights, but files of weights do not have it. torchvision's were trained
// at random sizes that are not in the paper, and match no row.
package evaluate
