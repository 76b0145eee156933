"""CamVid as in the SegNet tutorial (Badrinarayanan, Kendall and Cipolla 2015), and whatever else is laid out like it.

train.txt, val.txt and test.txt hold lines `image mask`. The paths may begin elsewhere, as `/SegNet/CamVid/train/x.png`
does: what counts is what lies there. Masks have SegNet's eleven classes, 11 is void, unless a classes file lies beside
the lists or the user names others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trainyard.data.formats.class_list import ClassList, find_class_list
from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.mask_classes import mask_meaning
from trainyard.data.formats.mask_samples import sample_masks
from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import is_image, listed
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.split_lists import split_lists, uppermost_list_folders
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import Entry, ImportOptions, Listing, Problem
from trainyard.errors import DataError

SEGNET = ClassList(
    names=(
        "sky", "building", "pole", "road", "pavement", "tree", "sign_symbol", "fence", "car", "pedestrian", "bicyclist"
    ),
    void=(11,),
)  # fmt: skip


def open_source(location: Location, options: ImportOptions) -> "CamVid":
    return CamVid(folder=location, options=options)


def fits(tree: Tree) -> bool:
    return tree.only is None and _list_folder(tree) is not None


@dataclass(frozen=True, kw_only=True)
class CamVid(FileSource):
    def listing(self) -> Listing:
        tree = folder_tree("camvid", self.folder)
        folder = _list_folder(tree)
        if folder is None:
            raise not_of_format("camvid", tree, "train.txt with lines `image mask`")
        entries: dict[str, Entry] = {}
        problems = []
        for split, line, found in _lines(tree, folder):
            if isinstance(found, str):
                problems.append(Problem(file=f"{split}.txt", reason=f"{line}: {found}", kind="missing file"))
            elif found[0] in entries:
                reason = f"it is listed twice, in {entries[found[0]].split} and {split}: the first counts"
                problems.append(Problem(file=found[0], reason=reason, kind="listed twice"))
            else:
                image, mask = found
                size = tree.files[image] + tree.files[mask]
                entries[image] = Entry(name=image, split=split, mask=mask, source_bytes=size)
        if not entries:
            raise DataError(
                f"{tree.location}: none of the images and masks in the lists is there. {problems[0].reason}."
            )
        masks = [entry.mask for entry in entries.values() if entry.mask]
        stated = find_class_list(tree, folder) or SEGNET
        options = self.options
        if options.classes and options.void is None and stated is SEGNET:
            options = replace(options, void=SEGNET.void)
        classes, coding = mask_meaning(sample_masks(tree, masks), stated, options, where=str(tree.location))
        return Listing(
            annotation="mask",
            classes=classes,
            entries=list(entries.values()),
            mask_coding=coding,
            problems=problems,
            ignored=len(tree.files) - len({*entries, *masks}),
        )


def _list_folder(tree: Tree) -> str | None:
    """The uppermost folder with a list whose first line names two images."""
    for folder in uppermost_list_folders(tree):
        firsts = [lines[0].split() for lines in split_lists(tree, folder).values() if lines]
        if any(len(parts) == 2 and all(map(is_image, parts)) for parts in firsts):
            return folder
    return None


def _lines(tree: Tree, folder: str) -> Iterator[tuple[str, str, tuple[str, str] | str]]:
    """Split, line, and its image and mask or what is wrong with it."""
    lookup = Lookup.of(tree.images)
    for split, lines in split_lists(tree, folder).items():
        for line in lines:
            parts = line.split()
            if len(parts) != 2:
                yield split, line, f"a line must name an image and a mask, it has {len(parts)} parts"
                continue
            try:
                image, mask = (lookup.find(part, near=folder) for part in parts)
            except ValueError as error:
                yield split, line, str(error)
                continue
            if image is None or mask is None:
                missing = [part for part, path in zip(parts, (image, mask), strict=True) if path is None]
                yield split, line, f"{listed(missing)} is not there"
            elif image == mask:
                yield split, line, f"{image} can't be both image and mask"
            else:
                yield split, line, (image, mask)
