"""Images and their masks."""

import numpy as np
import pytest
from PIL import Image

from trainyard.data.source import MaskCoding
from trainyard.errors import DataError

BINARY = np.array([[0, 255], [255, 0]], np.uint8)
CLASSES = np.array([[0, 1], [2, 255]], np.uint8)
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
COLOURS = np.array([[RED, BLUE], [BLACK, RED]], np.uint8)


def pairs(found) -> dict[str, str]:
    return {entry.name: entry.mask for entry in found.entries}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.jpg", "masks/{}.png"),
        ("imgs/{}.png", "labels/{}.png"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        ("img_dir/{}.jpg", "ann_dir/{}.png"),
        ("data/images/{}.jpg", "data/ground_truth/{}.gif"),
        ("images/{}.png", "masks/{}_mask.png"),
        ("images/{}.png", "masks/{}-gt.png"),
        ("images/{}.b.png", "masks/{}.b_L.png"),
        ("images/2_{}_training.tif", "1st_manual/2_{}_manual1.gif"),
        ("images/image_{}.png", "masks/mask_{}.png"),
        ("{}.png", "{}_mask.png"),
        ("{}_sat.jpg", "{}_mask.png"),
        ("{}.jpg", "{}.png"),
        ("images/{}.jpg", "annotations/trimaps/{}.png"),
        ("photos/{}.jpg", "masks/x/{}.png"),
        ("PNGImages/{}.png", "PedMasks/{}_mask.png"),
        ("Original/{}.tif", "Ground Truth/{}.tif"),
        ("segmentation data/{}.jpg", "segmentation data/masks/{}.png"),
        ("leftImg8bit/aachen/{}_0_leftImg8bit.png", "gtFine/aachen/{}_0_gtFine_labelIds.png"),
    ],
)
def test_usual_places_and_names_of_masks(image: str, mask: str, lay, listing) -> None:
    names = ("a1", "c2")
    place = lay({form.format(name): pixels for name in names for form, pixels in ((image, None), (mask, BINARY))})
    found = listing("mask_folder", place)
    assert pairs(found) == {image.format(name): mask.format(name) for name in names}
    assert not found.problems


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}/images/a.png", "{}/masks/a.png"),
        ("images/{}/a.png", "masks/{}/a.png"),
        ("{}/a.png", "{}_masks/a.png"),
        ("{}/a.png", "{}annot/a.png"),
        ("{}_images/a.png", "{}_labels/a.png"),
        ("{}Images/a.png", "{}Masks/a.png"),
        ("ISIC2018_{}_Input/a.jpg", "ISIC2018_{}_GroundTruth/a_segmentation.png"),
    ],
)
def test_split_folders_at_either_level(image: str, mask: str, lay, listing) -> None:
    names = {"train": "train", "valid": "val", "test": "test"}
    place = lay({form.format(name): pixels for name in names for form, pixels in ((image, None), (mask, BINARY))})
    found = listing("mask_folder", place)
    assert {entry.name: (entry.mask, entry.split) for entry in found.entries} == {
        image.format(name): (mask.format(name), split) for name, split in names.items()
    }


def test_the_class_masks_of_cityscapes_are_found_among_others(lay, listing, splits) -> None:
    files = {}
    for split in ("train", "val"):
        files[f"leftImg8bit/{split}/aachen/aachen_000_019_leftImg8bit.png"] = None
        for kind in ("color", "instanceIds", "labelIds"):
            files[f"gtFine/{split}/aachen/aachen_000_019_gtFine_{kind}.png"] = CLASSES
        files[f"gtFine/{split}/aachen/aachen_000_019_gtFine_polygons.json"] = {}
    found = listing("mask_folder", lay(files))
    assert splits(found) == {"train": 1, "val": 1}
    assert found.entries[0].mask == "gtFine/train/aachen/aachen_000_019_gtFine_labelIds.png"
    assert not found.problems


def test_images_and_masks_where_the_user_says(lay, listing) -> None:
    files = {
        "before/a.png": None,
        "after/a.png": BINARY,
        "masks/a.png": CLASSES,
        "pairs/b_x.png": None,
        "pairs/b_y.png": BINARY,
    }
    place = lay(files)
    assert pairs(listing("mask_folder", place, images="before", masks="after")) == {"before/a.png": "after/a.png"}
    found = listing("mask_folder", place, images="pairs/*_x.png", masks="*_y.png")
    assert pairs(found) == {"pairs/b_x.png": "pairs/b_y.png"}


