"""Boxes in one JSON file, or in one for each split.

The JSON files lie anywhere in the source. Where one is called instances_*, others in its folder (captions_*,
person_keypoints_*) are passed over. A split is what the path of the JSON file names (`instances_val2017.json`,
`train/_annotations.coco.json`). Classes are those of all files by their names, in the order of the first file's ids,
but not one that merely stands above others and has no box (Roboflow's category 0). What has iscrowd or ignore set is
crowd. Images without a box stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import basename, dirname

from trainyard.data.formats.boxes import NamedBox, indexed_boxes, unknown_classes
from trainyard.data.formats.coco_file import CocoFile, looks_like_coco, parse_coco
from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.mismatch import not_of_format
from trainyard.data.formats.names import folder_split, listed, split_called, split_within, stem
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.tree import Tree, folder_and_file
from trainyard.data.location import Location
from trainyard.data.source import Entry, ImportOptions, Listing, Problem
from trainyard.errors import DataError

MOST_NAMED = 20
"""Of annotations that belong to nothing, and of such without a usable box, in each file."""

_ANNOTATION_FOLDERS = ("annotations", "labels")
_LOOKED_AT = 50
_BEGINNING = 1 << 16


def open_source(location: Location, options: ImportOptions) -> "Coco":
    folder, only = folder_and_file(location, also=_ANNOTATION_FOLDERS)
    return Coco(folder=folder, only=only, options=options)


def fits(tree: Tree) -> bool:
    return bool(tree.images) and bool(_json_paths(tree))


def why_not(tree: Tree) -> str | None:
    """What is wrong with the one JSON file of a source that it doesn't fit."""
    paths = [tree.only] if tree.only else list(tree.files)
    found = [path for path in paths if path.lower().endswith(".json")]
    if len(found) != 1:
        return None
    try:
        parse_coco(tree.read(found[0]))
    except (ValueError, DataError) as error:
        return f"{found[0]} (coco): {error}"
    return None


@dataclass(frozen=True, kw_only=True)
class Coco(FileSource):
    only: str | None

    def listing(self) -> Listing:
        tree = Tree.of(self.folder, self.only)
        files = {path: _parsed(tree, path) for path in self._chosen(tree)}
        classes = self.options.classes or _classes(files.values())
        gathered = _Gathered(tree=tree, indexes={name: index for index, name in enumerate(classes)})
        for (path, file), split in zip(files.items(), _splits(list(files)), strict=True):
            gathered.add(path, file, split)
        if not gathered.entries:
            first = next((f" {problem.file}: {problem.reason}." for problem in gathered.problems), "")
            raise DataError(f"{tree.location}: no image of {listed(files)} is there.{first}")
        names = (
            file.categories[box.category]
            for file in files.values()
            for box in file.boxes
            if box.category in file.categories
        )
        return Listing(
            annotation="boxes",
            classes=classes,
            entries=list(gathered.entries.values()),
            problems=[*gathered.problems, *unknown_classes(names, classes, listed(files))],
            ignored=len(tree.files) - len(gathered.entries) - len(files),
        )

    def _chosen(self, tree: Tree) -> list[str]:
        found = _json_paths(tree)
        if not found:
            raise not_of_format("coco", tree, "JSON file with images, annotations and categories")
        subset = self.options.subset
        chosen = [path for path in found if subset is None or subset in path]
        if not chosen:
            raise DataError(f"{tree.location}: no JSON file's name contains {subset}. There are: {listed(found)}.")
        return chosen


def _json_paths(tree: Tree) -> list[str]:
    """The JSON files of COCO's form: instances_* where there are such; of the largest files, as some formats have one
    for each image."""
    if tree.only:
        paths = [tree.only] if tree.only.lower().endswith(".json") else []
    else:
        paths = sorted(
            (path for path in tree.files if path.lower().endswith(".json")), key=lambda path: -tree.files[path]
        )
    found = [path for path, start in tree.beginnings(paths[:_LOOKED_AT], _BEGINNING) if looks_like_coco(start)]
    instances = {dirname(path) for path in found if basename(path).startswith("instances_")}
    return sorted(path for path in found if dirname(path) not in instances or basename(path).startswith("instances_"))


