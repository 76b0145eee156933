"""When training stops early."""

import pytest

from trainyard.spec.tasks import Mode
from trainyard.spec.training import EarlyStopping as Settings
from trainyard.training.early_stopping import EarlyStopping


def stops_after(values: list[float], mode: Mode, *, patience: int = 2, min_delta: float = 0.0) -> int | None:
    """The epoch at whose end it stops."""
    stopping = EarlyStopping(Settings(metric="m", patience=patience, min_delta=min_delta), mode)
    for epoch, value in enumerate(values, start=1):
        stopping.observe({"m": value})
        if stopping.reason:
            return epoch
    return None


@pytest.mark.parametrize(
    ("values", "mode", "epoch"),
    [
        ([3, 2, 1, 0], "min", None),
        ([3, 2, 2, 2], "min", 4),
        ([3, 2, 2.5, 1, 2, 2], "min", 6),
        ([0.1, 0.2, 0.15, 0.2], "max", 4),
        ([0.1, 0.2, 0.3], "max", None),
    ],
)
def test_it_counts_epochs_since_the_best(values: list[float], mode: Mode, epoch: int | None) -> None:
    assert stops_after(values, mode) == epoch


def test_a_change_of_min_delta_or_less_is_no_improvement() -> None:
    assert stops_after([3.0, 2.9, 2.8, 2.7], "min", min_delta=0.25) == 3
    assert stops_after([3.0, 2.5, 2.0, 1.5], "min", min_delta=0.25) is None
