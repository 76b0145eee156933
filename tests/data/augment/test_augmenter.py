"""Augmentations change what they say, seeded, and the same samples in the same way on any number of workers."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from trainyard.data.augment import Augmenter, EpochDraws, Share, augmenter
from trainyard.spec.augmentations import KINDS, Augmentations

Settings = Mapping[str, Any]

CPU = torch.device("cpu")
ALL: dict[str, dict[str, float]] = {
    "horizontal_flip": {"p": 0.5},
    "vertical_flip": {"p": 0.5},
    "random_resized_crop": {"p": 0.5},
    "padding_crop": {"pixels": 3, "p": 0.5},
    "rotate": {"degrees": 30, "p": 0.7},
    "translate": {"fraction": 0.2},
    "scale": {"low": 0.8, "high": 1.3},
    "shear": {"degrees": 15, "vertical_degrees": 5},
    "trivial_augment": {},
    "rand_augment": {"operations": 3, "magnitude": 15},
    "brightness": {"amount": 0.3, "p": 0.5},
    "contrast": {"amount": 0.4},
    "saturation": {"amount": 0.4},
    "hue": {"amount": 0.2},
    "greyscale": {"p": 0.3},
    "posterize": {"bits": 3},
    "solarize": {"threshold": 0.6},
    "autocontrast": {},
    "equalize": {},
    "sharpness": {"amount": 0.8},
    "gaussian_blur": {},
    "noise": {"std": 0.1, "p": 0.5},
    "random_erasing": {},
    "cutout": {"fraction": 0.4, "holes": 2},
    "mixup": {"alpha": 0.4, "p": 0.5},
    "cutmix": {"alpha": 1.0, "p": 0.5},
}
STEPS, BATCH = 3, 16
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (BATCH, 3, 20, 28), generator=GENERATOR, dtype=torch.uint8)
BOX = torch.tensor([6.0, 4.0, 22.0, 16.0])


def batch_of(images: Tensor) -> dict[str, Tensor]:
    """With a mask and a box that show the same thing, and an empty place for a box."""
    rows, _, height, width = images.shape
    mask = torch.zeros((rows, height, width), dtype=torch.uint8)
    left, top, right, bottom = BOX.int().tolist()
    mask[:, top:bottom, left:right] = 1
    return {
        "image": images,
        "label": torch.arange(rows),
        "mask": mask,
        "boxes": torch.stack([BOX, torch.zeros(4)]).repeat(rows, 1, 1),
        "box_labels": torch.tensor([1, -1]).repeat(rows, 1),
        "box_crowd": torch.tensor([True, False]).repeat(rows, 1),
    }


BATCHES = batch_of(IMAGES)


def draw(
    settings: Settings,
    *,
    epoch: int = 1,
    seed: int = 0,
    rank: int = 0,
    workers: int = 1,
    size: tuple[int, int] = (20, 28),
) -> EpochDraws:
    share = Share(steps=STEPS, batch_size=BATCH, rank=rank, workers=workers)
    made = Augmenter(Augmentations.model_validate(settings), seed=seed)
    return made.draw(epoch, share, height=size[0], width=size[1], device=CPU)


def augmented(settings: Settings, batch: Mapping[str, Tensor] = BATCHES, **place: Any) -> dict[str, Tensor]:
    """All steps of an epoch after each other, each of the worker's part of the same global batch."""
    rank, workers = place.get("rank", 0), place.get("workers", 1)
    own = {name: column.chunk(workers)[rank] for name, column in batch.items()}
    draws = draw(settings, **place)
    steps = [draws.apply(own, step) for step in range(STEPS)]
    return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}


def assert_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_every_augmentation_is_tried_here() -> None:
    assert ALL.keys() == KINDS.keys()


