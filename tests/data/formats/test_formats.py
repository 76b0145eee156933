"""Opening sources: formats, their options, what lies there instead."""

import pickle
from pathlib import Path

import pytest

from trainyard.data.formats import FORMATS, fitting, open_source
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.errors import DataError, UsageError


def test_an_unknown_format_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"unknown data format digit. Did you mean digits\?"):
        open_source("digit", None, ImportOptions())
    with pytest.raises(UsageError, match=r"unknown data format vehicles. Known formats: camvid, cifar10, "):
        open_source("vehicles", None, ImportOptions())


def test_a_source_is_named_where_one_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mnist needs a source. Write: trainyard data import mnist SRC DST"):
        open_source("mnist", None, ImportOptions())
    with pytest.raises(UsageError, match=r"digits brings its data along, got the source .*. Leave the source out."):
        open_source("digits", Location.of(tmp_path), ImportOptions())


def test_an_option_that_a_format_does_not_understand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mnist has no --masks. It understands --classes, --subset."):
        open_source("mnist", Location.of(tmp_path), ImportOptions(masks="masks"))


def test_the_source_is_missing(tmp_path: Path, listing) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist. Name the folder or file to import."):
        listing("image_folder", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is empty. Name the folder or file to import."):
        listing("image_folder", tmp_path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("digits", "image_folder")])
def test_another_format_fits_what_lies_there(name: str, lay, listing) -> None:
    place = lay({"cat/a.png": None, "dog/b.png": None})
    with pytest.raises(DataError) as error:
        listing(name, place)
    assert "source holds no " in str(error.value)
    assert f"Found: cat/, dog/. It looks like image_folder: trainyard data import image_folder {place} DST" in str(
        error.value
    )


def test_a_file_is_named_instead_of_its_folder(lay, listing) -> None:
    place = lay({"labels.csv": "file,label\na.png,cat\n", "a.png": None})
    with pytest.raises(
        DataError, match=r"labels.csv is a file, and mask_folder is read from a folder: name the one that "
    ):
        listing("mask_folder", place / "labels.csv")


def test_no_format_fits(lay, listing) -> None:
    with pytest.raises(DataError, match=r"no format fits what lies there: notes.txt. Known formats: camvid, "):
        listing("auto", lay({"notes.txt": "nothing"}))


def test_several_formats_fit(lay, listing) -> None:
    files = {"MNIST/raw/train-images-idx3-ubyte": b"", "cifar-10-batches-py/test_batch": b""}
    with pytest.raises(
        DataError, match=r"several formats fit what lies there: mnist, cifar10. Name the one that is meant."
    ):
        listing("auto", lay(files))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("image_folder", {"cat/a.png": None, "dog/b.png": None}),
        ("csv", {"a.png": None, "b.png": None, "labels.csv": "file,label\na.png,cat\nb.png,dog\n"}),
        ("mask_folder", {"images/a.png": None, "masks/a.png": None}),
        ("camvid", {"train/a.png": None, "trainannot/a.png": None, "train.txt": "train/a.png trainannot/a.png\n"}),
        ("pascal_voc", {"a.png": None, "a.xml": "<annotation/>"}),
        ("coco", {"a.png": None, "a.json": {"images": [], "annotations": [], "categories": []}}),
    ],
)
def test_the_format_is_found_by_itself(name: str, files: dict, lay) -> None:
    tree = Tree.of(Location.of(lay(files)))
    assert next(fitting(tree)) == name


def test_a_source_is_small_when_it_is_pickled(lay) -> None:
    place = lay({f"{name}/{number}.png": None for name in ("cat", "dog") for number in range(20)})
    source = open_source("image_folder", Location.of(place), ImportOptions())
    source.listing()
    assert len(pickle.dumps(source)) < 1000


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"x.csv": "file,label\na.png,cat,more\n"}, r"x.csv \(csv\): row 2 has 3 cells, the first one 2. Known"),
        ({"x.csv": "file label\na.png cat\n"}, r"x.csv \(csv\): it has one column only. Separate its cells by commas"),
        ({"annotations.json": ""}, r"annotations.json \(coco\): it is empty. Known"),
    ],
)
def test_no_format_fits_and_the_nearest_one_says_why(files: dict, reason: str, lay, listing) -> None:
    with pytest.raises(DataError, match=rf"no format fits what lies there: .*{reason}"):
        listing("auto", lay(files | {"a.png": None}))


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "train-images-idx3-ubyte"), ("cifar10", "cifar-10-batches-py/test_batch")]
)
def test_a_file_is_not_judged_by_what_lies_beside_it(name: str, file: str, lay, listing) -> None:
    place = lay({file: b"", "notes.txt": ""})
    with pytest.raises(DataError, match=rf"no format fits .* is a file: name the folder that holds it, .* \({name}\)."):
        listing("auto", (place / file).with_name("notes.txt") if name == "mnist" else place / file)


def test_where_the_formats_are_shown(lay, listing) -> None:
    with pytest.raises(DataError, match=r"See what each format looks like: trainyard data formats$"):
        listing("coco", lay({"notes.txt": ""}))
