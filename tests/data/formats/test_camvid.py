"""The layout of the SegNet tutorial."""

import numpy as np
import pytest

from trainyard.data.source import MaskCoding
from trainyard.errors import DataError

MASK = np.array([[0, 10], [3, 11]], np.uint8)
SEGNET = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign_symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)


def files(prefix: str = "", above: str = "") -> dict:
    found = {}
    for split, names in {"train": "ab", "val": "c", "test": "d"}.items():
        for name in names:
            found[f"{above}{split}/{name}.png"] = None
            found[f"{above}{split}annot/{name}.png"] = MASK
        lines = [f"{prefix}{split}/{name}.png {prefix}{split}annot/{name}.png" for name in names]
        found[f"{above}{split}.txt"] = "\n".join(lines) + "\n"
    return found


@pytest.mark.parametrize("above", ["", "SegNet/CamVid/"])
@pytest.mark.parametrize("prefix", ["", "/SegNet/CamVid/", "./", "C:\\data\\CamVid\\"])
def test_lists_whose_paths_begin_anywhere(prefix: str, above: str, lay, listing, splits) -> None:
    found = listing("camvid", lay(files(prefix, above)))
    assert splits(found) == {"train": 2, "val": 1, "test": 1}
    assert (found.entries[0].name, found.entries[0].mask) == (f"{above}train/a.png", f"{above}trainannot/a.png")
    assert found.classes == SEGNET
    assert found.mask_coding == MaskCoding(values=tuple(range(11)), void=(11,))
    assert not found.problems


def test_images_that_were_stored_as_jpeg(lay, listing) -> None:
    place = lay({name.replace("train/a.png", "train/a.jpg"): content for name, content in files().items()})
    assert listing("camvid", place).entries[0].name == "train/a.jpg"


def test_classes_of_a_file_and_of_the_user(lay, listing) -> None:
    names = [{"id": number, "name": f"c{number}"} for number in range(12)]
    place = lay(files() | {"classes.json": {"classes": names, "ignore_index": 3}})
    found = listing("camvid", place)
    assert (len(found.classes), found.mask_coding.void) == (11, (3,))
    given = listing("camvid", lay(files()), classes=tuple("abcdefghijkl"), void=(255,))
    assert (len(given.classes), given.mask_coding) == (12, MaskCoding(values=tuple(range(12)), void=(255,)))


def test_what_is_wrong_with_lines(lay, listing, complaints, splits) -> None:
    lines = "val/c.png valannot/c.png\nval/x.png valannot/x.png\nval/c.png\ntrain/a.png trainannot/a.png\n"
    found = listing("camvid", lay(files() | {"val.txt": lines}))
    assert splits(found) == {"train": 2, "val": 1, "test": 1}
    assert complaints(found) == [
        "val.txt: val/x.png valannot/x.png: val/x.png, valannot/x.png is not there (left out)",
        "val.txt: val/c.png: a line must name an image and a mask, it has 1 parts (left out)",
        "train/a.png: it is listed twice, in train and val: the first counts (left out)",
    ]


def test_nothing_of_the_lists_is_there(lay, listing) -> None:
    place = lay({"train.txt": "a.png b.png\n", "other/x.png": None})
    with pytest.raises(
        DataError, match=r"none of the images and masks in the lists is there. a.png b.png: a.png, b.png is not"
    ):
        listing("camvid", place)
