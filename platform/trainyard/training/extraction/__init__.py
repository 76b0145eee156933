"""What trials are trained on in the place of images: extracted once, kept on the disk, shared by all of them."""
