"""How often rows are drawn, as a job states it."""

from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import Job
from trainyard.spec.check import check
from trainyard.spec.sampling import ClassBalanced, Shuffled, Weighted
from trainyard.spec.space import Space

JOB: dict[str, Any] = {
    "name": "pets",
    "task": "classification",
    "data": {"path": "data/pets"},
    "model": {"name": "cnn"},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "training": {"epochs": 8, "batch_size": 64},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}


def job_with(sampling: Any) -> Job:
    return Job.from_dict({**JOB, "training": {**JOB["training"], "sampling": sampling}})


def test_rows_are_shuffled_unless_a_job_says_otherwise() -> None:
    assert Job.from_dict(JOB).training.sampling == Shuffled(name="shuffled")


def test_a_name_alone_will_do() -> None:
    assert job_with("class_balanced").training.sampling == ClassBalanced(name="class_balanced")


def test_weights_are_by_class_name() -> None:
    sampling = job_with({"name": "weighted", "weights": {"cat": 2, "dog": 0.5}}).training.sampling
    assert sampling == Weighted(name="weighted", weights={"cat": 2.0, "dog": 0.5})


def test_a_weight_needs_a_section() -> None:
    with pytest.raises(SpecError, match=r'must be a mapping such as \{name: shuffled, ...\}, got "weighted"'):
        job_with("weighted")


@pytest.mark.parametrize(
    "parameters",
    [
        {"training.sampling.name": {"type": "categorical", "choices": ["shuffled", "class_balanced"]}},
        {"training.last_batch": {"type": "categorical", "choices": ["drop", "pad"]}},
    ],
)
def test_a_space_can_search_it(parameters: dict[str, Any]) -> None:
    check(Job.from_dict(JOB), Space.from_dict({"parameters": parameters}))


def test_a_space_can_search_the_weights_that_are_stated() -> None:
    job = job_with({"name": "weighted", "weights": {"cat": 2.0}})
    check(job, Space.from_dict({"parameters": {"training.sampling.weights.cat": {"type": "int", "low": 1, "high": 9}}}))
    assert job.with_values({"training.sampling.weights.cat": 5}).values()["training.sampling.weights.cat"] == 5
