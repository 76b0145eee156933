"""A job means the same on any number of workers: real processes, exchanging by gloo."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainyard.data.split import MemorySplit, TrialData
from trainyard.spec.job import Job
from trainyard.training.trial import Trial

SECTIONS: dict[str, Any] = {
    "model": {"name": "cnn", "channels": [8, 16], "padding": "same", "dropout": 0.0},
    "loss": {
        "cross_entropy": {"weight": 0.5, "class_weights": "inverse_frequency", "label_smoothing": 0.1},
        "focal": {"weight": 0.5, "class_weights": "inverse_frequency"},
    },
    "augmentations": {
        "rotate": {"degrees": 20, "p": 0.5},
        "horizontal_flip": {},
        "brightness": {"amount": 0.2},
        "noise": {"std": 0.05},
    },
    "schedule": {"name": "one_cycle"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"clip_grad_norm": 1.0, "batch_size": 16, "epochs": 2},
}
SCENES: dict[str, Any] = {
    "augmentations": {"horizontal_flip": {}, "rotate": {"degrees": 20, "p": 0.5}},
    "schedule": {"name": "one_cycle"},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "training": {"clip_grad_norm": 1.0, "batch_size": 8, "epochs": 2},
}
TASKS: dict[str, dict[str, Any]] = {
    "label": SECTIONS,
    "mixed": {**SECTIONS, "augmentations": {"mixup": {"alpha": 0.4, "p": 0.5}, "cutmix": {"alpha": 1.0, "p": 0.5}}},
    "mask": {
        **SCENES,
        "task": "semantic_segmentation",
        "model": {"name": "unet", "channels": [4, 6, 8], "norm": "group"},
        "loss": {
            "cross_entropy": {"weight": 0.5, "class_weights": "inverse_frequency", "label_smoothing": 0.1},
            "focal": {"weight": 0.5, "class_weights": "inverse_frequency"},
        },
        "objective": {"metric": "val/miou", "mode": "max"},
    },
    "prompted": {
        **SCENES,
        "task": "promptable_segmentation",
        "model": {"name": "prompted_net:build"},
        "prompts": {"per": "component", "most": 3, "jitter": 3.0},
        "loss": {"binary_cross_entropy": {"positive_weight": 4.0}, "dice": {"include_background": False}},
        "objective": {"metric": "val/iou", "mode": "max"},
    },
    "boxes": {
        **SCENES,
        "task": "detection",
        "model": {"name": "centernet", "channels": [4, 6, 8], "norm": "group", "head_channels": 6},
        "loss": {"heatmap": {}, "size": {"weight": 0.1}},  # without offset: its head learns nothing
        "objective": {"metric": "val/map", "mode": "max"},
    },
    "proposals": {
        **SCENES,
        "task": "detection",
        "model": {  # everything is sampled: by chance each worker would draw others
            "name": "faster_rcnn",
            "backbone": {"architecture": "vgg11", "width": 0.1, "until": "features.9"},
            "rpn": {"channels": 8, "samples": 10_000, "positive_share": 1.0},
            "box_head": {"widths": [16], "samples": 10_000, "positive_share": 1.0},
        },
        "loss": {"classification": {}, "box": {}, "objectness": {}, "proposal_box": {"weight": 0.5}},
        "objective": {"metric": "val/map", "mode": "max"},
    },
}
FEW = 2
TASKS |= {f"few {name}": TASKS[name] for name in ("label", "mask", "boxes")}
"""The same with so few rows to evaluate on that a third worker has none."""

CASES: list[dict[str, Any]] = [
    {"name": "four", "data": "label", "workers": 4, "overlap": False},
    {"name": "two", "data": "label", "workers": 2, "overlap": False},
    {"name": "uneven", "data": "label", "workers": 3, "overlap": False},  # 5, 5 and 6 of 16
    {"name": "uneven overlapped", "data": "label", "workers": 3, "overlap": True},
    {"name": "uneven pairs", "data": "mixed", "workers": 3, "overlap": False},  # 4, 6 and 6
    {"name": "overlapped", "data": "label", "workers": 2, "overlap": True},
    {"name": "masks", "data": "mask", "workers": 2, "overlap": False},
    {"name": "uneven masks", "data": "mask", "workers": 3, "overlap": False},
    {"name": "a worker without evaluation rows", "data": "few label", "workers": 3, "overlap": False},
    {"name": "a worker without masks to evaluate on", "data": "few mask", "workers": 3, "overlap": False},
    {"name": "a worker without boxes to evaluate on", "data": "few boxes", "workers": 3, "overlap": False},
    {"name": "prompted", "data": "prompted", "workers": 2, "overlap": False},
    {"name": "boxes", "data": "boxes", "workers": 2, "overlap": False},
    {"name": "uneven boxes", "data": "boxes", "workers": 3, "overlap": False},
    {"name": "boxes overlapped", "data": "boxes", "workers": 2, "overlap": True},
    {"name": "proposals", "data": "proposals", "workers": 2, "overlap": False},
    {"name": "proposals overlapped", "data": "proposals", "workers": 2, "overlap": True},
]

Made = dict[str, tuple[Job, TrialData]]


@pytest.fixture(scope="module")
def tests_on_path() -> Iterator[None]:
    """prompted_net.py is found here as it is by gloo_worker.py beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield


@pytest.fixture(scope="module")
def made(make_job: Callable[..., Job], make_scenes: Callable[..., TrialData], data: TrialData) -> Made:
    """A job and its data for each of the tasks."""
    masks, boxes = make_scenes("mask"), make_scenes("boxes")
    of = {"label": data, "mixed": data, "mask": masks, "prompted": masks, "boxes": boxes, "proposals": boxes}
    of |= {name: few(of[name.removeprefix("few ")]) for name in TASKS if name.startswith("few ")}
    return {name: (make_job(**TASKS[name]), found) for name, found in of.items()}


def few(data: TrialData) -> TrialData:
    return replace(data, evaluate=MemorySplit.of(data.evaluate.first(FEW)))


@pytest.fixture(scope="module")
def trained_together(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each case. The four processes fork from one that has imported torch, which takes seconds."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "data").write_bytes(pickle.dumps({name: found for name, (_, found) in made.items()}))
    cases = json.dumps([{**case, "job": made[case["data"]][0].to_dict()} for case in CASES])
    command = [sys.executable, str(Path(__file__).parent / "gloo_worker.py"), cases, str(folder / "data"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {case["name"]: torch.load(folder / str(case["name"])) for case in CASES}


@pytest.fixture(scope="module")
def trained_alone(made: Made, tests_on_path: None) -> dict[str, dict[str, Any]]:
    results = {}
    for name, (job, found) in made.items():
        trial = Trial(job, found)
        trial.epoch()
        trial.epoch()
        results[name] = {"history": trial.history, "weights": trial.state()["learner"]["model"]}
    return results


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_several_workers_get_what_one_gets(
    case: dict[str, Any], trained_together: dict[str, dict[str, Any]], trained_alone: dict[str, dict[str, Any]]
) -> None:
    together, alone = trained_together[case["name"]], trained_alone[case["data"]]
    for ours, expected in zip(together["history"], alone["history"], strict=True):
        assert ours.keys() == expected.keys()
        for name in ours.keys() - {"seconds/train", "seconds/evaluate"}:
            assert ours[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    for name, weight in together["weights"].items():
        torch.testing.assert_close(weight, alone["weights"][name], rtol=1e-3, atol=1e-5)
