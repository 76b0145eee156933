"""The loss of a job: which terms go together, and what spaces may vary of them."""

from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec.check import check
from trainyard.spec.class_weights import EffectiveNumber, MedianFrequency
from trainyard.spec.job import Job
from trainyard.spec.space import Space

JOB: dict[str, Any] = {
    "name": "job",
    "task": "semantic_segmentation",
    "data": {"path": "data/set"},
    "model": {"name": "unet"},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adam", "lr": 0.1},
    "training": {"epochs": 1, "batch_size": 2},
    "objective": {"metric": "val/miou", "mode": "max"},
}


def job_with(loss: dict[str, Any], **sections: Any) -> Job:
    return Job.from_dict(JOB | {"loss": loss} | sections)


def test_class_weights_have_a_short_form() -> None:
    weights = job_with({"focal": {"class_weights": "median_frequency"}}).loss.focal.class_weights  # type: ignore[union-attr]
    assert weights == MedianFrequency(name="median_frequency")


def test_a_term_of_a_single_logit_mixes_with_those_of_regions() -> None:
    mixed = {"binary_cross_entropy": {"positive_weight": 2.0}, "focal": {}, "jaccard": {"include_background": False}}
    loss = job_with(mixed).loss
    assert loss is not None
    assert loss.binary
    assert not job_with({"cross_entropy": {}, "jaccard": {}}).loss.binary  # type: ignore[union-attr]


def test_a_space_searches_kinds_of_class_weights_and_the_settings_of_each() -> None:
    job = job_with({"cross_entropy": {"boundary": {"weight": 0.0}}, "tversky": {"weight": 0.5}})
    space = Space.from_dict(
        {
            "parameters": {
                "loss.cross_entropy.class_weights.name": {
                    "type": "categorical",
                    "choices": ["auto", "effective_number"],
                },
                "loss.cross_entropy.class_weights.beta": {
                    "type": "float",
                    "low": 0.9,
                    "high": 0.9999,
                    "when": {"loss.cross_entropy.class_weights.name": "effective_number"},
                },
                "loss.cross_entropy.boundary.weight": {"type": "float", "low": 0, "high": 5},
                "loss.tversky.gamma": {"type": "float", "low": 0.5, "high": 2},
                "loss.tversky.include_background": {"type": "categorical", "choices": [True, False]},
            }
        }
    )
    check(job, space)
    chosen = job.with_values(
        {
            "loss.cross_entropy.class_weights.name": "effective_number",
            "loss.cross_entropy.class_weights.beta": 0.99,
        }
    )
    assert chosen.loss is not None
    assert chosen.loss.cross_entropy is not None
    assert chosen.loss.cross_entropy.class_weights == EffectiveNumber(name="effective_number", beta=0.99)


@pytest.mark.parametrize("metric", ["val/iou/car", "val/dice/car", "val/iou/a/b"])
def test_a_class_can_be_the_objective(metric: str) -> None:
    assert job_with({"dice": {}}, objective={"metric": metric, "mode": "max"}).objectives[0].metric == metric


def test_a_measure_without_its_class_is_none() -> None:
    with pytest.raises(SpecError, match=r"objective.metric must be a metric of semantic_segmentation, got .*val/iou"):
        job_with({"dice": {}}, objective={"metric": "val/iou", "mode": "max"})
