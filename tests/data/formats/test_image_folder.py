"""Folders of classes."""

import numpy as np
import pytest

from trainyard.errors import DataError


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)


def test_class_folders_without_splits(lay, listing, labels) -> None:
    found = listing("image_folder", lay({"dog/b.JPG": None, "cat/a.png": None, "cat/c.jpeg": None}))
    assert found.annotation == "label"
    assert found.classes == ("cat", "dog")
    assert labels(found) == {"cat/a.png": "cat", "cat/c.jpeg": "cat", "dog/b.JPG": "dog"}
    assert {entry.split for entry in found.entries} == {None}


@pytest.mark.parametrize(
    ("folder", "split"), [("Train", "train"), ("VALID", "val"), ("testing", "test"), ("val2017", "val")]
)
def test_split_folders_of_any_usual_name(folder: str, split: str, lay, listing) -> None:
    found = listing("image_folder", lay({f"{folder}/cat/a.png": None, f"{folder}/dog/b.png": None}))
    assert {entry.split for entry in found.entries} == {split}
    assert found.classes == ("cat", "dog")


def test_a_class_called_train_is_no_split(lay, listing, splits) -> None:
    found = listing("image_folder", lay({"bus/a.png": None, "train/b.png": None}))
    assert found.classes == ("bus", "train")
    assert splits(found) == {None: 2}


def test_split_folders_inside_the_class_folders(lay, listing, splits) -> None:
    found = listing("image_folder", lay({f"{c}/{s}/a.png": None for c in ("cat", "dog") for s in ("train", "test")}))
    assert found.classes == ("cat", "dog")
    assert splits(found) == {"train": 2, "test": 2}


def test_another_split_than_the_usual_ones_keeps_its_name(lay, listing, splits) -> None:
    found = listing("image_folder", lay({f"{s}/{c}/a.png": None for c in "ab" for s in ("train", "test", "Extra set")}))
    assert splits(found) == {"train": 2, "test": 2, "extra_set": 2}


def test_folders_around_everything_are_passed_over(lay, listing, labels) -> None:
    found = listing("image_folder", lay({"pets-1.0/data/cat/a.png": None, "pets-1.0/data/dog/b.png": None}))
    assert found.classes == ("cat", "dog")


def test_folders_in_class_folders_are_joined(lay, listing) -> None:
    found = listing("image_folder", lay({"pet/cat/a.png": None, "pet/dog/a.png": None, "wild/wolf/a.png": None}))
    assert found.classes == ("pet/cat", "pet/dog", "wild/wolf")


def test_a_folder_that_is_merely_called_images_is_no_class(lay, listing) -> None:
    found = listing("image_folder", lay({f"train/{c}/images/{c}_0.JPEG": None for c in ("n01", "n02")}))
    assert found.classes == ("n01", "n02")


def test_classes_that_are_numbers_are_in_the_order_of_numbers(lay, listing) -> None:
    found = listing("image_folder", lay({f"{number}/a.png": None for number in (10, 2, 0)}))
    assert found.classes == ("0", "2", "10")


def test_images_and_folders_of_images_in_a_class_folder_are_refused(lay, listing) -> None:
    place = lay({"cat/a.png": None, "cat/young/b.png": None, "dog/c.png": None})
    with pytest.raises(
        DataError, match=r"the class folder cat holds images, and the folder cat/young, too. Is that one "
    ):
        listing("image_folder", place)


def test_one_class_must_be_meant(lay, listing) -> None:
    place = lay({"cats/a.png": None, "cats/b.png": None})
    with pytest.raises(DataError, match=r"all images lie in one class folder, cats. .*say so: --classes cats"):
        listing("image_folder", place)
    assert listing("image_folder", place, classes=("cats",)).classes == ("cats",)


