"""Which files of a source are images and which are masks, by the names of their folders and by the ends of their own.

Pure functions of paths.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from posixpath import basename, commonpath, dirname, splitext
from typing import Literal

from trainyard.data.formats.chosen_places import lies_in
from trainyard.data.formats.names import split_named, split_within, stem, words

Role = Literal["image", "mask", "other"]

ROLE_WORDS: Mapping[Role, frozenset[str]] = {
    # Beside class masks: masks of instances, and pictures of masks for people to look at.
    "other": frozenset(
        [
            "segmentationobject", "instance", "instances", "instanceids", "instanceid", "visualization", "vis",
            "segmentationclassvisualization", "visualisation", "overlay", "overlays", "color", "colors", "colour",
            "colours", "colored", "coloured", "depth", "disparity", "rightimg8bit", "gtcoarse",
        ]
    ),
    "mask": frozenset(
        [
            "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "anno", "ann", "anns",
            "gt", "gts", "gtfine", "groundtruth", "truth", "seg", "segs", "segmentation", "segmentations",
            "segmentationclass", "segmentationclasspng", "segmentationclassaug", "labelids", "labeltrainids",
            "trimap", "trimaps", "target", "targets", "matte", "mattes", "manual", "manual1", "l",
        ]
    ),
    "image": frozenset(
        [
            "image", "images", "img", "imgs", "im", "jpegimages", "leftimg8bit", "photo", "photos", "rgb", "input",
            "inputs", "sat",
        ]
    ),
}  # fmt: skip
"""In the order in which they decide."""

_GLUED = re.compile(r"(\w+?)(annot|masks?|labels?|images?)", re.IGNORECASE)
"""Folders such as CamVid's trainannot, if what comes first is a split."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a path says. rest: the folders that tell neither a role nor a split. core: of the file's name, what it
    shares with that of its image or mask: its stem, without the ends of a pattern that it was chosen by."""

    path: str
    role: Role | None
    split: str | None
    rest: tuple[str, ...]
    core: str


def place_of(path: str, *, shared: int = 0) -> Place:
    """Of several folders that tell a role, or a split, the innermost decides. shared: so many of the outermost ones
    lead to all images, and tell no role."""
    role, split, rest = _folder_meaning(dirname(path), shared)
    return Place(path=path, role=role, split=split, rest=rest, core=stem(path))


@lru_cache(maxsize=1 << 14)
def _folder_meaning(folder: str, shared: int) -> tuple[Role | None, str | None, tuple[str, ...]]:
    """Kept, as a folder may hold 100,000 images."""
    role: Role | None = None
    split: str | None = None
    rest = []
    for depth, part in enumerate(filter(None, folder.split("/"))):
        glued = _GLUED.fullmatch(part)
        glued = glued if glued and split_named(glued[1]) else None
        own_role = None if depth < shared else role_of(glued[2] if glued else part)
        own_split = split_named(glued[1] if glued else part) or (split_within(part) if own_role else None)
        role, split = own_role or role, own_split or split
        if own_role is None and own_split is None:
            rest.append(part)
    return role, split, tuple(rest)


@lru_cache(maxsize=1 << 14)
def role_of(name: str) -> Role | None:
    """By whole words, also in `PedMasks`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    found = {name.lower(), *words(name.lower()), *words(parted.lower())}
    return next((role for role, known in ROLE_WORDS.items() if found & known), None)


def images_and_masks(
    paths: Iterable[str], *, images: str | None = None, masks: str | None = None
) -> tuple[list[Place], list[Place]]:
    """images, masks: where they are, as `lies_in` takes it; else their names tell.

    Where no folder is for masks they are looked for beside the images: by an end such as `_mask`, or as the PNG beside
    a JPEG of the same name, if nearly all JPEGs have one.
    """
    paths = list(paths)
    common = commonpath(map(dirname, paths)) if paths else ""
    shared = len(common.split("/")) if common else 0
    places = [place_of(path, shared=shared) for path in paths]
    chosen_masks = _chosen(places, masks) if masks is not None else [place for place in places if place.role == "mask"]
    taken = {place.path for place in chosen_masks}
    places = [place for place in places if place.path not in taken]
    named = [place for place in places if place.role == "image"]
    chosen_images = (
        _chosen(places, images) if images is not None else named or [place for place in places if place.role is None]
    )
    if chosen_masks:
        return chosen_images, _without_others(chosen_masks)
    return _beside(chosen_images)


def _chosen(places: Sequence[Place], where: str) -> list[Place]:
    chosen = [place for place in places if lies_in(place.path, where)]
    if "*" not in where:
        return chosen
    begin, end = basename(where).split("*")[0], stem(basename(where)).split("*")[-1]
    return [replace(place, core=place.core.removeprefix(begin).removesuffix(end)) for place in chosen]


def _without_others(masks: list[Place]) -> list[Place]:
    """Cityscapes has three files for each image in one folder, two of which are no class masks."""
    return [place for place in masks if role_of(tail_word(place.core)) != "other"] or masks


def tail_word(name: str) -> str:
    """What stands behind the last separator, if there is one."""
    parts = words(name)
    return parts[-1] if len(parts) > 1 else ""


TWINS = 0.9
"""The least part of the images without a PNG's suffix that have a PNG beside them where PNGs are masks. Folders of
pictures from the web hold some of them twice."""


def _doubled(places: Sequence[Place]) -> set[tuple[str, str]]:
    """Folder and name of the images that lie there as a PNG and as something else; none if too few do. Folders without
    any (test images) don't count."""
    suffixes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place in places:
        suffixes[dirname(place.path), place.core].add(splitext(place.path)[1].lower())
    doubled = {key for key, found in suffixes.items() if ".png" in found and len(found) == 2}
    folders = {folder for folder, _ in doubled}
    others = sum(folder in folders and found != {".png"} for (folder, _), found in suffixes.items())
    return doubled if len(doubled) >= TWINS * others else set()


def _beside(places: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    masks = [place for place in places if role_of(tail_word(place.core)) == "mask"]
    if not masks:
        doubled = _doubled(places)
        masks = [
            place
            for place in places
            if place.path.lower().endswith(".png") and (dirname(place.path), place.core) in doubled
        ]
    taken = {place.path for place in masks}
    if masks:
        taken |= {place.path for place in places if role_of(tail_word(place.core)) == "other"}
    return [place for place in places if place.path not in taken], masks
