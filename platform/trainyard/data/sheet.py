"""A sheet of examples as a picture: images with their classes, masks and boxes, as a person would check them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainyard.data.manifest import VOID
from trainyard.data.painting import (
    GAP,
    INK,
    LINE,
    MARGIN,
    PAPER,
    Mark,
    as_rgb,
    class_colour,
    draw_marks,
    fitting_zoom,
    font,
    legend,
    overlay,
    scaled,
    shortened,
    text_width,
)

CELL_SIDE = 200
"""Longest side of an image on the sheet, in pixels: small images are enlarged by a whole factor, large ones reduced."""


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
    width = max(2 * MARGIN + per_row * (cell_width + GAP) - GAP, 2 * MARGIN + text_width(title))
    key = legend([(classes[index], class_colour(index)) for index in _drawn_classes(pictures)], width - 2 * MARGIN)
    height = 2 * MARGIN + LINE + GAP + sum(heights) + GAP * len(rows) + key.height

    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, fill=INK, font=font())
    top = MARGIN + LINE + GAP
    for row, row_height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + place * (cell_width + GAP), top))
        top += row_height + GAP
    sheet.paste(key, (MARGIN, top))
    return sheet


def _cell(picture: Picture, side: int) -> Image.Image:
    """The picture at the sheet's size with its caption below."""
    plain = as_rgb(picture.image)
    zoom = fitting_zoom(plain.height, plain.width, side)
    parts = [scaled(plain, zoom)]
    if picture.boxes is not None and picture.box_labels is not None:
        draw_marks(parts[0], _marks(picture.boxes, picture.box_labels), zoom)
    if picture.mask is not None:
        parts.append(scaled(overlay(plain, picture.mask), zoom))
    width = sum(part.width for part in parts) + 2 * (len(parts) - 1)
    cell = Image.new("RGB", (width, parts[0].height + LINE), PAPER)
    left = 0
    for part in parts:
        cell.paste(part, (left, 0))
        left += part.width + 2
    ImageDraw.Draw(cell).text((0, parts[0].height + 2), shortened(picture.caption, width), fill=INK, font=font())
    return cell


def _marks(boxes: np.ndarray, labels: np.ndarray) -> list[Mark]:
    return [
        Mark(corners=(corners[0], corners[1], corners[2], corners[3]), colour=class_colour(label))
        for corners, label in zip(boxes.tolist(), labels.tolist(), strict=True)
        if label >= 0
    ]


def _drawn_classes(pictures: Sequence[Picture]) -> list[int]:
    """The classes that the sheet shows by their colour."""
    shown: set[int] = set()
    for picture in pictures:
        for values in (picture.mask, picture.box_labels):
            if values is not None:
                shown |= set(np.unique(values).tolist())
    return sorted(shown - {VOID, -1})
