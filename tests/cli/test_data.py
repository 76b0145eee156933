"""`data import`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.data.dataset import Dataset

from .conftest import Answer


def test_digits_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]) -> None:
    monkeypatch.chdir(tmp_path)

    answer = cli("data", "import", "digits", "data/digits")

    assert answer.code == 0
    assert answer.out == (
        "data/digits: 10 classes; rows: test 270, train 1,257, val 270.\nName it in a job: data: {path: data/digits}\n"
    )
    assert Dataset.open(Path("data/digits")).manifest.splits["train"].rows == 1257


def test_an_unknown_format_is_told(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("data", "import", "digit", str(tmp_path / "x"))

    assert answer == Answer(2, "", "unknown data format digit. Did you mean digits?\n")


def test_what_is_there_is_not_overwritten(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("data", "import", "digits", str(tmp_path))

    assert answer == Answer(2, "", f"{tmp_path} exists already. Delete it, or choose another folder.\n")
