"""Pictures of what a trial's model answers, as files: the same images in every trial on a data set.

Importing this costs nothing. What draws is imported where it is done, and sweeps without pictures never do.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from posixpath import basename
from typing import TYPE_CHECKING

from trainyard.data.location import Location
from trainyard.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainyard.data.columns import Columns
    from trainyard.tasks.task import Task
    from trainyard.training.learner import Learner
    from trainyard.training.splits import EvaluationSplit

QUICK = 1
"""Of zlib's levels: a PNG is written in 23 ms where the usual one takes 63, and is a fifth larger."""


_NOTE = "drawn.json"
"""Beside the pictures: what is known of them."""

_NAME = re.compile(r"[A-Za-z0-9_-]+\.png")

_REFUSED = (OSError, DataError)
"""What a disk or a bucket raises that does not take or give something."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The pictures of an epoch: names of files, and why some are missing, if any are."""

    epoch: int
    files: tuple[str, ...] = ()
    trouble: str = ""

    def keep(self, folder: Location) -> None:
        """Write it down beside the pictures, as far as the disk lets."""
        with contextlib.suppress(*_REFUSED):
            (folder / _NOTE).write_bytes(json.dumps(asdict(self)).encode())

    @classmethod
    def kept(cls, folder: Location) -> "Drawn | None":
        """What was written down last; None where there is nothing of ours, or drawing was cut off."""
        try:
            note = json.loads((folder / _NOTE).read_bytes())
            files = tuple(note["files"])
            if not all(_NAME.fullmatch(name) for name in files):
                return None
            return cls(epoch=int(note["epoch"]), files=files, trouble=str(note["trouble"]))
        except (OSError, DataError, ValueError, KeyError, TypeError):
            return None


class Gallery:
    """Draws some images of the evaluation split with what is known of them and what a model answers.

    The rows follow from the split's classes and the number alone. They are decoded when they are first drawn, and kept:
    from a stream each of them would cost a whole row group again.
    """

    def __init__(self, count: int, split: "EvaluationSplit", *, split_name: str, classes: int) -> None:
        """count: of images. classes: how many the data set has."""
        self.count = count
        self._split = split
        self._split_name = split_name
        self._classes = classes
        self._chosen: list[Columns] = []
        self._titles: list[tuple[int, str]] = []

    def draw(self, folder: Location, *, task: "Task", learner: "Learner", epoch: int) -> Drawn:
        """Write a PNG for each image, `<row>.png`, as a whole or not at all. A file that the disk refuses is trouble.

        What was there of an earlier epoch goes, also where this raises: it would show another one's answers.
        """
        _drop(folder, [_NOTE])
        files: list[str] = []
        trouble = ""
        try:
            for name, image in self._images(task, learner):
                try:
                    _write(folder / name, image)
                except OSError as error:
                    trouble = f"{folder / name} can't be written: {error.strerror or error}"
                except DataError as error:
                    trouble = str(error)
                else:
                    files.append(name)
        except BaseException:
            files.clear()
            raise
        finally:
            _drop(folder, _pictures(folder) - set(files))
        return Drawn(epoch=epoch, files=tuple(files), trouble=trouble)

    def _images(self, task: "Task", learner: "Learner") -> "Iterator[tuple[str, Image]]":
        from trainyard.data.strips import draw_strip

        self._choose()
        titles = iter(self._titles)
        for columns in self._chosen:
            batch = self._split.sent(columns)
            output, _ = learner.answer(batch)
            for strip in task.pictures(output, batch):
                row, title = next(titles)
                yield f"{row:05d}.png", draw_strip(strip, title=title)

    def _choose(self) -> None:
        """Read the rows, and what each is called, unless it is done."""
        if self._titles:
            return
        rows = self._split.spread(self.count, classes=self._classes)
        names = [f"   {basename(name)}" for name in self._split.names(rows)] or [""] * len(rows)
        self._chosen = self._split.some(rows)
        self._titles = [(row, f"{self._split_name} {row}{name}") for row, name in zip(rows, names, strict=True)]


def _pictures(folder: Location) -> set[str]:
    """The names of those that are there, as far as the disk tells."""
    with contextlib.suppress(*_REFUSED):
        return {file.path for file in folder.walk() if file.path.endswith(".png")}
    return set()


def _drop(folder: Location, names: Iterable[str]) -> None:
    """Delete files, as far as the disk lets."""
    for name in names:
        with contextlib.suppress(*_REFUSED):
            (folder / name).delete()


def _write(place: Location, image: "Image") -> None:
    """As a whole or not at all. OSError where the disk refuses, DataError where a bucket does."""
    content = BytesIO()
    image.save(content, format="PNG", compress_level=QUICK)
    place.write_bytes(content.getbuffer())
