"""A strip: one image in several panels side by side, such as the image, the truth and what a model answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainyard.data.painting import (
    GAP,
    INK,
    LINE,
    MARGIN,
    PAPER,
    Colour,
    Mark,
    draw_marks,
    fitting_zoom,
    font,
    legend,
    scaled,
    shortened,
    text_width,
)

PANEL_SIDE = 300
"""Longest side of a panel in pixels, unless a strip says another: four of them are as wide as a window."""

SCALE = np.array(
    [
        (68, 1, 84),
        (71, 45, 123),
        (59, 82, 139),
        (44, 114, 142),
        (33, 145, 140),
        (40, 174, 128),
        (94, 201, 98),
        (173, 220, 48),
        (253, 231, 37),
    ]
)
"""Colours of the numbers 0, 1/8, ... 1: matplotlib's viridis, which rises evenly in lightness."""

SCALE_WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Panel:
    """pixels: uint8 (H, W, 3), the same size in all panels of a strip. marks: boxes over them."""

    caption: str
    pixels: np.ndarray
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, kw_only=True)
class Strip:
    """measure: how good the answer is, in some words. legend: words and their colours. scaled: whether a panel shows
    numbers from 0 to 1 by SCALE. side: the longest of each panel, in pixels, or as near as a whole factor gets.
    """

    panels: Sequence[Panel]
    measure: str = ""
    legend: Sequence[tuple[str, Colour]] = ()
    scaled: bool = False
    side: int = PANEL_SIDE


def scale_colours(numbers: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) for numbers from 0 to 1; NaN counts as 0."""
    steps = np.linspace(0, 1, len(SCALE))
    table = np.stack([np.interp(np.linspace(0, 1, 256), steps, SCALE[:, part]) for part in range(3)], axis=1)
    places = np.rint(np.nan_to_num(numbers, nan=0.0).clip(0, 1) * 255).astype(np.uint8)
    return np.asarray(table.round().astype(np.uint8)[places])


def draw_strip(strip: Strip, *, title: str) -> Image.Image:
    """The panels in a row, each with its caption above; over all the title with the measure, below the legend."""
    height, width = strip.panels[0].pixels.shape[:2]
    whole = fitting_zoom(height, width, strip.side)
    zoom = whole if whole > 1 else strip.side / max(height, width)
    panels = [_panel(panel, zoom) for panel in strip.panels]
    inner = len(panels) * (panels[0].width + GAP) - GAP
    title = f"{title}   {strip.measure}" if strip.measure else title
    inner = max(inner, min(text_width(title), 2 * inner))
    key = _key(strip, inner)

    drawn = Image.new("RGB", (inner + 2 * MARGIN, 2 * MARGIN + 2 * LINE + panels[0].height + GAP + key.height), PAPER)
    draw = ImageDraw.Draw(drawn)
    draw.text((MARGIN, MARGIN), shortened(title, inner), fill=INK, font=font())
    for place, (panel, image) in enumerate(zip(strip.panels, panels, strict=True)):
        left, top = MARGIN + place * (image.width + GAP), MARGIN + LINE
        draw.text((left, top), shortened(panel.caption, image.width), fill=INK, font=font())
        drawn.paste(image, (left, top + LINE))
    drawn.paste(key, (MARGIN, MARGIN + 2 * LINE + panels[0].height + GAP))
    return drawn


def _panel(panel: Panel, zoom: float) -> Image.Image:
    image = scaled(Image.fromarray(panel.pixels), zoom)
    draw_marks(image, panel.marks, zoom)
    return image


def _key(strip: Strip, width: int) -> Image.Image:
    """What the colours mean."""
    words = legend(strip.legend, width)
    if not strip.scaled:
        return words
    key = Image.new("RGB", (width, LINE + (words.height if strip.legend else 0)), PAPER)
    if strip.legend:
        key.paste(words, (0, 0))
    top = key.height - LINE
    draw = ImageDraw.Draw(key)
    draw.text((0, top + 1), "0", fill=INK, font=font())
    bar = np.broadcast_to(scale_colours(np.linspace(0, 1, SCALE_WIDTH)), (12, SCALE_WIDTH, 3))
    key.paste(Image.fromarray(np.ascontiguousarray(bar)), (LINE, top + 3))
    draw.text((LINE + SCALE_WIDTH + 6, top + 1), "1  (probability)", fill=INK, font=font())
    return key
