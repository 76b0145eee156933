"""Which mask belongs to which image. Pure functions of paths."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import dirname

from trainyard.data.formats.names import words
from trainyard.data.formats.roles import Place

_BETTER_ENDS = ("labeltrainids", "labelids", "mask", "masks", "label", "labels", "gt", "seg")
"""Of several masks for an image in a folder, by the last word of their names, the first."""

_SEPARATORS = "_-. "


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """image to mask, in the order of the images; images and masks without the other; images with several masks."""

    pairs: Mapping[str, str]
    images: Sequence[str] = ()
    masks: Sequence[str] = ()
    ambiguous: Mapping[str, Sequence[str]] = field(default_factory=dict)


def pair(images: Sequence[Place], masks: Sequence[Place]) -> Pairing:
    """By the stems of their names, without what marks them as image or mask.

    Marks are found by themselves: a mask's name is an image's with anything behind it that begins at a separator and
    holds a letter (`a_mask`, `a-gt`, `a_gtFine_labelIds`); a word that all images end with doesn't count
    (`a_leftImg8bit`), nor do words that all images, or all masks, begin with (`image_1`, `mask_1`). Names must be alike
    in one split and folder, or, where folders differ, be the only ones.
    """
    finder = _Finder.of(images)
    candidates: dict[str, list[tuple[str, str]]] = defaultdict(list)
    orphans = []
    head = _common_word(masks, first=True)
    for mask in masks:
        path, tail = finder.image_of(mask, [mask.core, mask.core.removeprefix(head)])
        if path is None:
            orphans.append(mask.path)
        else:
            candidates[path].append((tail, mask.path))
    usual = Counter(tail for found in candidates.values() for tail, _ in found)
    pairs, ambiguous = {}, {}
    for image in images:
        found = _best(candidates.get(image.path, []), usual)
        if len(found) == 1:
            pairs[image.path] = found[0]
        elif found:
            ambiguous[image.path] = found
    return Pairing(
        pairs=pairs,
        images=[image.path for image in images if image.path not in candidates],
        masks=orphans,
        ambiguous=ambiguous,
    )


@dataclass(frozen=True, kw_only=True)
class _Finder:
    """Images by the core of their names: exactly placed, in the same split, anywhere."""

    by_key: Mapping[tuple[object, ...], list[str]]

    @classmethod
    def of(cls, images: Sequence[Place]) -> "_Finder":
        by_key: dict[tuple[object, ...], list[str]] = defaultdict(list)
        head, tail = _common_word(images, first=True), _common_word(images, first=False)
        for image in images:
            for core in {image.core, image.core.removeprefix(head).removesuffix(tail)}:
                for key in _keys(image, core):
                    by_key[key].append(image.path)
        return cls(by_key=by_key)

    def image_of(self, mask: Place, names: Sequence[str]) -> tuple[str | None, str]:
        """The image, and what the mask's name has behind the core. names: what the mask may be called."""
        for name in names:
            for core in _shorter_and_shorter(name):
                for key in _keys(mask, core):
                    found = self.by_key.get(key, [])
                    if len(found) == 1:
                        return found[0], name[len(core) :].lower()
        return None, ""


def _keys(place: Place, core: str) -> Iterator[tuple[object, ...]]:
    yield place.split, place.rest, core
    yield place.split, core
    yield (core,)


def _shorter_and_shorter(name: str) -> Iterator[str]:
    yield name
    for end in range(len(name) - 1, 0, -1):
        # What is behind a number's separator is another picture, not a mark: a_1 is no mask of a.
        if name[end] in _SEPARATORS and any(letter.isalpha() for letter in name[end:]):
            yield name[:end]


def _best(candidates: Sequence[tuple[str, str]], usual: Counter[str]) -> list[str]:
    """Of masks in one folder those with the better ends, and of such those with the more usual ones."""
    if len({dirname(path) for _, path in candidates}) != 1:
        return [path for _, path in candidates]

    def rank(tail: str) -> tuple[int, int]:
        word = words(tail)[-1] if words(tail) else ""
        return (_BETTER_ENDS.index(word) if word in _BETTER_ENDS else len(_BETTER_ENDS), -usual[tail])

    best = min(rank(tail) for tail, _ in candidates)
    return [path for tail, path in candidates if rank(tail) == best]


def _common_word(places: Sequence[Place], *, first: bool) -> str:
    """The word that begins, or ends, the names of all, with its separator; "" if none does."""
    found = {_marked(place.core, first) for place in places}
    mark = found.pop() if len(found) == 1 else ""
    return mark if any(letter.isalpha() for letter in mark) else ""


def _marked(name: str, first: bool) -> str:
    match = re.match(r"[-_. ]*[^-_. ]+[-_. ]+", name) if first else re.search(r"[-_. ]+[^-_. ]+$", name)
    return match[0] if match else ""
