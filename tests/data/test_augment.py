"""Augmentations do what they say, to the same samples on any number of workers."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from trainyard.data.augment import Augmenter, EpochDraws, Share, warped
from trainyard.data.geometry import Moves, sampling_maps
from trainyard.spec.augmentations import Augmentations

Settings = Mapping[str, Mapping[str, float]]

CPU = torch.device("cpu")
ALL: dict[str, dict[str, float]] = {
    "horizontal_flip": {"p": 0.5},
    "vertical_flip": {"p": 0.5},
    "rotate": {"degrees": 30, "p": 0.7},
    "translate": {"fraction": 0.2},
    "scale": {"low": 0.8, "high": 1.3},
    "shear": {"degrees": 15},
    "brightness": {"amount": 0.3, "p": 0.5},
    "contrast": {"amount": 0.4},
    "noise": {"std": 0.1, "p": 0.5},
}
STEPS, BATCH = 3, 8
IMAGES = torch.rand((STEPS, BATCH, 3, 10, 14), generator=torch.Generator().manual_seed(0))


def draw(
    augmentations: Mapping[str, Mapping[str, float]], *, epoch: int = 1, seed: int = 0, rank: int = 0, workers: int = 1
) -> EpochDraws:
    share = Share(steps=STEPS, batch_size=BATCH, rank=rank, workers=workers)
    augmenter = Augmenter(Augmentations.model_validate(augmentations), seed=seed)
    return augmenter.draw(epoch, share, height=10, width=14, device=CPU)


def augmented(augmentations: Settings, **place: int) -> Tensor:
    """All steps of an epoch."""
    draws = draw(augmentations, **place)
    own = IMAGES.unflatten(1, (place.get("workers", 1), -1))[:, place.get("rank", 0)]
    return torch.stack([draws.images(own[step].clone(), step) for step in range(STEPS)])


def moves(**changes: float) -> Moves:
    """One image's."""
    values = {"mirror_x": 1.0, "mirror_y": 1.0, "shear": 0.0, "zoom": 1.0, "turn": 0.0, "right": 0.0, "down": 0.0}
    values |= changes
    return Moves(
        mirror=np.array([[values["mirror_x"], values["mirror_y"]]]),
        shear=np.radians([values["shear"]]),
        zoom=np.array([values["zoom"]]),
        turn=np.radians([values["turn"]]),
        shift=np.array([[values["right"], values["down"]]]),
    )


def moved(**changes: float) -> Tensor:
    maps = sampling_maps(moves(**changes), height=10, width=14)
    return warped(IMAGES[0, :1], torch.from_numpy(maps).float())


def test_the_warp_is_torchvisions_affine() -> None:
    from torchvision.transforms.v2 import InterpolationMode, functional

    image = IMAGES[0, :1]
    bilinear = {"interpolation": InterpolationMode.BILINEAR}
    neutral = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0], **bilinear}
    cases = {
        "nothing": (moved(), image),
        "horizontal flip": (moved(mirror_x=-1), functional.horizontal_flip(image)),
        "vertical flip": (moved(mirror_y=-1), functional.vertical_flip(image)),
        "rotation": (moved(turn=-25), functional.rotate(image, 25, **bilinear)),
        "shift": (moved(right=2 / 14, down=-3 / 10), functional.affine(image, **neutral | {"translate": [2, -3]})),
        "zoom": (moved(zoom=1.4), functional.affine(image, **neutral | {"scale": 1.4})),
        "shear": (moved(shear=20), functional.affine(image, **neutral | {"shear": [20.0, 0.0]})),
        "all": (
            moved(mirror_x=-1, shear=12, zoom=0.8, turn=33, right=1 / 14, down=2 / 10),
            functional.affine(
                functional.horizontal_flip(image),
                **neutral | {"angle": 33, "translate": [1, 2], "scale": 0.8, "shear": [12.0, 0.0]},
            ),
        ),
    }
    for name, (ours, theirs) in cases.items():
        assert torch.allclose(ours, theirs, atol=2e-5), name


@pytest.mark.parametrize("workers", [2, 4])
def test_a_sample_meets_the_same_change_on_any_number_of_workers(workers: int) -> None:
    shares = [augmented(ALL, rank=rank, workers=workers) for rank in range(workers)]
    assert torch.equal(torch.cat(shares, dim=1), augmented(ALL))


def test_the_same_seed_and_epoch_give_the_same_images() -> None:
    assert torch.equal(augmented(ALL, seed=3, epoch=2), augmented(ALL, seed=3, epoch=2))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 2}])
@pytest.mark.parametrize("name", sorted(ALL))
def test_each_augmentation_is_drawn_anew(name: str, change: dict[str, int]) -> None:
    one = {name: ALL[name]}
    assert not torch.equal(augmented(one), augmented(one, **change))


def test_switching_one_on_leaves_the_others_draws() -> None:
    few = {name: ALL[name] for name in ("brightness", "contrast")}
    one, more = draw(few), draw(few | {"rotate": ALL["rotate"], "noise": ALL["noise"]})
    torch.testing.assert_close(one.brightness, more.brightness, rtol=0, atol=0)
    torch.testing.assert_close(one.contrast, more.contrast, rtol=0, atol=0)


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(augmented({}), IMAGES)


def test_augmented_images_stay_in_range() -> None:
    images = augmented(ALL | {"noise": {"std": 1.0}, "brightness": {"amount": 1.0}})
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("name", sorted(ALL))
def test_probability_zero_leaves_images_as_they_are(name: str) -> None:
    torch.testing.assert_close(augmented({name: ALL[name] | {"p": 0.0}}), IMAGES, atol=1e-5, rtol=0)


def test_probability_one_flips_every_image() -> None:
    torch.testing.assert_close(augmented({"horizontal_flip": {"p": 1.0}}), IMAGES.flip(-1), atol=1e-5, rtol=0)


def test_a_probability_is_met_sample_by_sample() -> None:
    share = Share(steps=100, batch_size=20)
    augmenter = Augmenter(Augmentations.model_validate({"brightness": {"amount": 0.3, "p": 0.25}}), seed=0)
    factors = augmenter.draw(1, share, height=1, width=1, device=CPU).brightness
    assert factors is not None
    assert (factors != 1).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert factors.min() >= 0.7
    assert factors.max() <= 1.3


def test_brightness_scales_every_pixel_alike() -> None:
    augmentations = {"brightness": {"amount": 0.3}}
    factors = draw(augmentations).brightness
    assert factors is not None
    expected = (IMAGES * factors[:, :, None, None, None]).clamp(0, 1)
    torch.testing.assert_close(augmented(augmentations), expected)


def test_contrast_keeps_the_mean_and_a_constant_image() -> None:
    draws = draw({"contrast": {"amount": 0.2}})
    grey = torch.full((BATCH, 3, 10, 14), 0.4)
    torch.testing.assert_close(draws.images(grey, 0), grey)
    soft = IMAGES[0] * 0.2 + 0.4
    torch.testing.assert_close(draws.images(soft, 0).mean((1, 2, 3)), soft.mean((1, 2, 3)))


def test_noise_has_its_standard_deviation() -> None:
    grey = torch.full((BATCH, 3, 64, 64), 0.5)
    noisy = draw({"noise": {"std": 0.05}}).images(grey, 0)
    assert noisy.std().item() == pytest.approx(0.05, rel=0.05)
    assert not torch.equal(noisy[0], noisy[1])