@pytest.mark.parametrize("part_bytes", [1, 3 * 4 * 20 * 28 * 3, 2**30], ids=["few", "some", "all"])
@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_sample_meets_the_same_change_on_any_number_of_workers(
    workers: int, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = augmented(ALL)
    monkeypatch.setattr(augmenter, "PART_BYTES", part_bytes)
    shares = [augmented(ALL, rank=rank, workers=workers) for rank in range(workers)]
    assert_equal({name: torch.cat([share[name] for share in shares], dim=1) for name in alone}, alone)


def test_another_number_of_threads_changes_no_bit() -> None:
    alone = augmented(ALL)
    torch.set_num_threads(2)
    try:
        assert_equal(augmented(ALL), alone)
    finally:
        torch.set_num_threads(1)


def test_the_same_seed_and_epoch_give_the_same_batches() -> None:
    assert_equal(augmented(ALL, seed=3, epoch=2), augmented(ALL, seed=3, epoch=2))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 2}], ids=["seed", "epoch"])
@pytest.mark.parametrize("name", ALL)
def test_each_augmentation_is_drawn_anew(name: str, change: dict[str, Any]) -> None:
    one = {name: {**ALL[name], "p": 0.5}}
    assert not torch.equal(augmented(one)["image"], augmented(one, **change)["image"])


def test_each_block_of_steps_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenter, "BLOCK_SAMPLES", BATCH)
    images = augmented({"brightness": {"amount": 0.9}})["image"]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_a_step_can_be_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenter, "BLOCK_SAMPLES", 2 * BATCH)
    draws = draw(ALL)
    first = draws.apply(BATCHES, 0)
    draws.apply(BATCHES, 2)
    assert_equal(draws.apply(BATCHES, 0), first)


@pytest.mark.parametrize("name", ["contrast", "trivial_augment", "rotate", "mixup"])
def test_switching_one_on_leaves_the_others_draws(name: str) -> None:
    one = {"cutout": {"fraction": 0.4}, "fill": 0.5}
    black = {"image": torch.zeros(BATCH, 3, 20, 28), "label": torch.arange(BATCH)}
    holes = augmented(one, black)["image"] == 0.5
    more = augmented({**one, name: {**ALL[name], "p": 0.0}}, black)["image"] == 0.5
    assert torch.equal(holes, more)


def test_nothing_asked_for_changes_nothing() -> None:
    unit = {**BATCHES, "image": BATCHES["image"] / 255}
    assert_equal(draw({}).apply(unit, 0), unit)
    assert_equal(draw({}).apply(BATCHES, 0), unit)


@pytest.mark.parametrize("name", ALL)
def test_probability_zero_changes_no_bit(name: str) -> None:
    unit = {**BATCHES, "image": BATCHES["image"] / 255}
    assert_equal(draw({name: {**ALL[name], "p": 0.0}}).apply(BATCHES, 0), unit)


@pytest.mark.parametrize("policy", ["trivial_augment", "rand_augment"])
def test_magnitude_zero_changes_no_bit(policy: str) -> None:
    unit = {**BATCHES, "image": BATCHES["image"] / 255}
    assert_equal(draw({policy: {"magnitude": 0}}).apply(BATCHES, 0), unit)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "rotate": {"degrees": 0},
            "translate": {"fraction": 0},
            "scale": {"low": 1, "high": 1},
            "shear": {"degrees": 0},
        },
        {"random_resized_crop": {"area_low": 1, "ratio_low": 1.4, "ratio_high": 1.4}, "padding_crop": {"pixels": 0}},
        {"brightness": {"amount": 0}, "noise": {"std": 0}, "cutout": {"fraction": 0}},
    ],
    ids=["moves", "crops", "pixels"],
)
def test_no_amount_of_it_changes_no_bit(settings: Settings) -> None:
    unit = {**BATCHES, "image": BATCHES["image"] / 255}
    assert_equal(draw(settings).apply(BATCHES, 0), unit)


def test_stored_bytes_and_floats_are_augmented_alike() -> None:
    assert_equal(augmented(ALL), augmented(ALL, {**BATCHES, "image": BATCHES["image"] / 255}))


def test_the_given_batch_stays_as_it_is() -> None:
    floats = {name: column.clone() for name, column in BATCHES.items()} | {"image": BATCHES["image"] / 255}
    given = {name: column.clone() for name, column in floats.items()}
    draw(ALL).apply(given, 0)
    assert_equal(given, floats)


