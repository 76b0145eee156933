"""Tables of images and labels."""

import pytest

from trainyard.errors import DataError

IMAGES = {f"{name}.png": None for name in "abc"}


def table(*lines: str, name: str = "labels.csv", **more: str) -> dict:
    return IMAGES | {name: "\n".join(lines) + "\n"}


def test_labels_are_classes(lay, listing, labels, splits) -> None:
    found = listing("csv", lay(table("file,label", "b.png,dog", "a.png,cat", "c.png,dog")))
    assert (found.annotation, found.classes) == ("label", ("cat", "dog"))
    assert labels(found) == {"a.png": "cat", "b.png": "dog", "c.png": "dog"}
    assert splits(found) == {None: 3}


@pytest.mark.parametrize("name", ["file", "Filename", "image_id", "Image Path", "path", "id", "anything"])
@pytest.mark.parametrize("label", ["label", "Class", "category", "class_name", "whatever"])
def test_usual_names_of_columns_and_any_of_two(name: str, label: str, lay, listing, labels) -> None:
    found = listing("csv", lay(table(f"{label},{name}", "cat,a.png", "dog,b.png")))
    assert labels(found) == {"a.png": "cat", "b.png": "dog"}


def test_name_is_the_label_where_another_column_names_the_files(lay, listing) -> None:
    found = listing("csv", lay(table("file,wnid,name,index,label_source", "a.png,n01,cat,3,x", "b.png,n02,dog,4,x")))
    assert found.classes == ("cat", "dog")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ", "])
def test_the_delimiter_is_found(delimiter: str, lay, listing, labels) -> None:
    lines = [delimiter.join(cells) for cells in (("file", "label"), ("a.png", '"cat, large"'), ("b.png", "dog"))]
    assert labels(listing("csv", lay(table(*lines)))) == {"a.png": "cat, large", "b.png": "dog"}


def test_a_table_without_names_of_columns(lay, listing, labels) -> None:
    assert labels(listing("csv", lay(table("a.png,cat", "b.png,dog")))) == {"a.png": "cat", "b.png": "dog"}


def test_columns_that_the_user_names(lay, listing, labels, splits) -> None:
    place = lay(table("first,second,third,fourth", "b.png,a.png,cat,Train", "c.png,b.png,dog,Holdout"))
    found = listing("csv", place, path_column="second", label_column="third", split_column="fourth")
    assert labels(found) == {"a.png": "cat", "b.png": "dog"}
    assert splits(found) == {"train": 1, "holdout": 1}
    with pytest.raises(
        DataError, match=r"it has no column fifth \(--label-column\). Its columns are first, second, third, "
    ):
        listing("csv", place, label_column="fifth")


def test_labels_in_unclear_columns(lay, listing) -> None:
    with pytest.raises(
        DataError, match=r"labels.csv: its labels may be in label or class. Name the column: --label-column label"
    ):
        listing("csv", lay(table("file,label,class", "a.png,cat,1")))
    with pytest.raises(
        DataError, match=r"it isn't clear which column has the labels. Its columns are file, p, q. Name one"
    ):
        listing("csv", lay(table("file,p,q", "a.png,cat,1")))


def test_a_column_of_splits(lay, listing, splits) -> None:
    lines = ("file,label,split", "a.png,cat,training", "b.png,dog,valid", "c.png,cat,TEST")
    assert splits(listing("csv", lay(table(*lines)))) == {"train": 1, "val": 1, "test": 1}


def test_a_table_for_each_split(lay, listing, splits) -> None:
    files = table("file,label", "a.png,cat", "b.png,dog", name="train.csv") | {"test.csv": "file,label\nc.png,cat\n"}
    assert splits(listing("csv", lay(files))) == {"train": 2, "test": 1}


def test_several_tables_that_are_no_splits(lay, listing) -> None:
    place = lay(table("file,label", "a.png,cat") | {"more.csv": "file,label\nb.png,cat\n", "notes.csv": "x,y\n1,2\n"})
    with pytest.raises(
        DataError, match=r"there are several tables of images and labels: labels.csv, more.csv. Name one as "
    ):
        listing("csv", place)
    assert [entry.name for entry in listing("csv", place / "more.csv").entries] == ["b.png"]


def test_numbers_are_classes_in_the_order_of_numbers(lay, listing) -> None:
    found = listing("csv", lay(table("file,label", "a.png,10", "b.png,9.0", "c.png,1")))
    assert found.classes == ("1", "9", "10")
    assert [entry.label for entry in found.entries] == [2, 1, 0]


