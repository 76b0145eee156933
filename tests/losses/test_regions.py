"""Terms that compare regions, against hand computation and against sets of pixels."""

import pytest
import torch
from torch import Tensor

from trainyard.losses.answer import IGNORED, Answer
from trainyard.losses.lovasz import Lovasz
from trainyard.losses.regions import Dice, Jaccard, Region, Tversky
from trainyard.spec import loss as spec

PROBABILITIES = torch.tensor(
    [
        [[0.7, 0.2, 0.4], [0.1, 0.6, 0.5]],
        [[0.2, 0.5, 0.3], [0.1, 0.3, 0.2]],
        [[0.1, 0.3, 0.3], [0.8, 0.1, 0.3]],
    ],
    dtype=torch.float64,
)
"""(K, H, W)"""
TARGET = torch.tensor([[0, 1, 1], [1, 0, IGNORED]])
ANSWER = Answer(PROBABILITIES.log()[None], TARGET[None])

# Of class 0: hits 0.7 + 0.6, false alarms 0.2 + 0.4 + 0.1, misses 0.3 + 0.4. Class 2 is not there.
# Of class 1: hits 0.5 + 0.3 + 0.1, false alarms 0.2 + 0.3, misses 0.5 + 0.7 + 0.9.


def tversky(**settings: object) -> Tversky:
    return Tversky(spec.Tversky.model_validate(settings))


def dice(**settings: object) -> Dice:
    return Dice(spec.Dice.model_validate(settings))


def jaccard(**settings: object) -> Jaccard:
    return Jaccard(spec.Jaccard.model_validate(settings))


def lovasz(**settings: object) -> Lovasz:
    return Lovasz(spec.Lovasz.model_validate(settings))


def test_dice_by_hand() -> None:
    first, second = 1 - 2.6 / (2.6 + 0.7 + 0.7), 1 - 1.8 / (1.8 + 0.5 + 2.1)
    assert dice()(ANSWER).item() == pytest.approx((first + second) / 2)
    assert dice(include_background=False)(ANSWER).item() == pytest.approx(second)


def test_jaccard_by_hand() -> None:
    first, second = 1 - 1.3 / (1.3 + 0.7 + 0.7), 1 - 0.9 / (0.9 + 0.5 + 2.1)
    assert jaccard()(ANSWER).item() == pytest.approx((first + second) / 2)
    assert jaccard(include_background=False)(ANSWER).item() == pytest.approx(second)


@pytest.mark.parametrize("gamma", [0.75, 1.0, 2.0])
def test_tversky_by_hand(gamma: float) -> None:
    first, second = 1 - 1.3 / (1.3 + 0.3 * 0.7 + 0.7 * 0.7), 1 - 0.9 / (0.9 + 0.3 * 0.5 + 0.7 * 2.1)
    term = tversky(alpha=0.3, beta=0.7, gamma=gamma)
    assert term(ANSWER).item() == pytest.approx((first**gamma + second**gamma) / 2)


def random_answer(shape: tuple[int, int, int, int] = (3, 4, 7, 6)) -> Answer:
    generator = torch.Generator().manual_seed(4)
    target = torch.randint(0, 3, (shape[0], *shape[2:]), generator=generator)  # the last class is never true
    target[0, :3], target[1][target[1] == 1] = IGNORED, 2
    return Answer(3 * torch.randn(shape, generator=generator, dtype=torch.float64), target)


def test_tversky_with_halves_is_dice_and_with_ones_jaccard() -> None:
    answer = random_answer()
    torch.testing.assert_close(tversky(alpha=0.5, beta=0.5)(answer), dice()(answer))
    torch.testing.assert_close(tversky(alpha=1.0, beta=1.0)(answer), jaccard()(answer))


def hard(target: Tensor, answered: Tensor, classes: int) -> Answer:
    """An answer that is sure of one class for each pixel."""
    logits = 200 * torch.nn.functional.one_hot(answered, classes).movedim(3, 1).double()
    return Answer(logits, target)


