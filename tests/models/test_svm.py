"""The tensors of a fitted SVM against scikit-learn's own object."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss
from sklearn.svm import SVC

from trainyard.models.svm import Kernel, SupportVectorMachine, multiclass_hinge

FEATURES = 6


def blobs(classes: int, rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(classes)
    labels = random.permutation(np.arange(rows) % classes)
    return random.normal(size=(classes, FEATURES))[labels] + random.normal(size=(rows, FEATURES)), labels


def taken_over(svc: SVC, x: np.ndarray, *, outputs: int, classes: list[int]) -> SupportVectorMachine:
    """Without standardisation. The signs of two classes are turned back to libsvm's."""
    sign = -1.0 if len(svc.classes_) == 2 else 1.0
    tensors: dict[str, Any] = {
        "mean": np.zeros(FEATURES),
        "scale": np.ones(FEATURES),
        "support": svc.support_vectors_,
        "coefficients": sign * svc.dual_coef_,
        "intercepts": sign * svc.intercept_,
        "classes": np.array(classes),
        "counts": svc.n_support_.astype(np.int64),
    }
    kernel = Kernel(name=svc.kernel, gamma=0.1, degree=2)
    return SupportVectorMachine(
        kernel=kernel, outputs=outputs, tensors={name: torch.from_numpy(value) for name, value in tensors.items()}
    )


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
@pytest.mark.parametrize("classes", [3, 7])
def test_the_scores_are_the_decision_function(kernel: str, classes: int) -> None:
    x, y = blobs(classes)
    svc = SVC(kernel=kernel, gamma=0.1, degree=2, C=10.0, break_ties=True).fit(x, y)
    machine = taken_over(svc, x, outputs=classes, classes=list(range(classes)))
    new = np.random.default_rng(1).normal(size=(40, FEATURES))

    scores = machine(torch.from_numpy(new)).numpy()

    assert np.allclose(scores, svc.decision_function(new), atol=1e-9)
    assert np.array_equal(scores.argmax(1), svc.predict(new))


def test_of_two_classes_the_scores_are_half_the_decision_each_way() -> None:
    x, y = blobs(2)
    svc = SVC(gamma=0.1).fit(x, y)
    scores = taken_over(svc, x, outputs=2, classes=[0, 1])(torch.from_numpy(x)).numpy()

    decision = svc.decision_function(x)
    assert np.allclose(scores, np.stack([-decision / 2, decision / 2], axis=1))
    losses = multiclass_hinge(torch.from_numpy(scores), torch.from_numpy(y))
    assert float(losses.mean()) == pytest.approx(hinge_loss(y, decision))


def test_the_loss_of_several_classes_is_crammer_and_singers() -> None:
    x, y = blobs(4)
    decisions = SVC(gamma=0.1).fit(x, y).decision_function(x)

    losses = multiclass_hinge(torch.from_numpy(decisions), torch.from_numpy(y))

    assert float(losses.mean()) == pytest.approx(hinge_loss(y, decisions))


def test_a_class_that_was_not_there_is_never_the_answer() -> None:
    x, y = blobs(3)
    svc = SVC(gamma=0.1).fit(x, y)

    scores = taken_over(svc, x, outputs=5, classes=[0, 2, 4])(torch.from_numpy(x))

    assert torch.isfinite(scores).all()
    assert np.allclose(scores[:, [0, 2, 4]], svc.decision_function(x))
    assert set(scores.argmax(1).tolist()) <= {0, 2, 4}
    assert (scores[:, [1, 3]] <= scores[:, [0, 2, 4]].amin(1, keepdim=True) - 1).all()


def test_many_classes_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs(7)
    svc = SVC(gamma=0.1).fit(x, y)
    machine = taken_over(svc, x, outputs=7, classes=list(range(7)))
    whole = machine(torch.from_numpy(x))
    monkeypatch.setattr("trainyard.models.svm.VALUES_AT_A_TIME", 100)

    assert torch.equal(machine(torch.from_numpy(x)), whole)
