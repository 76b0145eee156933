"""A trial of an SVM against plain scikit-learn, and as the other trials are used."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainyard.data.columns import Columns
from trainyard.data.split import TrialData
from trainyard.errors import DataError, Diverged, RunError, TrialError
from trainyard.models.svm import SupportVectorMachine
from trainyard.spec.job import Job
from trainyard.training import checkpoint
from trainyard.training.evaluation import job_to_measure, measure
from trainyard.training.member import Member
from trainyard.training.svm import libsvm
from trainyard.training.svm.features import FeatureData
from trainyard.training.svm.libsvm import drawn_rows, interruptibly
from trainyard.training.svm.split import FeatureSplit
from trainyard.training.svm.standardised import Standardised
from trainyard.training.svm.trial import SvmTrial

MEASURES = ("accuracy", "f1", "precision", "recall")


@pytest.fixture(scope="session")
def features(data: TrialData) -> FeatureData:
    """The patterns' own pixels, of uneven scales, as features: the training split in two chunks, all read-only."""

    def columns(split: Any) -> Columns:
        whole = {
            "features": (split.chunks[0]["image"].reshape(split.rows, -1) * np.linspace(0, 3, 192)).astype(np.float32),
            "label": split.chunks[0]["label"],
        }
        for column in whole.values():
            column.setflags(write=False)
        return whole

    train = columns(data.train)
    chunks = [{name: column[part] for name, column in train.items()} for part in (slice(100), slice(100, None))]
    return FeatureData(
        manifest=data.manifest, train=FeatureSplit(chunks), evaluate=FeatureSplit([columns(data.evaluate)]), weights="w"
    )


def svm_job(**model: Any) -> Job:
    return Job.from_dict(
        {
            "name": "patterns-svm",
            "task": "classification",
            "data": {"path": "data/patterns"},
            "model": {"name": "svm", "features": {"architecture": "squeezenet1_1"}, **model},
            "training": {"epochs": 1, "batch_size": 16},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
    )


def by_sklearn(features: FeatureData, **settings: Any) -> Pipeline:
    train = np.concatenate([chunk["features"] for chunk in features.train.chunks]).astype(np.float64)
    return make_pipeline(StandardScaler(), SVC(break_ties=True, **settings)).fit(train, features.train.labels)


@pytest.mark.parametrize("precomputed", [True, False], ids=["precomputed", "by libsvm"])
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({}, {}),
        ({"C": 0.01, "kernel": "linear"}, {"C": 0.01, "kernel": "linear"}),
        ({"C": 30.0, "gamma": 1e-3}, {"C": 30.0, "gamma": 1e-3}),
        ({"kernel": "poly", "degree": 2, "gamma": "auto"}, {"kernel": "poly", "degree": 2, "gamma": "auto"}),
        ({"kernel": "sigmoid", "class_weight": "balanced"}, {"kernel": "sigmoid", "class_weight": "balanced"}),
    ],
    ids=["defaults", "linear", "rbf", "poly", "sigmoid"],
)
def test_it_answers_as_plain_scikit_learn_does(
    features: FeatureData,
    model: dict[str, Any],
    settings: dict[str, Any],
    precomputed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libsvm, "PRECOMPUTED_ROWS", 10**6 if precomputed else 0)
    trial = SvmTrial(svm_job(**model), features)
    measured = trial.epoch()

    plain = by_sklearn(features, **settings)
    (evaluate,) = features.evaluate.chunks
    truth, scores = evaluate["label"], plain.decision_function(evaluate["features"].astype(np.float64))
    answers = plain.predict(evaluate["features"].astype(np.float64))
    macro = {"average": "macro", "zero_division": 0}
    assert [measured[f"val/{name}"] for name in MEASURES] == pytest.approx(
        [
            metrics.accuracy_score(truth, answers),
            metrics.f1_score(truth, answers, **macro),
            metrics.precision_score(truth, answers, **macro),
            metrics.recall_score(truth, answers, **macro),
        ]
    )
    assert measured["val/loss"] == pytest.approx(metrics.hinge_loss(truth, scores), abs=1e-6)
    assert measured["svm/support_vectors"] == len(plain[-1].support_)
    assert measured["svm/converged"] == 1
    assert trial.done == "fitted"