def test_lists_of_splits_beside_the_folders(lay, listing, splits) -> None:
    files = {
        f"{folder}/{name}.png": pixels for folder, pixels in (("images", None), ("masks", BINARY)) for name in "abcd"
    }
    place = lay(files | {"train.txt": "a\nimages/b.png\n", "val.txt": "c.jpg masks/c.png\n"})
    found = listing("mask_folder", place)
    assert splits(found) == {"train": 2, "val": 1}


def test_without_a_list_for_training_the_others_are_for_it(lay, listing, splits) -> None:
    files = {
        f"{folder}/{name}.png": pixels for folder, pixels in (("images", None), ("labels", BINARY)) for name in "abc"
    }
    assert splits(listing("mask_folder", lay(files | {"valid.txt": "b.png\n"}))) == {"train": 2, "val": 1}


def test_the_segmentation_layout_of_voc(lay, listing, splits, complaints) -> None:
    files = {f"VOC2012/JPEGImages/{number}.jpg": None for number in range(5)}
    for number in range(3):
        files[f"VOC2012/SegmentationClass/{number}.png"] = CLASSES
        files[f"VOC2012/SegmentationObject/{number}.png"] = CLASSES
    lists = {"train": "0\n", "val": "1\n3\n9\n", "trainval": "0\n1\n"}
    files |= {f"VOC2012/ImageSets/Segmentation/{name}.txt": lines for name, lines in lists.items()}
    files |= {"VOC2012/ImageSets/Main/train.txt": "2\n4\n", "VOC2012/Annotations/0.xml": "<annotation/>"}
    found = listing("mask_folder", lay(files))
    assert splits(found) == {"train": 1, "val": 1}
    assert complaints(found) == [
        "VOC2012/ImageSets/Segmentation/val.txt: it names 9, which is not there (left out)",
        "VOC2012/JPEGImages/3.jpg: there is no mask for this image (left out)",
    ]


def test_what_has_no_partner_is_named(lay, listing, complaints) -> None:
    files = {"images/a.png": None, "images/b.png": None, "masks/a.png": BINARY, "masks/c.png": BINARY}
    assert complaints(listing("mask_folder", lay(files))) == [
        "images/b.png: there is no mask for this image (left out)",
        "masks/c.png: there is no image for this mask (left out)",
    ]


def test_a_split_without_masks_is_named_as_a_whole(lay, listing, complaints) -> None:
    files = {"train/a.png": None, "train_masks/a.png": BINARY, "test/b.png": None, "test/c.png": None}
    assert complaints(listing("mask_folder", lay(files))) == [
        "test/: there is no mask for any of its 2 images (left out)"
    ]


def test_two_masks_for_an_image_are_named(lay, listing, complaints) -> None:
    files = {
        "images/a.png": None,
        "images/b.png": None,
        "masks/a.png": BINARY,
        "masks/a.bmp": BINARY,
        "masks/b.png": BINARY,
    }
    found = listing("mask_folder", lay(files))
    assert complaints(found) == ["images/a.png: it has several masks: masks/a.bmp, masks/a.png (left out)"]


def test_two_folders_of_masks_are_a_question(lay, listing) -> None:
    files = {f"{n}_training.tif": None for n in (21, 22)} | {f"mask/{n}_training_mask.gif": BINARY for n in (21, 22)}
    place = lay(files | {f"1st_manual/{n}_manual1.gif": BINARY for n in (21, 22)})
    with pytest.raises(
        DataError, match=r"images have several masks, as 21_training.tif has 1st_manual/21_manual1.gif, mask/"
    ):
        listing("mask_folder", place)
    assert pairs(listing("mask_folder", place, masks="1st_manual"))["21_training.tif"] == "1st_manual/21_manual1.gif"