@pytest.mark.parametrize(
    "term", [dice(), jaccard(), lovasz(), tversky(alpha=0.2, beta=0.6)], ids=lambda term: type(term).__name__
)
def test_of_sure_answers_it_counts_pixels_of_sets(term: Region) -> None:
    target = random_answer().target
    answered = torch.randint(0, 4, target.shape, generator=torch.Generator().manual_seed(6))
    expected = []
    for truth, answer in zip(target.flatten(1).tolist(), answered.flatten(1).tolist(), strict=True):
        pixels = [(place, *pair) for place, pair in enumerate(zip(truth, answer, strict=True)) if pair[0] != IGNORED]
        losses = []
        for label in {true for _, true, _ in pixels}:
            true = {place for place, own, _ in pixels if own == label}
            found = {place for place, _, own in pixels if own == label}
            hits, false, missed = len(true & found), len(found - true), len(true - found)
            losses.append(
                {
                    Dice: 1 - 2 * hits / (len(true) + len(found)),
                    Jaccard: 1 - hits / len(true | found),
                    Lovasz: 1 - hits / len(true | found),
                    Tversky: 1 - hits / (hits + 0.2 * false + 0.6 * missed),
                }[type(term)]
            )
        expected.append(sum(losses) / len(losses))
    torch.testing.assert_close(term(hard(target, answered, 4)), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("term", [dice, jaccard, tversky, lovasz])
def test_an_image_of_nothing_but_background_is_no_loss_without_it(term: type) -> None:
    target = torch.zeros((2, 3, 3), dtype=torch.int64)
    target[1, 0, 0] = 1
    losses = term(include_background=False)(Answer(torch.randn((2, 2, 3, 3)), target))
    assert losses[0] == 0
    assert losses[1] > 0


@pytest.mark.parametrize("term", [dice, jaccard, tversky, lovasz])
def test_what_is_answered_of_a_class_that_is_not_there_is_missing_elsewhere(term: type) -> None:
    logits = torch.zeros((1, 3, 4, 4), requires_grad=True)
    target = torch.tensor([[[0, 0, 1, 1]] * 4])
    term()(Answer(logits, target)).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[:, 2] > 0).all()


# Lovász


def extension(errors: list[float], truth: list[bool]) -> float:
    """By its definition: the mean, over a threshold t from 0 to 1, of 1 - IoU if just the pixels with an error of t or
    more are wrong."""
    total, below = 0.0, 0.0
    for level in sorted(set(errors)):
        wrong = [error >= level for error in errors]
        missed = sum(w and t for w, t in zip(wrong, truth, strict=True))
        false = sum(w and not t for w, t in zip(wrong, truth, strict=True))
        total += (level - below) * (1 - (sum(truth) - missed) / (sum(truth) + false))
        below = level
    return total


def test_lovasz_is_the_extension_of_the_jaccard_loss() -> None:
    answer = random_answer()
    expected = []
    for probabilities, target in zip(answer.probabilities, answer.target, strict=True):
        there = target != IGNORED
        losses = []
        for label in target[there].unique().tolist():
            p, truth = probabilities[label][there], target[there] == label
            losses.append(extension(torch.where(truth, 1 - p, p).tolist(), truth.tolist()))
        expected.append(sum(losses) / len(losses))
    torch.testing.assert_close(lovasz()(answer), torch.tensor(expected, dtype=torch.float64))


def test_lovasz_with_equal_errors_does_not_hang_on_their_order() -> None:
    target = torch.tensor([[[0, 1, 1, 0, 1, 0]]])
    losses = [
        lovasz()(Answer(torch.zeros((1, 2, 1, 6)), target[..., order]))
        for order in (torch.arange(6), torch.arange(6).flip(0), torch.tensor([1, 2, 4, 0, 3, 5]))
    ]
    assert [loss.item() for loss in losses] == pytest.approx([0.5] * 3)


def test_lovasz_of_all_classes_is_lovasz_of_those_that_are_there() -> None:
    """As it is computed where it would cost more to find out which classes there are."""
    from trainyard.losses.lovasz import _extension

    answer = random_answer()
    labelled = answer.labelled.unsqueeze(1).expand_as(answer.truth)
    rows = (part.flatten(0, 1).flatten(1) for part in (answer.probabilities, answer.truth, labelled))
    losses = _extension(*rows).reshape(3, 4)
    assert torch.equal(losses > 0, answer.sizes > 0)
    torch.testing.assert_close(losses.sum(1) / (answer.sizes > 0).sum(1), lovasz()(answer))


def test_the_settings_are_read_back() -> None:
    assert lovasz(include_background=False).live_values() == {"include_background": False}
    assert tversky(alpha=0.2, gamma=2.0).live_values() == {
        "include_background": True,
        "alpha": 0.2,
        "beta": 0.7,
        "gamma": 2.0,
    }
