"""Lists of the images of each split: train.txt, val.txt, test.txt."""

from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import basename, dirname, join, splitext

from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.names import split_named, stem
from trainyard.data.formats.tree import Tree
from trainyard.data.source import Problem


@dataclass(frozen=True, kw_only=True)
class ListedSplits:
    """Image to split, and what the lists name in vain."""

    splits: Mapping[str, str]
    problems: list[Problem]


def listed_splits(tree: Tree, lookup: Lookup, *, voc_folder: str) -> ListedSplits | None:
    """What the lists in the folders of that name say (`ImageSets/Main`), or, without such, those in the uppermost
    folder that has any; if none of these is for training, then all that they don't name is. None if there are no lists,
    or lists of something else."""
    splits: dict[str, str] = {}
    problems: list[Problem] = []
    voc = sorted(folder for folder in tree.folders if f"/{folder}".endswith(f"/{voc_folder}"))
    for folder in voc or uppermost_list_folders(tree)[:1]:
        root = folder.removesuffix(voc_folder).rstrip("/")
        for split, lines in split_lists(tree, folder).items():
            for line in lines:
                image, reason = _image(lookup, line, root)
                if image is None:
                    problems.append(Problem(file=join(folder, f"{split}.txt"), reason=reason, kind="missing file"))
                elif splits.setdefault(image, split) != split:
                    reason = f"it is listed in {splits[image]} and in {split}: the first counts"
                    problems.append(Problem(file=image, reason=reason, outcome="kept", kind="listed twice"))
    # Of lists of something else hardly a line fits.
    meant = splits and (voc or len(splits) > len(problems))
    if not voc and "train" not in splits.values():
        splits = {image: splits.get(image, "train") for image in sorted(lookup.paths)}
    return ListedSplits(splits=splits, problems=problems) if meant else None


def split_lists(tree: Tree, folder: str) -> dict[str, list[str]]:
    """Split to the lines of its list in a folder. Other lists (`cat_train.txt`, `default.txt`) are passed over.

    trainval is the training split where neither train nor val is listed, and else nothing of its own.
    """
    lists: dict[str, list[str]] = {}
    trainval: list[str] = []
    for path in tree.within(folder):
        if splitext(path)[1].lower() != ".txt":
            continue
        split = split_named(stem(path))
        if split:
            lists.setdefault(split, []).extend(_lines(tree, path))
        elif basename(path).lower() == "trainval.txt":
            trainval = _lines(tree, path)
    if trainval and not lists.keys() & {"train", "val"}:
        lists["train"] = trainval
    order = ("train", "val", "test")
    return {split: lists[split] for split in order if split in lists}


def uppermost_list_folders(tree: Tree) -> list[str]:
    """The folders that hold lists, those nearest to the source first."""
    folders = {
        dirname(path)
        for path in tree.files
        if path.lower().endswith(".txt") and (split_named(stem(path)) or basename(path).lower() == "trainval.txt")
    }
    return sorted(folders, key=lambda folder: (folder.count("/") + bool(folder), folder))


def _image(lookup: Lookup, line: str, near: str) -> tuple[str | None, str]:
    """The image that a line names, alone or before other things; and why there is none."""
    try:
        image = lookup.find(line, near=near) or lookup.find(line.split()[0], near=near)
    except ValueError as error:
        return None, str(error)
    return image, f"it names {line}, which is not there"


def _lines(tree: Tree, path: str) -> list[str]:
    return [line.strip() for line in tree.text(path).splitlines() if line.strip()]