def _parsed(tree: Tree, path: str) -> CocoFile:
    try:
        return parse_coco(tree.read(path))
    except ValueError as error:
        raise DataError(
            f"can't read {tree.location / path}: {error}. Mend it, or pick other files: --subset NAME"
        ) from error


def _classes(files: Iterable[CocoFile]) -> tuple[str, ...]:
    files = list(files)
    used = {file.categories.get(category) for file in files for category in {box.category for box in file.boxes}}
    above = frozenset[str]().union(*(file.above for file in files)) - used
    return tuple(dict.fromkeys(name for file in files for name in file.categories.values() if name not in above))


def _splits(paths: Sequence[str]) -> list[str | None]:
    """By the names of the files, or else of their folders. Where some name a split the others are splits, too."""
    splits = [_split(path) for path in paths]
    if not any(splits):
        return splits
    return [
        split or split_called(stem(path).removeprefix("instances_")) for path, split in zip(paths, splits, strict=True)
    ]


def _split(path: str) -> str | None:
    return split_within(stem(path)) or folder_split(path)


@dataclass(kw_only=True)
class _Gathered:
    """What several JSON files say, put together. entries: by the paths of their images."""

    tree: Tree
    indexes: Mapping[str, int]
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: str, file: CocoFile, split: str | None) -> None:
        boxes = self._boxes(path, file)
        lookups = [Lookup.of(image for image in self.tree.images if folder_split(image) == split), self.tree.lookup]
        missing = []
        for image in file.images:
            try:
                found = next(
                    filter(None, (lookup.find(image.file_name, near=dirname(path)) for lookup in lookups)), None
                )
            except ValueError as error:
                self.problems.append(Problem(file=path, reason=f"{error}", kind="ambiguous name"))
                continue
            if found is None:
                missing.append(image.file_name)
            elif found in self.entries:
                reason = f"{path} has it a second time: what was listed first counts"
                self.problems.append(Problem(file=found, reason=reason, kind="listed twice"))
            else:
                self.entries[found] = Entry(
                    name=found,
                    split=split,
                    boxes=indexed_boxes(boxes[image.id], self.indexes),
                    size=image.size,
                    source_bytes=self.tree.files[found],
                )
        if len(missing) == len(file.images) and missing:
            reason = f"none of its {len(missing):,} images is there, such as {missing[0]}"
            self.problems.append(Problem(file=path, reason=reason, kind="missing file"))
        else:
            reason = f"{path} lists it, but it is not there"
            self.problems += [Problem(file=name, reason=reason, kind="missing file") for name in missing]

    def _boxes(self, path: str, file: CocoFile) -> dict[int | str, list[NamedBox]]:
        """By the ids of their images."""
        boxes: dict[int | str, list[NamedBox]] = {image.id: [] for image in file.images}
        astray = []
        for box in file.boxes:
            if box.image not in boxes:
                astray.append(f"annotation {box.id} is of image {box.image}, which is not among its images")
            elif box.category not in file.categories:
                astray.append(f"annotation {box.id} is of category {box.category}, which is not among its categories")
            else:
                name = file.categories[box.category]
                boxes[box.image].append(NamedBox(corners=box.corners, name=name, crowd=box.crowd))
        if len(astray) > MOST_NAMED:
            astray[MOST_NAMED:] = [f"{len(astray) - MOST_NAMED:,} more annotations are of unknown images or categories"]
        self.problems += [Problem(file=path, reason=reason, kind="annotation of nothing") for reason in astray]
        faults = list(file.faults[:MOST_NAMED])
        if len(file.faults) > MOST_NAMED:
            faults.append(f"{len(file.faults) - MOST_NAMED:,} more annotations have no usable box")
        self.problems += [Problem(file=path, reason=reason, kind="unreadable box") for reason in faults]
        return boxes
