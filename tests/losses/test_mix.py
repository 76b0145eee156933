"""The mix of loss terms."""

import pytest
import torch

from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.mix import LossMix, Mix
from trainyard.spec.loss import Loss
from trainyard.spec.section import flatten, plain

LOGITS = torch.randn((8, 3), generator=torch.Generator().manual_seed(0))
TARGET = torch.arange(8) % 3


def mix_of(terms: dict) -> LossMix:
    return LossMix(Loss.model_validate(terms), ClassCounts([3, 3, 2]))


def test_the_mix_is_the_weighted_sum_of_its_terms() -> None:
    total, terms = mix_of({"cross_entropy": {"weight": 0.25}, "focal": {"weight": 3.0}})(LOGITS, TARGET)
    assert set(terms) == {"cross_entropy", "focal"}
    torch.testing.assert_close(total, 0.25 * terms["cross_entropy"] + 3 * terms["focal"])


def test_a_term_of_weight_zero_is_left_out() -> None:
    mix = mix_of({"cross_entropy": {"weight": 0.5}, "focal": {"weight": 0.0}})
    _, terms = mix(LOGITS, TARGET)
    assert set(terms) == {"cross_entropy"} == set(mix.active_weights)


def test_the_loss_is_float32_whatever_the_logits_are() -> None:
    total, terms = mix_of({"cross_entropy": {}, "focal": {}})(LOGITS.bfloat16(), TARGET)
    assert {total.dtype, *(term.dtype for term in terms.values())} == {torch.float32}


def test_only_the_total_has_a_gradient() -> None:
    total, terms = mix_of({"cross_entropy": {}, "focal": {}})(LOGITS.clone().requires_grad_(), TARGET)
    assert total.requires_grad
    assert not any(term.requires_grad for term in terms.values())


def test_values_that_are_given_are_mixed_and_the_rest_has_a_gradient_of_zero() -> None:
    given = {name: torch.tensor(value, requires_grad=True) for name, value in (("heatmap", 2.0), ("size", 3.0))}

    total, terms = Mix(Loss.model_validate({"heatmap": {"weight": 0.5}, "size": {"weight": 0.0}})).mixed(given)
    total.backward()

    assert total.item() == 1.0
    assert {name: value.item() for name, value in terms.items()} == {"heatmap": 2.0}
    assert {name: value.grad for name, value in given.items()} == {"heatmap": 0.5, "size": 0.0}


def test_a_single_logit_is_mixed_with_terms_of_two() -> None:
    logits = 2 * torch.randn((2, 1, 4, 4), generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 2, (2, 4, 4), generator=torch.Generator().manual_seed(2))
    mix = LossMix(Loss.model_validate({"binary_cross_entropy": {}, "jaccard": {}}), ClassCounts([16, 16]))
    total, terms = mix(logits, target)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    torch.testing.assert_close(terms["binary_cross_entropy"], entropy)
    torch.testing.assert_close(total, entropy + terms["jaccard"])


@pytest.mark.parametrize("weights", ["none", "inverse_frequency"])
def test_the_settings_are_read_back_by_path(weights: str) -> None:
    mix = mix_of({"cross_entropy": {"label_smoothing": 0.1}, "focal": {"weight": 0.0, "class_weights": weights}})
    assert mix.live_values() == {
        "loss.cross_entropy.weight": 1.0,
        "loss.cross_entropy.class_weights.name": "none",
        "loss.cross_entropy.label_smoothing": 0.1,
        "loss.focal.weight": 0.0,
        "loss.focal.gamma": 2.0,
        "loss.focal.class_weights.name": weights,
    }


def test_every_setting_of_every_term_is_read_back() -> None:
    names = ("cross_entropy", "focal", "dice", "jaccard", "tversky", "lovasz")
    loss = Loss.model_validate({name: {} for name in names})
    stated = flatten({"loss": plain(loss)})
    assert LossMix(loss, ClassCounts([1, 1])).live_values() == stated
