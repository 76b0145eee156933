"""What every term of masks keeps to, whatever it measures."""

import pytest
import torch
from torch import Tensor

from trainyard.losses.answer import IGNORED, Answer
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.mix import LossMix
from trainyard.losses.terms import Term
from trainyard.spec.loss import Loss

SETTINGS: dict[str, dict] = {
    "cross_entropy": {"cross_entropy": {"class_weights": "inverse_frequency", "label_smoothing": 0.1}},
    "cross_entropy near boundaries": {"cross_entropy": {"boundary": {"weight": 3.0, "width": 1}}},
    "focal": {"focal": {"gamma": 1.5, "class_weights": "auto"}},
    "focal, gamma below 1": {"focal": {"gamma": 0.5}},
    "dice": {"dice": {}},
    "dice without background": {"dice": {"include_background": False}},
    "jaccard": {"jaccard": {}},
    "tversky": {"tversky": {"alpha": 0.3, "beta": 0.7}},
    "focal tversky": {"tversky": {"gamma": 2.0}},
    "focal tversky, gamma below 1": {"tversky": {"gamma": 0.5}},
    "lovasz": {"lovasz": {}},
    "lovasz without background": {"lovasz": {"include_background": False}},
}
BINARY: dict[str, dict] = {
    "binary_cross_entropy": {"binary_cross_entropy": {"label_smoothing": 0.1}},
    "weighted binary_cross_entropy": {
        "binary_cross_entropy": {"positive_weight": 3.0, "boundary": {"weight": 3.0, "width": 1}}
    },
}

# The first image holds all classes, the second two of them and much void, the third nothing but void, the fourth only
# the first class.
LOGITS = 3 * torch.randn((4, 4, 5, 6), generator=torch.Generator().manual_seed(0))
TARGET = torch.randint(0, 4, (4, 5, 6), generator=torch.Generator().manual_seed(1))
TARGET[1][TARGET[1] > 1], TARGET[1, 3:], TARGET[2], TARGET[3] = 0, IGNORED, IGNORED, 0


def mix_of(settings: dict, classes: int = 4) -> LossMix:
    return LossMix(Loss.model_validate(settings), ClassCounts([60, 20, 10, 5][:classes]), positive=1)


def case(name: str) -> tuple[Term, Tensor, Tensor]:
    """The term, logits and target: of a single logit, where the term wants one, and two classes."""
    settings = SETTINGS | BINARY
    if name in BINARY:
        return only(mix_of(settings[name], classes=2)), LOGITS[:, :1], TARGET.clamp_max(1)
    return only(mix_of(settings[name])), LOGITS, TARGET


def only(mix: LossMix) -> Term:
    (term,) = mix.terms.values()
    return term


every_term = pytest.mark.parametrize("name", [*SETTINGS, *BINARY])


@every_term
def test_the_loss_of_an_image_hangs_on_no_other(name: str) -> None:
    """So the mean over the workers is the loss of the whole batch."""
    term, logits, target = case(name)
    alone = [term(Answer(logits[row : row + 1], target[row : row + 1])) for row in range(4)]
    torch.testing.assert_close(term(Answer(logits, target)), torch.cat(alone))


@every_term
def test_an_image_without_a_class_is_no_loss_and_teaches_nothing(name: str) -> None:
    term, logits, target = case(name)
    learnt = logits[2:3].clone().requires_grad_()
    loss = term(Answer(learnt, target[2:3]))
    loss.sum().backward()
    assert loss.tolist() == [0]
    assert learnt.grad is not None
    assert not learnt.grad.any()


@every_term
def test_what_is_answered_without_a_class_does_not_matter(name: str) -> None:
    term, logits, target = case(name)
    elsewhere = torch.where((target == IGNORED).unsqueeze(1), 9 - 2 * logits, logits)
    assert torch.equal(term(Answer(logits, target)), term(Answer(elsewhere, target)))


@every_term
@pytest.mark.parametrize("scale", [1e4, -1e4], ids=["surely right", "surely wrong"])
def test_sure_answers_have_finite_losses_and_gradients(name: str, scale: float) -> None:
    term, logits, target = case(name)
    right = torch.nn.functional.one_hot(target.clamp_min(0), 4).movedim(3, 1).float() - 0.5
    sure = (scale * (right[:, 1:2] if logits.shape[1] == 1 else right)).requires_grad_()
    losses = term(Answer(sure, target))
    losses.sum().backward()
    assert sure.grad is not None
    assert losses.isfinite().all()
    assert sure.grad.isfinite().all()
    smoothed = "cross_entropy" in name and "boundaries" not in name and "weighted" not in name
    if scale > 0 and not smoothed:
        assert losses.abs().max() < 1e-3


@every_term
def test_gradients_are_those_of_differences(name: str) -> None:
    term, logits, target = case(name)

    def loss(values: Tensor) -> Tensor:
        return term(Answer(values, target))

    assert torch.autograd.gradcheck(loss, (logits.double().requires_grad_(),), atol=1e-6)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_single_logit_is_as_good_as_two(name: str) -> None:
    term = only(mix_of(SETTINGS[name], classes=2))
    single, target = LOGITS[:, :1], TARGET.clamp_max(1)
    both = torch.cat([torch.zeros_like(single), single], dim=1)
    torch.testing.assert_close(term(Answer(single, target)), term(Answer(both, target)))


@every_term
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_mixed_precision_the_loss_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    _, logits, target = case(name)
    mix = mix_of((SETTINGS | BINARY)[name], classes=max(2, logits.shape[1]))
    low = logits.to(dtype)
    total, _ = mix(low, target)
    assert total.dtype == torch.float32
    assert torch.equal(total, mix(low.float(), target)[0])


@every_term
def test_weights_multiply_the_losses_of_images_before_the_mean(name: str) -> None:
    term, logits, target = case(name)
    weights = torch.linspace(0, 1, 4)
    mix = mix_of((SETTINGS | BINARY)[name], classes=max(2, logits.shape[1]))
    torch.testing.assert_close(mix(logits, target, weights)[0], (weights * term(Answer(logits, target))).mean())


@every_term
def test_of_no_image_at_all_the_loss_is_zero(name: str) -> None:
    _, logits, target = case(name)
    mix = mix_of((SETTINGS | BINARY)[name], classes=max(2, logits.shape[1]))
    assert mix(logits[:0], target[:0])[0].item() == 0
