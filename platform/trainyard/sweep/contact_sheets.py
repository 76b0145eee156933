"""The pictures of a sweep's best trials put together: of each image one sheet, with the strips of the trials."""

import logging
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from posixpath import basename
from typing import TYPE_CHECKING

from trainyard.data.location import Location
from trainyard.spec.scalars import write
from trainyard.sweep.record import TrialRecord
from trainyard.sweep.results.checkpoints import PICTURES
from trainyard.tracking.events import SweepPictures

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TRIALS = 8
"""On a sheet: more are no overview."""

_log = logging.getLogger(__name__)


def draw_contact_sheets(sweep_folder: Location | Path, best: Sequence[TrialRecord]) -> SweepPictures | None:
    """Write `pictures/<row>.png` of each image that the trials, the best first, have a picture of.

    None where there are none, or where that fails, with a warning.
    """
    sweep = Location.of(sweep_folder)
    shown = [_files(record) for record in best]
    try:
        names = sorted({name for files in shown for name in files})
        drawn = [name for name in names if _sheet(sweep, name, best, shown)]
    except Exception as error:  # an overview is worth no sweep, whatever Pillow makes of a damaged PNG
        _log.warning("The pictures of the best trials can't be put together: %s", error)
        return None
    return SweepPictures(files=[f"{PICTURES}/{name}" for name in drawn]) if drawn else None


def _sheet(sweep: Location, name: str, best: Sequence[TrialRecord], shown: Sequence[Mapping[str, str]]) -> bool:
    """Write the sheet of one image; whether there was a picture for it."""
    strips = []
    for place, (record, files) in enumerate(zip(best, shown, strict=True), start=1):
        if name in files and (picture := _opened(sweep / files[name])):
            strips.append((_title(place, record), picture))
    if strips:
        content = BytesIO()
        _stacked(strips).save(content, format="PNG")
        (sweep / PICTURES / name).write_bytes(content.getbuffer())
    return bool(strips)


def _files(record: TrialRecord) -> dict[str, str]:
    """By name, the files of the trial's pictures, if they are of its best epoch."""
    pictures = record.pictures
    if pictures is None or pictures.epoch != record.best_epoch:
        return {}
    return {basename(file): file for file in pictures.files}


def _opened(file: Location) -> "Image | None":
    """None where the file is gone."""
    from PIL import Image

    try:
        return Image.open(BytesIO(file.read_bytes()))
    except FileNotFoundError:
        return None


def _title(place: int, record: TrialRecord) -> str:
    """`1. trial 7   val/miou=0.6123   optimizer.lr=0.001 model.width=0.5`."""
    measured = "  ".join(f"{best.metric}={best.value:.4f} at epoch {best.epoch}" for best in record.best)
    values = "  ".join(
        f"{path}={value:.4g}" if isinstance(value, float) else f"{path}={write(value)}"
        for path, value in record.values.items()
    )
    return f"{place}. trial {record.number}   {measured}   {values}"


def _stacked(strips: "Sequence[tuple[str, Image]]") -> "Image":
    from PIL import Image, ImageDraw

    from trainyard.data.painting import INK, LINE, MARGIN, PAPER, font, shortened

    width = max(strip.width for _, strip in strips)
    sheet = Image.new("RGB", (width, MARGIN + sum(LINE + strip.height for _, strip in strips)), PAPER)
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for title, strip in strips:
        draw.text((MARGIN, top), shortened(title, width - 2 * MARGIN), fill=INK, font=font())
        sheet.paste(strip, (0, top + LINE))
        top += LINE + strip.height
    return sheet
