"""Nets that are made to explode, to vanish, to die or to stand still, and healthy ones that are left in peace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.split import TrialData
from trainyard.errors import Diverged, TrialError
from trainyard.spec.job import Job
from trainyard.sweep.slots.worker import Worker
from trainyard.sweep.slots.workers import SoloWorkers
from trainyard.training import checkpoint
from trainyard.training.trial import Member, Trial

MakeJob = Callable[..., Job]
Dense = Callable[..., Trial]

NETS = """
from torch import nn

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}

def dense(image, outputs, depth, activation="relu", gain=1.4, dead="", frozen=0, norm=False):
    width, layers = image[0] * image[1] * image[2], [nn.Flatten()]
    for index in range(depth - 1):
        layer = nn.Linear(width, 32)
        nn.init.normal_(layer.weight, std=gain / width**0.5)
        nn.init.constant_(layer.bias, -1e3 if str(index) == dead else 0.1)
        layer.requires_grad_(index >= frozen)
        layers += [layer, *([nn.BatchNorm1d(32)] if norm else []), ACTIVATIONS[activation]()]
        width = 32
    return nn.Sequential(*layers, nn.Linear(width, outputs))
"""


@pytest.fixture
def dense(make_job: MakeJob, data: TrialData, tmp_path: Path) -> Dense:
    """dense({"depth": 10}, optimizer={...}): a trial of ten dense layers, 1, 3, 5, ... by their paths."""
    (tmp_path / "watched_nets.py").write_text(NETS)

    def make(model: dict[str, Any], *, epochs: int = 6, patience: int = 30, **sections: Any) -> Trial:
        training = {"epochs": epochs, "gradients": {"patience": patience}} | sections.pop("training", {})
        job = make_job(model={"name": "watched_nets:dense", **model}, training=training, **sections)
        return Trial(job, data, directory=tmp_path)

    return make


def to_the_end(trial: Trial) -> Trial:
    while trial.done is None:
        trial.epoch()
    return trial


def diverged(trial: Trial) -> str:
    with pytest.raises(Diverged) as error:
        to_the_end(trial)
    return error.value.reason


def found(trial: Trial) -> list[tuple[str, str]]:
    return [(finding.name, finding.layer) for finding in to_the_end(trial).findings]


SGD = {"name": "sgd", "lr": 0.02}
FAR_TOO_LARGE = {"name": "sgd", "lr": 100.0}
CLIPPED = {"clip_grad_norm": 1.0}


def test_a_learning_rate_far_too_high_names_the_layer_that_took_the_step(dense: Dense) -> None:
    reason = diverged(dense({"depth": 4}, optimizer={"name": "sgd", "lr": 1e9}))
    assert reason.startswith("the loss is ")
    assert " of epoch 1; layer " in reason
    assert " stood out: " in reason


def test_weights_that_amplify_too_much_end_the_trial_at_its_first_step(dense: Dense) -> None:
    reason = diverged(dense({"depth": 8, "gain": 1e6}, optimizer=SGD))
    assert "step 1 of" in reason
    assert " stood out: " in reason


def test_an_explosion_that_lasts_ends_the_trial(dense: Dense) -> None:
    """Clipped gradients keep the numbers finite, but the steps far too large."""
    reason = diverged(dense({"depth": 3, "activation": "tanh"}, optimizer=FAR_TOO_LARGE, training=CLIPPED))
    assert reason.startswith("exploding, layer ")
    assert "times that of the first step" in reason


def test_an_explosion_is_only_reported_if_that_is_wanted(dense: Dense) -> None:
    training = {"clip_grad_norm": 1.0, "gradients": {"patience": 30, "on_explosion": "report"}}
    trial = dense({"depth": 3, "activation": "tanh"}, optimizer=FAR_TOO_LARGE, training=training)
    assert found(trial)[0][0] == "exploding"


@pytest.mark.parametrize("optimizer", [SGD, {"name": "adamw", "lr": 1e-3}], ids=["sgd", "adamw"])
def test_the_gradients_of_a_deep_sigmoid_net_vanish(dense: Dense, optimizer: dict[str, Any]) -> None:
    trial = dense({"depth": 14, "activation": "sigmoid"}, optimizer=optimizer)
    assert found(trial) == [("vanishing", "1")]
    metrics = trial.history[-1]
    assert metrics["gradients/1/norm"] < 1e-5 * metrics["gradients/27/norm"]


def test_a_dead_relu_is_named_where_it_cuts_the_gradients_off(dense: Dense) -> None:
    """The second layer answers with zeros only: the third, path 5, gets no gradient for want of input."""
    assert found(dense({"depth": 5, "dead": "1"}, optimizer=SGD)) == [("dead", "5")]


def test_a_learning_rate_of_next_to_nothing_stalls(dense: Dense) -> None:
    assert [name for name, _ in found(dense({"depth": 4}, optimizer={"name": "adamw", "lr": 1e-11}))] == ["stalled"]


HEALTHY: dict[str, dict[str, Any]] = {
    "adamw": {},
    "high rate": {"optimizer": {"name": "adamw", "lr": 0.03}},
    "sgd": {"optimizer": SGD},
    "warm-up": {"optimizer": SGD, "schedule": {"name": "cosine", "warmup_epochs": 6}},
    "one-cycle": {"optimizer": {"name": "adamw", "lr": 0.03}, "schedule": {"name": "one_cycle"}},
    "tiny batches": {"optimizer": {"name": "sgd", "lr": 0.003}, "training": {"batch_size": 2, "epochs": 2}},
    "clipped": {"optimizer": SGD, "training": {"clip_grad_norm": 0.1}},
    "bfloat16": {"training": {"precision": "bfloat16"}},
    "dropout": {"model": {"name": "cnn", "channels": [8, 16], "padding": "same", "dropout": 0.9}},
    "converged": {"training": {"epochs": 40}, "model": {"name": "cnn", "channels": [8, 16], "padding": "same"}},
}


@pytest.mark.parametrize("sections", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_said_of_a_healthy_training(make_job: MakeJob, data: TrialData, sections: dict[str, Any]) -> None:
    training = {"epochs": 12, "gradients": {"patience": 20}} | sections.get("training", {})
    assert found(Trial(make_job(**{**sections, "training": training}), data)) == []


@pytest.mark.parametrize(
    "model",
    [
        {"depth": 12},
        {"depth": 12, "norm": True, "gain": 0.1},
        {"depth": 6, "frozen": 3},
        {"depth": 4, "activation": "sigmoid"},
    ],
    ids=["deep", "norm", "frozen", "short sigmoid"],
)
def test_nothing_is_said_of_healthy_nets(dense: Dense, model: dict[str, Any]) -> None:
    assert found(dense(model, epochs=12, patience=20, optimizer=SGD)) == []


@pytest.mark.parametrize("annotation", ["mask", "boxes"])
def test_nothing_is_said_of_the_other_tasks(
    make_job: MakeJob, make_scenes: Callable[..., TrialData], annotation: str
) -> None:
    sections: dict[str, Any] = {
        "mask": {
            "task": "semantic_segmentation",
            "model": {"name": "unet", "channels": [4, 6, 8]},
            "objective": {"metric": "val/miou", "mode": "max"},
        },
        "boxes": {
            "task": "detection",
            "model": {"name": "centernet", "channels": [4, 6, 8], "head_channels": 6},
            "loss": {"heatmap": {}, "size": {"weight": 0.1}, "offset": {}},
            "objective": {"metric": "val/map", "mode": "max"},
        },
    }[annotation]
    training = {"batch_size": 8, "epochs": 10, "gradients": {"patience": 10}}
    assert found(Trial(make_job(**sections, training=training), make_scenes(annotation))) == []


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_going_on_from_a_checkpoint_neither_loses_nor_doubles_a_finding(
    dense: Dense, tmp_path: Path, epochs: int
) -> None:
    def trial() -> Trial:
        return dense({"depth": 5, "dead": "1"}, optimizer=SGD)

    uninterrupted, first, second = to_the_end(trial()), trial(), trial()
    for _ in range(epochs):
        first.epoch()
    checkpoint.save_state(tmp_path / "state", first.state())
    second.load_state(checkpoint.load_state(tmp_path / "state"))
    assert second.findings == first.findings
    assert to_the_end(second).findings == uninterrupted.findings
    assert len(second.findings) == 1


def test_nothing_is_found_where_nothing_is_watched(dense: Dense) -> None:
    trial = dense({"depth": 5, "dead": "1"}, optimizer=SGD, training={"gradients": {"monitor": False}})
    assert found(trial) == []


RAISING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, image, outputs):
        super().__init__()
        self.head = nn.Linear(4, outputs)
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        if self.steps == 5:
            raise ValueError("on purpose")
        return self.head(torch.zeros(len(images), 4))
"""


def test_what_was_found_in_an_epoch_is_not_lost_where_the_model_raises(
    make_job: MakeJob, data: TrialData, tmp_path: Path
) -> None:
    (tmp_path / "raising_nets.py").write_text(RAISING)
    job = make_job(model={"name": "raising_nets:Net"}, training={"batch_size": 8, "gradients": {"patience": 1}})
    workers = SoloWorkers(Worker(job, lambda: data, member=Member(), directory=tmp_path))
    workers.start({})
    with pytest.raises(TrialError, match="ValueError: on purpose") as error:
        workers.epoch()
    assert [(finding.name, finding.layer) for finding in error.value.findings] == [("dead", "head")]
