"""Boxes in XML."""

from collections.abc import Sequence

import numpy as np
import pytest

from trainyard.errors import DataError

Box = tuple[str, float | str, float | str, float | str, float | str]
A_CAT: Sequence[Box] = (("cat", 1, 2, 5, 4),)


def xml(*boxes: Box, filename: str = "", size: tuple[int, int] = (4, 6), more: str = "", inside: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name>{inside}<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in boxes
    )
    return (
        f"<annotation>{more}<filename>{filename}</filename><size><width>{size[1]}</width><height>{size[0]}</height>"
        f"<depth>3</depth></size>{objects}</annotation>"
    )


def voc(root: str = "", names: str = "ab") -> dict:
    files = {f"{root}JPEGImages/{name}.jpg": None for name in names}
    return files | {f"{root}Annotations/{name}.xml": xml(*A_CAT) for name in names}


def corners(found, name: str) -> list:
    return next(entry.boxes.corners.tolist() for entry in found.entries if entry.name.endswith(name))


def test_boxes_with_classes_by_name(lay, listing) -> None:
    place = lay({"a.png": None, "a.xml": xml(("dog", 0, 1, 3, 2), ("cat", 1.5, 2, 5.25, 4), ("dog", 2, 0, 6, 4))})
    found = listing("pascal_voc", place)
    assert found.annotation == "boxes"
    assert found.classes == ("cat", "dog")
    [entry] = found.entries
    assert entry.boxes.corners.tolist() == [[0, 1, 3, 2], [1.5, 2, 5.25, 4], [2, 0, 6, 4]]
    assert entry.boxes.labels.tolist() == [1, 0, 1]
    assert entry.boxes.crowd.tolist() == [False] * 3
    assert entry.size == (4, 6)


@pytest.mark.parametrize("root", ["", "VOC2007/", "VOCdevkit/VOC2007/"])
def test_the_lists_of_imagesets(root: str, lay, listing, splits) -> None:
    lists = {"train": "a\n", "val": "b\n", "trainval": "a\nb\n", "test": "c\n", "cat_train": "a  1\nd -1\n"}
    files = voc(root, "abcd") | {f"{root}ImageSets/Main/{name}.txt": lines for name, lines in lists.items()}
    assert splits(listing("pascal_voc", lay(files))) == {"train": 1, "val": 1, "test": 1}


def test_trainval_alone_is_for_training(lay, listing, splits) -> None:
    files = voc("", "abc") | {"ImageSets/Main/trainval.txt": "a\nb\n", "ImageSets/Main/test.txt": "c\n"}
    assert splits(listing("pascal_voc", lay(files))) == {"train": 2, "test": 1}


def test_without_lists_there_are_no_splits(lay, listing, splits) -> None:
    assert splits(listing("pascal_voc", lay(voc() | {"ImageSets/Main/default.txt": "a\nb\n"}))) == {None: 2}


def test_roboflows_folders_are_splits(lay, listing, splits) -> None:
    files = {f"{folder}/{n}_jpg.rf.{n}{n}.jpg": None for folder in ("train", "valid", "test") for n in "ab"}
    files |= {path.replace(".jpg", ".xml"): xml(*A_CAT, filename=path.split("/")[1]) for path in files}
    assert splits(listing("pascal_voc", lay(files))) == {"train": 2, "val": 2, "test": 2}


def test_several_data_sets_are_joined_unless_one_is_named(lay, listing, splits) -> None:
    files = voc("VOCdevkit/VOC2007/") | voc("VOCdevkit/VOC2012/", "abc")
    files |= {
        "VOCdevkit/VOC2007/ImageSets/Main/train.txt": "a\nb\n",
        "VOCdevkit/VOC2012/ImageSets/Main/train.txt": "a\nc\n",
    }
    place = lay(files)
    assert [entry.name[10:] for entry in listing("pascal_voc", place).entries] == [
        "VOC2007/JPEGImages/a.jpg",
        "VOC2007/JPEGImages/b.jpg",
        "VOC2012/JPEGImages/a.jpg",
        "VOC2012/JPEGImages/c.jpg",
    ]
    assert splits(listing("pascal_voc", place, subset="VOC2007")) == {"train": 2}
    with pytest.raises(DataError, match=r"no XML files of boxes in a folder VOC2009: VOCdevkit/"):
        listing("pascal_voc", place, subset="VOC2009")


