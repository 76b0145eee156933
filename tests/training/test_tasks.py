"""Every task learns by the same Trial."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.split import TrialData
from trainyard.errors import TrialError
from trainyard.spec.job import Job
from trainyard.tasks.automatic import anchor_ratios, anchor_sizes
from trainyard.training.trial import Trial

SHARED: dict[str, Any] = {
    "optimizer": {"name": "adamw", "lr": 0.01},
    "augmentations": {"horizontal_flip": {}, "brightness": {"amount": 0.1}},
    "training": {"epochs": 6, "batch_size": 8},
}
SEGMENTATION = SHARED | {
    "task": "semantic_segmentation",
    "model": {"name": "unet", "channels": [8, 12, 16]},
    "loss": {"cross_entropy": {"weight": 0.5, "class_weights": "inverse_frequency"}, "focal": {"weight": 0.5}},
    "objective": {"metric": "val/miou", "mode": "max"},
}
PROMPTED = SHARED | {
    "task": "promptable_segmentation",
    "model": {
        "name": "sam",
        "architecture": "tiny",
        "encoder": {"side": 32, "patch": 8, "width": 16, "depth": 1},
        "embeddings": "each_step",
    },
    "prompts": {"per": "component", "most": 2},
    "loss": {"binary_cross_entropy": {"weight": 0.5}, "dice": {"weight": 0.5, "include_background": False}},
    "objective": {"metric": "val/iou", "mode": "max"},
}
DETECTION = SHARED | {
    "task": "detection",
    "model": {"name": "centernet", "channels": [8, 16, 24]},
    "loss": {"heatmap": {}, "size": {"weight": 0.1}, "offset": {}},
    "objective": {"metric": "val/map50", "mode": "max"},
}
TWO_STAGES = DETECTION | {
    "model": {
        "name": "faster_rcnn",
        "backbone": {"architecture": "vgg11_bn", "width": 0.25, "until": "features.13"},
        "rpn": {"channels": 32, "after_nms": 100, "evaluated": 50},
        "box_head": {"widths": [64], "samples": 32},
    },
    "loss": {"classification": {}, "box": {}, "objectness": {}, "proposal_box": {}},
    "optimizer": {"name": "adamw", "lr": 0.003},
    "objective": [{"metric": "val/map50", "mode": "max"}, {"metric": "val/ap/red", "mode": "max"}],
}
OWN_DETECTOR = """
import torch

class Detector(torch.nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.guess = torch.nn.Linear(1, 4 + outputs)

    def forward(self, images, targets=None):
        answer = self.guess(images.mean(dim=(1, 2, 3))[:, None])
        box, score = answer[:, :4], answer[:, 4:]
        losses = {}
        if targets is not None:
            first = targets.boxes[:, 0]
            losses = {"box": (box - first).abs().mean(), "classification": score.square().mean()}
        found = [
            {"boxes": one[None], "labels": best[None], "scores": sure[None]}
            for one, best, sure in zip(box, score.argmax(1), score.amax(1))
        ]
        return losses, [] if self.training else found

def build(image, outputs):
    return Detector(outputs)
"""


@pytest.mark.parametrize(
    ("annotation", "sections", "least"),
    [("mask", SEGMENTATION, 0.6), ("boxes", DETECTION, 0.5), ("boxes", TWO_STAGES, 0.4)],
    ids=["mask", "boxes", "two stages"],
)
def test_it_learns(
    annotation: str,
    sections: dict[str, Any],
    least: float,
    make_job: Callable[..., Job],
    make_scenes: Callable[..., TrialData],
) -> None:
    job = make_job(**sections)
    trial = Trial(job, make_scenes(annotation, rows=(64, 16)))
    while not trial.done:
        trial.epoch()
    metric = job.objectives[0].metric
    assert trial.history[0][metric] < trial.history[-1][metric] > least
    assert trial.history[-1]["train/loss"] < trial.history[0]["train/loss"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("annotation", "sections"),
    [("mask", SEGMENTATION), ("mask", PROMPTED), ("boxes", DETECTION), ("boxes", TWO_STAGES)],
    ids=["mask", "prompted", "one stage", "two stages"],
)
def test_mixed_precision_gets_nearly_what_float32_gets(
    annotation: str,
    sections: dict[str, Any],
    precision: str,
    make_job: Callable[..., Job],
    make_scenes: Callable[..., TrialData],
) -> None:
    mixed = sections | {"training": {**sections["training"], "precision": precision}}
    metrics, expected = (Trial(make_job(**one), make_scenes(annotation)).epoch() for one in (mixed, sections))
    assert metrics.keys() == expected.keys()
    for name in (name for name in metrics if name.partition("/")[2] == "loss"):
        assert metrics[name] != expected[name]
        assert metrics[name] == pytest.approx(expected[name], rel=0.05)


@pytest.mark.parametrize("sections", [DETECTION, TWO_STAGES], ids=["one stage", "two stages"])
def test_a_trial_that_goes_on_gets_what_one_without_a_pause_gets(
    sections: dict[str, Any], make_job: Callable[..., Job], make_scenes: Callable[..., TrialData]
) -> None:
    job, data = make_job(**sections), make_scenes("boxes")
    whole, first, second = (Trial(job, data) for _ in range(3))
    for trial in (whole, whole, first):
        trial.epoch()
    second.load_state(first.state())
    second.epoch()
    seconds = {"seconds/train", "seconds/evaluate"}
    assert all(second.history[1][name] == value for name, value in whole.history[1].items() if name not in seconds)


def test_anchors_are_those_of_the_data_set(make_job: Callable[..., Job], make_scenes: Callable[..., TrialData]) -> None:
    trial, data = Trial(make_job(**TWO_STAGES), make_scenes("boxes")), make_scenes("boxes")
    boxes = data.manifest.splits["train"].boxes
    assert boxes is not None
    live = trial.live_values()
    assert live["model.anchors.sizes"] == anchor_sizes(boxes)
    assert live["model.anchors.ratios"] == anchor_ratios(boxes)
    assert live["model.backbone.until"] == "features.13"


def test_a_detector_of_ones_own_answers_with_losses_of_its_own(
    make_job: Callable[..., Job], make_scenes: Callable[..., TrialData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_detector.py").write_text(OWN_DETECTOR)
    own = DETECTION | {"model": {"name": "own_detector:build"}, "loss": {"box": {"weight": 0.1}, "classification": {}}}
    trial = Trial(make_job(**own), make_scenes("boxes"), directory=tmp_path)
    metrics = trial.epoch()
    assert metrics["train/loss"] == pytest.approx(
        0.1 * metrics["train/loss/box"] + metrics["train/loss/classification"], rel=1e-5
    )
    assert "val/map" in metrics
    with pytest.raises(TrialError, match="returned the losses box, classification; the job's mix has objectness"):
        Trial(make_job(**own | {"loss": {"box": {}, "objectness": {}}}), make_scenes("boxes"), directory=tmp_path)