def test_masks_of_instances_are_no_masks_of_an_image(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a_1.png": BINARY, "masks/a_2.png": BINARY})
    with pytest.raises(
        DataError, match=r"no mask has the name of an image, as masks/a_1.png and images/a.png. Say where"
    ):
        listing("mask_folder", place)


@pytest.mark.parametrize(
    ("mask", "classes", "coding"),
    [
        (BINARY, ("background", "foreground"), MaskCoding(values=(0, 255), void=())),
        (BINARY // 255, ("background", "foreground"), MaskCoding(values=(0, 1))),
        (BINARY.astype(bool), ("background", "foreground"), MaskCoding(values=(0, 255), void=())),
        (CLASSES, ("class_0", "class_1", "class_2"), MaskCoding(values=(0, 1, 2))),
        (np.repeat(CLASSES[..., None], 3, 2), ("class_0", "class_1", "class_2"), MaskCoding(values=(0, 1, 2))),
    ],
)
def test_classes_as_the_masks_show_them(mask: np.ndarray, classes: tuple, coding: MaskCoding, lay, listing) -> None:
    found = listing("mask_folder", lay({"images/a.png": None, "masks/a.png": mask}))
    assert (found.classes, found.mask_coding) == (classes, coding)


def test_palette_masks_have_indexes(lay, listing, encode) -> None:
    picture = Image.fromarray(CLASSES, "P")
    picture.putpalette([7, 7, 7, 90, 0, 0, 0, 90, 0] + 741 * [0])
    found = listing("mask_folder", lay({"images/a.png": None, "masks/a.png": encode(picture)}))
    assert found.mask_coding == MaskCoding(values=(0, 1, 2))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "classes.json",
            {"classes": [{"name": "red", "rgb": RED}, {"name": "blue", "rgb": BLUE}, {"name": "void", "rgb": BLACK}]},
        ),
        ("class_dict.csv", "name,r,g,b\nred,255,0,0\nblue,0,0,255\nVoid,0,0,0\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nred:255,0,0::\nblue:0,0,255::\nunlabeled:0,0,0::\n"),
        ("classes.json", {"red": "#ff0000", "blue": "#0000ff", "ignore": "#000000"}),
    ],
)
def test_masks_in_colours_by_the_colours_of_a_classes_file(name: str, content, lay, listing) -> None:
    found = listing("mask_folder", lay({"images/a.png": None, "masks/a.png": COLOURS, name: content}))
    assert found.classes == ("red", "blue")
    assert found.mask_coding == MaskCoding(values=(RED, BLUE), void=(BLACK,))


def test_masks_in_colours_without_their_names(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a.png": np.tile(COLOURS, (8, 8, 1))})
    with pytest.raises(
        DataError, match=r"the masks hold the colour #ff0000, and nothing says which .*\"background\": \[255, 0, 0\]"
    ):
        listing("mask_folder", place)


def test_a_palette_that_differs_from_file_to_file_goes_by_colours(lay, listing, encode) -> None:
    files = {"classes.json": [{"name": "red", "rgb": RED}, {"name": "blue", "rgb": BLUE}]}
    for name, palette in (("a", [RED, BLUE]), ("b", [BLUE, RED, BLACK, RED])):
        picture = Image.fromarray(np.array([[0, 1], [len(palette) - 1, 0]], np.uint8), "P")
        picture.putpalette([part for colour in palette for part in colour])
        files |= {f"images/{name}.png": None, f"masks/{name}.png": encode(picture)}
    assert listing("mask_folder", lay(files)).mask_coding == MaskCoding(values=(RED, BLUE), void=())


def test_a_classes_file_of_numbers(lay, listing) -> None:
    content = {
        "classes": [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}, {"id": 0, "name": "other"}],
        "ignore_index": [0, 255],
    }
    found = listing("mask_folder", lay({"images/a.png": None, "masks/a.png": CLASSES, "classes.json": content}))
    assert found.classes == ("road", "car")
    assert found.mask_coding == MaskCoding(values=(1, 2), void=(0, 255))


