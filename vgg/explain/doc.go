// Package explain shows which parts of a picture a network's class comes from.
//
// y is the logit of a class, before softmax, and x the prepared picture, [3][H][W]:
//
//	Saliency   max_c |∂y/∂x_c|                             Simonyan, Vedaldi & Zisserman, arXiv:1312.6034
//	Guided     ∂y/∂x, where each ReLU passes positive      Springenberg et al., arXiv:1412.6806
//	           gradients alone; and max_c of its magnitude
//	GradCAM    max(0, Σ_k α_k·A_k), where A is the         Selvaraju et al., ICCV 2017, arXiv:1610.02391
//	           activation of the last convolution and
//	           α_k the mean of ∂y/∂A_k over its plane
//	Occlusion  the probability of the class, less that     Zeiler & Fergus, ECCV 2014, arXiv:1311.2901
//	           with a square of the picture's mean
//	           colour over the pixel
//
// An [Explainer] owns the memory for one method. What it returns is a [Map] of the size of
// the network's input; [Map.Draw] lays it over the photograph in the colours that people
// know from the papers. The gradients are those of vgg.Gradient: the same bits for any
// number of workers.
package explain
