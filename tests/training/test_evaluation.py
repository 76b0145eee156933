"""A state measured on a split: what a trial's own evaluation came to, from the state alone."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from trainyard.data.manifest import Annotation
from trainyard.data.split import MemorySplit, TrialData
from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.training import checkpoint
from trainyard.training.evaluation import job_to_measure, measure
from trainyard.training.member import Member
from trainyard.training.trial import Trial

SEGMENTATION = {
    "task": "semantic_segmentation",
    "model": {"name": "unet", "channels": [8, 12]},
    "loss": {"cross_entropy": {"weight": 0.5, "class_weights": "inverse_frequency"}, "dice": {"weight": 0.5}},
    "objective": {"metric": "val/miou", "mode": "max"},
}
DETECTION = {
    "task": "detection",
    "model": {"name": "centernet", "channels": [8, 16, 24]},
    "loss": {"heatmap": {}, "size": {"weight": 0.1}, "offset": {}},
    "objective": {"metric": "val/map50", "mode": "max"},
}
TWO_STAGES = {
    "task": "detection",
    "model": {
        "name": "faster_rcnn",
        "backbone": {"architecture": "vgg11_bn", "width": 0.25, "until": "features.13"},
        "rpn": {"channels": 32, "after_nms": 100, "evaluated": 50},
        "box_head": {"widths": [64], "samples": 32},
    },
    "loss": {"classification": {}, "box": {}, "objectness": {}, "proposal_box": {}},
    "objective": {"metric": "val/map50", "mode": "max"},
}
DECIDED = {
    "loss": {"cross_entropy": {}},
    "decision": {"positive": "b", "threshold": "f1"},
}


def trained(job: Job, data: TrialData) -> tuple[Trial, Mapping[str, Any]]:
    """Two epochs, and the state of the first as it comes from a file."""
    trial = Trial(job, data)
    trial.epoch()
    state = checkpoint.from_bytes(checkpoint.to_bytes(trial.state()))
    trial.epoch()
    return trial, state


def measured(job: Job, data: TrialData, state: Mapping[str, Any], *parts: MemorySplit) -> dict[str, float]:
    split = job_to_measure(job, {}, state, "val")
    return measure(split, data.manifest, iter(parts or [data.evaluate]), state, member=Member())


def evaluated(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith("val/")}


@pytest.mark.parametrize(
    ("annotation", "sections"),
    [
        ("label", {}),
        ("label", {"training": {"precision": "bfloat16", "channels_last": True}}),
        ("mask", SEGMENTATION),
        ("boxes", DETECTION),
        ("boxes", TWO_STAGES),
    ],
    ids=["label", "bfloat16", "mask", "boxes", "two stages"],
)
def test_it_gives_the_metrics_of_the_epoch_number_by_number(
    annotation: Annotation,
    sections: dict[str, Any],
    make_job: Callable[..., Job],
    make_scenes: Callable[..., TrialData],
) -> None:
    job, data = make_job(**sections), make_scenes(annotation)
    trial, state = trained(job, data)

    metrics = measured(job, data, state)

    assert metrics == evaluated(trial.history[0])
    assert metrics != evaluated(trial.history[1])


def test_in_several_parts_it_is_the_same_but_for_rounding(make_job: Callable[..., Job], data: TrialData) -> None:
    job = make_job()
    trial, state = trained(job, data)
    whole = data.evaluate.take(np.arange(data.evaluate.rows))
    parts = [
        MemorySplit.of({name: column[rows] for name, column in whole.items()})
        for rows in (slice(7), slice(7, 40), slice(40, None))
    ]

    assert measured(job, data, state, *parts) == pytest.approx(evaluated(trial.history[0]), rel=1e-5)


def test_the_random_state_stays_as_it_was(make_job: Callable[..., Job], data: TrialData) -> None:
    job = make_job()
    _, state = trained(job, data)
    before = torch.random.get_rng_state()

    measured(job, data, state)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_chosen_threshold_is_that_of_the_state(make_job: Callable[..., Job], data: TrialData) -> None:
    job = make_job(**DECIDED)
    trial, state = trained(job, data)

    other = measured(job, data, state, data.train)  # of these rows another threshold would be chosen

    assert other["val/threshold"] == pytest.approx(trial.history[0]["val/threshold"], rel=1e-9)
    assert measured(job, data, state) == pytest.approx(evaluated(trial.history[0]), rel=1e-9)


def test_without_a_threshold_nothing_is_positive(make_job: Callable[..., Job], data: TrialData) -> None:
    decision = {"positive": "b", "threshold": {"name": "recall", "least_precision": 1.0}}
    job = make_job(**DECIDED | {"decision": decision})
    _, state = trained(job, data)
    last = {name: value for name, value in state["history"][-1].items() if name != "val/threshold"}

    metrics = measured(job, data, {**state, "history": [last]})

    assert metrics["val/recall/b"] == 0


def test_a_threshold_that_was_rounded_to_1_is_no_threshold(make_job: Callable[..., Job], data: TrialData) -> None:
    with pytest.raises(RunError, match=r"^the threshold that was chosen is so near to 1 that it was recorded as 1"):
        job_to_measure(make_job(**DECIDED), {}, {"history": [{"val/threshold": 1.0}]}, "val")


def test_the_metrics_have_the_name_of_the_split(make_job: Callable[..., Job], data: TrialData) -> None:
    job = make_job()
    _, state = trained(job, data)
    split = job_to_measure(job, {}, state, "train")

    metrics = measure(split, data.manifest, iter([data.train]), state, member=Member())

    assert {name.partition("/")[0] for name in metrics} == {"train"}
    assert "train/f1" in metrics


def test_a_state_of_another_model_is_refused(make_job: Callable[..., Job], data: TrialData) -> None:
    _, state = trained(make_job(), data)

    with pytest.raises(RunError, match=r"^the state doesn't fit model cnn: "):
        measured(make_job(model={"name": "cnn", "channels": [4], "padding": "same"}), data, state)