@pytest.mark.parametrize("filename", ["", "a", "other.png", "elsewhere\\a.png", "a.jpeg"])
def test_the_image_is_the_one_of_the_same_name(filename: str, lay, listing) -> None:
    place = lay({"images/a.jpg": None, "annotations/a.xml": xml(*A_CAT, filename=filename)})
    assert [entry.name for entry in listing("pascal_voc", place).entries] == ["images/a.jpg"]


def test_a_filename_counts_where_no_image_has_the_name(lay, listing) -> None:
    place = lay({"images/a.jpg": None, "annotations/0001.xml": xml(*A_CAT, filename="a.png")})
    assert [entry.name for entry in listing("pascal_voc", place).entries] == ["images/a.jpg"]


def test_equal_names_in_sub_folders(lay, listing) -> None:
    files = {f"JPEGImages/{folder}/1.jpg": None for folder in "xy"}
    place = lay(files | {f"Annotations/{folder}/1.xml": xml((folder, 1, 1, 2, 2)) for folder in "xy"})
    found = listing("pascal_voc", place)
    assert [(entry.name, found.classes[entry.boxes.labels[0]]) for entry in found.entries] == [
        ("JPEGImages/x/1.jpg", "x"),
        ("JPEGImages/y/1.jpg", "y"),
    ]


def test_corners_stay_as_they_are(lay, listing) -> None:
    database = "<source><database>Unknown</database></source>"
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": xml(("cat", 1, 1, 6, 4), more=database)}))
    assert corners(found, "a.png") == [[1, 1, 6, 4]]


@pytest.mark.parametrize(("lowest", "expected"), [(1, [0, 0, 6, 4]), (0, [1, 1, 6, 4])])
def test_pixels_of_pascal_voc_itself_count_from_one(lowest: int, expected: list, lay, listing) -> None:
    database = "<source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation></source>"
    files = {"a.png": None, "a.xml": xml(("cat", 1, 1, 6, 4), more=database)}
    place = lay(files | {"b.png": None, "b.xml": xml(("cat", lowest, 3, 6, 4), more=database)})
    assert corners(listing("pascal_voc", place), "a.png") == [expected]


def test_boxes_without_area_are_handed_on(lay, listing) -> None:
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": xml(("cat", 5, 3, 5, 3), ("cat", 0, 0, 0, 0))}))
    assert corners(found, "a.png") == [[5, 3, 5, 3], [0, 0, 0, 0]]


def test_difficult_boxes_are_crowd(lay, listing) -> None:
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": xml(*A_CAT, inside="<difficult>1</difficult>")}))
    assert found.entries[0].boxes.crowd.tolist() == [True]


def test_parts_of_an_object_are_no_boxes(lay, listing) -> None:
    part = "<part><name>head</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>1</ymax></bndbox></part>"
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": xml(*A_CAT, inside=part)}))
    assert found.classes == ("cat",)
    assert corners(found, "a.png") == [[1, 2, 5, 4]]


def test_an_image_without_boxes_stays(lay, listing) -> None:
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": xml(*A_CAT), "b.png": None, "b.xml": xml(size=(0, 0))}))
    assert corners(found, "b.png") == []
    assert found.entries[1].boxes.corners.shape == (0, 4)
    assert found.entries[1].size is None


def test_unreadable_files_and_boxes_are_named(lay, listing, complaints) -> None:
    files = {f"{name}.png": None for name in "abcdef"}
    files |= {"a.xml": xml(*A_CAT), "b.xml": "<annotation><object>", "c.xml": "", "d.xml": "<html/>"}
    files |= {"e.xml": xml(("cat", "x", 1, 2, 3), ("", 1, 1, 2, 2), ("cat", 1, 1, 2, 2))}
    found = listing("pascal_voc", lay(files | {"g.xml": xml(*A_CAT, filename="h.png")}))
    assert complaints(found) == [
        "b.xml: it is no well-formed XML: no element found: line 1, column 20 (left out)",
        "c.xml: it is no well-formed XML: no element found: line 1, column 0 (left out)",
        "d.xml: it is no annotation: its outermost element is html (left out)",
        "e.xml: object 1: the xmin of its box (cat) must be a number, got x (left out)",
        "e.xml: object 2: it has no name (left out)",
        "g.xml: its image is not there: neither g.* nor h.png (left out)",
        *(f"{name}.png: there is no XML file with its boxes (left out)" for name in "bcdf"),
    ]
    assert len(found.entries) == 2


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{10 * f"&{a};"}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        f"{BOMB}]><annotation><filename>&i;</filename></annotation>".encode(),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation><filename>&e;</filename></annotation>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY e "e">]><annotation/>'.encode("utf-16"),
    ],
)
def test_a_doctype_with_entities_is_refused_before_anything_grows(content: bytes, lay, listing, complaints) -> None:
    place = lay({"a.png": None, "a.xml": content, "b.png": None, "b.xml": xml(*A_CAT)})
    assert complaints(listing("pascal_voc", place))[0] == (
        "a.xml: it has a DOCTYPE with declarations, which annotations don't need and which are not read (left out)"
    )


def test_given_classes_leave_out_the_others(lay, listing, complaints) -> None:
    place = lay({"a.png": None, "a.xml": xml(("dog", 0, 1, 3, 2), ("cat", 1, 2, 5, 4), ("emu", 1, 2, 5, 4))})
    found = listing("pascal_voc", place, classes=("dog", "cat"))
    assert found.entries[0].boxes.labels.tolist() == [0, 1]
    assert complaints(found)[0].endswith("1 box is of the class emu, none of the classes given (left out)")


def test_listed_images_without_annotation_are_named(lay, listing, complaints) -> None:
    files = voc() | {"JPEGImages/c.jpg": None, "ImageSets/Main/train.txt": "a\nc\nx\n"}
    found = listing("pascal_voc", lay(files))
    assert [entry.name for entry in found.entries] == ["JPEGImages/a.jpg"]
    assert complaints(found) == [
        "ImageSets/Main/train.txt: it names x, which is not there (left out)",
        "JPEGImages/c.jpg: there is no XML file with its boxes (left out)",
    ]


def test_no_image_is_there(lay, listing) -> None:
    with pytest.raises(
        DataError,
        match=r"no image is there with an XML file of its boxes. Annotations/a.xml: its image is not there",
    ):
        listing("pascal_voc", lay({"Annotations/a.xml": xml(*A_CAT), "JPEGImages/b.jpg": None}))


def test_corners_are_float64_and_labels_int64(lay, listing) -> None:
    boxes = listing("pascal_voc", lay(voc())).entries[0].boxes
    assert (boxes.corners.dtype, boxes.labels.dtype, boxes.crowd.dtype) == (np.float64, np.int64, np.bool_)


@pytest.mark.parametrize(
    "doctype", ["<!DOCTYPE annotation>", '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/never.dtd">']
)
def test_a_doctype_without_declarations_is_passed_over(doctype: str, lay, listing) -> None:
    found = listing("pascal_voc", lay({"a.png": None, "a.xml": f'<?xml version="1.0"?>{doctype}{xml(*A_CAT)}'}))
    assert (len(found.entries), list(found.problems)) == (1, [])
