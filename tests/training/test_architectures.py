"""Every architecture that classifies trains through a trial, and what is frozen stays as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainyard.data.split import TrialData
from trainyard.errors import StorageError
from trainyard.spec.job import Job
from trainyard.spec.model import MODELS
from trainyard.spec.section import flatten
from trainyard.training.checkpoint import save_state
from trainyard.training.trial import Trial

MakeJob = Callable[..., Job]
SMALL = "shufflenet_v2_x0_5"
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {"padding": "same"},
    "mnist_net": {"channels": [8, 8], "batch_norm": True, "dropout": 0.1},
    "residual_net": {"depth": 8, "widths": [8, 8, 8]},
    "two_convolutions": {},
    "three_branches": {},
    "locally_connected": {},
    "torchvision": {"architecture": SMALL, "freeze": ["conv1", "stage2"]},
    "transfer": {"backbone": {"architecture": "resnet18", "until": "bn1"}, "channels": [8]},
}


@pytest.fixture
def make_trial(make_job: MakeJob, data: TrialData) -> Callable[..., Trial]:
    """make_trial("cnn", training={...}, dropout=0.1): a trial on 6 noisy patterns of 8x8 pixels."""

    def make(name: str, training: dict[str, Any] | None = None, **settings: Any) -> Trial:
        return Trial(make_job(model={"name": name, **settings}, training=training or {}), data)

    return make


def model_in(trial: Trial) -> nn.Module:
    return trial._learner.model


def copied(trial: Trial) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model_in(trial).state_dict().items()}


def changed(trial: Trial, before: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in model_in(trial).state_dict().items() if not torch.equal(tensor, before[name])}


def test_there_are_settings_for_all() -> None:
    trained = {name for name, model in MODELS.items() if "classification" in model.tasks and not model.fitted}
    assert set(SETTINGS) == trained


@pytest.mark.parametrize("name", SETTINGS)
def test_it_learns_and_goes_on_from_its_state(name: str, make_trial: Callable[..., Trial]) -> None:
    trial, other = (make_trial(name, **SETTINGS[name]) for _ in range(2))
    first = trial.epoch()
    other.load_state(trial.state())
    second = trial.epoch()

    assert second["train/loss"] < first["train/loss"]
    assert other.epoch()["val/loss"] == second["val/loss"]
    stated = flatten({"model": SETTINGS[name]})
    assert {path: trial.live_values()[path] for path in stated} == stated


@pytest.mark.parametrize("name", ["residual_net", "locally_connected", "transfer"])
def test_it_learns_in_bfloat16_with_channels_last(name: str, make_trial: Callable[..., Trial]) -> None:
    trial = make_trial(name, training={"precision": "bfloat16", "channels_last": True}, **SETTINGS[name])
    assert trial.epoch()["train/loss"] > trial.epoch()["train/loss"]


def test_a_frozen_backbone_is_the_same_after_an_epoch(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial("transfer", **SETTINGS["transfer"])
    before = copied(trial)
    trial.epoch()
    trial.epoch()
    names = changed(trial, before)
    assert names
    assert all(name.startswith("head.") for name in names)


def test_frozen_parts_of_a_net_are_the_same_after_an_epoch(make_trial: Callable[..., Trial]) -> None:
    trial = make_trial("torchvision", **SETTINGS["torchvision"])
    before = copied(trial)
    trial.epoch()
    parts = {name.split(".")[1] for name in changed(trial, before)}
    assert parts == {"stage3", "stage4", "conv5", "fc"}


def test_the_best_state_of_a_trial_is_where_another_begins(make_trial: Callable[..., Trial], tmp_path: Path) -> None:
    trial = make_trial("torchvision", architecture=SMALL)
    trial.epoch()
    save_state(tmp_path / "best.pt", trial.state())
    weights = str(tmp_path / "best.pt")

    other = make_trial("torchvision", architecture=SMALL, weights=weights)
    assert changed(other, copied(trial)) == set()
    assert other.live_values()["model.weights"] == weights
    backbone = {"architecture": SMALL, "until": "conv1", "weights": weights}
    transfer = make_trial("transfer", backbone=backbone, channels=[4])
    own = model_in(transfer).get_submodule("backbone.net").state_dict()
    assert all(torch.equal(tensor, copied(trial)[f"net.{name}"]) for name, tensor in own.items())


def test_a_relative_file_is_where_the_command_ran(
    make_job: MakeJob, data: TrialData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker may run elsewhere: Tune's do."""
    from torchvision.models import get_model

    torch.save(get_model(SMALL, weights=None, num_classes=4).state_dict(), tmp_path / "net.pth")
    monkeypatch.chdir(tmp_path)
    job = make_job(model={"name": "torchvision", "architecture": SMALL, "weights": "net.pth"})
    monkeypatch.chdir("/")
    assert Trial(job, data).live_values()["model.weights"] == str(tmp_path / "net.pth")


def test_a_file_that_went_away_is_no_doing_of_the_trial(make_trial: Callable[..., Trial], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no such file on this machine"):
        make_trial("torchvision", architecture=SMALL, weights=str(tmp_path / "gone.pth"))
