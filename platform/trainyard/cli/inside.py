"""Picture sheets of what is inside a convolutional network, and a table of what it takes photographs for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from trainyard.cli.model_choice import Choice, refused
from trainyard.cli.printing import as_json, table
from trainyard.data.fitting import Resize, fit, fitted_image
from trainyard.data.painting import PAPER
from trainyard.data.pictures import Unusable, read_picture
from trainyard.data.sheet import Picture, draw_sheet
from trainyard.errors import UsageError
from trainyard.models.inspection.arithmetic import Layer, measured
from trainyard.models.inspection.inside import (
    FeatureMaps,
    Seen,
    as_grey,
    filter_layers,
    filter_slices,
    look,
    map_layers,
    most_likely,
)

SEED = 0
"""Of weights that are random."""

_FILTER_SIDE = 40
_FILTERS_ACROSS = 32
_MAPS_ACROSS = 8
"""Pictures in a row of a sheet; a side is in pixels."""


@dataclass(frozen=True, kw_only=True)
class _Top:
    """What a photograph is taken for. None: the model answers with no classes."""

    photo: Path
    name: str | None
    probability: float | None


def draw_inside(
    choice: Choice,
    photos: Sequence[Path],
    *,
    filters: bool,
    folder: Path | None,
    resize: Resize | None,
    output: Literal["text", "json"],
) -> None:
    """Draw the sheets into a folder, and print which there are and what each photograph is taken for.

    UsageError for a photograph that can't be read, a folder that can't be written, a model that has no convolution.
    """
    images = [_read(photo, choice, resize or choice.resize) for photo in photos]
    folder = folder or Path(f"{_plain(Path(choice.name).stem)}-inside")
    with refused(choice):
        _, measures = measured(choice.build(weights=False), choice.image)
    layers = map_layers(measures)
    if photos and not layers:
        raise UsageError(f"model {choice.name} has no feature maps to draw: no convolution and no pooling.")
    convolutions = filter_layers(measures)
    if filters and not convolutions:
        raise UsageError(f"model {choice.name} has no convolution whose filters could be drawn. Leave --filters out.")
    with refused(choice):
        model = _built(choice)
    files, tops = [], []
    if filters:
        files = [_draw_filters(filter_slices(model, layer), layer, choice, folder) for layer in convolutions]
    for photo, image in zip(photos, images, strict=True):
        with refused(choice):
            seen = look(model, torch.from_numpy(image).float() / 255, layers)
        top = _top(photo, seen, choice)
        tops.append(top)
        files.append(_draw_maps(image, seen, top, choice, folder))
    if output == "json":
        print(as_json(_facts(choice, files, tops), indent=2))
        return
    lines = [*(f"drawn: {file}" for file in files), *([""] if tops else []), *_top_lines(tops)]
    print("\n".join([*lines, "", _origin(choice)]))


def _built(choice: Choice) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return choice.build(weights=True)()


def _read(photo: Path, choice: Choice, resize: Resize) -> np.ndarray:
    """uint8 (C, H, W) in the model's size."""
    channels, *canvas = choice.image
    if channels not in (1, 3):
        raise UsageError(f"photographs have 1 or 3 channels, the model takes {channels}: --input {channels}x...")
    try:
        picture = read_picture(photo.read_bytes())
    except OSError as error:
        raise UsageError(f"can't read {photo}: {error.strerror or error}.") from error
    except Unusable as error:
        raise UsageError(f"can't use {photo}: {error}.") from error
    assert isinstance(picture.pixels, Image.Image)
    way = fit(picture.size, (canvas[0], canvas[1]), resize)
    pixels = fitted_image(picture.pixels.convert("L" if channels == 1 else "RGB"), way)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _draw_filters(slices: np.ndarray, layer: Layer, choice: Choice, folder: Path) -> Path:
    pictures = [Picture(image=picture[None], caption=str(number)) for number, picture in enumerate(as_grey(slices))]
    size = "x".join(map(str, slices.shape[1:]))
    path = choice.shown(layer.path)
    title = f"{choice.name}  ·  {path}: {len(slices)} filters of {size}, what each has for channel 0"
    sheet = draw_sheet(pictures, classes=(), title=title, across=_FILTERS_ACROSS, cell_side=_FILTER_SIDE)
    return _saved(sheet, folder / f"filters-{_plain(path)}.png")


def _draw_maps(image: np.ndarray, seen: Seen, top: _Top, choice: Choice, folder: Path) -> Path:
    said = "" if top.name is None or top.probability is None else f"  ·  {top.name} {top.probability:.2%}"
    photo = Picture(image=image, caption=top.photo.name)
    sheets = [draw_sheet([photo], classes=(), title=f"{choice.name}  ·  {top.photo.name}{said}")]
    sheets += [_map_sheet(maps, choice) for maps in seen.maps]
    return _saved(_stacked(sheets), folder / f"activations-{_plain(top.photo.stem)}.png")


def _map_sheet(maps: FeatureMaps, choice: Choice) -> Image.Image:
    pictures = [
        Picture(image=picture[None], caption=f"channel {channel}")
        for channel, picture in zip(maps.channels, as_grey(maps.maps), strict=True)
    ]
    channels, height, width = maps.layer.output or (0, 0, 0)
    after = f"{choice.shown(maps.layer.path) or 'the model'} ({maps.layer.kind})"
    title = f"after {after}: {height}x{width}, {channels} channels"
    return draw_sheet(pictures, classes=(), title=title, across=_MAPS_ACROSS)


def _stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _saved(sheet: Image.Image, file: Path) -> Path:
    """The folder comes with its first file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(file)
    except OSError as error:
        place = error.filename or file
        raise UsageError(f"can't write {place}: {error.strerror or error}. Name another folder: --out DIR") from error
    return file


def _top(photo: Path, seen: Seen, choice: Choice) -> _Top:
    if seen.logits is None:
        return _Top(photo=photo, name=None, probability=None)
    index, probability = most_likely(seen.logits)
    name = choice.classes[index] if index < len(choice.classes) else f"class {index}"
    return _Top(photo=photo, name=name, probability=probability)


def _top_lines(tops: Sequence[_Top]) -> list[str]:
    if not tops:
        return []
    if all(top.probability is None for top in tops):
        return ["The model answers with no classes for an image, so there is no most likely one."]
    rows = [[str(top.photo), top.name or "-", f"{top.probability:.2%}" if top.probability else "-"] for top in tops]
    return table(["photograph", "most likely", "probability"], rows, left=[0, 1])


def _origin(choice: Choice) -> str:
    if choice.weights is not None:
        return f"Weights: {choice.weights}."
    return f"The weights are random (seed {SEED}): neither filters nor maps nor probabilities mean anything."


def _facts(choice: Choice, files: Sequence[Path], tops: Sequence[_Top]) -> dict[str, Any]:
    return {
        "name": choice.name,
        "weights": choice.weights,
        "files": [str(file) for file in files],
        "photographs": [{"file": str(top.photo), "class": top.name, "probability": top.probability} for top in tops],
    }


def _plain(name: str) -> str:
    """Fit for the name of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name) or "model"