def test_every_class_is_measured_as_in_other_trials(features: FeatureData) -> None:
    measured = SvmTrial(svm_job(), features).epoch()

    assert {f"val/{measure}/{name}" for measure in ("precision", "average_precision") for name in "abcdef"} <= {
        *measured
    }
    assert measured["train/accuracy"] > 0.9


def test_a_threshold_is_chosen_as_for_other_classifiers(features: FeatureData) -> None:
    job = Job.from_dict(svm_job().to_dict() | {"decision": {"positive": "b", "threshold": "f1"}})
    measured, usual = SvmTrial(job, features).epoch(), SvmTrial(svm_job(), features).epoch()

    assert 0 < measured["val/threshold"] < 1
    assert measured["val/f1/b"] >= usual["val/f1/b"]
    assert measured["val/average_precision/b"] == usual["val/average_precision/b"]


def test_what_is_saved_answers_the_same_without_being_fitted(features: FeatureData) -> None:
    trial = SvmTrial(svm_job(C=3.0), features)
    metrics = trial.epoch()
    saved = checkpoint.to_bytes(trial.state())  # refuses to read a pickle of anything but tensors and plain values

    other = SvmTrial(svm_job(C=3.0), features)
    assert (other.done, other.finished_epochs) == (None, 0)
    other.load_state(checkpoint.from_bytes(saved))

    assert (other.done, other.history) == ("fitted", [metrics])
    again = other.evaluate()
    assert again == {name: metrics[name] for name in again}


def test_what_is_saved_is_measured_on_other_rows(features: FeatureData) -> None:
    job = svm_job(C=3.0)
    trial = SvmTrial(job, features)
    metrics = trial.epoch()
    state = checkpoint.from_bytes(checkpoint.to_bytes(trial.state()))

    def measured(split: str, rows: FeatureSplit) -> dict[str, float]:
        other = job_to_measure(job, {}, state, split)
        return measure(other, features.manifest, iter([rows]), state, member=Member())

    assert measured("val", features.evaluate) == trial.evaluate()
    assert measured("train", features.train)["train/accuracy"] == metrics["train/accuracy"]


def test_a_state_of_other_weights_is_refused(features: FeatureData) -> None:
    trial = SvmTrial(svm_job(), features)
    trial.epoch()
    others = FeatureData(manifest=features.manifest, train=features.train, evaluate=features.evaluate, weights="others")

    with pytest.raises(RunError, match="extracted with other weights"):
        SvmTrial(svm_job(), others).load_state(trial.state())


def test_a_fit_that_runs_out_of_iterations_says_so(features: FeatureData, caplog: pytest.LogCaptureFixture) -> None:
    trial = SvmTrial(svm_job(max_iter=3), features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = trial.epoch()

    assert (metrics["svm/converged"], metrics["svm/iterations"]) == (0, 3)
    assert trial.done == "not converged after model.max_iter=3 iterations"
    assert "not converged" in caplog.text


def test_the_settings_are_read_back_from_what_is_fitted(features: FeatureData) -> None:
    trial = SvmTrial(svm_job(C=2.5, gamma=0.5, class_weight="balanced"), features)
    live = trial.live_values()

    assert (live["model.C"], live["model.gamma"], live["model.kernel"]) == (2.5, 0.5, "rbf")
    assert (live["model.class_weight"], live["model.features.pool"]) == ("balanced", "average")
    trial._svc.C = 7.0
    assert trial.live_values()["model.C"] == 7.0


@pytest.mark.parametrize(
    ("gamma", "precomputed", "message"),
    [
        (1e20, True, "the poly kernel is infinite with gamma=1e"),
        (1e20, False, "the poly kernel is too large to be fitted with gamma=1e"),
        (1e13, True, "the poly kernel is too large to be fitted with gamma=1e"),
    ],
    ids=["infinite", "infinite by libsvm", "finite"],
)
def test_a_kernel_that_overflows_ends_the_trial_as_diverged(
    features: FeatureData, gamma: float, precomputed: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libsvm, "PRECOMPUTED_ROWS", 10**6 if precomputed else 0)
    with pytest.raises(Diverged, match=message):
        SvmTrial(svm_job(kernel="poly", degree=20, gamma=gamma), features).epoch()


def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged(
    features: FeatureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        SupportVectorMachine, "forward", lambda self, rows: torch.full((len(rows), self.outputs), torch.nan)
    )
    with pytest.raises(Diverged, match="the loss is nan in the evaluation"):
        SvmTrial(svm_job(), features).epoch()


def test_most_rows_are_drawn_from_each_class_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])

    rows = drawn_rows(labels, 20, seed=0)

    assert np.bincount(labels[rows]).tolist() == [12, 6, 2]
    assert (np.diff(rows) > 0).all()
    assert not np.array_equal(rows, drawn_rows(labels, 20, seed=1))
    assert np.array_equal(drawn_rows(labels, 100, seed=0), np.arange(100))
    assert np.array_equal(drawn_rows(labels, None, seed=0), np.arange(100))


