"""Pictures of what a trial's model answers, as files: the same images in every trial on a data set.

Importing this costs nothing. What draws is imported where it is done, and sweeps without pictures never do.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainyard.tasks.task import Task
    from trainyard.training.learner import Learner
    from trainyard.training.splits import EvaluationSplit

QUICK = 1
"""Of zlib's levels: a PNG is written in 23 ms where the usual one takes 63, and is a fifth larger."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The pictures of an epoch: names of files, and why some are missing, if any are."""

    epoch: int
    files: tuple[str, ...] = ()
    trouble: str = ""


class Gallery:
    """Draws some images of the evaluation split with what is known of them and what a model answers.

    The rows follow from the split's classes and the number alone. They are read when they are first drawn, and kept.
    """

    def __init__(self, count: int, split: "EvaluationSplit", *, split_name: str, classes: int) -> None:
        """count: of images. classes: how many the data set has."""
        self.count = count
        self._split = split
        self._split_name = split_name
        self._classes = classes
        self._chosen: list[tuple[int, str]] | None = None

    def draw(self, folder: Path, *, task: "Task", learner: "Learner", epoch: int) -> Drawn:
        """Write a PNG for each image, `<row>.png`, as a whole or not at all. A file that the disk refuses is trouble,
        and what was there of an earlier epoch goes: it would show another one's answers."""
        files: list[str] = []
        trouble = ""
        for name, image in self._images(task, learner):
            try:
                _write(folder / name, image)
            except OSError as error:
                trouble = f"{folder / name} can't be written: {error.strerror or error}"
                with contextlib.suppress(OSError):
                    (folder / name).unlink(missing_ok=True)
            else:
                files.append(name)
        return Drawn(epoch=epoch, files=tuple(files), trouble=trouble)

    def _images(self, task: "Task", learner: "Learner") -> "Iterator[tuple[str, Image]]":
        from trainyard.data.strips import draw_strip

        chosen = self._rows()
        titles = iter(chosen)
        for batch in self._split.some([row for row, _ in chosen]):
            output, _ = learner.answer(batch)
            for strip in task.pictures(output, batch):
                row, title = next(titles)
                yield f"{row:05d}.png", draw_strip(strip, title=title)

    def _rows(self) -> Sequence[tuple[int, str]]:
        """Each with its title."""
        if self._chosen is None:
            rows = self._split.spread(self.count, classes=self._classes)
            names = [f"   {basename(name)}" for name in self._split.names(rows)] or [""] * len(rows)
            self._chosen = [(row, f"{self._split_name} {row}{name}") for row, name in zip(rows, names, strict=True)]
        return self._chosen


def _write(path: Path, image: "Image") -> None:
    """As a whole or not at all. OSError where the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        image.save(aside, format="PNG", compress_level=QUICK)
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
