// Package pool computes what stands between the convolutions of a VGG network:
// the 2×2 maximum with stride 2, and the local response normalisation of
// Krizhevsky, Sutskever & Hinton (NIPS 2012), section 3.3, over n adjacent
// channels,
//
//	b[c] = a[c] / (k + α·Σ a[j]²)^β,   max(0, c−n/2) ≤ j ≤ min(C−1, c+n/2)
//
// where α is not divided by n, as other frameworks do. VGG has n = 5, k = 2,
// α = 1e-4 and β = 3/4, and so has this package: the power is then two square
// roots.
package pool
