"""Loss terms against torch's and against closed forms."""

import pytest
import torch
from torch.nn import functional

from trainyard.losses.terms import IGNORED, BinaryCrossEntropy, CrossEntropy, Focal, Term, inverse_frequency
from trainyard.spec import loss as spec

COUNTS = [6, 2, 1, 3]
LOGITS = torch.randn((12, 4), generator=torch.Generator().manual_seed(0)) * 3
TARGET = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))


def test_cross_entropy_is_torchs() -> None:
    ours = CrossEntropy(spec.CrossEntropy(), COUNTS)(LOGITS, TARGET)
    assert torch.equal(ours, functional.cross_entropy(LOGITS, TARGET))


def test_label_smoothing_is_torchs() -> None:
    ours = CrossEntropy(spec.CrossEntropy(label_smoothing=0.1), COUNTS)(LOGITS, TARGET)
    torch.testing.assert_close(ours, functional.cross_entropy(LOGITS, TARGET, label_smoothing=0.1))


def test_weights_over_the_whole_training_split_are_torchs_weighted_mean() -> None:
    settings = spec.CrossEntropy(class_weights="inverse_frequency", label_smoothing=0.0)
    ours = CrossEntropy(settings, COUNTS)(LOGITS, TARGET)
    theirs = functional.cross_entropy(LOGITS, TARGET, weight=1 / torch.tensor(COUNTS, dtype=torch.float32))
    torch.testing.assert_close(ours, theirs)


WEIGHTED_CROSS_ENTROPY = CrossEntropy(spec.CrossEntropy(class_weights="inverse_frequency"), COUNTS)
WEIGHTED_FOCAL = Focal(spec.Focal(class_weights="inverse_frequency"), COUNTS)


@pytest.mark.parametrize("loss", [WEIGHTED_CROSS_ENTROPY, WEIGHTED_FOCAL], ids=["cross_entropy", "focal"])
def test_the_mean_over_workers_is_the_loss_of_the_whole_batch(loss: Term) -> None:
    shares = [loss(LOGITS[rank::2], TARGET[rank::2]) for rank in range(2)]
    torch.testing.assert_close(torch.stack(shares).mean(), loss(LOGITS, TARGET))


@pytest.mark.parametrize("loss", [WEIGHTED_CROSS_ENTROPY, WEIGHTED_FOCAL, CrossEntropy(spec.CrossEntropy(), COUNTS)])
def test_weights_multiply_the_losses_of_samples_before_the_mean(loss: Term) -> None:
    weights = torch.linspace(0, 1, 12)
    each = torch.stack([loss(LOGITS[row : row + 1], TARGET[row : row + 1]) for row in range(12)])
    torch.testing.assert_close(loss(LOGITS, TARGET, weights), (weights * each).mean())


def test_inverse_frequency_has_mean_one_over_the_rows() -> None:
    weights = inverse_frequency(COUNTS)
    assert weights[TARGET].mean().item() == pytest.approx(1)
    torch.testing.assert_close(weights * torch.tensor(COUNTS), torch.full((4,), 3.0))


def test_a_class_without_rows_has_weight_one() -> None:
    assert inverse_frequency([2, 0, 6]).tolist() == pytest.approx([2, 1, 2 / 3])


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_is_its_closed_form(gamma: float) -> None:
    p = LOGITS.double().softmax(1).gather(1, TARGET[:, None])[:, 0]
    closed = ((1 - p) ** gamma * -p.log()).mean()
    ours = Focal(spec.Focal(gamma=gamma), COUNTS)(LOGITS, TARGET)
    torch.testing.assert_close(ours.double(), closed, rtol=1e-5, atol=1e-7)


def test_focal_with_gamma_zero_is_cross_entropy() -> None:
    focal = Focal(spec.Focal(gamma=0.0, class_weights="inverse_frequency"), COUNTS)
    torch.testing.assert_close(focal(LOGITS, TARGET), WEIGHTED_CROSS_ENTROPY(LOGITS, TARGET))


@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_focal_has_finite_gradients_for_samples_that_are_surely_right(gamma: float) -> None:
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0]], requires_grad=True)
    loss = Focal(spec.Focal(gamma=gamma), [1, 1])(logits, torch.tensor([0, 0]))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert loss.item() == pytest.approx(50)


# One logit for two classes, of which the second is rare.

