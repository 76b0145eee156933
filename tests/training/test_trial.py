"""One trial on one worker."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trainyard.data.columns import Columns
from trainyard.data.rows import EpochOrder
from trainyard.data.split import MemorySplit, TrialData
from trainyard.errors import DataError, Diverged, TrialError
from trainyard.spec.job import Job
from trainyard.training.trial import Trial

MakeJob = Callable[..., Job]
AUGMENTATIONS = {"rotate": {"degrees": 20}, "horizontal_flip": {}, "noise": {"std": 0.05}}
SECONDS = ("seconds/train", "seconds/evaluate")


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in metrics.items() if name not in SECONDS} for metrics in history]


def train_images(data: TrialData) -> np.ndarray:
    assert isinstance(data.train, MemorySplit)
    return data.train.chunks[0]["image"]


def with_train_images(data: TrialData, images: np.ndarray) -> TrialData:
    assert isinstance(data.train, MemorySplit)
    return replace(data, train=MemorySplit.of({**data.train.chunks[0], "image": images}))


def trained(job: Job, data: TrialData, epochs: int = 2) -> Trial:
    trial = Trial(job, data)
    for _ in range(epochs):
        trial.epoch()
    return trial


def test_it_learns(make_job: MakeJob, data: TrialData) -> None:
    history = trained(make_job(), data, epochs=5).history
    assert history[0]["val/accuracy"] < history[-1]["val/accuracy"] > 0.9
    assert history[0]["train/loss"] > history[-1]["train/loss"]


def test_an_epoch_reports_what_the_task_measures_and_how_long_it_took(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(loss={"cross_entropy": {"weight": 0.5}, "focal": {"weight": 2.0}})
    metrics = Trial(job, data).epoch()
    assert set(metrics) == {
        *(f"{split}/{name}" for split in ("train", "val") for name in ("loss", "loss/cross_entropy", "loss/focal")),
        *(f"{split}/loss_share/{name}" for split in ("train", "val") for name in ("cross_entropy", "focal")),
        "train/accuracy",
        *(f"val/{name}" for name in ("accuracy", "top5_accuracy", "f1", "precision", "recall")),
        *(f"gradients/{layer}/{part}" for layer in (0, 3, 8) for part in ("norm", "update")),
        *(f"val/{name}/{label}" for name in ("f1", "precision", "recall", "average_precision") for label in "abcdef"),
        "optimizer/lr",
        *SECONDS,
    }
    for split in ("train", "val"):
        mixed = 0.5 * metrics[f"{split}/loss/cross_entropy"] + 2 * metrics[f"{split}/loss/focal"]
        assert metrics[f"{split}/loss"] == pytest.approx(mixed)
        share = 2 * metrics[f"{split}/loss/focal"] / mixed
        assert metrics[f"{split}/loss_share/focal"] == pytest.approx(share)
        assert metrics[f"{split}/loss_share/cross_entropy"] == pytest.approx(1 - share)


def test_the_same_seed_gives_the_same_numbers_bit_for_bit(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(augmentations=AUGMENTATIONS)
    first, second = trained(job, data), trained(job, data)
    assert without_seconds(first.history) == without_seconds(second.history)
    weights = zip(first.state()["learner"]["model"].values(), second.state()["learner"]["model"].values(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in weights)


def test_another_seed_gives_other_numbers(make_job: MakeJob, data: TrialData) -> None:
    first, second = trained(make_job(), data, 1), trained(make_job(training={"seed": 1}), data, 1)
    assert first.history[0]["train/loss"] != second.history[0]["train/loss"]


def test_torchs_random_state_stays_as_it_was(make_job: MakeJob, data: TrialData) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained(make_job(augmentations=AUGMENTATIONS), data)
    assert torch.equal(torch.rand(3), expected)


def test_read_only_columns_are_used_without_a_warning(make_job: MakeJob, data: TrialData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(make_job(augmentations=AUGMENTATIONS), data, epochs=1)


def test_it_is_done_after_all_epochs(make_job: MakeJob, data: TrialData) -> None:
    trial = trained(make_job(training={"epochs": 2}), data, epochs=1)
    assert (trial.finished_epochs, trial.done) == (1, None)
    trial.epoch()
    assert (trial.finished_epochs, trial.done, trial.stopped_early) == (2, "all epochs", False)


def test_early_stopping_ends_a_trial_that_does_not_improve(make_job: MakeJob, data: TrialData) -> None:
    stopping = {"metric": "val/loss", "patience": 2, "min_delta": 100.0}
    trial = trained(make_job(training={"epochs": 9, "early_stopping": stopping}), data, epochs=2)
    assert trial.done is None
    trial.epoch()
    assert trial.done == "early stopping: val/loss has not improved for 2 epochs"
    assert trial.stopped_early


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_learning_rate_far_too_high_diverges(make_job: MakeJob, data: TrialData, optimizer: str) -> None:
    with pytest.raises(Diverged, match=r"the loss is \S+ by step 9 of 9 of epoch 1"):
        Trial(make_job(optimizer={"name": optimizer, "lr": 1e9}), data).epoch()


def test_nan_pixels_diverge(make_job: MakeJob, data: TrialData) -> None:
    images = (train_images(data) / 255).astype(np.float32)
    images[3, 0, 0, 0] = np.nan
    with pytest.raises(Diverged, match=r"the loss is nan by step 9 of 9 of epoch 1"):
        Trial(make_job(), with_train_images(data, images)).epoch()


@pytest.mark.parametrize("pixel", [0, 255])
def test_constant_images_train_without_a_nan(make_job: MakeJob, data: TrialData, pixel: int) -> None:
    constant = np.full_like(train_images(data), pixel)
    job = make_job(augmentations={**AUGMENTATIONS, "contrast": {"amount": 1.0}, "brightness": {"amount": 1.0}})
    metrics = Trial(job, with_train_images(data, constant)).epoch()
    assert np.isfinite(list(metrics.values())).all()


def test_fewer_rows_than_a_batch(make_job: MakeJob, data: TrialData) -> None:
    with pytest.raises(DataError, match=r"got batch_size=151, rows=150"):
        Trial(make_job(training={"batch_size": 151}), data)


def test_a_single_batch_is_an_epoch(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(training={"batch_size": 150, "epochs": 1}, schedule={"name": "one_cycle"})
    assert trained(job, data, epochs=1).done == "all epochs"


def test_padding_makes_a_batch_larger_than_the_split(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(training={"batch_size": 200, "epochs": 1, "last_batch": "pad"})
    assert trained(job, data, epochs=1).done == "all epochs"


def test_what_is_weighed_nothing_is_not_learnt(make_job: MakeJob, data: TrialData) -> None:
    weights = dict.fromkeys("bcdef", 0.0)
    job = make_job(training={"sampling": {"name": "weighted", "weights": weights}})
    history = trained(job, data).history
    assert history[-1]["train/accuracy"] == 1.0
    assert history[-1]["val/accuracy"] < 0.3


def test_weights_that_leave_no_row(make_job: MakeJob, data: TrialData) -> None:
    sampling = {"name": "weighted", "weights": dict.fromkeys("abcdef", 0.0)}
    with pytest.raises(DataError, match=r"must not all be 0 for the classes that occur in the training split"):
        Trial(make_job(training={"sampling": sampling}), data)


class Streamed(MemorySplit):
    """Yields batches as a stream does, and says whether its reader let go of it."""

    closed = 0

    def training(self, order: EpochOrder) -> Iterator[Columns]:
        try:
            yield from super().training(order)
        finally:
            self.closed += 1


def test_a_trial_that_diverges_lets_go_of_its_stream(make_job: MakeJob, data: TrialData) -> None:
    assert isinstance(data.train, MemorySplit)
    split = Streamed(data.train.chunks)
    job = make_job(optimizer={"name": "sgd", "lr": 1e9}, training={"batch_size": 2})
    with pytest.raises(Diverged, match=r"by step 50 of 75"):
        Trial(job, replace(data, train=split)).epoch()
    assert split.closed == 1


def test_a_split_that_is_not_there(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(data={"path": "data/patterns", "evaluate_split": "test"})
    with pytest.raises(
        DataError, match=r"data/patterns has no split test, which data.evaluate_split names. It has: train, val."
    ):
        Trial(job, data)


def test_a_metric_that_the_data_cannot_give(make_job: MakeJob, data: TrialData) -> None:
    few = data.manifest.model_copy(update={"classes": tuple("abc")})
    job = make_job(objective={"metric": "val/top5_accuracy", "mode": "max"})
    with pytest.raises(DataError, match=r"val/top5_accuracy can't be measured with the 3 classes of data/patterns"):
        Trial(job, replace(data, manifest=few))


@pytest.mark.parametrize(
    "sections",
    [
        {"training": {"precision": "bfloat16", "channels_last": True}},
        {"training": {"precision": "float16"}},
        {"training": {"clip_grad_norm": 0.1}, "schedule": {"name": "cosine", "warmup_epochs": 1.0}},
        {"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}, "schedule": {"name": "step", "every_epochs": 1}},
        {"optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 0.1}, "schedule": {"name": "one_cycle"}},
    ],
    ids=["bfloat16", "float16", "clipped", "sgd", "adam"],
)
def test_the_ways_to_train(make_job: MakeJob, data: TrialData, sections: dict[str, Any]) -> None:
    history = trained(make_job(**sections), data).history
    assert history[1]["train/loss"] < history[0]["train/loss"]


def test_the_learning_rate_follows_the_schedule(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(optimizer={"name": "sgd", "lr": 0.5}, schedule={"name": "step", "every_epochs": 1, "gamma": 0.1})
    rates = [metrics["optimizer/lr"] for metrics in trained(job, data, epochs=3).history]
    assert rates == pytest.approx([0.5, 0.05, 0.005])


def test_live_values_are_the_jobs(make_job: MakeJob, data: TrialData) -> None:
    job = make_job(
        loss={"cross_entropy": {"label_smoothing": 0.1}, "focal": {"weight": 0.5, "gamma": 1.5}},
        optimizer={"name": "sgd", "lr": 0.03, "momentum": 0.8},
        schedule={"name": "one_cycle", "pct_start": 0.2},
        augmentations=AUGMENTATIONS,
        training={"clip_grad_norm": 2.0},
    )
    live = trained(job, data, epochs=1).live_values()
    stated = job.values()
    assert live == {path: stated[path] for path in live}
    sections = {path.partition(".")[0] for path in live}
    assert sections == {"loss", "optimizer", "schedule", "augmentations", "model", "training"}


def test_live_values_are_read_from_the_objects_at_work(make_job: MakeJob, data: TrialData) -> None:
    trial = Trial(make_job(), data)
    trial._learner.optimizer.param_groups[0]["weight_decay"] = 0.125
    trial._task.loss.weights["cross_entropy"] = 4.0
    trial._learner.model.get_submodule("7").p = 0.75  # type: ignore[assignment]
    live = trial.live_values()
    assert live["optimizer.weight_decay"] == 0.125
    assert live["loss.cross_entropy.weight"] == 4.0
    assert live["model.dropout"] == 0.75


def test_a_closed_trial_lets_go_of_its_model(make_job: MakeJob, data: TrialData) -> None:
    trial = trained(make_job(), data, epochs=1)
    trial.close()
    assert len(trial.history) == 1
    with pytest.raises(AttributeError):
        trial.epoch()


def test_running_out_of_memory_fails_the_trial(make_job: MakeJob, data: TrialData) -> None:
    trial = Trial(make_job(), data)

    def greedy(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore text")

    trial._learner.model.register_forward_hook(greedy)
    with pytest.raises(
        TrialError, match=r"epoch 1: out of memory: CUDA out of memory. Tried to allocate 2 GiB \(use a"
    ):
        trial.epoch()
