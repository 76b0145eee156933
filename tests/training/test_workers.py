"""A job means the same on any number of workers: real processes, exchanging by gloo."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainyard.data.columns import TrialData
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
CASES: list[dict[str, Any]] = [
    {"name": "four", "workers": 4, "overlap": False},
    {"name": "two", "workers": 2, "overlap": False},
    {"name": "overlapped", "workers": 2, "overlap": True},
]


@pytest.fixture(scope="module")
def trained_together(
    make_job: Callable[..., Job], data: TrialData, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What came of each case. The four processes fork from one that has imported torch, which takes seconds."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "data").write_bytes(pickle.dumps(data))
    job = make_job(**SECTIONS).to_dict()
    cases = json.dumps([{**case, "job": job} for case in CASES])
    command = [sys.executable, str(Path(__file__).parent / "gloo_worker.py"), cases, str(folder / "data"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {case["name"]: torch.load(folder / str(case["name"])) for case in CASES}


@pytest.fixture(scope="module")
def trained_alone(make_job: Callable[..., Job], data: TrialData) -> dict[str, Any]:
    trial = Trial(make_job(**SECTIONS), data)
    trial.epoch()
    trial.epoch()
    return {"history": trial.history, "weights": trial.state()["learner"]["model"]}


@pytest.mark.parametrize("case", [case["name"] for case in CASES])
def test_several_workers_get_what_one_gets(
    case: str, trained_together: dict[str, dict[str, Any]], trained_alone: dict[str, Any]
) -> None:
    together = trained_together[case]
    for ours, alone in zip(together["history"], trained_alone["history"], strict=True):
        assert ours.keys() == alone.keys()
        for name in ours.keys() - {"seconds/train", "seconds/evaluate"}:
            assert ours[name] == pytest.approx(alone[name], rel=1e-4, abs=1e-5), name
    for name, weight in together["weights"].items():
        torch.testing.assert_close(weight, trained_alone["weights"][name], rtol=1e-3, atol=1e-5)
