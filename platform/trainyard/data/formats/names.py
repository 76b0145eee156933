"""What the names of files and folders say: images, splits."""

import re
from collections.abc import Iterable
from posixpath import basename, splitext

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"]
)
UNREAD_SUFFIXES = frozenset([".heic", ".heif", ".avif", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raw"])
"""Of images that are not read: they are named instead of passed over."""

_SPLITS = {
    "train": "train|training|trn",
    "val": "val|valid|validation|dev|eval|evaluation",
    "test": "test|testing|tst|t10k",
}
_SPLIT = re.compile("|".join(f"(?P<{split}>{words})" for split, words in _SPLITS.items()), re.IGNORECASE)
_YEAR = re.compile(r"(19|20)\d\d$")


def is_image(path: str) -> bool:
    return splitext(path)[1].lower() in IMAGE_SUFFIXES


def looks_like_an_image(path: str) -> bool:
    """Not one by its suffix, but probably meant to be: of an unread kind, or x.jpg with something behind it."""
    name = basename(path).lower()
    suffix = splitext(name)[1]
    if suffix in IMAGE_SUFFIXES:
        return False
    return suffix in UNREAD_SUFFIXES or any(f"{known}{end}" in name for known in IMAGE_SUFFIXES for end in "._~ (")


def stem(path: str) -> str:
    """The name of a file without its folder and, if it has one, its suffix."""
    return splitext(basename(path))[0]


def split_named(word: str) -> str | None:
    """train, val or test for a word that means it (`Training`, `valid`, `train2017`), else None."""
    match = _SPLIT.fullmatch(_YEAR.sub("", word))
    return match.lastgroup if match else None


def split_called(word: str) -> str:
    """As `split_named`, or else the word itself as the name of a split of its own: lower-case, without blanks."""
    return split_named(word) or re.sub(r"[^a-z0-9_]+", "_", word.lower()).strip("_") or "other"


def words(name: str) -> list[str]:
    """The parts of a name that `_`, `-`, `.` and blanks separate."""
    return [word for word in re.split(r"[-_.\s]+", name) if word]


def split_within(name: str) -> str | None:
    """The split that one of a name's words means (`instances_train2017`, `val_labels`), if all that do agree."""
    found = {split for word in words(name) if (split := split_named(word))}
    return found.pop() if len(found) == 1 else None


def folder_split(path: str) -> str | None:
    """The split that the innermost folder on the way to a file names, if one does."""
    parts = reversed(path.split("/")[:-1])
    return next((split for part in parts if (split := split_within(part))), None)


def listed(names: Iterable[str], most: int = 6) -> str:
    """`a, b, c and 4 more`."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
