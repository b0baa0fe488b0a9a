// Package style makes pictures whose activations in a network are wanted ones: the
// content of one picture in the style of another (Gatys, Ecker & Bethge, Image Style
// Transfer Using Convolutional Neural Networks, CVPR 2016), textures, and inversions of
// features (Mahendran & Vedaldi, Understanding Deep Image Representations by Inverting
// Them, CVPR 2015).
//
// For a picture x, a content picture p and a style picture s of any size, with the
// activations F_l of layer l, C×(H·W), and their Gram matrices
//
//	G_l = F_l·F_lᵀ / (H_l·W_l)
//
// it minimises over the pixels
//
//	L(x) = Σ_l a_l · ‖F_l(x) − F_l(p)‖² / ‖F_l(p)‖²             content
//	     + Σ_l b_l · ‖G_l(x) − G_l(s)‖² / ‖G_l(s)‖²             style
//	     + t · mean of the squared differences of neighbours    total variation
//
// Each term is relative to what it is compared with, so that weights mean about the same
// for any network and any size. Pixels count from 0 to 1. The gradient comes from
// vgg.Gradient: 2·a_l·(F_l(x) − F_l(p))/‖F_l(p)‖² and 4·b_l·(G_l(x) − G_l(s))·F_l(x)/(H_l·W_l·‖G_l(s)‖²)
// are the cotangents of layer l.
//
// Pixels are changed by L-BFGS (Liu & Nocedal, Mathematical Programming 45, 1989), by
// gonum's implementation, with a line search of Moré and Thuente; or by Adam (Kingma &
// Ba, ICLR 2015). A [Transfer] that is saved and restored goes on with the same bits.
package style