def test_fewer_rows_are_fitted_and_standardised_as_all_are(features: FeatureData) -> None:
    trial = SvmTrial(svm_job(max_rows=60, kernel="linear"), features)
    metrics = trial.epoch()

    assert metrics["svm/support_vectors"] <= 60
    machine = trial.state()["svm"]["tensors"]
    assert torch.equal(machine["mean"], features.standardised.mean)


def test_of_many_rows_only_those_that_are_drawn_are_multiplied(
    features: FeatureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = replace(features)
    expected = SvmTrial(svm_job(max_rows=60), features).epoch()
    monkeypatch.setattr(libsvm, "PRECOMPUTED_ROWS", 100)  # there are 150
    metrics = SvmTrial(svm_job(max_rows=60), fresh).epoch()

    assert "products" not in vars(fresh.standardised)
    assert metrics["val/loss"] == pytest.approx(expected["val/loss"])
    assert metrics["svm/support_vectors"] == expected["svm/support_vectors"]


def test_features_are_standardised_once_for_all_trials(features: FeatureData, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FeatureSplit] = []
    inner = Standardised.of

    def counted(split: FeatureSplit) -> Standardised:
        made.append(split)
        return inner(split)

    monkeypatch.setattr(Standardised, "of", counted)
    fresh = replace(features)
    for regularisation in (0.1, 1.0, 10.0):
        SvmTrial(svm_job(C=regularisation), fresh).epoch()

    assert made == [fresh.train]


@pytest.mark.parametrize(("evaluate", "message"), [(0, "the split to evaluate on has no rows")])
def test_without_rows_it_is_refused(features: FeatureData, evaluate: int, message: str) -> None:
    manifest = features.manifest
    splits = {**manifest.splits, "val": manifest.splits["val"].model_copy(update={"rows": evaluate})}
    empty = FeatureData(
        manifest=manifest.model_copy(update={"splits": splits}),
        train=features.train,
        evaluate=features.evaluate,
        weights="w",
    )
    with pytest.raises(DataError, match=message):
        SvmTrial(svm_job(), empty)


def test_whatever_a_fit_raises_is_the_trials_end(features: FeatureData, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **settings: Any) -> None:
        raise ValueError("on purpose")

    monkeypatch.setattr("sklearn.svm.SVC.fit", broken)
    with pytest.raises(TrialError, match="model svm, fit: ValueError: on purpose"):
        SvmTrial(svm_job(), features).epoch()


def test_an_interrupt_does_not_wait_for_a_fit() -> None:
    import signal
    import threading
    import time

    released = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda number, frame: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            interruptibly(lambda: released.wait(20))
        assert time.monotonic() - started < 5
    finally:
        released.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_same_job_gives_the_same_numbers(features: FeatureData) -> None:
    one, two = (SvmTrial(svm_job(max_rows=80), features).epoch() for _ in range(2))
    timeless = [{name: value for name, value in run.items() if not name.startswith("seconds/")} for run in (one, two)]

    assert timeless[0] == timeless[1]
