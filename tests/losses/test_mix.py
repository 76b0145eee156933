"""The mix of loss terms."""

import pytest
import torch

from trainyard.losses.mix import LossMix, Mix
from trainyard.spec.loss import Loss

LOGITS = torch.randn((8, 3), generator=torch.Generator().manual_seed(0))
TARGET = torch.arange(8) % 3


def mix_of(terms: dict) -> LossMix:
    return LossMix(Loss.model_validate(terms), class_totals=[3, 3, 2])


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


@pytest.mark.parametrize("weights", ["none", "inverse_frequency"])
def test_the_settings_are_read_back_by_path(weights: str) -> None:
    mix = mix_of({"cross_entropy": {"label_smoothing": 0.1}, "focal": {"weight": 0.0, "class_weights": weights}})
    assert mix.live_values() == {
        "loss.cross_entropy.weight": 1.0,
        "loss.cross_entropy.class_weights": "none",
        "loss.cross_entropy.label_smoothing": 0.1,
        "loss.focal.weight": 0.0,
        "loss.focal.gamma": 2.0,
        "loss.focal.class_weights": weights,
    }
