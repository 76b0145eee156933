"""Random rectangles have the areas, ratios and places that they are asked for."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainyard.data.augment import Augmenter, Share, rectangles
from trainyard.data.augment.drawing import Block
from trainyard.data.augment.erasing import erase, inside, paste
from trainyard.data.augment.moves import forward_maps
from trainyard.spec.augmentations import Augmentations

HEIGHT, WIDTH = 60, 100


@pytest.fixture
def block(make_block: Callable[..., Block]) -> Block:
    return make_block(steps=10, batch_size=500, height=HEIGHT, width=WIDTH)


def test_areas_are_uniform_and_ratios_uniform_in_the_logarithm(block: Block) -> None:
    edges, found = rectangles.by_area(block.stream("cutout"), block, areas=(0.1, 0.3), ratios=(0.5, 2.0))
    sides = edges[:, 2:] - edges[:, :2]
    areas = sides.prod(axis=1) / (HEIGHT * WIDTH)
    logarithms = np.log(sides[:, 0] / sides[:, 1])
    assert found.all()
    assert np.quantile(areas, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], abs=0.01)
    expected = np.log(2) * np.array([-1, -0.5, 0, 0.5, 1])
    assert np.quantile(logarithms, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(expected, abs=0.05)


def test_they_lie_within_the_image_and_everywhere_in_it(block: Block) -> None:
    edges, _ = rectangles.by_area(block.stream("cutout"), block, areas=(0.02, 0.1), ratios=(0.5, 2.0))
    assert (edges[:, :2] >= 0).all()
    assert (edges[:, 2:] <= [WIDTH, HEIGHT]).all()
    assert edges[:, :2].min(axis=0) == pytest.approx([0, 0], abs=2)
    assert edges[:, 2:].max(axis=0) == pytest.approx([WIDTH, HEIGHT], abs=2)


def test_what_never_fits_is_told(block: Block) -> None:
    _, found = rectangles.by_area(block.stream("cutout"), block, areas=(0.9, 1.0), ratios=(0.01, 0.02))
    assert not found.any()


def test_a_crop_that_never_fits_is_the_largest_in_the_middle(block: Block) -> None:
    crop = {"random_resized_crop": {"area_low": 0.9, "ratio_low": 0.4, "ratio_high": 0.5}}
    forward = forward_maps(Augmentations.model_validate(crop), [], block)
    assert forward is not None
    corners = np.linalg.inv(forward[0]) @ np.array([[0, 0, 1], [WIDTH, HEIGHT, 1]]).T
    np.testing.assert_allclose(corners[:2].T, [[35, 0], [65, 60]], atol=1e-9)


def test_cutout_makes_as_many_holes_of_its_size(block: Block) -> None:
    settings = Augmentations.model_validate({"cutout": {"holes": 1, "fraction": 0.5}, "fill": 1.0})
    draws = Augmenter(settings, seed=0).draw(
        1, Share(steps=1, batch_size=200), height=HEIGHT, width=WIDTH, device=torch.device("cpu")
    )
    erased = draws.apply({"image": torch.zeros(200, 1, HEIGHT, WIDTH)}, 0)["image"].sum(dim=(1, 2, 3))
    assert erased.max() == 30 * 30
    assert (erased < 30 * 30).any()
    assert (erased >= 15 * 15 - 30).all()


def test_masks_of_rectangles_are_their_slices() -> None:
    """A CPU writes slices, a GPU through masks."""
    images, others = torch.rand(3, 2, 7, 9), torch.rand(3, 2, 7, 9)
    holes = torch.tensor([[[0.0, 0, 4, 3]], [[2, 5, 9, 7]], [[5, 5, 5, 5]]])
    where = inside(holes[:, 0], 7, 9)
    erased, pasted = images.clone(), images.clone()
    erase(erased, holes, fill=0.5)
    paste(pasted, others, holes)
    assert where.sum(dim=(1, 2, 3)).tolist() == [12, 14, 0]
    assert torch.equal(erased, images.masked_fill(where, 0.5))
    assert torch.equal(pasted, torch.where(where, others, images))
