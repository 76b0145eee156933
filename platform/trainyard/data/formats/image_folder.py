"""A folder of images for each class, with or without folders for the splits; see `folder_meanings` for what is a split.

Files that are no images by their suffix are passed over; such as seem to have been meant as images are problems.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import dirname

from trainyard.data.formats.class_folders import FolderMeaning, folder_inside_another, folder_meanings, ordered
from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import listed, looks_like_an_image, split_named
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.roles import role_of
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, ImportOptions, Listing, Problem
from trainyard.errors import DataError


def open_source(location: Location, options: ImportOptions) -> "ImageFolder":
    return ImageFolder(folder=location, options=options)


def fits(tree: Tree) -> bool:
    names = {meaning.name for meaning in _meanings(tree).values() if meaning.name}
    # Folders of images and masks that don't match are no classes.
    roles = {role_of(name) for name in names}
    of_masks = {"image", "mask"} <= roles and None not in roles
    return tree.only is None and len(names) > 1 and not _are_splits(names) and not of_masks


@dataclass(frozen=True, kw_only=True)
class ImageFolder(FileSource):
    def listing(self) -> Listing:
        tree = folder_tree("image_folder", self.folder)
        meanings = _meanings(tree)
        names = [meaning.name for meaning in meanings.values() if meaning.name]
        if not names or _are_splits(names):
            raise not_of_format("image_folder", tree, "folders of images, one for each class (cat/a.jpg, dog/b.jpg)")
        classes = self.options.classes or _classes(tree, names)
        indexes = {name: index for index, name in enumerate(classes)}
        entries, astray = [], Counter[str]()
        for path in tree.images:
            meaning = meanings[dirname(path)]
            if meaning.name in indexes:
                label = indexes[meaning.name]
                entries.append(Entry(name=path, split=meaning.split, label=label, source_bytes=tree.files[path]))
            else:
                astray[dirname(path)] += 1
        if not entries:
            raise DataError(
                f"{tree.location}: no class folder is called {listed(classes)}. There are: {listed(names)}."
            )
        unread = [path for path in tree.files if looks_like_an_image(path)]
        return Listing(
            annotation="label",
            classes=classes,
            entries=entries,
            problems=[*_astray(astray, meanings), *map(_unread, unread)],
            ignored=len(tree.files) - len(tree.images) - len(unread),
        )


def _meanings(tree: Tree) -> dict[str, FolderMeaning]:
    folders = {dirname(path) for path in tree.images}
    return folder_meanings(folders) if folders else {}


def _are_splits(names: Iterable[str]) -> bool:
    """Folders that were meant as splits, but hold images directly, beside others."""
    return len({split_named(name) for name in names} - {None}) > 1


def _classes(tree: Tree, names: list[str]) -> tuple[str, ...]:
    """DataError where folders can't be meant as classes."""
    nested = folder_inside_another(names)
    if nested:
        raise DataError(
            f"{tree.location}: the class folder {nested[0]} holds images, and the folder {nested[1]}, too. Is "
            "that one class or two? Move them apart, or list paths and labels in a table (format csv)."
        )
    classes = ordered(names)
    if len(classes) == 1:
        raise DataError(
            f"{tree.location}: all images lie in one class folder, {classes[0]}. Name the folder that holds those of "
            f"all classes; or, if there is but this class, say so: --classes {classes[0]}"
        )
    return classes


def _astray(counts: Counter[str], meanings: dict[str, FolderMeaning]) -> list[Problem]:
    problems = []
    for folder, count in sorted(counts.items()):
        name = meanings[folder].name
        why = f"its folder is none of the classes given ({name})" if name else "it lies in no class folder"
        images = "1 image" if count == 1 else f"{count:,} images"
        kind = "unknown class" if name else "image outside of class folders"
        problems.append(Problem(file=f"{folder or '.'}/", reason=f"{images}: {why}", kind=kind))
    return problems


def _unread(path: str) -> Problem:
    return Problem(
        file=path,
        reason="it seems to be an image, but its suffix is none that is read; convert or rename it",
        kind="unread suffix",
    )