def test_numbers_count_the_classes_that_the_user_names(lay, listing, labels, complaints) -> None:
    found = listing("csv", lay(table("file,label", "a.png,1", "b.png,0", "c.png,7")), classes=("cat", "dog"))
    assert labels(found) == {"a.png": "dog", "b.png": "cat"}
    assert complaints(found)[0].endswith("1 image has the label 7, none of the classes (left out)")


@pytest.mark.parametrize("written", ["a", "a.jpg", "./a.png", "/data/photos/a.png", "photos\\a.png", "photos/a.png"])
def test_images_wherever_their_paths_begin(written: str, lay, listing) -> None:
    place = lay(
        {"photos/a.png": None, "photos/b.png": None, "tables/x.csv": f"image,label\n{written},cat\nb.png,dog\n"}
    )
    assert {entry.name for entry in listing("csv", place).entries} == {"photos/a.png", "photos/b.png"}


def test_paths_that_leave_the_source_lead_nowhere(lay, listing, complaints) -> None:
    found = listing("csv", lay(table("file,label", "a.png,cat", "../../etc/x.png,dog", "/etc/passwd,dog")))
    assert [entry.name for entry in found.entries] == ["a.png"]
    assert complaints(found)[0] == "../../etc/x.png: labels.csv names it, but it is not there (left out)"


def test_incomplete_and_contradicting_rows_are_named(lay, listing, complaints) -> None:
    lines = ("file,label", "a.png,cat", "a.png,cat", "b.png,cat", "b.png,dog", "c.png,", "d.png,cat")
    assert complaints(listing("csv", lay(table(*lines)))) == [
        "c.png: its label is missing (left out)",
        "d.png: labels.csv names it, but it is not there (left out)",
        "a.png: it is listed 2 times: the first counts (kept)",
        "b.png: it has several labels: cat, dog (left out)",
    ]


def test_a_column_of_names_is_no_column_of_labels(lay, listing) -> None:
    files = {f"{number}.png": None for number in range(30)}
    lines = [f"{number}.png,item {number}" for number in range(30)]
    with pytest.raises(
        DataError, match=r"every image has a label of its own, such as item 0, item 1, item 2 and 27 more."
    ):
        listing("csv", lay(files | {"x.csv": "file,label\n" + "\n".join(lines)}))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,label", "a.png,cat,more"), r"labels.csv: row 2 has 3 cells, the first one 2"),
        (("file,label", "x.png,cat"), r"labels.csv: no image of its column file is there, such as x.png"),
        (("file,class,xmin,ymin,xmax,ymax", "a.png,cat,1,2,3,4"), r"labels.csv: it has boxes .*pascal_voc and coco"),
        (("",), r"labels.csv: it is empty"),
        (("file,label", "a.png," + 140_000 * "x"), r"labels.csv: it is no table: field larger than field limit"),
    ],
)
def test_what_is_wrong_with_a_table(lines: tuple[str, ...], message: str, lay, listing) -> None:
    with pytest.raises(DataError, match=message):
        listing("csv", lay(table(*lines)))


def test_a_table_of_excel(lay, listing) -> None:
    text = "file;label\r\na.png;Käfer\r\nb.png;Ameise\r\n"
    assert listing("csv", lay(IMAGES | {"x.csv": text.encode("cp1252")})).classes == ("Ameise", "Käfer")
    assert listing("csv", lay(IMAGES | {"x.csv": text.encode("utf-8-sig")})).classes == ("Ameise", "Käfer")


def test_labels_stay_as_they_are_written(lay, listing) -> None:
    assert listing("csv", lay(table("file,label", "a.png,012", "b.png,007"))).classes == ("007", "012")


def test_whole_numbers_below_zero_are_in_the_order_of_numbers(lay, listing) -> None:
    lines = ("file,label", "a.png,10", "b.png,-1", "c.png,9")
    assert listing("csv", lay(table(*lines))).classes == ("-1", "9", "10")


def test_the_folder_of_the_images(lay, listing, monkeypatch) -> None:
    place = lay({"one/a.png": None, "two/a.png": None, "x.csv": "file,label\na.png,cat\n"})
    monkeypatch.chdir(place.parent)
    for images in ("two", "./two", "two/", "source/two", str(place / "two")):
        assert [entry.name for entry in listing("csv", place, images=images).entries] == ["two/a.png"]
    monkeypatch.chdir(place / "two")
    with pytest.raises(
        DataError, match=r"no folder three with images in the source \(--images\). There are: one, two."
    ):
        listing("csv", place, images="three")


def test_the_images_begin_at_the_source_itself(lay, listing) -> None:
    place = lay(table("file,label", "a.png,cat", "b.png,dog"))
    for images in (".", "./", str(place)):
        assert len(listing("csv", place, images=images).entries) == 2
