"""Which epochs of a trial were best so far, also after it has gone back or taken over another trial's state."""

from pathlib import Path

import pytest

from trainyard.data.location import Location
from trainyard.errors import RunError
from trainyard.spec.training import Objective
from trainyard.sweep.results.bests import Bests

OBJECTIVE = Objective(metric="val/accuracy", mode="max")


@pytest.fixture
def bests(tmp_path: Path) -> Bests:
    return Bests(Location.of(tmp_path / "00007" / "bests.json"), OBJECTIVE)


def again(tmp_path: Path) -> Bests:
    return Bests(Location.of(tmp_path / "00007" / "bests.json"), OBJECTIVE)


def improved(bests: Bests, epoch: int, value: float) -> bool:
    """Whether the epoch is the best; then it is added."""
    metrics = {"val/accuracy": value}
    found = bests.improved_by(epoch, metrics)
    if found:
        bests.add(epoch, metrics)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5], True),
        ([0.5, 0.6], True),
        ([0.5, 0.5], False),
        ([0.6, 0.5], False),
        ([float("nan"), 0.5], True),
        ([0.5, float("nan")], False),
    ],
)
def test_the_last_epoch_is_the_best(bests: Bests, values: list[float], expected: bool) -> None:
    assert [improved(bests, epoch, value) for epoch, value in enumerate(values, start=1)][-1] is expected


def test_an_epoch_that_is_trained_again_is_best_again(bests: Bests, tmp_path: Path) -> None:
    for epoch, value in enumerate((0.5, 0.4, 0.7), start=1):
        improved(bests, epoch, value)
    later = again(tmp_path)
    later.go_back([{"val/accuracy": 0.5}, {"val/accuracy": 0.4}])
    assert not improved(later, 3, 0.5)
    assert improved(later, 3, 0.69)


def test_without_the_file_the_own_history_tells(bests: Bests) -> None:
    bests.go_back([{"val/accuracy": 0.5}, {"val/accuracy": 0.7}, {}])
    assert not improved(bests, 4, 0.7)
    assert improved(bests, 4, 0.8)


def test_a_state_of_another_trial_changes_nothing(bests: Bests, tmp_path: Path) -> None:
    improved(bests, 1, 0.5)
    improved(bests, 5, 0.6)
    later = again(tmp_path)
    later.stay()
    assert not improved(later, 5, 0.9), "the driver knows this epoch from before"
    assert not improved(later, 6, 0.6)
    assert improved(later, 6, 0.61)


def test_a_damaged_file_is_none(bests: Bests, tmp_path: Path) -> None:
    improved(bests, 1, 0.5)
    (tmp_path / "00007" / "bests.json").write_text("[[1, ")
    later = again(tmp_path)
    later.go_back([{"val/accuracy": 0.4}])
    assert improved(later, 2, 0.45)


def test_a_disk_that_refuses_is_told(bests: Bests, tmp_path: Path) -> None:
    (tmp_path / "00007").write_text("in the way")
    with pytest.raises(RunError, match=r"bests\.json"):
        improved(bests, 1, 0.5)
