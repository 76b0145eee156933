"""Image files: opened, decoded whole and judged."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM")
"""Pillow also reads formats that run other programs (EPS) or that nobody stores images for training in."""

GREY_MODES = frozenset(["1", "L", "LA", "La"])


class Unusable(ValueError):
    """What keeps an image or its annotation from being used. kind: see Problem."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded image.

    stored: the file's bytes, changed only where they had to be. size: (height, width). grey: one channel, else RGB.
    pixels: an image of that mode, or the bytes of one. frames: in the file; the first one is meant.
    """

    stored: bytes
    size: tuple[int, int]
    grey: bool
    pixels: Image.Image | bytes
    frames: int = 1


def read_picture(content: bytes, expected: tuple[int, int] | None = None) -> Picture:
    """An image file turned as a viewer shows it. Unusable for what is no whole image of 8 bits.

    expected: (height, width) that its annotation says. If only the image as stored has that size, then the annotation
    was made on it, and it isn't turned.
    """
    picture = open_picture(content, "image")
    frames = _frames(picture)
    if (turned := _turned(picture)) is not None and not (_size(picture) == expected != _size(turned)):
        content, picture = _encoded(turned, picture.format), turned
    grey = picture.mode in GREY_MODES
    mode = "L" if grey else "RGB"
    pixels = picture if picture.mode == mode else picture.convert(mode)
    return Picture(stored=content, size=_size(picture), grey=grey, pixels=pixels, frames=frames)


def open_picture(content: bytes, what: str) -> Image.Image:
    """Decoded: only so does one find that a file is truncated. what: `image` or `mask`; masks may have 16 bits."""
    if not content:
        raise Unusable("empty file", f"the {what} is an empty file")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if what == "image":
            _check_depth(picture)
        picture.load()
    except Unusable:
        raise
    except UnidentifiedImageError:
        raise Unusable("not an image", f"the {what} is no image file that is known: {_beginning(content)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = round((Image.MAX_IMAGE_PIXELS or 0) / 1e6)
        raise Unusable("too many pixels", f"the {what} has more than {most} million pixels") from None
    except MemoryError:
        raise
    except Exception as error:  # Damaged files make Pillow raise whatever comes: SyntaxError, struct.error, IndexError.
        raise Unusable("truncated or damaged", f"the {what} is truncated or damaged: {error}") from error
    return picture


def encoded_array(pixels: np.ndarray) -> bytes:
    """uint8 (H, W) or (H, W, 3) as PNG: lossless. The lowest level: three times as fast as the default's."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def _check_depth(picture: Image.Image) -> None:
    """Pillow drops the lower half of 16-bit colours, which leaves nothing of an image with 12 bits in 16."""
    tiles = getattr(picture, "tile", [])
    raw = str(tiles[0].args) if tiles else ""
    if picture.mode == "F":
        raise Unusable("16-bit or float", "the image's pixels are floats: 8-bit images are read. Convert it")
    if picture.mode.startswith("I") or (";16" in raw and "BGR" not in raw):
        raise Unusable("16-bit or float", "the image has more than 8 bits for each channel: 8 are read. Convert it")


def _frames(picture: Image.Image) -> int:
    """MPO is what many phones write: a photo and its preview."""
    if picture.format == "MPO" or not getattr(picture, "is_animated", False):
        return 1
    return int(getattr(picture, "n_frames", 1))


def _turned(picture: Image.Image) -> Image.Image | None:
    """The image as its EXIF orientation says, None if it is upright as it is. (Pillow turns TIFF files by itself.)"""
    if not {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & picture.info.keys():
        return None
    try:
        if picture.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9):
            return None
        return ImageOps.exif_transpose(picture)
    except Exception:  # Unreadable EXIF data hurts no pixel; a viewer would ignore it.
        return None


def _encoded(picture: Image.Image, source_format: str | None) -> bytes:
    """JPEG stays JPEG, hardly worse: as PNG a photo would be five to ten times as large."""
    buffer = io.BytesIO()
    pixels = picture.convert("L" if picture.mode in GREY_MODES else "RGB")
    pixels.info = {}
    if source_format in ("JPEG", "MPO"):
        pixels.save(buffer, format="jpeg", quality=95, subsampling=0)
    else:
        pixels.save(buffer, format="png")
    return buffer.getvalue()


def _size(picture: Image.Image) -> tuple[int, int]:
    return picture.height, picture.width


def _beginning(content: bytes) -> str:
    start = content[:16]
    shown = start.decode() if start.isascii() and start.decode().isprintable() else start.hex(" ")
    return f"it begins with {shown}"
