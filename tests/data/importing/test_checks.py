"""Each thing that may be wrong with an image or its annotation is found and named."""

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainyard.data.dataset import Dataset, schema_of
from trainyard.data.source import MaskCoding

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def rows(imports: Any, split: str = "train") -> list[dict[str, Any]]:
    dataset = Dataset.open(imports.destination)
    columns = schema_of(dataset.manifest.annotation).names
    return [row for group in dataset.groups(split) for row in dataset.read_group(group, columns).to_pylist()]


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def sound(files: Any, count: int = 1) -> Any:
    """Rows that nothing is wrong with, in all splits."""
    for split in ("train", "val"):
        for number in range(count):
            for label in range(len(files.classes)):
                files.add(f"{split}{number}{label}.png", split=split, label=label)
    return files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda encode: encode(NOISE, "jpeg")[:-500], "the image is truncated or damaged: "),
        (lambda encode: encode(NOISE)[:-500], "the image is truncated or damaged: "),
        (lambda encode: b"<html>not found</html>", "no image file that is known: it begins with <html>not found<"),
        (lambda encode: b"", "the image is an empty file"),
        (lambda encode: encode(np.zeros((4, 4), np.uint16)), "more than 8 bits for each channel"),
        (lambda encode: encode(np.zeros((4, 4), np.float32), "tiff"), "the image's pixels are floats"),
        (
            lambda encode: encode(Image.new("1", (10_000, 9_000))),
            "the image has more than 89 million pixels",
        ),
        (
            lambda encode: encode(Image.new("1", (20_000, 10_000))),
            "the image has more than 89 million pixels",
        ),
    ],
    ids=["cut JPEG", "cut PNG", "HTML", "empty", "16 bit", "float", "many pixels", "bomb"],
)
def test_an_image_that_cannot_be_used(
    files: Any, imports: Any, encode: Callable[..., bytes], content: Callable[..., bytes], reason: str
) -> None:
    sound(files).add("bad.png", content(encode), split="train")
    manifest = imports(files)
    [problem] = imports.report.problems
    assert (problem.file, problem.outcome) == ("bad.png", "left out")
    assert reason in problem.reason
    assert manifest.splits["train"].class_totals == (1, 1)


def test_a_missing_image(files: Any, imports: Any) -> None:
    sound(files).add("gone.png", split="train")
    (files.folder / "gone.png").unlink()
    imports(files)
    assert [(problem.file, problem.reason) for problem in imports.report.problems] == [("gone.png", "it is missing")]


def test_a_name_that_is_no_text(files: Any, imports: Any) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    sound(files).add(name, b"nothing", split="train")
    files.add(f"good-{name}", split="train")
    imports(files)
    assert [problem.file for problem in imports.report.problems] == ["caf?.png"]
    assert "good-caf?.png" in [row["name"] for row in rows(imports)]


def test_a_label_outside_the_classes(files: Any, imports: Any) -> None:
    sound(files).add("bird.png", split="train", label=2)
    imports(files)
    assert [problem.reason for problem in imports.report.problems] == ["label 2 is outside the 2 classes"]


def test_of_several_frames_the_first_is_kept(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (7, 8, 9)]
    sound(files).add("film.gif", encode(frames[0], "gif", save_all=True, append_images=frames[1:]), split="train")
    manifest = imports(files)
    [problem] = imports.report.problems
    assert (problem.reason, problem.outcome) == ("the image has 3 frames: the first one is used", "kept")
    assert manifest.splits["train"].rows == 3


