"""Fits a support vector machine with scikit-learn's SVC, and takes what was fitted over into tensors."""

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainyard.errors import Diverged, TrialError
from trainyard.models.svm import Kernel, SupportVectorMachine
from trainyard.spec.models.svm import Svm
from trainyard.training.svm.standardised import Standardised

if TYPE_CHECKING:
    from sklearn.svm import SVC

PRECOMPUTED_ROWS = 4096
"""Up to so many rows all values of the kernel are worked out beforehand, from scalar products that all trials share:
128 MiB at most. Of more, those that are drawn have scalar products of their own, which no other trial has any use for.
libsvm by itself works out values one by one, anew in each trial."""

CACHE_MIB = 512
"""Of values that libsvm keeps where they don't come precomputed."""

ROWS_AT_A_TIME = 2048

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A machine, its scores (N, K) of the N rows that it was fitted to and their labels int64 (N,).

    iterations: the most of libsvm's over the pairs of classes. converged: whether none of them ran out of iterations.
    """

    machine: SupportVectorMachine
    scores: Tensor
    labels: Tensor
    iterations: int
    converged: bool


def build_svc(settings: Svm) -> "SVC":
    """scikit-learn's, not fitted yet."""
    from sklearn.svm import SVC

    return SVC(
        C=settings.C,
        kernel=settings.kernel,
        gamma=settings.gamma,
        degree=settings.degree,
        class_weight=None if settings.class_weight == "none" else settings.class_weight,
        max_iter=settings.max_iter,
        cache_size=CACHE_MIB,
    )


def fit_svm(svc: "SVC", settings: Svm, training: Standardised, *, outputs: int, seed: int) -> Fit:
    """Fit to the training split, or to settings.max_rows of it, drawn by the seed.

    TrialError if fewer than two classes have rows, Diverged if the kernel's values are infinite or too large.
    """
    chosen = drawn_rows(training.labels, settings.max_rows, seed)
    labels = training.labels[chosen]
    if len(np.unique(labels)) < 2:
        raise TrialError("model svm: all rows of the training split are of one class. It takes two to be told apart.")
    rows = training.features if len(chosen) == len(training.features) else training.features[chosen]
    kernel = Kernel(name=settings.kernel, gamma=gamma_of(settings, rows), degree=settings.degree)
    if len(chosen) > PRECOMPUTED_ROWS:
        values = None
        _fitted(svc.set_params(gamma=kernel.gamma), kernel, rows, labels)
    else:
        values = _values(kernel, _products(training, chosen, rows))
        _fitted(svc.set_params(kernel="precomputed"), kernel, values, labels)
    machine = _machine(svc, kernel, training, rows, outputs)
    scores = _scores(machine, rows) if values is None else machine.scores(values[:, svc.support_])
    return Fit(
        machine=machine,
        scores=scores,
        labels=torch.from_numpy(labels),
        iterations=int(np.max(svc.n_iter_)),
        converged=svc.fit_status_ == 0,
    )


def gamma_of(settings: Svm, rows: Tensor) -> float:
    """As scikit-learn has it: `scale` is 1 / (D x the variance of all numbers), `auto` 1 / D."""
    if settings.gamma == "auto":
        return 1 / rows.shape[1]
    if settings.gamma == "scale":
        variance = rows.var(correction=0).item()
        return 1 / (rows.shape[1] * variance) if variance else 1.0
    return settings.gamma


def drawn_rows(labels: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """At most so many rows, int64, ascending: a random part of each class in proportion to its rows."""
    total = len(labels)
    if most is None or most >= total:
        return np.arange(total)
    by_class = np.lexsort((np.random.default_rng(seed).random(total), labels))
    evenly = (2 * np.arange(most) + 1) * total // (2 * most)
    return np.sort(by_class[evenly])


def _products(training: Standardised, chosen: np.ndarray, rows: Tensor) -> Tensor:
    """float64 (n, n): the scalar products of the chosen rows, from those of all rows if these are few enough."""
    if len(training.features) > PRECOMPUTED_ROWS:
        return rows @ rows.T
    products = training.products
    return products if len(chosen) == len(products) else products[chosen][:, chosen]


def _values(kernel: Kernel, products: Tensor) -> Tensor:
    squares = products.diagonal()
    values = kernel.of_products(products, squares, squares)
    if not torch.isfinite(values).all():
        raise Diverged(f"the {kernel.name} kernel is infinite with {_shown(kernel)}")
    return values


def _shown(kernel: Kernel) -> str:
    return f"gamma={kernel.gamma:.4g}, degree={kernel.degree}"


def _fitted(svc: "SVC", kernel: Kernel, rows: Tensor, labels: np.ndarray) -> None:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Fit.converged says so
        try:
            interruptibly(lambda: svc.fit(rows.numpy(), labels))
        except ValueError as error:
            if not _overflown(svc):
                raise
            raise Diverged(f"the {kernel.name} kernel is too large to be fitted with {_shown(kernel)}") from error


def _overflown(svc: "SVC") -> bool:
    """Whether a fit came to coefficients that are not finite: scikit-learn refuses those once they are there."""
    found = [getattr(svc, name, 0.0) for name in ("dual_coef_", "intercept_")]
    return not all(np.isfinite(numbers).all() for numbers in found)


def interruptibly(function: Callable[[], T]) -> T:
    """Call it in a thread: while libsvm is at work Python sees no signal, and Ctrl-C would wait for its end."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, name="trainyard-fit", daemon=True).start()
    return done.result()


def _machine(svc: "SVC", kernel: Kernel, training: Standardised, rows: Tensor, outputs: int) -> SupportVectorMachine:
    # Of two classes scikit-learn turns libsvm's signs round.
    sign = -1.0 if len(svc.classes_) == 2 else 1.0
    tensors = {
        "mean": training.mean,
        "scale": training.scale,
        "support": rows[svc.support_],
        "coefficients": torch.from_numpy(sign * svc.dual_coef_),
        "intercepts": torch.from_numpy(sign * svc.intercept_),
        "classes": torch.from_numpy(svc.classes_.astype(np.int64)),
        "counts": torch.from_numpy(svc.n_support_.astype(np.int64)),
    }
    return SupportVectorMachine(kernel=kernel, outputs=outputs, tensors=tensors)


def _scores(machine: SupportVectorMachine, rows: Tensor) -> Tensor:
    parts = rows.split(ROWS_AT_A_TIME)
    return torch.cat([machine.scores(machine.kernel(part, machine.support)) for part in parts])
