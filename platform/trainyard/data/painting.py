"""What pictures of data are made of: colours of classes, images at a size, masks and boxes over them, text, legends."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainyard.data.manifest import VOID

Colour = tuple[int, int, int]

TEXT_SIZE = 13
LINE = 18
GAP = 10
MARGIN = 14
MASK_SHARE = 0.6
INK = (30, 30, 30)
PAPER = (250, 250, 248)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A box to be drawn: left, top, right, bottom in pixels of its image, and a word at its corner."""

    corners: tuple[float, float, float, float]
    colour: Colour
    word: str = ""


def class_colour(index: int) -> Colour:
    """A colour for each class index: neighbours differ much, as their hues are a golden angle apart."""
    hue = (0.02 + index * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 else 0.65, 0.95 if index % 3 else 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def as_rgb(image: np.ndarray) -> Image.Image:
    """image: uint8 (1 or 3, H, W)."""
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)))


def fitting_zoom(height: int, width: int, side: int) -> float:
    """By which an image's longer side becomes `side` pixels: a whole number for what is enlarged, or somewhat less."""
    zoom = side / max(height, width)
    return float(int(zoom)) if zoom >= 1 else zoom


def scaled(image: Image.Image, zoom: float) -> Image.Image:
    """What is enlarged by a whole number shows its pixels, all else is smooth."""
    size = max(1, round(image.width * zoom)), max(1, round(image.height * zoom))
    return image.resize(size, Image.Resampling.BILINEAR if zoom % 1 else Image.Resampling.NEAREST)


def as_grey(image: Image.Image) -> Image.Image:
    """The same without its colours, so that those over it show as they are."""
    return image.convert("L").convert("RGB")


def overlay(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The image in the colours of its mask's classes, uint8 (H, W); void stays as it is."""
    palette = np.array([class_colour(index) for index in range(VOID + 1)], dtype=np.float32)
    pixels = np.asarray(image, dtype=np.float32)
    coloured = pixels * (1 - MASK_SHARE) + palette[mask] * MASK_SHARE
    return Image.fromarray(np.where((mask == VOID)[..., None], pixels, coloured).round().astype(np.uint8))


def draw_marks(image: Image.Image, marks: Sequence[Mark], zoom: float, *, width: int = 2) -> None:
    """Onto an image that was scaled by `zoom`; the words over all boxes, each within the image."""
    draw = ImageDraw.Draw(image)
    for mark in marks:
        left, top, right, bottom = (side * zoom for side in mark.corners)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=mark.colour, width=width)
    small = font(11)
    for mark in (mark for mark in marks if mark.word):
        wide = round(small.getlength(mark.word)) + 4
        left = max(0, min(round(mark.corners[0] * zoom), image.width - wide))
        top = max(0, round(mark.corners[1] * zoom) - 14)
        draw.rectangle((left, top, left + wide, top + 13), fill=mark.colour)
        draw.text((left + 2, top), mark.word, fill=readable_on(mark.colour), font=small)


def readable_on(colour: Colour) -> Colour:
    """Dark or light text, whichever stands out (luma of ITU-R BT.601)."""
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else PAPER


def legend(entries: Sequence[tuple[str, Colour]], width: int) -> Image.Image:
    """Words, each beside its colour, in as many lines as the width takes."""
    places: list[tuple[str, Colour, int, int]] = []
    left, line = 0, 0
    for word, colour in entries:
        needed = LINE + text_width(word) + 2 * GAP
        if left and left + needed > width:
            left, line = 0, line + 1
        places.append((word, colour, left, line))
        left += needed
    drawn = Image.new("RGB", (max(width, 1), (line + 1) * LINE if entries else 1), PAPER)
    draw = ImageDraw.Draw(drawn)
    for word, colour, left, line in places:
        top = line * LINE
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=colour)
        draw.text((left + LINE, top + 1), word, fill=INK, font=font())
    return drawn


def shortened(text: str, width: int) -> str:
    """The text, or as much of its beginning as fits so many pixels."""
    if text_width(text) <= width:
        return text
    while text and text_width(text + "…") > width:
        text = text[:-1]
    return text + "…"


def text_width(text: str) -> int:
    return round(font().getlength(text))


def font(size: int = TEXT_SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
