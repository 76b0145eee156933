"""Which class and split the folders of images mean. Pure functions of paths."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from trainyard.data.formats.names import split_called, split_named

_MERE_CONTAINERS = frozenset(["images", "image", "imgs", "img", "jpegimages"])
"""Folders that say nothing of a class, as in Tiny ImageNet's n01443537/images."""


@dataclass(frozen=True, kw_only=True)
class FolderMeaning:
    """split: None where the source has no split folders. name: the class; None if no folder names one."""

    split: str | None
    name: str | None


def folder_meanings(folders: Iterable[str]) -> dict[str, FolderMeaning]:
    """The meaning of each folder that directly holds images, by its path below the source ("" for the source itself).

    Folders around everything are passed over (`dataset-1.0/train/cat`). Split folders are the topmost, if all of them
    are named for splits, or some are and hold folders, not images: so `train` beside `bus` is a class. They may also be
    the innermost (`cat/train`). The other folders that lead to an image are its class, joined by `/`, except those that
    are merely called `images`; one of these is a class if it lies beside others.
    """
    parts = {folder: tuple(folder.split("/")) if folder else () for folder in folders}
    shared = _shared_start(set(parts.values()))
    inner = {folder: path[shared:] for folder, path in parts.items()}
    level = _split_level(set(inner.values()))
    split_off = {folder: _split_off(path, level) for folder, path in inner.items()}
    plain = {(split, path) for split, path in split_off.values() if path and not any(map(_is_container, path))}
    with_classes = {split for split, _ in plain}
    return {folder: _meaning(split, path, split in with_classes) for folder, (split, path) in split_off.items()}


def _shared_start(paths: set[tuple[str, ...]]) -> int:
    """Folders that lead to every image, except those that mean something: a split, or the only class."""
    shortest = min(map(len, paths))
    if len(paths) == 1:
        [path] = paths
        return next((depth for depth, part in enumerate(path) if split_named(part)), max(0, shortest - 1))
    shared = 0
    while shared < shortest and len({path[shared] for path in paths}) == 1:
        [part] = {path[shared] for path in paths}
        if split_named(part):
            break
        shared += 1
    # Images directly in a folder whose sub-folders hold more: that folder is a class, or has images astray.
    return shared


def _split_level(paths: set[tuple[str, ...]]) -> int | None:
    """Where in the paths the split stands: 0, -1, or None if there is none."""
    tops = {path[0] for path in paths if path}
    named = {top for top in tops if split_named(top)}
    hold_folders_only = all(len(path) > 1 for path in paths if path and path[0] in named)
    alone = named == tops or len(named) > 1 or all(len(path) > 1 for path in paths)
    if named and alone and (hold_folders_only or named == tops):
        return 0
    if all(len(path) == 2 and split_named(path[-1]) for path in paths):
        return -1
    return None


def _split_off(path: tuple[str, ...], level: int | None) -> tuple[str | None, tuple[str, ...]]:
    if level is None or not path:
        return None, path
    return split_called(path[level]), path[1:] if level == 0 else path[:-1]


def _is_container(part: str) -> bool:
    return part.lower() in _MERE_CONTAINERS


def _meaning(split: str | None, path: tuple[str, ...], beside_classes: bool) -> FolderMeaning:
    """beside_classes: other folders of this split are classes that hold images directly."""
    named = tuple(part for part in path if not _is_container(part))
    if not named and len(path) == 1 and beside_classes:
        named = path
    return FolderMeaning(split=split, name="/".join(named) or None)


def folder_inside_another(names: Iterable[str]) -> tuple[str, str] | None:
    """A class and one whose folder lies inside that of the first."""
    known = set(names)
    for name in sorted(known):
        outer = name.rpartition("/")[0]
        while outer:
            if outer in known:
                return outer, name
            outer = outer.rpartition("/")[0]
    return None


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """By name, but whole numbers by their size: 2 before 10."""
    distinct = set(names)
    if all(re.fullmatch("-?[0-9]+", name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))
