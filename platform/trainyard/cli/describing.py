"""A data set as text and as a sheet of examples; the disk cache as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainyard.cli.importing import WHAT, problem_lines
from trainyard.cli.printing import counted, table
from trainyard.data.dataset import Dataset
from trainyard.data.manifest import Manifest, SplitFacts
from trainyard.data.shapes import auto_size
from trainyard.errors import DataError, UsageError

TOTALS = {"label": "images", "mask": "share of the pixels", "boxes": "boxes"}
"""What is counted for each class."""

_CLASSES_SHOWN = 40


def description(dataset: Dataset, sheet: str | None) -> list[str]:
    """What is in a data set. sheet: the picture that was drawn of it."""
    manifest = dataset.manifest
    kind = {1: "grey", 3: "RGB"}[manifest.image.channels]
    lines = [
        f"{dataset.path}: {WHAT[manifest.annotation]}, imported from {manifest.source}",
        f"images       {kind}, {_sizes(manifest)}",
        f"fingerprint  {manifest.fingerprint[:16]}",
        "",
        *_split_table(manifest),
    ]
    for split, made in manifest.made_splits.items():
        how = "stratified, " if made.stratified else ""
        lines.append(f"{split} was made here: {made.fraction:.0%} of {made.taken_from} ({how}seed {made.seed}).")
    lines += ["", *_class_table(manifest)]
    if manifest.problems:
        lines += ["", *problem_lines(dataset.location)]
    return [*lines, "", f"Examples: {sheet}"] if sheet else lines


def _sizes(manifest: Manifest) -> str:
    """Width first, as people say it."""
    (low, narrow), (high, wide) = manifest.image.smallest, manifest.image.largest
    if manifest.image.size:
        return f"{wide}x{high}"
    height, width = auto_size(manifest)
    return f"{narrow}x{low} to {wide}x{high}; data.image_size: auto is [{height}, {width}]"


def _split_table(manifest: Manifest) -> list[str]:
    rows = [
        [name, f"{split.rows:,}", str(len(split.files)), _values(split.pixel_mean), _values(split.pixel_std)]
        for name, split in manifest.splits.items()
    ]
    return table(["split", "rows", "files", "pixel mean", "pixel std"], rows, left=[0])


def _values(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _class_table(manifest: Manifest) -> list[str]:
    """A line for each class: how much there is of it in each split."""
    splits = manifest.splits
    shares = {name: _shares(manifest, split) for name, split in splits.items()}
    rows = [
        [name, *(shares[split][index] for split in splits)]
        for index, name in enumerate(manifest.classes[:_CLASSES_SHOWN])
    ]
    if manifest.annotation == "mask":
        void = [split.void_pixels / max(1, split.void_pixels + sum(split.class_totals)) for split in splits.values()]
        if any(void):
            rows.append(["(void)", *(f"{share:.2%}" for share in void)])
    lines = [f"{TOTALS[manifest.annotation]} of each class:", *table(["class", *splits], rows, left=[0])]
    more = len(manifest.classes) - _CLASSES_SHOWN
    return [*lines, f"and {counted(more, 'more class')}"] if more > 0 else lines


def _shares(manifest: Manifest, split: SplitFacts) -> list[str]:
    if manifest.annotation != "mask":
        return [f"{total:,}" for total in split.class_totals]
    pixels = max(1, split.void_pixels + sum(split.class_totals))
    return [f"{total / pixels:.2%}" for total in split.class_totals]


def draw_examples(dataset: Dataset, *, split: str, rows: int, file: Path | None) -> str:
    """Draw a sheet of examples and return where it is. DataError for a split that is not there."""
    from trainyard.data.examples import example_pictures, example_rows
    from trainyard.data.sheet import draw_sheet

    facts = dataset.manifest.splits.get(split)
    if facts is None:
        raise DataError(f"{dataset.path} has no split {split}. It has: {', '.join(dataset.manifest.splits)}.")
    pictures = example_pictures(dataset, split, example_rows(dataset, split, rows))
    title = f"{dataset.path}  ·  {split}: {len(pictures)} of {facts.rows:,} images"
    picture = draw_sheet(pictures, classes=dataset.manifest.classes, title=title)
    return saved(picture, file or Path(f"{dataset.location.name}-examples.png"))


def saved(picture: Any, file: Path) -> str:
    """Save a sheet; UsageError where that can't be."""
    try:
        picture.save(file)
    except (OSError, ValueError) as error:  # the latter for a suffix that Pillow has no format for
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"can't write {file}: {reason}. Name another file: --sheet FILE.png") from error
    return str(file)
