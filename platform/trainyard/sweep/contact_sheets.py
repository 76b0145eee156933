"""The pictures of a sweep's best trials put together: of each image one sheet, with the strips of the trials."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainyard.spec.scalars import write
from trainyard.sweep.checkpoints import PICTURES
from trainyard.sweep.record import TrialRecord
from trainyard.tracking.events import SweepPictures

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TRIALS = 8
"""On a sheet: more are no overview."""

_log = logging.getLogger(__name__)


def draw_contact_sheets(sweep_folder: Path, best: Sequence[TrialRecord]) -> SweepPictures | None:
    """Write `pictures/<row>.png` of each image that the trials, the best first, have a picture of.

    None where there are none, or where that fails, with a warning.
    """
    shown = [_files(record) for record in best]
    names = sorted({name for files in shown for name, file in files.items() if (sweep_folder / file).exists()})
    if not names:
        return None
    folder = sweep_folder / PICTURES
    try:
        folder.mkdir(exist_ok=True)
        for name in names:
            titled = [
                (_title(place, record), sweep_folder / files[name])
                for place, (record, files) in enumerate(zip(best, shown, strict=True), start=1)
                if name in files
            ]
            _draw(folder / name, titled)
    except Exception as error:  # an overview is worth no sweep, whatever Pillow makes of a damaged PNG
        _log.warning("The pictures of the best trials can't be put together: %s", error)
        return None
    return SweepPictures(files=[f"{PICTURES}/{name}" for name in names])


def _files(record: TrialRecord) -> dict[str, str]:
    """By name, the files of the trial's pictures, if they are of its best epoch."""
    pictures = record.pictures
    if pictures is None or pictures.epoch != record.best_epoch:
        return {}
    return {Path(file).name: file for file in pictures.files}


def _draw(sheet: Path, titled: Sequence[tuple[str, Path]]) -> None:
    from PIL import Image

    strips = [(title, Image.open(file)) for title, file in titled if file.exists()]
    aside = sheet.with_name(f".{sheet.name}")
    _stacked(strips).save(aside, format="PNG")
    aside.replace(sheet)


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