def test_given_classes_set_the_order_and_name_what_is_left_out(lay, listing, labels, complaints) -> None:
    found = listing(
        "image_folder", lay({"cat/a.png": None, "dog/b.png": None, "emu/c.png": None}), classes=("dog", "cat")
    )
    assert found.classes == ("dog", "cat")
    assert labels(found) == {"cat/a.png": "cat", "dog/b.png": "dog"}
    assert complaints(found) == ["emu/: 1 image: its folder is none of the classes given (emu) (left out)"]


def test_images_outside_of_class_folders_are_problems(lay, listing, complaints) -> None:
    files = {"train/cat/a.png": None, "train/dog/b.png": None, "test/1.png": None, "test/2.png": None}
    assert complaints(listing("image_folder", lay(files))) == ["test/: 2 images: it lies in no class folder (left out)"]


def test_other_files_are_counted_and_what_was_meant_as_an_image_is_named(lay, listing, complaints) -> None:
    files = {
        "cat/a.png": None,
        "dog/b.png": None,
        "README.md": "",
        "cat/notes.txt": "",
        "cat/c.heic": "",
        "dog/d.jpg.part": "",
    }
    found = listing("image_folder", lay(files))
    assert found.ignored == 2
    assert [line.split(":")[0] for line in complaints(found)] == ["cat/c.heic", "dog/d.jpg.part"]


def test_hidden_files_are_no_images(lay, listing) -> None:
    found = listing("image_folder", lay({"cat/a.png": None, "cat/._a.png": "", "dog/b.png": None, ".x/c.png": None}))
    assert [entry.name for entry in found.entries] == ["cat/a.png", "dog/b.png"]


def test_splits_without_classes_are_refused(lay, listing) -> None:
    with pytest.raises(DataError, match=r"holds no folders of images, one for each class .*It looks like mask_folder"):
        listing(
            "image_folder",
            lay({"train/a.png": None, "trainannot/a.png": None, "val/b.png": None, "valannot/b.png": None}),
        )


def test_the_bytes_of_the_file_are_read(lay, read) -> None:
    place = lay({"cat/a.png": None, "dog/b.png": None})
    example = read("image_folder", place, "dog/b.png")
    assert (example.label, example.split) == (1, "train")
    assert example.image == (place / "dog" / "b.png").read_bytes()


@pytest.mark.parametrize("name", ["image", "images", "IMG"])
def test_a_class_called_image_beside_others(name: str, lay, listing) -> None:
    files = {f"{split}/{c}/a.png": None for split in ("train", "test") for c in (name, "text")}
    found = listing("auto", lay(files))
    assert set(found.classes) == {name, "text"}
    assert (len(found.entries), list(found.problems)) == (4, [])


def test_a_split_whose_images_have_no_class_has_none_called_images(lay, listing) -> None:
    files = {f"train/{c}/images/a.png": None for c in ("n01", "n02")} | {"val/images/b.png": None}
    found = listing("image_folder", lay(files))
    assert found.classes == ("n01", "n02")
    assert [(problem.file, problem.kind) for problem in found.problems] == [
        ("val/images/", "image outside of class folders")
    ]


@pytest.mark.parametrize("names", [("with_mask", "without_mask"), ("label", "paper"), ("image", "label_x", "text")])
def test_classes_with_the_names_of_masks(names: tuple[str, ...], lay, listing) -> None:
    place = lay({f"{name}/{number}.jpg": photo(number) for name in names for number in range(6)})
    assert listing("auto", place).classes == names


def test_class_folders_with_some_pictures_twice(lay, listing) -> None:
    files = {f"{name}/{number}.jpg": None for name in ("cat", "dog") for number in range(8)}
    found = listing("auto", lay(files | {"cat/1.png": None, "dog/1.png": None, "dog/2.png": None}))
    assert (found.annotation, len(found.entries)) == ("label", 19)


def test_images_and_masks_that_do_not_match_are_no_classes(lay, listing) -> None:
    with pytest.raises(DataError, match="no format fits"):
        listing("auto", lay({"images/a.png": None, "images/b.png": None, "masks/1.png": None, "masks/2.png": None}))
