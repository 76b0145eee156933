"""Images and masks move together, and what needs no resampling isn't resampled."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainyard.data.augment import Augmenter, Share, maps
from trainyard.data.augment.drawing import Block
from trainyard.data.augment.warp import Warp
from trainyard.data.manifest import VOID
from trainyard.spec.augmentations import Augmentations

HEIGHT, WIDTH = 10, 14
SIZE = {"height": HEIGHT, "width": WIDTH}
ROWS = 8
IMAGES = torch.rand((ROWS, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
MASKS = torch.randint(0, 11, (ROWS, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)

MakeBlock = Callable[..., Block]


def warped(move: np.ndarray, block: Block, **settings: Any) -> tuple[Tensor, Tensor]:
    """All images and masks, moved alike."""
    places = {"image": torch.empty_like(IMAGES), "mask": torch.empty_like(MASKS)}
    forward = np.repeat(move, block.samples, axis=0)
    warp = Warp(forward, Augmentations.model_validate(settings), block)
    warp.write({"image": IMAGES, "mask": MASKS}, places, 0, 0)
    return places["image"], places["mask"]


def augmented(settings: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    height, width = batch["image"].shape[2:]
    share = Share(steps=1, batch_size=len(batch["image"]))
    made = Augmenter(Augmentations.model_validate(settings), seed=0)
    return made.draw(1, share, height=height, width=width, device=torch.device("cpu")).apply(batch, 0)


@pytest.mark.parametrize(("name", "side"), [("horizontal_flip", -1), ("vertical_flip", -2)])
def test_a_flip_is_exact(name: str, side: int) -> None:
    result = augmented({name: {"p": 1.0}}, {"image": IMAGES, "mask": MASKS})
    assert torch.equal(result["image"], IMAGES.flip(side))
    assert torch.equal(result["mask"], MASKS.flip(side))


@pytest.mark.parametrize(("right", "down"), [(3, -2), (-14, 0), (0, 10), (-20, 30), (1, 1)])
def test_a_shift_by_whole_pixels_is_exact(right: int, down: int, make_block: MakeBlock) -> None:
    images, masks = warped(maps.shifted(np.array([right]), np.array([down])), make_block(), fill=0.5)
    padded = torch.nn.functional.pad(IMAGES, (40, 40, 40, 40), value=0.5)
    padded_masks = torch.nn.functional.pad(MASKS, (40, 40, 40, 40), value=VOID)
    rows, columns = slice(40 - down, 50 - down), slice(40 - right, 54 - right)
    assert torch.equal(images, padded[..., rows, columns])
    assert torch.equal(masks, padded_masks[..., rows, columns])


def test_resampling_a_move_by_whole_pixels_comes_to_the_same(make_block: MakeBlock) -> None:
    mirrored = maps.mirrored(np.array([True]), np.array([True]), **SIZE)
    move = maps.composed(mirrored, maps.shifted(np.array([2]), np.array([-3])))
    images, masks = warped(move, make_block())
    nearly, nearly_masks = warped(maps.composed(move, maps.shifted(np.array([1e-4]), np.array([0]))), make_block())
    torch.testing.assert_close(images, nearly, atol=1e-3, rtol=0)
    assert torch.equal(masks, nearly_masks)


def test_padding_crops_stay_within_their_padding() -> None:
    grey = {"image": torch.ones(64, 1, 9, 9)}
    shifted = augmented({"padding_crop": {"pixels": 2}}, grey)["image"]
    black = (shifted == 0).sum(dim=(1, 2, 3))
    assert torch.equal(shifted[..., 2:-2, 2:-2], torch.ones(64, 1, 5, 5))
    assert {0, 81 - 49} <= set(black.tolist())


def test_the_fill_is_seen_beyond_the_edges(make_block: MakeBlock) -> None:
    far = maps.shifted(np.array([100.5]), np.array([0]))
    images, masks = warped(far, make_block(), fill=0.25)
    assert torch.equal(images, torch.full_like(IMAGES, 0.25))
    assert torch.equal(masks, torch.full_like(MASKS, VOID))


@pytest.mark.parametrize(("border", "padding"), [("edge", "edge"), ("reflect", "symmetric")], ids=["edge", "reflect"])
@pytest.mark.parametrize("right", [4, -3])
def test_another_border_goes_on_beyond_the_edges(border: str, padding: str, right: int, make_block: MakeBlock) -> None:
    images, masks = warped(maps.shifted(np.array([right]), np.array([0])), make_block(), border=border)
    columns = slice(5 - right, 5 + WIDTH - right)
    padded = np.pad(IMAGES.numpy(), [(0, 0), (0, 0), (0, 0), (5, 5)], mode=padding)[..., columns]  # type: ignore[call-overload]
    padded_masks = np.pad(MASKS.numpy(), [(0, 0), (0, 0), (5, 5)], mode=padding)[..., columns]  # type: ignore[call-overload]
    torch.testing.assert_close(images, torch.from_numpy(padded), atol=1e-5, rtol=0)
    assert torch.equal(masks, torch.from_numpy(padded_masks))


def test_an_enlarged_image_has_no_dark_rim() -> None:
    bright = {"image": torch.ones(ROWS, 1, HEIGHT, WIDTH)}
    crops = {"random_resized_crop": {"area_low": 0.1}, "horizontal_flip": {}}
    torch.testing.assert_close(augmented(crops, bright)["image"], bright["image"])


def test_void_stays_void_and_no_class_appears() -> None:
    masks = torch.full_like(MASKS, VOID)
    masks[:, 3:7, 4:9] = 254
    settings = {"rotate": {"degrees": 40}, "scale": {"low": 0.6, "high": 1.4}}
    result = augmented(settings, {"image": IMAGES, "mask": masks})["mask"]
    assert set(result.unique().tolist()) == {254, VOID}


def test_a_mask_moves_as_its_image_does() -> None:
    """An image that shows its mask, both of squares that are larger than a pixel."""
    masks = torch.randint(0, 2, (64, 6, 6), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    masks = masks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    settings = {
        "horizontal_flip": {},
        "random_resized_crop": {"area_low": 0.5},
        "rotate": {"degrees": 180},
        "shear": {"degrees": 20, "vertical_degrees": 20},
    }
    result = augmented(settings, {"image": masks[:, None].float(), "mask": masks})
    seen, known = result["image"][:, 0], result["mask"]
    inner = known != VOID
    assert inner.float().mean() > 0.5
    # Where the nearest pixel is of a class, it has at least a quarter of the mean of the four nearest.
    assert (seen[inner & (known == 1)] >= 0.25 - 1e-4).all()
    assert (seen[inner & (known == 0)] <= 0.75 + 1e-4).all()
