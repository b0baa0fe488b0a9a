// Package picture turns picture files into network inputs.
//
// The pipeline is
//
//	file → Decode (any registered format, EXIF orientation applied)
//	     → FromImage (8-bit RGB)
//	     → Resizer (antialiased, short side to 256) and crop (224×224)
//	     → Preset (scale, mean, standard deviation) → float32 planes [3][H][W]
//
// and [Transform] is all of it behind one call. Every stage is public, because
// training and the evaluation protocols of the VGG paper (Simonyan & Zisserman,
// arXiv:1409.1556) recombine them: see [View], [Jitter], [ColourStats] and [PadCrop].
//
// # Which numbers come out
//
// Weights published for VGG networks were trained and scored on pictures that
// went through Pillow and torchvision, and the last digits of an accuracy
// depend on the decoding and resampling. So JPEG files give the bytes of
// libjpeg-turbo, which package image/jpeg does not (it differs by up to 2), and
// [Resizer] those of Pillow's Image.resize; both are tested byte for byte
// against Pillow 9.4. [ShortSize] and [CenterOffset] have torchvision's rounding,
// and [Torch] computes the float32 operations of torchvision's ToTensor and
// Normalize in their order.
//
// Formats are JPEG, PNG, GIF, WebP, BMP and TIFF, and any that the program
// registers with package image.
package picture