def test_what_the_user_says_goes_before_the_classes_file(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a.png": CLASSES, "classes.txt": "a\nb\nc\n"})
    assert listing("mask_folder", place).classes == ("a", "b", "c")
    found = listing("mask_folder", place, classes=("x", "y"), void=(2, 255))
    assert (found.classes, found.mask_coding) == (("x", "y"), MaskCoding(values=(0, 1), void=(2, 255)))


@pytest.mark.parametrize(
    ("mask", "given", "classes", "values"),
    [
        (BINARY, ("paper", "ink"), ("paper", "ink"), (0, 255)),
        (BINARY, ("ink",), ("background", "ink"), (0, 255)),
        (np.array([[0, 128, 254]], np.uint8), ("a", "b", "c"), ("a", "b", "c"), (0, 128, 254)),
        (CLASSES, ("a", "b", "c", "d"), ("a", "b", "c", "d"), (0, 1, 2, 3)),
    ],
)
def test_names_for_the_values_that_are_there(mask, given, classes, values, lay, listing) -> None:
    found = listing("mask_folder", lay({"images/a.png": None, "masks/a.png": mask}), classes=given)
    assert (found.classes, found.mask_coding.values) == (classes, values)


def test_values_too_far_apart_to_be_indexes(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a.png": np.array([[0, 128, 255]], np.uint8)})
    with pytest.raises(
        DataError, match=r"the masks hold the 3 values 0, 128, 255, too far apart to be class indexes. Say"
    ):
        listing("mask_folder", place)


def test_a_classes_file_that_the_masks_do_not_bear_out(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a.png": CLASSES + 30, "classes.txt": "3: a\n4: b\n"})
    with pytest.raises(DataError, match=r"the masks hold the 4 values 29, 30, 31, 32; none of it is a class's"):
        listing("mask_folder", place)


def test_jpeg_masks_are_black_and_white(lay, listing, read) -> None:
    mask = np.kron(BINARY, np.ones((32, 32), np.uint8)) // 255 * 250
    place = lay({"images/a.png": np.zeros((64, 64, 3), np.uint8), "masks/a.jpg": mask})
    assert listing("mask_folder", place).mask_coding == MaskCoding(values=(0, 255), void=())
    assert np.unique(read("mask_folder", place).mask).tolist() == [0, 255]


def test_jpeg_masks_of_more_classes_are_refused(lay, listing) -> None:
    mask = np.kron(CLASSES * 60, np.ones((16, 16), np.uint8))
    with pytest.raises(
        DataError, match=r"none of the masks can be read. .*a.jpg: the mask is a JPEG, which changes values"
    ):
        listing("mask_folder", lay({"images/a.png": None, "masks/a.jpg": mask}))


def test_image_and_mask_are_read_as_they_are(lay, read) -> None:
    place = lay({"images/a.jpg": None, "masks/a.png": CLASSES})
    example = read("mask_folder", place)
    assert example.image == (place / "images" / "a.jpg").read_bytes()
    assert example.mask == (place / "masks" / "a.png").read_bytes()


@pytest.mark.parametrize("written", ["masks", "./masks", "masks/", "source/masks", "source/./masks/", "{place}/masks"])
def test_folders_as_a_shell_completes_them(written: str, lay, listing, monkeypatch) -> None:
    place = lay({"before/a.png": None, "masks/a.png": BINARY})
    monkeypatch.chdir(place.parent)
    found = listing("mask_folder", place, images="./before", masks=written.format(place=place))
    assert pairs(found) == {"before/a.png": "masks/a.png"}


def test_a_folder_that_is_not_there(lay, listing) -> None:
    place = lay({"images/a.png": None, "masks/a.png": BINARY})
    with pytest.raises(
        DataError, match=r"no folder /elsewhere/masks with images in the source \(--masks\). There are: im"
    ):
        listing("mask_folder", place, masks="/elsewhere/masks")
    with pytest.raises(DataError, match=r"no image fits the pattern \*_gt.png \(--masks\)"):
        listing("mask_folder", place, masks="*_gt.png")


@pytest.mark.parametrize(("image", "mask"), [("Original/{}.png", "Ground Truth/{}.png"), ("{}.jpg", "{}.png")])
def test_masks_without_a_folder_of_images_are_told_from_class_folders(image: str, mask: str, lay, listing) -> None:
    files = {form.format(n): pixels for n in range(10) for form, pixels in ((image, None), (mask, CLASSES))}
    assert listing("auto", lay(files)).annotation == "mask"


def test_images_for_a_test_have_no_masks(lay, listing) -> None:
    files = {f"test/{number}.jpg": None for number in range(20)}
    for number in range(4):
        files |= {f"train/{number}.jpg": None, f"train_masks/{number}_mask.gif": BINARY}
    assert len(listing("auto", lay(files)).entries) == 4


def test_a_few_images_with_the_ends_of_masks_make_no_set_of_masks(lay, listing) -> None:
    files = {f"{name}/{number}.jpg": None for name in ("cat", "dog") for number in range(8)}
    assert listing("auto", lay(files | {"cat/1_mask.png": BINARY, "dog/2_seg.png": BINARY})).annotation == "label"
