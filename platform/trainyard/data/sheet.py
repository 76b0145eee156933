"""A sheet of examples as a picture: images with their classes, masks and boxes, as a person would check them."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainyard.data.manifest import VOID

CELL_SIDE = 200
"""Longest side of an image on the sheet, in pixels: small images are enlarged by a whole factor, large ones reduced."""

TEXT_SIZE = 13
LINE = 18
GAP = 10
MARGIN = 14
MASK_SHARE = 0.6
INK = (30, 30, 30)
PAPER = (250, 250, 248)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An example to be drawn: image uint8 (C, H, W), a caption, and what goes with it, as in data/columns.py.

    mask: (H, W), class indexes. boxes: (M, 4) with labels (M,), -1 where there is none.
    """

    image: np.ndarray
    caption: str
    mask: np.ndarray | None = None
    boxes: np.ndarray | None = None
    box_labels: np.ndarray | None = None


def draw_sheet(
    pictures: Sequence[Picture], *, classes: Sequence[str], title: str, across: int = 8, cell_side: int = CELL_SIDE
) -> Image.Image:
    """Pictures in rows of at most `across`; a masked image stands beside its mask. Below, the colours of the classes
    where masks or boxes need them. cell_side: as CELL_SIDE."""
    cells = [_cell(picture, cell_side) for picture in pictures]
    per_row = max(1, min(len(cells), across // 2 if any(picture.mask is not None for picture in pictures) else across))
    cell_width = max(cell.width for cell in cells)
    rows = [cells[start : start + per_row] for start in range(0, len(cells), per_row)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = max(2 * MARGIN + per_row * (cell_width + GAP) - GAP, 2 * MARGIN + _text_width(title))
    legend = _legend(_drawn_classes(pictures), classes, width - 2 * MARGIN)
    height = 2 * MARGIN + LINE + GAP + sum(heights) + GAP * len(rows) + legend.height

    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, fill=INK, font=_font())
    top = MARGIN + LINE + GAP
    for row, row_height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + place * (cell_width + GAP), top))
        top += row_height + GAP
    sheet.paste(legend, (MARGIN, top))
    return sheet


def class_colour(index: int) -> tuple[int, int, int]:
    """A colour for each class index: neighbours differ much, as their hues are a golden angle apart."""
    hue = (0.02 + index * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 else 0.65, 0.95 if index % 3 else 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def _cell(picture: Picture, side: int) -> Image.Image:
    """The picture at the sheet's size with its caption below."""
    plain = _as_rgb(picture.image)
    zoom = _zoom(plain.height, plain.width, side)
    parts = [_scaled(plain, zoom, smooth=zoom < 1)]
    if picture.boxes is not None and picture.box_labels is not None:
        _draw_boxes(parts[0], picture.boxes * zoom, picture.box_labels)
    if picture.mask is not None:
        parts.append(_scaled(_overlay(plain, picture.mask), zoom, smooth=zoom < 1))
    width = sum(part.width for part in parts) + 2 * (len(parts) - 1)
    cell = Image.new("RGB", (width, parts[0].height + LINE), PAPER)
    left = 0
    for part in parts:
        cell.paste(part, (left, 0))
        left += part.width + 2
    ImageDraw.Draw(cell).text((0, parts[0].height + 2), _shortened(picture.caption, width), fill=INK, font=_font())
    return cell


def _zoom(height: int, width: int, side: int) -> float:
    zoom = side / max(height, width)
    return float(int(zoom)) if zoom >= 1 else zoom


def _as_rgb(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)))


def _scaled(image: Image.Image, zoom: float, *, smooth: bool) -> Image.Image:
    size = max(1, round(image.width * zoom)), max(1, round(image.height * zoom))
    return image.resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)


def _overlay(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """The image in the colours of its mask's classes; void stays as it is."""
    palette = np.array([class_colour(index) for index in range(VOID + 1)], dtype=np.float32)
    pixels = np.asarray(image, dtype=np.float32)
    coloured = pixels * (1 - MASK_SHARE) + palette[mask] * MASK_SHARE
    return Image.fromarray(np.where((mask == VOID)[..., None], pixels, coloured).round().astype(np.uint8))


def _draw_boxes(image: Image.Image, boxes: np.ndarray, labels: np.ndarray) -> None:
    draw = ImageDraw.Draw(image)
    for (left, top, right, bottom), label in zip(boxes.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            corners = (left, top, max(left, right - 1), max(top, bottom - 1))
            draw.rectangle(corners, outline=class_colour(label), width=2)


def _drawn_classes(pictures: Sequence[Picture]) -> list[int]:
    """The classes that the sheet shows by their colour."""
    shown: set[int] = set()
    for picture in pictures:
        for values in (picture.mask, picture.box_labels):
            if values is not None:
                shown |= set(np.unique(values).tolist())
    return sorted(shown - {VOID, -1})


def _legend(drawn: Sequence[int], classes: Sequence[str], width: int) -> Image.Image:
    """Each class with its colour, in as many lines as the width takes."""
    places: list[tuple[int, int, int]] = []
    left, line = 0, 0
    for index in drawn:
        needed = LINE + _text_width(classes[index]) + 2 * GAP
        if left and left + needed > width:
            left, line = 0, line + 1
        places.append((index, left, line))
        left += needed
    legend = Image.new("RGB", (max(width, 1), (line + 1) * LINE if drawn else 1), PAPER)
    draw = ImageDraw.Draw(legend)
    for index, left, line in places:
        top = line * LINE
        draw.rectangle((left, top + 3, left + 12, top + 15), fill=class_colour(index))
        draw.text((left + LINE, top + 1), classes[index], fill=INK, font=_font())
    return legend


def _shortened(text: str, width: int) -> str:
    if _text_width(text) <= width:
        return text
    while text and _text_width(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _text_width(text: str) -> int:
    return round(_font().getlength(text))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_SIZE)
