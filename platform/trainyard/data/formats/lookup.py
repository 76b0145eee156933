"""From a path as an annotation file writes it to the file that is meant."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from posixpath import basename, join, normpath
from typing import Self

from trainyard.data.formats.names import is_image, listed, looks_like_an_image, stem


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Paths of images by all that they may be called by."""

    paths: frozenset[str]
    by_name: Mapping[str, list[str]]
    by_stem: Mapping[str, list[str]]

    @classmethod
    def of(cls, paths: Iterable[str]) -> Self:
        paths = list(paths)
        return cls(paths=frozenset(paths), by_name=_grouped(paths, basename), by_stem=_grouped(paths, stem))

    def find(self, written: str, *, near: str = "") -> str | None:
        """The image that an annotation file in the folder `near` means, or None.

        What is written may begin at the annotation file, at the source, or on the machine that wrote it; the image may
        have got another suffix since, or it is written without. Of several images that are meant the one that shares
        the most folders with what is written counts, then one with its suffix, then the one that shares the most
        folders with `near`. It is always one of the known. ValueError if it may be several.
        """
        written = written.strip().replace("\\", "/")
        if not written:
            return None
        for start in (near, ""):
            path = normpath(join(start, written.lstrip("/")))
            if path in self.paths:
                return path
        name = basename(written)
        # Only the suffix of an image is one: `scene.1` is not `scene`.
        other = stem(name) if is_image(name) or looks_like_an_image(name) else name
        named = dict.fromkeys([*self.by_name.get(name, []), *self.by_stem.get(name, []), *self.by_stem.get(other, [])])
        return _closest(list(named), written, near)


def _closest(candidates: list[str], written: str, near: str) -> str | None:
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    name = basename(written)
    closeness = {
        path: (_common_end(path, written), basename(path) == name, _common_start(path, near)) for path in candidates
    }
    best = max(closeness.values())
    closest = [path for path in candidates if closeness[path] == best]
    if len(closest) > 1:
        raise ValueError(f"{written} may be {listed(closest)}")
    return closest[0]


def _common_start(path: str, folder: str) -> int:
    return _common(path.split("/")[:-1], folder.split("/"))


def _common_end(path: str, written: str) -> int:
    """Folders that two paths share, counted from their ends."""
    return _common(path.split("/")[-2::-1], written.split("/")[-2::-1])


def _common(one: list[str], other: list[str]) -> int:
    shorter = min(len(one), len(other))
    return next((count for count in range(shorter) if one[count] != other[count]), shorter)


def _grouped(paths: Iterable[str], key: Callable[[str], str]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups
