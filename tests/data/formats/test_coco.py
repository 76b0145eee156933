"""Boxes in JSON."""

import pytest

from trainyard.errors import DataError

CATEGORIES = [{"id": 7, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat", "supercategory": "animal"}]

BOX = {"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]}


def coco(*names: str, boxes: list | None = None, categories: list = CATEGORIES) -> dict:
    """Boxes are of the first image: category, box and crowd."""
    images = [{"id": 10 + place, "file_name": name, "height": 4, "width": 6} for place, name in enumerate(names)]
    annotations = [
        {"id": place, "image_id": 10, "category_id": category, "bbox": box, "segmentation": [[1]], "iscrowd": crowd}
        for place, (category, box, crowd) in enumerate(boxes or [(3, [1, 2, 3, 1.5], 0)])
    ]
    return {"info": {"year": 2017}, "images": images, "annotations": annotations, "categories": categories}


def test_boxes_with_categories_of_any_ids(lay, listing) -> None:
    content = coco("a.png", "b.png", boxes=[(7, [1, 2, 3, 1.5], 0), (3, [0, 0, 6, 4], 1)])
    found = listing("coco", lay({"a.png": None, "b.png": None, "_annotations.json": content}))
    assert (found.annotation, found.classes) == ("boxes", ("cat", "dog"))
    first, second = found.entries
    assert first.boxes.corners.tolist() == [[1, 2, 4, 3.5], [0, 0, 6, 4]]
    assert first.boxes.labels.tolist() == [1, 0]
    assert first.boxes.crowd.tolist() == [False, True]
    assert first.size == (4, 6)
    assert second.boxes.corners.shape == (0, 4)


@pytest.mark.parametrize("place", ["train2017/{}.jpg", "images/train2017/{}.jpg"])
def test_the_layout_of_coco_itself(place: str, lay, listing, splits) -> None:
    files = {place.format(n).replace("train", split): None for split in ("train", "val") for n in "ab"}
    for split in ("train", "val"):
        files[f"annotations/instances_{split}2017.json"] = coco("a.jpg", "b.jpg")
        files[f"annotations/captions_{split}2017.json"] = coco("a.jpg") | {"annotations": [{"caption": "x"}]}
        files[f"annotations/person_keypoints_{split}2017.json"] = coco("a.jpg")
    found = listing("coco", lay(files))
    assert splits(found) == {"train": 2, "val": 2}
    assert not found.problems
    assert {entry.name for entry in found.entries} == {path for path in files if path.endswith("jpg")}


def test_the_layout_of_roboflow(lay, listing, splits) -> None:
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "RBC", "supercategory": "cells"},
    ]
    files = {f"{folder}/{n}.jpg": None for folder in ("train", "valid", "test") for n in "ab"}
    for folder in ("train", "valid", "test"):
        files[f"{folder}/_annotations.coco.json"] = coco(
            "a.jpg", "b.jpg", boxes=[(1, [0, 0, 1, 1], 0)], categories=categories
        )
    found = listing("coco", lay(files))
    assert splits(found) == {"train": 2, "val": 2, "test": 2}
    assert found.classes == ("RBC",)


def test_a_json_file_is_named(lay, listing, splits) -> None:
    place = lay(
        {
            "images/a.jpg": None,
            "images/b.jpg": None,
            "annotations/all.json": coco("a.jpg"),
            "annotations/b.json": coco("b.jpg"),
        }
    )
    found = listing("coco", place / "annotations" / "all.json")
    assert [entry.name for entry in found.entries] == ["images/a.jpg"]
    assert splits(listing("coco", place, subset="b.json")) == {None: 1}


@pytest.mark.parametrize("written", ["a.jpg", "/home/me/project/images/a.jpg", "images\\a.jpg", "train/a.jpg", "a"])
def test_images_wherever_their_paths_begin(written: str, lay, listing) -> None:
    found = listing("coco", lay({"data/images/a.jpg": None, "data/x.json": coco(written)}))
    assert [entry.name for entry in found.entries] == ["data/images/a.jpg"]


def test_classes_are_those_of_all_files_by_name(lay, listing) -> None:
    other = [{"id": 7, "name": "emu"}, {"id": 1, "name": "dog"}]
    files = {"train/a.jpg": None, "val/b.jpg": None, "train.json": coco("a.jpg")}
    found = listing("coco", lay(files | {"val.json": coco("b.jpg", boxes=[(1, [0, 0, 1, 1], 0)], categories=other)}))
    assert found.classes == ("cat", "dog", "emu")
    assert found.entries[1].boxes.labels.tolist() == [1]


def test_what_belongs_to_nothing_is_named(lay, listing, complaints) -> None:
    content = coco("a.jpg", "gone.jpg")
    content["annotations"] += [
        {"id": 90, "image_id": 99, "category_id": 3, "bbox": [0, 0, 1, 1]},
        {"id": 91, "image_id": 10, "category_id": 99, "bbox": [0, 0, 1, 1]},
    ]
    found = listing("coco", lay({"a.jpg": None, "x.json": content}))
    assert complaints(found) == [
        "x.json: annotation 90 is of image 99, which is not among its images (left out)",
        "x.json: annotation 91 is of category 99, which is not among its categories (left out)",
        "gone.jpg: x.json lists it, but it is not there (left out)",
    ]


def test_many_of_them_are_counted(lay, listing, complaints) -> None:
    content = coco("a.jpg", boxes=[(99, [0, 0, 1, 1], 0)] * 50)
    found = complaints(listing("coco", lay({"a.jpg": None, "x.json": content})))
    assert len(found) == 21
    assert found[-1] == "x.json: 30 more annotations are of unknown images or categories (left out)"


def test_a_split_whose_images_are_missing_is_named_as_a_whole(lay, listing, complaints) -> None:
    files = {"val2017/a.jpg": None, "annotations/instances_val2017.json": coco("a.jpg")}
    found = listing("coco", lay(files | {"annotations/instances_train2017.json": coco("b.jpg", "c.jpg")}))
    assert complaints(found) == [
        "annotations/instances_train2017.json: none of its 2 images is there, such as b.jpg (left out)"
    ]


def test_no_image_is_there(lay, listing) -> None:
    with pytest.raises(
        DataError, match=r"no image of x.json is there. x.json: none of its 1 images is there, such as b.jpg."
    ):
        listing("coco", lay({"a.jpg": None, "x.json": coco("b.jpg")}))


def test_an_image_that_is_listed_twice(lay, listing, complaints) -> None:
    found = listing("coco", lay({"a.jpg": None, "train.json": coco("a.jpg"), "val.json": coco("a.jpg")}))
    assert complaints(found) == ["a.jpg: val.json has it a second time: what was listed first counts (left out)"]


def test_given_classes_leave_out_the_others(lay, listing, complaints) -> None:
    place = lay({"a.jpg": None, "x.json": coco("a.jpg", boxes=[(3, [0, 0, 1, 1], 0), (7, [0, 0, 1, 1], 0)])})
    found = listing("coco", place, classes=("dog",))
    assert found.entries[0].boxes.labels.tolist() == [0]
    assert complaints(found) == ["x.json: 1 box is of the class cat, none of the classes given (left out)"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": {}}, r"annotations must be a list, got \{\}"),
        ({"images": [{"id": 1}]}, r"images\[0\].file_name must be text, got nothing"),
        (
            {"images": [{"id": None, "file_name": "a.jpg"}]},
            r"images\[0\].id must be a whole number or text, got nothing",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]},
            r"images\[1\].id: 1 is the id of another",
        ),
        ({"images": [{"id": 1.5, "file_name": "a.jpg"}]}, r"images\[0\].id must be a whole number or text, got 1.5"),
        ({"images": ["a.jpg"]}, r"images\[0\] must be an object, got \"a.jpg\""),
        ({"categories": [{"id": 1, "name": 5}]}, r"categories\[0\].name must be text, got 5"),
        (
            {"annotations": [{"image_id": 10, "category_id": 3}]},
            r"annotations\[0\].bbox must be four numbers, .*got nothing",
        ),
    ],
)
def test_wrong_types_are_named_by_their_place(change: dict, message: str, lay, listing) -> None:
    with pytest.raises(DataError, match=rf"can't read .*x.json: {message}"):
        listing("coco", lay({"a.jpg": None, "x.json": coco("a.jpg") | change}))


def test_a_damaged_file(lay, listing) -> None:
    with pytest.raises(DataError, match=r"can't read .*x.json: it is no JSON: Expecting"):
        listing("coco", lay({"a.jpg": None, "x.json": '{"images": [], "annotations": ['}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [1, 2, "x", 4]}, 'bbox must be four numbers, left, top, width and height, got [1, 2, "x", 4]'),
        ({"bbox": [1, 2, 3]}, "bbox must be four numbers, left, top, width and height, got [1, 2, 3]"),
        ({"bbox": []}, "bbox must be four numbers, left, top, width and height, got []"),
        ({"bbox": None}, "bbox must be four numbers, left, top, width and height, got nothing"),
        (
            {"bbox": [1, 2, float("nan"), 4]},
            "bbox must be four numbers, left, top, width and height, got [1, 2, NaN, 4]",
        ),
        ({"bbox": [1, 2, 10**400, 4]}, "bbox must be four numbers, left, top, width and height, got [1, 2, 1"),
        ({"category_id": None}, "category_id must be a whole number or text, got nothing"),
    ],
)
def test_an_annotation_without_a_usable_box_is_left_out(change: dict, reason: str, lay, listing) -> None:
    content = coco("a.jpg") | {"annotations": [BOX, BOX | change]}
    found = listing("coco", lay({"a.jpg": None, "x.json": content}))
    assert [len(entry.boxes.labels) for entry in found.entries] == [1]
    [problem] = found.problems
    assert (problem.file, problem.kind) == ("x.json", "unreadable box")
    assert problem.reason.startswith(f"annotations[1].{reason}")


def test_many_unusable_boxes_are_counted(lay, listing, complaints) -> None:
    content = coco("a.jpg") | {"annotations": [BOX, *[BOX | {"bbox": []}] * 50]}
    found = complaints(listing("coco", lay({"a.jpg": None, "x.json": content})))
    assert len(found) == 21
    assert found[-1] == "x.json: 30 more annotations have no usable box (left out)"


@pytest.mark.parametrize(("image_id", "category_id"), [("10", 3), (10, "3"), (10.0, 3.0), ("10", "3")])
def test_ids_written_in_different_ways_are_the_same(image_id, category_id, lay, listing) -> None:
    content = coco("a.jpg") | {"annotations": [BOX | {"image_id": image_id, "category_id": category_id}]}
    found = listing("coco", lay({"a.jpg": None, "x.json": content}))
    assert found.entries[0].boxes.labels.tolist() == [0]
    assert not found.problems


def test_images_with_ids_that_are_text(lay, listing) -> None:
    content = coco("a.jpg") | {"images": [{"id": "10", "file_name": "a.jpg"}], "annotations": [BOX]}
    found = listing("coco", lay({"a.jpg": None, "x.json": content}))
    assert found.entries[0].boxes.labels.tolist() == [0]
    assert not found.problems
