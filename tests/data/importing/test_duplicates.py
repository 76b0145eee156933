"""The same image in several splits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainyard.data.dataset import Dataset


@pytest.fixture
def leaking(files: Any, encode: Callable[..., bytes]) -> Any:
    """One image in train, val and test, under three names, and two more in each."""
    same = encode(np.full((4, 6), 200, np.uint8))
    for split in ("train", "val", "test"):
        files.add(f"{split}/same.png", same, split=split)
        for label in range(2):
            files.add(f"{split}/{label}.png", split=split, label=label)
    return files


def rows(manifest: Any) -> dict[str, int]:
    return {name: split.rows for name, split in manifest.splits.items()}


def test_copies_are_named_and_kept(leaking: Any, imports: Any) -> None:
    assert rows(imports(leaking)) == {"train": 3, "val": 3, "test": 3}
    assert [(problem.file, problem.reason, problem.outcome) for problem in imports.report.problems] == [
        ("train/same.png", "the same image is in split test: test/same.png", "kept"),
        ("val/same.png", "the same image is in split test: test/same.png", "kept"),
    ]


def test_with_skip_the_copy_that_is_evaluated_on_stays(leaking: Any, imports: Any) -> None:
    manifest = imports(leaking, on_error="skip")
    assert rows(manifest) == {"train": 2, "val": 2, "test": 3}
    assert manifest.splits["train"].class_totals == (1, 1)
    assert [(problem.file, problem.outcome) for problem in imports.report.problems] == [
        ("train/same.png", "left out"),
        ("val/same.png", "left out"),
    ]
    dataset = Dataset.open(imports.destination)
    assert sorted(dataset.column("train", "name").to_pylist()) == ["train/0.png", "train/1.png"]
    dataset.check_content("train")


def test_a_file_with_nothing_but_copies_goes(leaking: Any, imports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 1)
    manifest = imports(leaking, on_error="skip")
    assert len(manifest.splits["train"].files) == 2
    assert len(list(imports.destination.glob("train-*"))) == 2


def test_copies_within_a_split_are_no_problem(files: Any, imports: Any, encode: Callable[..., bytes]) -> None:
    same = encode(np.zeros((4, 6), np.uint8))
    for name in ("a.png", "b.png"):
        files.add(name, same, split="train", label=0)
    files.add("c.png", split="train", label=1)
    files.add("d.png", split="val", label=1)
    assert imports(files).problems == 0


def test_an_interruption_while_copies_are_taken_out(
    leaking: Any, imports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.data.importing.planning.SHARD_ROWS", 1)

    def interrupted(function: Any, items: Any) -> Any:
        again = any(item.excluded for item in items)
        for item in items[:1] if again else items:
            yield function(item)
        if again:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports(leaking, on_error="skip", run=interrupted)
    assert rows(imports(leaking, on_error="skip")) == {"train": 2, "val": 2, "test": 3}
    assert len(imports.report.problems) == 2