ONE_LOGIT = torch.randn((12, 1), generator=torch.Generator().manual_seed(3)) * 3
TWO_CLASSES = torch.tensor([0] * 9 + [1] * 3)
IN_BINARY: dict[str, BinaryCrossEntropy] = {
    "plain": BinaryCrossEntropy(spec.BinaryCrossEntropy(), [9, 3]),
    "smooth": BinaryCrossEntropy(spec.BinaryCrossEntropy(label_smoothing=0.2), [9, 3]),
    "weighted": BinaryCrossEntropy(spec.BinaryCrossEntropy(class_weights="inverse_frequency"), [9, 3]),
    "positive": BinaryCrossEntropy(spec.BinaryCrossEntropy(positive_weight=4.0), [9, 3], positive=1),
}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_cross_entropy_of_the_logits_zero_and_z(smoothing: float) -> None:
    ours = BinaryCrossEntropy(spec.BinaryCrossEntropy(label_smoothing=smoothing), [9, 3])(ONE_LOGIT, TWO_CLASSES)
    both = torch.cat([torch.zeros_like(ONE_LOGIT), ONE_LOGIT], dim=1)
    torch.testing.assert_close(ours, functional.cross_entropy(both, TWO_CLASSES, label_smoothing=smoothing))


def test_the_positive_weight_is_torchs() -> None:
    theirs = functional.binary_cross_entropy_with_logits(
        ONE_LOGIT[:, 0], TWO_CLASSES.float(), pos_weight=torch.tensor(4.0)
    )
    torch.testing.assert_close(IN_BINARY["positive"](ONE_LOGIT, TWO_CLASSES), theirs)


def test_class_and_positive_weights_multiply() -> None:
    settings = spec.BinaryCrossEntropy(class_weights="inverse_frequency", positive_weight=4.0)
    each = functional.binary_cross_entropy_with_logits(ONE_LOGIT[:, 0], TWO_CLASSES.float(), reduction="none")
    ours = BinaryCrossEntropy(settings, [9, 3], positive=0)(ONE_LOGIT, TWO_CLASSES)
    weights = torch.where(TWO_CLASSES == 0, 4 * 12 / (2 * 9), 12 / (2 * 3))
    torch.testing.assert_close(ours, (weights * each).mean())


@pytest.mark.parametrize("loss", IN_BINARY.values(), ids=IN_BINARY)
def test_binary_losses_of_workers_and_of_weighted_samples_add_up(loss: Term) -> None:
    shares = [loss(ONE_LOGIT[rank::2], TWO_CLASSES[rank::2]) for rank in range(2)]
    torch.testing.assert_close(torch.stack(shares).mean(), loss(ONE_LOGIT, TWO_CLASSES))
    weights = torch.linspace(0, 1, 12)
    each = torch.stack([loss(ONE_LOGIT[row : row + 1], TWO_CLASSES[row : row + 1]) for row in range(12)])
    torch.testing.assert_close(loss(ONE_LOGIT, TWO_CLASSES, weights), (weights * each).mean())


def test_a_logit_that_is_surely_wrong_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    loss = IN_BINARY["plain"](logits, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad is not None
    assert logits.grad[:, 0].tolist() == pytest.approx([0.5, -0.5])


# A class for each pixel: 4 images, of which the second has little to learn from and the last nothing.

PIXELS = torch.randn((4, 4, 5, 6), generator=torch.Generator().manual_seed(1)) * 3
CLASSES = torch.randint(0, 4, (4, 5, 6), generator=torch.Generator().manual_seed(2))
CLASSES[0, :2], CLASSES[1, 1:], CLASSES[3] = IGNORED, IGNORED, IGNORED

OF_PIXELS: dict[str, Term] = {
    "cross_entropy": CrossEntropy(spec.CrossEntropy(label_smoothing=0.1), COUNTS),
    "weighted cross_entropy": WEIGHTED_CROSS_ENTROPY,
    "focal": Focal(spec.Focal(gamma=2.0), COUNTS),
    "weighted focal": WEIGHTED_FOCAL,
}


@pytest.mark.parametrize("loss", OF_PIXELS.values(), ids=OF_PIXELS)
def test_the_loss_of_an_image_is_that_of_its_labelled_pixels_as_samples(loss: Term) -> None:
    labelled = [classes != IGNORED for classes in CLASSES[:3]]
    images = [
        loss(logits[:, there].T, classes[there])
        for logits, classes, there in zip(PIXELS[:3], CLASSES[:3], labelled, strict=True)
    ]
    torch.testing.assert_close(loss(PIXELS, CLASSES), sum(images) / 4)


@pytest.mark.parametrize("loss", OF_PIXELS.values(), ids=OF_PIXELS)
def test_workers_whose_images_differ_in_void_make_the_loss_of_the_whole_batch(loss: Term) -> None:
    shares = [loss(PIXELS[rank::2], CLASSES[rank::2]) for rank in range(2)]
    torch.testing.assert_close(torch.stack(shares).mean(), loss(PIXELS, CLASSES))


@pytest.mark.parametrize("loss", OF_PIXELS.values(), ids=OF_PIXELS)
def test_nothing_is_learnt_from_what_is_ignored(loss: Term) -> None:
    logits = PIXELS.clone().requires_grad_()
    loss(logits, CLASSES).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert torch.equal(logits.grad.abs().sum(1) > 0, CLASSES != IGNORED)