def test_a_batch_that_is_still_held_is_not_written_over() -> None:
    draws = draw(ALL)
    held = draws.apply(BATCHES, 0)
    copies = {name: column.clone() for name, column in held.items()}
    for step in range(STEPS):
        draws.apply(BATCHES, step)
    assert_equal(held, copies)


def test_augmented_images_stay_in_range() -> None:
    images = augmented({**ALL, "noise": {"std": 1.0}, "brightness": {"amount": 1.0}})["image"]
    assert images.min() >= 0
    assert images.max() <= 1 + 1e-6
    assert images.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 2), (5, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size(size: tuple[int, int], channels: int) -> None:
    images = torch.rand((BATCH, channels, *size), generator=torch.Generator().manual_seed(0))
    result = draw(ALL, size=size).apply({**batch_of(images), "image": images}, 0)
    assert result["image"].shape == images.shape
    assert result["image"].isfinite().all()


def test_a_batch_without_any_box() -> None:
    none = {"boxes": torch.zeros(BATCH, 0, 4), "box_labels": torch.zeros(BATCH, 0, dtype=torch.int64)}
    batch = {"image": IMAGES, **none, "box_crowd": torch.zeros(BATCH, 0, dtype=torch.bool)}
    result = draw({name: ALL[name] for name in ("rotate", "scale")}).apply(batch, 0)
    assert result["boxes"].shape == (BATCH, 0, 4)
    assert result["box_labels"].shape == (BATCH, 0)


def test_a_probability_is_met_sample_by_sample() -> None:
    share = Share(steps=40, batch_size=50)
    settings = Augmentations.model_validate({"brightness": {"amount": 0.3, "p": 0.25}})
    draws = Augmenter(settings, seed=0).draw(1, share, height=1, width=1, device=CPU)
    grey = {"image": torch.full((50, 1, 1, 1), 0.5)}
    values = torch.cat([draws.apply(grey, step)["image"].flatten() for step in range(40)]) / 0.5
    assert (values != 1).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert values.min() >= 0.7 - 1e-6
    assert values.max() <= 1.3 + 1e-6


def test_noise_has_its_standard_deviation_and_differs_from_sample_to_sample() -> None:
    grey = {"image": torch.full((BATCH, 3, 64, 64), 0.5)}
    noisy = draw({"noise": {"std": 0.05}}, size=(64, 64)).apply(grey, 0)["image"]
    assert noisy.std().item() == pytest.approx(0.05, rel=0.02)
    assert not torch.equal(noisy[0], noisy[1])


@pytest.mark.gpu
def test_a_gpu_is_never_waited_for() -> None:
    settings, cuda = Augmentations.model_validate(ALL), torch.device("cuda")
    draws = Augmenter(settings, seed=0).draw(1, Share(steps=2, batch_size=BATCH), height=20, width=28, device=cuda)
    batch = {name: column.to(cuda) for name, column in BATCHES.items()}
    first = draws.apply(batch, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws.apply(batch, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert first["image"].isfinite().all()


@pytest.mark.gpu
def test_a_gpu_makes_the_same_of_a_batch() -> None:
    # Noise is drawn in another way there, and levels jump where numbers are rounded in another way.
    others = ("noise", "equalize", "posterize", "solarize", "trivial_augment", "rand_augment")
    settings = {name: ALL[name] for name in ALL if name not in others}
    share = Share(steps=1, batch_size=BATCH)
    made = Augmenter(Augmentations.model_validate(settings), seed=0)
    there = made.draw(1, share, height=20, width=28, device=torch.device("cuda"))
    result = there.apply({name: column.cuda() for name, column in BATCHES.items()}, 0)
    here = made.draw(1, share, height=20, width=28, device=CPU).apply(BATCHES, 0)
    for name in ("boxes", "box_labels", "label_other", "label_share", "image"):
        torch.testing.assert_close(result[name].cpu(), here[name], atol=1e-3, rtol=0)
