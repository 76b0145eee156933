"""`data import`, `formats`, `describe`, `preview` and `cache`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainyard.data.dataset import Dataset

from .conftest import Answer

ROOT = Path(__file__).parent.parent.parent
Cli = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Two class folders of twelve images each."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "animals" / name
        folder.mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(0, 256, (10, 14, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "animals"


class TestImport:
    def test_digits(self, cli: Cli) -> None:
        answer = cli("data", "import", "digits", "data/digits")

        assert answer == Answer(
            0,
            "data/digits: 10 classes; rows: train 1,257, val 270, test 270.\n"
            "Name it in a job: data: {path: data/digits}\n",
            "",
        )
        assert Dataset.open("data/digits").manifest.splits["train"].rows == 1257

    def test_auto_finds_the_format_and_says_which_splits_it_made(self, animals: Path, cli: Cli) -> None:
        answer = cli("data", "import", "auto", str(animals), "out", "--val", "0.25", "--test", "0.25", "--seed", "3")

        assert answer.code == 0, answer.err
        assert "out: 2 classes; rows: train 12, val 6, test 6." in answer.out
        assert "25% of all (stratified, seed 3)" in answer.out
        assert Dataset.open("out").manifest.source == "image_folder"

    def test_problems_are_listed_with_file_and_reason(self, animals: Path, cli: Cli) -> None:
        broken = animals / "cat" / "3.png"
        broken.write_bytes(broken.read_bytes()[:200])

        answer = cli("data", "import", "image_folder", str(animals), "out")

        assert answer.code == 0
        assert "1 problem (truncated or damaged: 1):\n  cat/3.png: " in answer.out
        assert "(left out)" in answer.out

    def test_files_that_were_not_read_are_counted(self, animals: Path, cli: Cli) -> None:
        (animals / "cat" / "notes.txt").write_text("meow")

        answer = cli("data", "import", "image_folder", str(animals), "out")

        assert "Not read, as the format has no use for them: 1 file of the source.\n" in answer.out

    def test_fail_makes_nothing_of_a_source_with_a_problem(self, animals: Path, cli: Cli) -> None:
        (animals / "cat" / "3.png").write_bytes(b"no image")

        answer = cli("data", "import", "image_folder", str(animals), "out", "--on-error", "fail")

        assert answer.code == 2
        assert answer.out == ""
        assert "cat/3.png: the image is no image file that is known" in answer.err
        assert cli("data", "describe", "out").code == 2

    def test_an_unknown_format_is_told(self, cli: Cli) -> None:
        answer = cli("data", "import", "digit", "x")

        assert answer == Answer(2, "", "unknown data format digit. Did you mean digits?\n")

    def test_an_option_that_the_format_does_not_understand_is_told(self, animals: Path, cli: Cli) -> None:
        answer = cli("data", "import", "image_folder", str(animals), "out", "--path-column", "file")

        assert answer == Answer(2, "", "image_folder has no --path-column. It understands --classes.\n")

    def test_what_is_there_is_not_overwritten(self, tmp_path: Path, cli: Cli) -> None:
        (tmp_path / "kept.txt").write_text("mine")

        answer = cli("data", "import", "digits", str(tmp_path))

        assert answer.code == 2
        assert str(tmp_path) in answer.err
        assert (tmp_path / "kept.txt").read_text() == "mine"

    def test_more_than_a_source_and_a_destination_are_told(self, cli: Cli) -> None:
        answer = cli("data", "import", "csv", "a", "b", "c")

        assert answer.code == 2
        assert "takes a source and a destination, got a, b, c." in answer.err

    def test_values_to_ignore_must_be_numbers(self, cli: Cli) -> None:
        answer = cli("data", "import", "mask_folder", "a", "b", "--void", "none")

        assert answer == Answer(2, "", "--void must be whole numbers with commas between them, got none.\n")

    def test_classes_may_come_from_a_file(self, animals: Path, cli: Cli) -> None:
        Path("classes.txt").write_text("dog\ncat\n")

        answer = cli("data", "import", "image_folder", str(animals), "out", "--classes", "classes.txt")

        assert answer.code == 0, answer.err
        assert Dataset.open("out").manifest.classes == ("dog", "cat")


class TestFormats:
    def test_each_has_its_layout_and_its_options(self, cli: Cli) -> None:
        answer = cli("data", "formats")

        assert "image_folder: A folder of images for each class" in answer.out
        assert "  --label-column: the column of the labels" in answer.out

    def test_programs_get_json(self, cli: Cli) -> None:
        facts = json.loads(cli("data", "formats", "--format", "json").out)

        assert facts["mnist"]["layout"][0] == "train-images-idx3-ubyte.gz"
        assert "classes" in facts["mnist"]["options"]


class TestDescribe:
    def test_counts_are_told_and_examples_drawn(self, digits: Path, cli: Cli) -> None:
        answer = cli("data", "describe", str(digits))

        assert answer.code == 0, answer.err
        assert "images       grey, 8x8\n" in answer.out
        assert "\n0        124   27    27\n" in answer.out
        assert answer.out.endswith("Examples: digits-examples.png\n")
        assert Image.open("digits-examples.png").width > 500

    def test_programs_get_the_manifest(self, digits: Path, cli: Cli) -> None:
        answer = cli("data", "describe", str(digits), "--rows", "0", "--format", "json")

        facts = json.loads(answer.out)
        assert facts["splits"]["train"]["class_totals"][0] == 124
        assert facts["sheet"] is None
        assert not list(Path().glob("*.png"))

    def test_an_unknown_split_is_told(self, digits: Path, cli: Cli) -> None:
        answer = cli("data", "describe", str(digits), "--split", "validation")

        assert answer == Answer(2, "", f"{digits} has no split validation. It has: train, val, test.\n")

    def test_a_sheet_that_cannot_be_written_is_told(self, digits: Path, cli: Cli) -> None:
        answer = cli("data", "describe", str(digits), "--sheet", "nowhere/sheet.png")

        assert answer.code == 2
        assert "can't write nowhere/sheet.png" in answer.err

    def test_no_data_set_is_told(self, cli: Cli) -> None:
        assert "no data set at nowhere." in cli("data", "describe", "nowhere").err


class TestPreview:
    def test_originals_stand_before_their_changes(self, digits: Path, cli: Cli) -> None:
        job = str(ROOT / "jobs" / "digits_cnn.yaml")

        answer = cli("data", "preview", job, f"data.path={digits}", "--rows", "4", "--draws", "1")

        assert answer == Answer(0, "digits-cnn-preview.png\n", "")
        sheet = np.asarray(Image.open("digits-cnn-preview.png").convert("L"), dtype=int)
        cell = 8 * (200 // 8) + 10
        first, second = (sheet[42 : 42 + 200, 14 + start : 14 + start + 200] for start in (0, cell))
        assert len(np.unique(first)) <= 17, "an original digit has 17 shades"
        assert (first != second).any()

    def test_a_second_preview_is_the_same(self, digits: Path, cli: Cli) -> None:
        job = str(ROOT / "jobs" / "digits_cnn.yaml")

        for name in ("one.png", "two.png"):
            cli("data", "preview", job, f"data.path={digits}", "--sheet", name)

        assert Path("one.png").read_bytes() == Path("two.png").read_bytes()

    def test_one_job_is_needed(self, cli: Cli) -> None:
        answer = cli("data", "preview", "training.seed=1")

        assert answer.code == 2
        assert "trainyard data preview takes one job." in answer.err


class TestCache:
    def test_an_empty_cache_says_where_it_is(self, tmp_path: Path, cli: Cli) -> None:
        answer = cli("data", "cache")

        assert answer == Answer(0, f"{tmp_path / 'cache'}: 0 bytes of at most 20.0 GiB\n", "")

    def test_what_is_kept_is_listed_and_cleared(self, cli: Cli) -> None:
        from trainyard.data.disk_cache import CacheSettings, DiskCache

        columns = {"label": np.arange(1000)}
        DiskCache(CacheSettings.here()).write("e", "0-1000", columns, data="data/x", split="val", entry_bytes=8000)

        listed = json.loads(cli("data", "cache", "--format", "json").out)
        assert [(entry["data"], entry["split"]) for entry in listed["entries"]] == [("data/x", "val")]
        assert "data/x    val" in cli("data", "cache").out
        assert "deleted." in cli("data", "cache", "--clear").out
        assert json.loads(cli("data", "cache", "--format", "json").out)["entries"] == []
