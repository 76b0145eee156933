"""Terms of images and of pixels by themselves, against torch's and against closed forms."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainyard.losses.answer import IGNORED, Answer
from trainyard.losses.class_weights import ClassCounts
from trainyard.losses.pointwise import BinaryCrossEntropy, CrossEntropy, Focal
from trainyard.losses.terms import Term
from trainyard.spec import loss as spec

COUNTS = [6, 2, 1, 3]
SPLIT = ClassCounts(COUNTS)
LOGITS = torch.randn((12, 4), generator=torch.Generator().manual_seed(0)) * 3
TARGET = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))


def cross_entropy(**settings: object) -> CrossEntropy:
    return CrossEntropy(spec.CrossEntropy.model_validate(settings), SPLIT)


def focal(**settings: object) -> Focal:
    return Focal(spec.Focal.model_validate(settings), SPLIT)


def mean(term: Term, logits: Tensor = LOGITS, target: Tensor = TARGET) -> Tensor:
    return term(Answer(logits, target)).mean()


def test_cross_entropy_is_torchs() -> None:
    torch.testing.assert_close(mean(cross_entropy()), functional.cross_entropy(LOGITS, TARGET))


def test_label_smoothing_is_torchs() -> None:
    theirs = functional.cross_entropy(LOGITS, TARGET, label_smoothing=0.1)
    torch.testing.assert_close(mean(cross_entropy(label_smoothing=0.1)), theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_loss_with_class_weights_is_torchs(smoothing: float) -> None:
    weights = 3 / torch.tensor(COUNTS, dtype=torch.float32)  # mean 1 over the split
    theirs = functional.cross_entropy(LOGITS, TARGET, weights, reduction="none", label_smoothing=smoothing)
    ours = cross_entropy(class_weights="inverse_frequency", label_smoothing=smoothing)(Answer(LOGITS, TARGET))
    torch.testing.assert_close(ours, theirs)


def test_weights_over_the_whole_training_split_are_torchs_weighted_mean() -> None:
    ours = mean(cross_entropy(class_weights="inverse_frequency"))
    theirs = functional.cross_entropy(LOGITS, TARGET, weight=1 / torch.tensor(COUNTS, dtype=torch.float32))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_is_its_closed_form(gamma: float) -> None:
    p = LOGITS.double().softmax(1).gather(1, TARGET[:, None])[:, 0]
    closed = ((1 - p) ** gamma * -p.log()).mean()
    torch.testing.assert_close(mean(focal(gamma=gamma)).double(), closed, rtol=1e-5, atol=1e-7)


def test_focal_with_gamma_zero_is_cross_entropy() -> None:
    weighted = mean(cross_entropy(class_weights="inverse_frequency"))
    torch.testing.assert_close(mean(focal(gamma=0.0, class_weights="inverse_frequency")), weighted)


def test_the_papers_alpha_is_a_weight_of_classes() -> None:
    ours = focal(class_weights="inverse_frequency")(Answer(LOGITS, TARGET))
    weights = (3 / torch.tensor(COUNTS))[TARGET]
    torch.testing.assert_close(ours, weights * focal()(Answer(LOGITS, TARGET)))


# One logit for two classes, of which the second is rare.

ONE_LOGIT = torch.randn((12, 1), generator=torch.Generator().manual_seed(3)) * 3
TWO_CLASSES = torch.tensor([0] * 9 + [1] * 3)


def binary(positive: int | None = None, **settings: object) -> BinaryCrossEntropy:
    return BinaryCrossEntropy(spec.BinaryCrossEntropy.model_validate(settings), ClassCounts([9, 3]), positive=positive)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_cross_entropy_of_the_logits_zero_and_z(smoothing: float) -> None:
    both = torch.cat([torch.zeros_like(ONE_LOGIT), ONE_LOGIT], dim=1)
    theirs = functional.cross_entropy(both, TWO_CLASSES, label_smoothing=smoothing)
    torch.testing.assert_close(mean(binary(label_smoothing=smoothing), ONE_LOGIT, TWO_CLASSES), theirs)


def test_the_positive_weight_is_torchs() -> None:
    theirs = functional.binary_cross_entropy_with_logits(
        ONE_LOGIT[:, 0], TWO_CLASSES.float(), pos_weight=torch.tensor(4.0)
    )
    torch.testing.assert_close(mean(binary(positive=1, positive_weight=4.0), ONE_LOGIT, TWO_CLASSES), theirs)


def test_class_and_positive_weights_multiply() -> None:
    each = functional.binary_cross_entropy_with_logits(ONE_LOGIT[:, 0], TWO_CLASSES.float(), reduction="none")
    weights = torch.where(TWO_CLASSES == 0, 4 * 12 / (2 * 9), 12 / (2 * 3))
    term = binary(positive=0, class_weights="inverse_frequency", positive_weight=4.0)
    torch.testing.assert_close(mean(term, ONE_LOGIT, TWO_CLASSES), (weights * each).mean())


def test_a_logit_that_is_surely_wrong_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = mean(binary(), logits, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad is not None
    assert logits.grad[:, 0].tolist() == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_binary_focal_is_the_papers(gamma: float) -> None:
    p = ONE_LOGIT[:, 0].double().sigmoid()
    closed = torch.where(TWO_CLASSES == 1, -((1 - p) ** gamma) * p.log(), -(p**gamma) * (1 - p).log())
    term = Focal(spec.Focal(gamma=gamma), ClassCounts([9, 3]))
    torch.testing.assert_close(term(Answer(ONE_LOGIT, TWO_CLASSES)).double(), closed, rtol=1e-5, atol=1e-7)


# A class for each pixel: 4 images, of which the second has little to learn from and the last nothing.

PIXELS = torch.randn((4, 4, 5, 6), generator=torch.Generator().manual_seed(1)) * 3
CLASSES = torch.randint(0, 4, (4, 5, 6), generator=torch.Generator().manual_seed(2))
CLASSES[0, :2], CLASSES[1, 1:], CLASSES[3] = IGNORED, IGNORED, IGNORED

OF_PIXELS: dict[str, Term] = {
    "cross_entropy": cross_entropy(label_smoothing=0.1),
    "weighted cross_entropy": cross_entropy(class_weights="inverse_frequency", label_smoothing=0.1),
    "focal": focal(),
    "weighted focal": focal(class_weights="inverse_frequency"),
}


@pytest.mark.parametrize("term", OF_PIXELS.values(), ids=OF_PIXELS)
def test_the_loss_of_an_image_is_that_of_its_labelled_pixels_as_samples(term: Term) -> None:
    labelled = [classes != IGNORED for classes in CLASSES[:3]]
    images = [
        mean(term, logits[:, there].T, classes[there])
        for logits, classes, there in zip(PIXELS[:3], CLASSES[:3], labelled, strict=True)
    ]
    torch.testing.assert_close(term(Answer(PIXELS, CLASSES)), torch.stack([*images, torch.tensor(0.0)]))


def test_a_positive_pixel_has_the_positive_weight() -> None:
    target = torch.tensor([[[0, 1], [1, IGNORED]]])
    logits = torch.tensor([[[[0.5, -1.0], [2.0, 7.0]]]])
    z = logits[0, 0].double()
    losses = [-(-z[0, 0]).sigmoid().log(), -3 * z[0, 1].sigmoid().log(), -3 * z[1, 0].sigmoid().log()]
    ours = mean(binary(positive=1, positive_weight=3.0), logits, target)
    assert ours.item() == pytest.approx(sum(loss.item() for loss in losses) / 3)


# Boundaries: a stripe of class 1 among class 0, three columns wide, and a corner of void.

STRIPE = torch.zeros((1, 6, 9), dtype=torch.int64)
STRIPE[:, :, 3:6], STRIPE[:, 0, 8] = 1, IGNORED
NEAR = torch.zeros((6, 9))
NEAR[:, [2, 3, 5, 6]] = 1


@pytest.mark.parametrize("term", [cross_entropy, focal])
def test_pixels_near_boundaries_count_more_in_the_mean_of_their_image(term: type) -> None:
    logits = torch.randn((1, 4, 6, 9), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    there = STRIPE[0] != IGNORED
    each = term()(Answer(logits[0, :, there].T, STRIPE[0][there]))
    weights = (1 + 4 * NEAR)[there].double()
    ours = term(boundary={"weight": 4.0, "width": 1})(Answer(logits, STRIPE))
    torch.testing.assert_close(ours, ((weights * each).sum() / weights.sum())[None])


def test_a_boundary_of_weight_zero_changes_nothing() -> None:
    answer = Answer(PIXELS, CLASSES)
    assert torch.equal(cross_entropy(boundary={"weight": 0.0})(answer), cross_entropy()(answer))


def test_the_settings_are_read_back() -> None:
    term = cross_entropy(class_weights={"name": "effective_number", "beta": 0.9}, boundary={"weight": 2.0})
    assert term.live_values() == {
        "class_weights.name": "effective_number",
        "class_weights.beta": 0.9,
        "boundary.weight": 2.0,
        "boundary.width": 2,
        "label_smoothing": 0.0,
    }
