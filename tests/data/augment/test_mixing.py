"""mixup and cutmix take from the partner what they say that they take."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from trainyard.data.augment import Augmenter, Share
from trainyard.data.augment.mixing import swapped
from trainyard.spec.augmentations import Augmentations

ROWS = 64
IMAGES = torch.rand((ROWS, 2, 12, 20), generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(ROWS)


def mixed(settings: Mapping[str, Any], images: Tensor = IMAGES) -> dict[str, Tensor]:
    share = Share(steps=1, batch_size=len(images))
    made = Augmenter(Augmentations.model_validate(settings), seed=0)
    draws = made.draw(1, share, height=images.shape[2], width=images.shape[3], device=torch.device("cpu"))
    return draws.apply({"image": images, "label": LABELS[: len(images)]}, 0)


def test_partners_are_the_two_of_a_pair() -> None:
    result = mixed({"mixup": {"alpha": 1.0}})
    assert result["label_other"].tolist() == [label + 1 - 2 * (label % 2) for label in range(ROWS)]
    assert torch.equal(result["label"], LABELS)


def test_mixup_blends_with_the_partner_as_it_was() -> None:
    result = mixed({"mixup": {"alpha": 1.0}})
    share = result["label_share"][:, None, None, None]
    torch.testing.assert_close(result["image"], share * IMAGES + (1 - share) * swapped(IMAGES))
    assert len(result["label_share"].unique()) == ROWS


def test_cutmix_shows_as_much_of_the_partner_as_its_label_has() -> None:
    result = mixed({"cutmix": {"alpha": 1.0}})
    own = (result["image"] == IMAGES).all(dim=1)
    others = (result["image"] == swapped(IMAGES)).all(dim=1)
    assert (own | others).all()
    torch.testing.assert_close(result["label_share"], own.float().mean(dim=(1, 2)))
    assert others.any(dim=(1, 2)).float().mean() > 0.8


def test_what_cutmix_shows_of_the_partner_is_one_rectangle() -> None:
    others = (mixed({"cutmix": {"alpha": 1.0}})["image"] == swapped(IMAGES)).all(dim=1)
    for other in others:
        rows, columns = other.any(dim=1), other.any(dim=0)
        assert torch.equal(other, rows[:, None] & columns[None])
        assert rows.int().diff().abs().sum() <= 2


def test_a_sample_is_mixed_in_one_way_and_as_often_as_asked_for() -> None:
    images = torch.zeros((4096, 1, 4, 4))
    images[1::2] = 1
    share = Share(steps=1, batch_size=len(images))
    settings = Augmentations.model_validate({"mixup": {"alpha": 1.0, "p": 0.3}, "cutmix": {"alpha": 1.0, "p": 0.2}})
    draws = Augmenter(settings, seed=0).draw(1, share, height=4, width=4, device=torch.device("cpu"))
    result = draws.apply({"image": images, "label": torch.zeros(4096, dtype=torch.int64)}, 0)
    blended = ((result["image"] > 0) & (result["image"] < 1)).all(dim=(1, 2, 3))
    pasted = (result["image"] != images).any(dim=(1, 2, 3)) & ~blended
    assert blended.float().mean().item() == pytest.approx(0.3, abs=0.03)
    # Some rectangles of 4x4 images are empty.
    assert 0.1 < pasted.float().mean().item() < 0.23
    untouched = ~blended & ~pasted
    assert torch.equal(result["label_share"][untouched], torch.ones(int(untouched.sum())))


def test_small_alpha_leaves_most_samples_nearly_whole() -> None:
    shares = mixed({"mixup": {"alpha": 0.05}})["label_share"]
    assert ((shares < 0.1) | (shares > 0.9)).float().mean() > 0.7


def test_the_last_of_an_odd_batch_is_its_own_partner() -> None:
    result = mixed({"mixup": {"alpha": 1.0}}, IMAGES[:5])
    torch.testing.assert_close(result["image"][4], IMAGES[4])
    assert result["label_other"].tolist() == [1, 0, 3, 2, 4]


def test_nothing_is_added_to_a_batch_that_is_never_mixed() -> None:
    assert mixed({"mixup": {"alpha": 1.0, "p": 0.0}, "rotate": {"degrees": 5}}).keys() == {"image", "label"}
