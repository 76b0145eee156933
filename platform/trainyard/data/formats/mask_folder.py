"""Images and their masks, of the same names; see `images_and_masks` and `pair` for how they are told and matched.

The splits are those of the folders (`train/images`, `images/train`, `train_masks`), or else of the lists train.txt,
val.txt and test.txt in ImageSets/Segmentation or in the source; what no list names is then left out. Classes are what
the user says, what a classes file in the source says (`class_list`), or what some masks show (`mask_meaning`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import basename, commonpath, dirname

from trainyard.data.formats.chosen_places import chosen_place
from trainyard.data.formats.class_list import ClassList, find_class_list
from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.mask_classes import mask_meaning
from trainyard.data.formats.mask_samples import are_photos, sample_masks, usable_mask
from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import listed
from trainyard.data.formats.pairing import Pairing, pair
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.roles import images_and_masks, place_of
from trainyard.data.formats.split_lists import ListedSplits, listed_splits
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, ImportOptions, Listing, Problem
from trainyard.errors import DataError


def open_source(location: Location, options: ImportOptions) -> "MaskFolder":
    return MaskFolder(folder=location, options=options)


def fits(tree: Tree) -> bool:
    """Where the images lie in no folder that is named for them, most of those in the folders in question must have a
    mask. Where folders have other names, too, a look at some masks decides: classes may be called `label`, `paper`."""
    if tree.only is not None:
        return False
    images, masks = images_and_masks(tree.images)
    if not (images and masks):
        return False
    found = pair(images, masks).pairs
    named = {place.role for place in images} == {"image"} and {place.role for place in masks} == {"mask"}
    folders = {dirname(path) for path in found}
    near = sum(dirname(place.path) in folders for place in images)
    if not found or (not named and 2 * len(found) < near):
        return False
    return (named and len(images) + len(masks) == len(tree.images)) or not are_photos(tree, list(found.values()))


@dataclass(frozen=True, kw_only=True)
class MaskFolder(FileSource):
    def listing(self) -> Listing:
        tree = folder_tree("mask_folder", self.folder)
        found = self._pairing(tree)
        lists = _listed_splits(tree, found)
        splits = None if lists is None else lists.splits
        pairs = {image: mask for image, mask in found.pairs.items() if splits is None or image in splits}
        if not pairs:
            raise DataError(f"{tree.location}: none of the images that the lists of splits name has a mask.")
        classes, coding = mask_meaning(
            sample_masks(tree, list(pairs.values())),
            None if self.options.classes else _class_list(tree, pairs.values()),
            self.options,
            where=str(tree.location),
        )
        entries = [
            Entry(
                name=image,
                split=place_of(image).split if splits is None else splits[image],
                mask=mask,
                source_bytes=tree.files[image] + tree.files[mask],
            )
            for image, mask in pairs.items()
        ]
        problems = [*(lists.problems if lists else []), *_unpaired(found, splits)]
        return Listing(
            annotation="mask",
            classes=classes,
            entries=entries,
            mask_coding=coding,
            problems=problems,
            ignored=len(tree.files) - 2 * len(pairs),
        )

    def read(self, entry: Entry) -> Example:
        example = super().read(entry)
        assert entry.mask is not None
        assert isinstance(example.mask, bytes)
        return replace(example, mask=usable_mask(entry.mask, example.mask))

    def _pairing(self, tree: Tree) -> Pairing:
        images, masks = images_and_masks(
            tree.images,
            images=chosen_place(tree, self.options.images, "--images"),
            masks=chosen_place(tree, self.options.masks, "--masks"),
        )
        if not images or not masks:
            looked_for = (
                "images and masks, in folders such as images/ and masks/ or with names such as a.jpg and a_mask.png"
            )
            raise not_of_format("mask_folder", tree, looked_for)
        found = pair(images, masks)
        if len(found.ambiguous) > len(found.pairs):
            image, several = next(iter(found.ambiguous.items()))
            raise DataError(
                f"{tree.location}: images have several masks, as {image} has {listed(several)}. Say which are meant: "
                f"--masks takes a folder, such as {basename(dirname(several[0]))}, or a pattern such as '*_mask.png'"
            )
        if not found.pairs:
            first_image, first_mask = images[0].path, masks[0].path
            raise DataError(
                f"{tree.location}: no mask has the name of an image, as {first_mask} and {first_image}. Say where they "
                "are: --images and --masks take a folder or a pattern such as '*_mask.png'"
            )
        return found


def _listed_splits(tree: Tree, found: Pairing) -> ListedSplits | None:
    """None where folders tell the splits, or nothing does."""
    if any(place_of(image).split for image in found.pairs):
        return None
    return listed_splits(tree, Lookup.of([*found.pairs, *found.images]), voc_folder="ImageSets/Segmentation")


def _class_list(tree: Tree, masks: Iterable[str]) -> ClassList | None:
    """In the source, or in a folder on the way to the masks."""
    folder = commonpath([dirname(mask) for mask in masks])
    folders = ["", *("/".join(folder.split("/")[: depth + 1]) for depth in range(folder.count("/") + 1))]
    return next((found for folder in folders if (found := find_class_list(tree, folder))), None)


def _unpaired(found: Pairing, splits: Mapping[str, str] | None) -> Iterator[Problem]:
    """Images that no list names are not missed; a folder in which nothing is paired is named as a whole."""
    images = [image for image in found.images if splits is None or image in splits]
    masks = found.masks if splits is None else []
    used = {dirname(path) for path in [*found.pairs, *found.pairs.values()]}
    for paths, what, other in ((images, "image", "mask"), (masks, "mask", "image")):
        folders = Counter(dirname(path) for path in paths)
        for path in paths:
            if dirname(path) in used or folders[dirname(path)] == 1:
                yield Problem(file=path, reason=f"there is no {other} for this {what}", kind=f"{what} without {other}")
        for folder, count in folders.items():
            if folder not in used and count > 1:
                reason = f"there is no {other} for any of its {count:,} {what}s"
                yield Problem(file=f"{folder or '.'}/", reason=reason, kind=f"{what} without {other}")
    for image, several in found.ambiguous.items():
        yield Problem(file=image, reason=f"it has several masks: {listed(several)}", kind="several masks")
