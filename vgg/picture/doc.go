// Package picture turns picture files into network inputs.
//
// The pipeline is
//
//	file → Decode (any registered format, EXIF orientation applied)
//	     → FromImage (8-bit RGB)
//	     → Resizer (antialiased, short side to 256) and crop (224×224)
//	     → Preset (scale, mean, standard deviation) → float32 planes [3][H][W]
//
// [Transform] does all of it in one call. Every stage is public, because training and the
// evaluation protocols of the VGG paper (Simonyan & Zisserman, arXiv:1409.1556) combine
// them in other ways: see [View], [Jitter], [ColourStats] and [PadCrop].
//
// # Which numbers come out
//
// The published weights of VGG networks were trained and scored on pictures that went
// through Pillow and torchvision. The last digits of an accuracy depend on the decoding and
// resampling. So JPEG files give the bytes of libjpeg-turbo (those of package image/jpeg
// differ by up to 2), and [Resizer] gives those of Pillow's Image.resize. Both are tested
// byte for byte against Pillow 9.4. [ShortSize] and [CenterOffset] round as torchvision
// does, and [Torch] computes the float32 operations of torchvision's ToTensor and Normalize
// in their order.
//
// Formats are JPEG, PNG, GIF, WebP, BMP and TIFF, and any that the program registers with
// package image.
package picture
