"""One trial of a support vector machine: fitted at once, on features that all trials share."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainyard.data.location import Location
from trainyard.errors import Diverged, RunError
from trainyard.models.svm import SupportVectorMachine, multiclass_hinge
from trainyard.spec.job import Job
from trainyard.spec.models.svm import Svm
from trainyard.spec.section import flatten, plain
from trainyard.tasks.build import build_measuring
from trainyard.tasks.task import Meter
from trainyard.training.checkpoint import copied_to_cpu
from trainyard.training.failures import trial_errors
from trainyard.training.gradients.health import Finding
from trainyard.training.pictures import Drawn
from trainyard.training.svm.features import FeatureData
from trainyard.training.svm.libsvm import ROWS_AT_A_TIME, build_svc, fit_svm
from trainyard.training.svm.split import FeatureSplit

CPU = torch.device("cpu")

log = logging.getLogger("trainyard")


class SvmTrial:
    """A job whose model is a support vector machine, fitted to the features of the training split.

    To whoever runs it, it is a trial of one epoch. The metrics are those of classification, with the scores of the
    classes in the place of logits; the loss is the mean multiclass hinge loss. The same job and features give the same
    numbers. Whatever the fit raises arrives as a TrialError, and the trial is of no use afterwards.
    """

    def __init__(self, job: Job, data: FeatureData) -> None:
        """DataError if the data doesn't fit the job."""
        assert isinstance(job.model, Svm)
        self._job = job
        self._settings = job.model
        self._measuring = build_measuring(job, data.manifest, CPU)
        self._data = data
        with trial_errors("model svm"):
            self._svc = build_svc(job.model)
        self._machine: SupportVectorMachine | None = None
        self._meter: Meter | None = None
        self.history: list[dict[str, float]] = []
        """The metrics of the one epoch, once it is finished."""

    @property
    def finished_epochs(self) -> int:
        return len(self.history)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """None: there are no gradients to find anything in."""
        return ()

    @property
    def done(self) -> str | None:
        """Why there is nothing left to do; None before the fit."""
        if not self.history:
            return None
        if self.history[-1]["svm/converged"]:
            return "fitted"
        return f"not converged after model.max_iter={self._settings.max_iter} iterations"

    def epoch(self) -> dict[str, float]:
        """Fit, evaluate, and return the metrics. Diverged if the kernel overflows, or the loss does."""
        started = time.perf_counter()
        metrics = self._fit()
        fitted = time.perf_counter()
        metrics |= self.evaluate()
        metrics["seconds/train"] = fitted - started
        metrics["seconds/evaluate"] = time.perf_counter() - fitted
        self.history.append(metrics)
        if not metrics["svm/converged"]:
            log.warning("model svm: %s. Raise it, or search smaller model.C.", self.done)
        return dict(metrics)

    def _fit(self) -> dict[str, float]:
        with trial_errors("model svm, fit"):
            fit = fit_svm(
                self._svc,
                self._settings,
                self._data.standardised,
                outputs=len(self._data.manifest.classes),
                seed=self._job.training.seed,
            )
        self._machine = fit.machine
        return {
            "train/loss": float(_losses(fit.scores, fit.labels, "after the fit").mean()),
            "train/accuracy": float((fit.scores.argmax(1) == fit.labels).double().mean()),
            "svm/support_vectors": float(len(fit.machine.support)),
            "svm/iterations": float(fit.iterations),
            "svm/converged": float(fit.converged),
        }

    def evaluate(self) -> dict[str, float]:
        """The metrics of the evaluation split."""
        assert self._machine is not None, "nothing has been fitted"
        # Made when first needed, as metrics may be slow to import.
        meter = self._meter = self._meter or self._measuring.meter()
        values = machine_metrics(self._machine, self._data.evaluate, meter)
        return {f"val/{name}": value for name, value in values.items()}

    @property
    def draws(self) -> bool:
        """Classes need no pictures."""
        return False

    def draw(self, folder: Location) -> Drawn:
        return Drawn(epoch=self.finished_epochs)

    def state(self) -> dict[str, Any]:
        """All that a later trial of this job needs to go on, and the machine: a copy, of tensors and plain values."""
        return {
            "history": [dict(metrics) for metrics in self.history],
            "weights": self._data.weights,
            "svm": None if self._machine is None else copied_to_cpu(self._machine.state()),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken. RunError if its machine was fitted to other features, or it lacks a part."""
        with trial_errors("model svm, going on from a state"):
            if state["weights"] != self._data.weights:
                raise RunError("the state doesn't fit: its features were extracted with other weights.")
            self.history = [dict(metrics) for metrics in state["history"]]
            self._machine = None if state["svm"] is None else SupportVectorMachine.of_state(state["svm"])

    def live_values(self) -> dict[str, Any]:
        """The settings by path of the job, read back from the object that is fitted."""
        settings = self._svc.get_params()
        read = {name: settings[name] for name in ("C", "kernel", "gamma", "degree", "max_iter")}
        weighted = {"class_weight": settings["class_weight"] or "none", "max_rows": self._settings.max_rows}
        values = flatten({"model": {**read, **weighted, "features": plain(self._settings.features)}})
        return {path: value for path, value in values.items() if value is not None}

    def close(self) -> None:
        """Let go of the machine and the data. The trial can't be used afterwards."""
        self.__dict__ = {"history": self.history}


def machine_metrics(machine: SupportVectorMachine, split: FeatureSplit, meter: Meter) -> dict[str, float]:
    """The loss and the metrics of a split, without its name. Diverged if a score is not finite."""
    losses: list[Tensor] = []
    with trial_errors("model svm, evaluation"), torch.no_grad():
        meter.reset()
        for features, labels in split.batches(ROWS_AT_A_TIME):
            scores = machine(features)
            losses.append(_losses(scores, labels, "in the evaluation"))
            meter.update(scores, {"label": labels})
        return {"loss": float(torch.cat(losses).mean()), **meter.compute()}


def _losses(scores: Tensor, labels: Tensor, when: str) -> Tensor:
    """Of each row. Diverged if one is not finite: the other measures have no use for such scores."""
    losses = multiclass_hinge(scores, labels)
    if not torch.isfinite(losses).all():
        raise Diverged(f"the loss is {float(losses.mean()):.4g} {when}")
    return losses
