// Package perceptual measures how different two pictures look, by the activations of
// configuration D, "VGG-16", and gives the gradient of that distance with respect to the
// first picture.
//
// # LPIPS
//
// Learned perceptual image patch similarity, version 0.1 (Zhang et al., The Unreasonable
// Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, arXiv:1801.03924).
// a_l and b_l are the activations of relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, and
// w_l the weights of the authors' file lpips_vgg.pth, one a channel:
//
//	û_p = a_p / (√Σ_c a_pc² + 10⁻¹⁰)                       of each pixel p; v̂ of b likewise
//	d   = Σ_l 1/(H_l·W_l) · Σ_p Σ_c w_lc · (û_pc − v̂_pc)²
//
// # DISTS
//
// Deep image structure and texture similarity (Ding et al., Image Quality Assessment:
// Unifying Structure and Texture Similarity, IEEE TPAMI 2020, arXiv:2004.07728). The
// network has L2 pooling in place of its maximum pools,
//
//	y = √(g ∗ x² + 10⁻¹²),   g = [1 2 1]ᵀ[1 2 1]/16, stride 2, zero padding 1,
//
// and the picture itself is one more activation, l = 0. With the mean µ, the variance σ²
// and the covariance σ_ab of each channel over its plane, and the weights α and β of
// the authors' file dists_weights.pt divided by the sum of all of them:
//
//	s1 = (2·µ_a·µ_b + 10⁻⁶) / (µ_a² + µ_b² + 10⁻⁶)
//	s2 = (2·σ_ab + 10⁻⁶) / (σ_a² + σ_b² + 10⁻⁶)
//	d  = 1 − Σ_l Σ_c (α_lc·s1 + β_lc·s2)
//
// # Use
//
// Pictures are [3][H][W], red, green and blue from 0 to 1, and of one size. The network's
// weights are those of ImageNet with the preparation of picture.Torch, as torchvision
// publishes them; the authors' files are read as they are. A [Metric] is immutable. A
// [Session] and a [Gradient] own their memory; they allocate nothing when they run.
//
// Activations are float32. So are the lengths and differences of LPIPS; all sums over pixels
// and all of DISTS are float64. Distances are the same bits for any number of workers. Two equal pictures have distance 0.
package perceptual
