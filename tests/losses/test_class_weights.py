"""Class weights against the papers' formulas."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor

from trainyard.losses.class_weights import ClassCounts, ClassWeights
from trainyard.spec import class_weights as spec

COUNTS = [600, 200, 100, 3]
SETTINGS: TypeAdapter[spec.AnyClassWeights] = TypeAdapter(spec.ClassWeights)


def made(settings: Any, totals: Sequence[int] = COUNTS, around: Sequence[float] | None = None) -> ClassWeights:
    return ClassWeights(SETTINGS.validate_python(settings), ClassCounts(totals, around), torch.device("cpu"))


def weights(settings: Any, totals: Sequence[int] = COUNTS, around: Sequence[float] | None = None) -> Tensor:
    by_class = made(settings, totals, around).by_class
    assert by_class is not None
    return by_class


def relative(values: Tensor) -> list[float]:
    return (values / values[0]).tolist()


def test_nobody_asks_for_weights() -> None:
    assert made("none").by_class is None
    assert made("none").live_values() == {"class_weights.name": "none"}


@pytest.mark.parametrize(
    "settings",
    ["inverse_frequency", "median_frequency", "auto", {"name": "effective_number", "beta": 0.99}],
    ids=["inverse", "median", "auto", "effective"],
)
def test_their_mean_over_the_split_is_one_and_an_absent_class_has_one(settings: Any) -> None:
    counts = torch.tensor([6, 0, 2, 12])
    by_class = weights(settings, counts.tolist(), around=[20, 0, 4, 20])
    assert by_class.dtype == torch.float32
    assert by_class[1] == 1
    assert (by_class * counts).sum().item() == pytest.approx(20)


@pytest.mark.parametrize("settings", ["inverse_frequency", "median_frequency", "auto", "effective_number"])
def test_of_nothing_at_all_all_are_one(settings: str) -> None:
    assert weights(settings, [0, 0]).tolist() == [1, 1]


def test_inverse_frequency_lets_classes_count_the_same() -> None:
    torch.testing.assert_close(weights("inverse_frequency") * torch.tensor(COUNTS), torch.full((4,), 903 / 4))


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1 - 1e-7])
def test_effective_numbers_are_cuis(beta: float) -> None:
    """Cui et al. 2019: E = (1 - beta^n) / (1 - beta) = 1 + beta + ... + beta^(n - 1), and weights as 1 / E."""
    numbers = [sum(beta**power for power in range(count)) for count in COUNTS]
    ours = weights({"name": "effective_number", "beta": beta})
    assert relative(ours) == pytest.approx([numbers[0] / number for number in numbers])


def test_effective_numbers_of_very_many_pixels_lie_between_all_alike_and_inverse_frequency() -> None:
    totals = [60_000_000, 20_000]
    assert relative(weights({"name": "effective_number", "beta": 0.999}, totals)) == pytest.approx([1, 1])
    assert relative(weights({"name": "effective_number", "beta": 1 - 1e-12}, totals)) == pytest.approx(
        [1, 3000], rel=1e-3
    )


def test_median_frequency_is_that_of_eigen_and_fergus() -> None:
    """A class's frequency is its pixels over the pixels of the images that have it; its weight is the median of all
    frequencies over its own."""
    around = [1000, 500, 1000, 250]
    frequencies = [total / pixels for total, pixels in zip(COUNTS, around, strict=True)]
    median = sorted(frequencies)[2]
    theirs = torch.tensor([median / frequency for frequency in frequencies])
    assert relative(weights("median_frequency", around=around)) == pytest.approx(relative(theirs))


def test_median_frequency_of_images_of_one_class_is_their_inverse_frequency() -> None:
    torch.testing.assert_close(weights("median_frequency"), weights("inverse_frequency"))


def test_auto_is_an_effective_number_by_the_size_of_an_average_class() -> None:
    found = made("auto", [900, 90, 0, 9])
    assert found.live_values() == {
        "class_weights.name": "effective_number",
        "class_weights.beta": pytest.approx(1 - 3 / 999),
    }
    assert found.by_class is not None
    first, second, _, last = found.by_class.tolist()
    assert 1 < second / first < 10
    assert 10 < last / first < 100
    assert weights("auto", [50, 50]).tolist() == pytest.approx([1, 1])
    assert weights("auto", [1, 1]).tolist() == pytest.approx([1, 1])


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("TRAINYARD_REAL_DATA"), reason="TRAINYARD_REAL_DATA names no folder")
def test_median_frequencies_of_camvid_are_segnets() -> None:
    """The class weights of SegNet's published training on CamVid (segnet_train.prototxt), as far as rounding and what
    they counted go: that of signs is another by far."""
    totals, images, pixels = np.zeros(12, int), np.zeros(12, int), 0
    masks = sorted((Path(os.environ["TRAINYARD_REAL_DATA"]) / "camvid" / "trainannot").glob("*.png"))
    for path in masks:
        counts = np.bincount(np.asarray(Image.open(path)).ravel(), minlength=12)
        totals, images, pixels = totals + counts, images + (counts > 0), pixels + counts.sum()
    theirs = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
    around = images[:11] * (pixels / len(masks))
    ours = weights("median_frequency", totals[:11].tolist(), around.tolist())
    signs = 6
    assert [ratio for index, ratio in enumerate(relative(ours)) if index != signs] == pytest.approx(
        [value / theirs[0] for index, value in enumerate(theirs) if index != signs], rel=0.12
    )