def test_files_keep_their_bytes(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    content = encode(NOISE, "jpeg")
    files.add("a.jpg", content, split="train")
    imports(files)
    assert rows(imports)[0]["image"] == content


def test_an_image_is_turned_as_its_exif_says(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    lying = np.zeros((4, 6), np.uint8)
    lying[0, 5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    files.add("photo.png", encode(lying, exif=exif.tobytes()), split="train")
    manifest = imports(files)
    assert manifest.image.size == (6, 4)
    assert pixels_of(rows(imports)[0]["image"])[5, 3] == 255
    assert manifest.problems == 1  # class dog


def test_an_image_stays_as_it_lies_if_its_boxes_were_drawn_so(
    files: Any, imports: Any, encode: Callable[..., bytes], box: Callable[..., Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files.annotation, files.classes = "boxes", ("cat",)
    content = encode(np.zeros((4, 6), np.uint8), exif=exif.tobytes())
    files.add("photo.png", content, split="train", boxes=box([0, 0, 6, 4]), size=(4, 6))
    assert imports(files).image.size == (4, 6)
    assert imports.report.problems == ()


def masked(files: Any, mask: bytes, coding: MaskCoding | None = None) -> Any:
    """One image with this mask."""
    files.annotation, files.coding = "mask", coding
    files.add("a.png", split="train", mask=mask)
    return files


def only_problem(imports: Any) -> Any:
    [problem] = [problem for problem in imports.report.problems if not problem.file.startswith("class ")]
    return problem


MASK = np.array([[0, 0, 0, 1, 1, 255]] * 4, np.uint8)


def test_a_mask_is_stored_as_class_indexes(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    coding = MaskCoding(values=(10, 20), void=(0,))
    values = np.array([[10, 10, 10, 20, 20, 0]] * 4, np.uint8)
    manifest = imports(masked(files, encode(values), coding))
    [row] = rows(imports)
    assert pixels_of(row["mask"]).tolist() == MASK.tolist()
    assert row["classes"] == [0, 1]
    facts = manifest.splits["train"]
    assert (facts.class_totals, facts.class_images, facts.void_pixels) == ((12, 8), (1, 1), 4)


@pytest.mark.parametrize(
    ("mode", "coding"),
    [
        ("P", MaskCoding(values=(0, 1))),
        ("RGB", MaskCoding(values=((0, 0, 0), (1, 1, 1)), void=((255, 255, 255),))),
        ("RGB", None),
        ("I;16", None),
    ],
    ids=["palette", "colours", "grey in colour", "16 bit"],
)
def test_masks_of_any_mode(
    files: Any, imports: Any, encode: Callable[..., bytes], mode: str, coding: MaskCoding | None
) -> None:
    image = Image.fromarray(MASK)
    if mode == "P":
        image = Image.fromarray(MASK)
        image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    elif mode == "RGB":
        image = image.convert("RGB")
    else:
        image = Image.fromarray(MASK.astype(np.uint16))
    imports(masked(files, encode(image), coding))
    assert pixels_of(rows(imports)[0]["mask"]).tolist() == MASK.tolist()


def test_a_mask_that_needs_no_change_keeps_its_bytes(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    mask = encode(MASK, optimize=True)
    imports(masked(files, mask))
    assert rows(imports)[0]["mask"] == mask


def test_values_that_mean_no_class_are_named_and_become_void(
    files: Any, imports: Any, encode: Callable[..., bytes]
) -> None:
    values = MASK.copy()
    values[0, 0], values[1:3, 1] = 77, 9
    sums = imports(masked(files, encode(values))).splits["train"]
    problem = only_problem(imports)
    assert problem.reason.startswith("the mask has values that mean no class: 9 (2 pixels), 77 (1 pixels)")
    assert problem.outcome == "kept"
    assert (sum(sums.class_totals), sums.void_pixels) == (24 - 4 - 3, 4 + 3)


def test_a_colour_that_means_no_class(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[0, 0] = (1, 2, 3)
    imports(masked(files, encode(colours), MaskCoding(values=((0, 0, 0), (9, 9, 9)))))
    assert "(1, 2, 3) (1 pixels)" in only_problem(imports).reason


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (lambda encode: encode(MASK[:3]), "the mask is 3x6 pixels, the image 4x6"),
        (lambda encode: encode(MASK)[:-30], "the mask is truncated or damaged"),
        (lambda encode: b"nothing", "the mask is no image file that is known: it begins with nothing"),
        (
            lambda encode: encode(np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)),
            "the mask is in colours, but the classes are known by number, not by colour",
        ),
    ],
    ids=["size", "cut", "no image", "colours"],
)
def test_a_mask_that_cannot_be_used(
    files: Any, imports: Any, encode: Callable[..., bytes], mask: Callable[..., bytes], reason: str
) -> None:
    masked(files, mask(encode))
    files.add("sound.png", split="train", mask=encode(MASK))
    imports(files)
    problem = only_problem(imports)
    assert (problem.file, problem.outcome) == ("a.png", "left out")
    assert reason in problem.reason


def test_a_missing_mask(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    masked(files, encode(MASK))
    files.add("sound.png", split="train", mask=encode(MASK))
    (files.folder / "masks" / "a.png").unlink()
    imports(files)
    assert only_problem(imports).reason == "its mask masks/a.png is missing"


def boxed(files: Any, found: Any, **entry: Any) -> Any:
    """One image of 4 x 6 pixels with these boxes."""
    files.annotation = "boxes"
    files.add("a.png", split="train", boxes=found, **entry)
    return files


@pytest.mark.parametrize(
    ("corners", "label", "reason", "outcome"),
    [
        ([2, 1, 2, 3], 0, "box 2 (cat, 2 1 2 3) has no area", "left out"),
        ([4, 1, 2, 3], 0, "box 2 (cat, 4 1 2 3) has no area", "left out"),
        ([6, 0, 9, 3], 0, "box 2 (cat, 6 0 9 3) is outside the image of 4x6 pixels", "left out"),
        ([4, 0, 9, 3], 0, "box 2 (cat, 4 0 9 3) reaches out of the image of 4x6 pixels", "clipped"),
        ([0, 0, 1, 1], 2, "box 2 (2, 0 0 1 1) is of a class outside the 2 classes", "left out"),
        ([0, 0, np.nan, 1], 1, "box 2 (dog, 0 0 nan 1) has corners that are no numbers", "left out"),
    ],
    ids=["line", "inverted", "outside", "partly", "class", "nan"],
)
def test_a_box_with_a_problem(
    files: Any,
    imports: Any,
    box: Callable[..., Any],
    corners: list[float],
    label: int,
    reason: str,
    outcome: str,
) -> None:
    manifest = imports(boxed(files, box([0, 0, 3, 4], corners, labels=[1, label])))
    problem = only_problem(imports)
    assert (problem.reason, problem.outcome) == (reason, outcome)
    kept = 1 if outcome == "left out" else 2
    assert sum(manifest.splits["train"].class_totals) == kept


def test_a_clipped_box_ends_at_the_image(files: Any, imports: Any, box: Callable[..., Any]) -> None:
    imports(boxed(files, box([4, -1, 9, 3])))
    assert rows(imports)[0]["boxes"] == [4, 0, 6, 3]


def test_what_rounding_leaves_outside_is_clipped_in_silence(files: Any, imports: Any, box: Callable[..., Any]) -> None:
    files.classes = ("cat",)
    assert imports(boxed(files, box([0, 0, 6.05, 4]))).problems == 0
    assert rows(imports)[0]["boxes"] == [0, 0, 6, 4]


def test_an_image_of_another_size_than_its_annotation_says(files: Any, imports: Any, box: Callable[..., Any]) -> None:
    imports(boxed(files, box([0, 0, 1, 1]), size=(40, 60)))
    problem = only_problem(imports)
    assert (problem.reason, problem.outcome) == ("the annotation says 40x60 pixels, the image has 4x6", "kept")


def test_an_image_without_boxes_is_a_row(files: Any, imports: Any, box: Callable[..., Any]) -> None:
    files.add("b.png", split="train", boxes=box([0, 0, 3, 4]))
    facts = imports(boxed(files, box())).splits["train"]
    assert (facts.rows, facts.class_totals) == (2, (1, 0))
    assert sorted(row["box_labels"] for row in rows(imports)) == [[], [0]]


def test_empty_classes_are_named_and_stay(files: Any, imports: Any) -> None:
    files.classes = ("cat", "dog", "eel")
    files.add("a.png", split="train", label=0)
    files.add("b.png", split="val", label=1)
    manifest = imports(files)
    assert manifest.classes == ("cat", "dog", "eel")
    assert [(problem.file, problem.reason) for problem in imports.report.problems] == [
        ("class dog", "it occurs in no image of train, but in some of val"),
        ("class eel", "it occurs in no image"),
    ]
