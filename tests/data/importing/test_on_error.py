"""What becomes of an import with problems: it fails, what has one is left out, or what can be used is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.formats import open_source
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.errors import DataError

MASK = np.zeros((4, 6), np.uint8)


@pytest.fixture
def troubled(files: Any) -> Any:
    """Four sound images, two in train, and one that is none."""
    for split in ("train", "val"):
        for label in range(2):
            files.add(f"{split}{label}.png", split=split, label=label)
    files.add("bad.png", b"nothing", split="train")
    return files


def test_fail_lists_every_problem_and_leaves_only_the_report(troubled: Any, imports: Any) -> None:
    troubled.add("worse.png", b"", split="val")
    with pytest.raises(DataError) as error:
        imports(troubled, on_error="fail", source_text="photos/")
    report = imports.destination / "report.json"
    assert str(error.value) == (
        "photos/: 2 problems, so no data set was made (--on-error fail):\n"
        "  bad.png: the image is no image file that is known: it begins with nothing\n"
        "  worse.png: the image is an empty file\n"
        f"Report: {report}"
    )
    assert list(imports.destination.iterdir()) == [report]
    assert [problem.file for problem in imports.report.problems] == ["bad.png", "worse.png"]


def test_of_many_problems_ten_are_printed(troubled: Any, imports: Any) -> None:
    for number in range(11):
        troubled.add(f"worse{number:02d}.png", b"", split="val")
    with pytest.raises(DataError, match=r"12 problems(.|\n)*worse08.png: .*\n  and 2 more\n"):
        imports(troubled, on_error="fail")


def test_after_a_failed_import_the_repaired_source_is_imported(troubled: Any, imports: Any) -> None:
    with pytest.raises(DataError):
        imports(troubled, on_error="fail")
    troubled.entries.pop()
    assert imports(troubled, on_error="fail").problems == 0


@pytest.mark.parametrize("on_error", ["skip", "report"])
def test_what_cannot_be_used_is_left_out_and_counted(troubled: Any, imports: Any, on_error: str) -> None:
    manifest = imports(troubled, on_error=on_error)
    assert (manifest.splits["train"].rows, manifest.splits["train"].class_totals) == (2, (1, 1))
    assert manifest.problems == 1
    assert imports.report.counts == {"not an image": 1}
    Dataset.open(imports.destination)


@pytest.mark.parametrize(("on_error", "boxes", "outcome"), [("skip", 1, "left out"), ("report", 2, "clipped")])
def test_a_box_partly_outside(
    files: Any, imports: Any, box: Callable[..., Any], on_error: str, boxes: int, outcome: str
) -> None:
    files.annotation, files.classes = "boxes", ("cat",)
    files.add("a.png", split="train", boxes=box([0, 0, 3, 4], [4, 0, 9, 3]))
    facts = imports(files, on_error=on_error).splits["train"]
    assert (facts.rows, facts.class_totals, facts.boxes.most) == (1, (boxes,), boxes)
    assert [problem.outcome for problem in imports.report.problems] == [outcome]


@pytest.mark.parametrize(("on_error", "rows", "outcome"), [("skip", 1, "left out"), ("report", 2, "kept")])
def test_a_mask_with_values_that_mean_no_class(
    files: Any, imports: Any, encode: Callable[..., bytes], on_error: str, rows: int, outcome: str
) -> None:
    files.annotation, files.classes = "mask", ("road",)
    files.add("a.png", split="train", mask=encode(MASK))
    files.add("b.png", split="train", mask=encode(MASK + 3))
    assert imports(files, on_error=on_error).splits["train"].rows == rows
    assert [problem.outcome for problem in imports.report.problems] == [outcome]


def test_the_mode_is_a_part_of_the_plan(troubled: Any, imports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(function: Any, items: Any) -> Any:
        yield function(items[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports(troubled, on_error="skip", run=interrupted)
    with pytest.raises(DataError, match="of another source or with other options"):
        imports(troubled, on_error="report")
    imports(troubled, on_error="skip")


def test_an_import_without_a_row_left(files: Any, imports: Any) -> None:
    files.add("bad.png", b"nothing", split="train")
    with pytest.raises(DataError, match=r"no image is left, so no data set was made:\n  bad.png: .*\n(.|\n)*Report: "):
        imports(files)
    assert not (imports.destination / "manifest.json").exists()


def test_an_import_without_a_row_in_train(files: Any, imports: Any) -> None:
    files.add("a.png", split="trainA")
    files.add("b.png", split="testA")
    with pytest.raises(DataError, match=r"no image is in split train, .* the splits are testA, trainA"):
        imports(files)


def test_boxes_of_which_there_is_none(files: Any, imports: Any, box: Callable[..., Any]) -> None:
    files.annotation = "boxes"
    files.add("a.png", split="train", boxes=box())
    with pytest.raises(DataError, match=r"no image has a box, so no data set was made; check the format"):
        imports(files)


def test_masks_that_are_void_all_over(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    files.annotation = "mask"
    files.add("a.png", split="train", mask=encode(MASK + 255))
    with pytest.raises(DataError, match=r"all pixels of all masks are void, so no data set was made"):
        imports(files)


def test_names_that_are_no_text(files: Any, imports: Any) -> None:
    files.classes = ("caf\udce9", "dog")
    files.add("a.png", split="train")
    assert imports(files, source_text="/photos/\udce9t\udce9").classes == ("caf\N{REPLACEMENT CHARACTER}", "dog")


def test_names_of_classes_that_only_bytes_tell_apart(files: Any, imports: Any) -> None:
    files.classes = ("caf\udce9", "caf\udce8")
    files.add("a.png", split="train")
    with pytest.raises(DataError, match="two classes are no UTF-8 and look the same"):
        imports(files)


def test_an_image_that_is_a_link_to_nothing(imports: Any, encode: Callable[..., bytes], tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "a.png").write_bytes(encode(np.full((4, 6), len(name + "!" * 9), np.uint8)))
        (tmp_path / "photos" / name / "b.png").symlink_to(tmp_path / "nothing")
    imports(open_source("image_folder", Location.of(tmp_path / "photos"), ImportOptions()))
    assert imports.report.counts["missing"] == 2


def test_a_split_without_a_row_left_is_named(troubled: Any, imports: Any) -> None:
    troubled.add("empty.png", b"", split="test")
    manifest = imports(troubled)
    assert list(manifest.splits) == ["train", "val"]
    assert ("split test", "none of its images is left") in [
        (problem.file, problem.reason) for problem in imports.report.problems
    ]


def test_an_empty_source(files: Any, imports: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no image in the source"):
        imports(files)
    assert not imports.destination.exists()
