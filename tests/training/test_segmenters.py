"""Every architecture that segments trains through a trial."""

from collections.abc import Callable
from typing import Any

import pytest

from trainyard.data.split import TrialData
from trainyard.spec.job import Job
from trainyard.spec.model import MODELS
from trainyard.spec.section import flatten
from trainyard.training.trial import Trial

SIZE = (45, 60)
SETTINGS: dict[str, dict[str, Any]] = {
    "unet": {"channels": [8, 8]},
    "fast_scnn": {"width": 0.25, "blocks": [1, 1, 1]},
    "deconvolution_net": {"channels": [8, 8], "convolutions": [1, 1], "unpooling": "indices"},
    "mobilenet_unet": {"width": 0.1, "decoder": [8, 8, 8, 8], "freeze": ["encoder.0"]},
    "torchvision_segmentation": {"architecture": "lraspp_mobilenet_v3_large", "freeze": ["backbone.0"]},
}


@pytest.fixture
def make_trial(make_job: Callable[..., Job], make_scenes: Callable[..., TrialData]) -> Callable[..., Trial]:
    """make_trial("unet"): a trial on scenes of 45x60 pixels with masks, as such jobs mostly are: with channels last."""

    def make(name: str, **training: Any) -> Trial:
        job = make_job(
            task="semantic_segmentation",
            data={"path": "data/scenes", "image_size": "auto"},
            model={"name": name, **SETTINGS[name]},
            objective={"metric": "val/miou", "mode": "max"},
            training={"batch_size": 6, "channels_last": True, **training},
        )
        return Trial(job, make_scenes("mask", rows=(18, 5), image=(3, *SIZE)))

    return make


def test_there_are_settings_for_all() -> None:
    assert set(SETTINGS) == {name for name, model in MODELS.items() if "semantic_segmentation" in model.tasks}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_learns_and_goes_on_from_its_state(name: str, make_trial: Callable[..., Trial]) -> None:
    trial, other = (make_trial(name) for _ in range(2))
    first = trial.epoch()
    other.load_state(trial.state())
    second = trial.epoch()

    assert second["train/loss"] < first["train/loss"]
    assert other.epoch()["val/loss"] == second["val/loss"]
    learner = trial._learner
    assert [path for path, p in learner.model.named_parameters() if p.requires_grad and p.grad is None] == []
    live = trial.live_values()
    stated = flatten({"model": SETTINGS[name]})
    assert {path: live[path] for path in stated} == stated
    assert live["data.image_size"] == list(SIZE)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_learns_in_bfloat16_nearly_what_it_does_in_float32(name: str, make_trial: Callable[..., Trial]) -> None:
    whole, half = make_trial(name), make_trial(name, precision="bfloat16")
    expected, first, second = whole.epoch(), half.epoch(), half.epoch()

    for loss in ("train/loss", "val/loss"):
        assert first[loss] != expected[loss]
        assert first[loss] == pytest.approx(expected[loss], rel=0.05)
    assert second["train/loss"] < first["train/loss"]
