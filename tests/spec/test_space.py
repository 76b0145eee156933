"""Spaces: their dimensions, and points that follow from them."""

import pickle
import random
from typing import Any

import pytest

from trainyard.spec import Dimension, Job, Sample, Space
from trainyard.spec.yaml_reader import read_text

JOB = Job.from_dict(
    {
        "name": "digits",
        "task": "classification",
        "data": {"path": "data/digits"},
        "model": {"name": "cnn"},
        "loss": {"cross_entropy": {"weight": 1.0}, "focal": {"weight": 0.0}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle", "pct_start": 0.2},
        "training": {"epochs": 8, "batch_size": 64},
        "objective": {"metric": "val/accuracy", "mode": "max"},
    }
)


def space_of(parameters: str) -> Space:
    return Space.from_dict({"parameters": read_text(parameters, "space.yaml", "space").data})


def sample_of(space: Space, seed: int) -> Sample:
    generator = random.Random(seed)
    return space.resolve(JOB, lambda dimension: dimension.draw(generator))


def drawn(space: Space, seed: int = 0) -> dict[str, Any]:
    return dict(sample_of(space, seed).values)


def suggesting(**given: Any) -> Any:
    """Suggests what is given, by the last part of a dimension's name."""
    return lambda dimension: given[dimension.name.rpartition(".")[2]]


def test_dimensions_of_each_distribution() -> None:
    space = space_of("""
optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
training.batch_size: {type: int, low: 32, high: 64, step: 16}
model.padding: {type: categorical, choices: [valid, same]}
loss: {type: simplex, over: [cross_entropy, focal]}
""")

    assert space.dimensions() == (
        Dimension(name="optimizer.lr", parameter="optimizer.lr", kind="float", low=1e-4, high=1e-1, log=True),
        Dimension(name="training.batch_size", parameter="training.batch_size", kind="int", low=32, high=64, step=16),
        Dimension(name="model.padding", parameter="model.padding", kind="categorical", choices=("valid", "same")),
        Dimension(name="loss.simplex.0", parameter="loss", kind="float", low=0.0, high=1.0),
    )


@pytest.mark.parametrize(
    ("distribution", "points"),
    [
        ("{type: int, low: 1, high: 9, step: 4}", (1, 5, 9)),
        ("{type: float, low: 0, high: 0.3, step: 0.1}", (0.0, 0.1, 0.2, 0.3)),
        ("{type: categorical, choices: [a, [1, 2], null]}", ("a", [1, 2], None)),
        ("{type: float, low: 0, high: 0.3}", None),
        ("{type: float, low: 0.1, high: 0.3, log: true}", None),
    ],
)
def test_points_of_a_dimension(distribution: str, points: tuple[Any, ...] | None) -> None:
    (dimension,) = space_of(f"model.x: {distribution}").dimensions()

    assert dimension.points == points
    assert dimension.count == (None if points is None else len(points))


@pytest.mark.parametrize(
    "distribution",
    [
        "{type: int, low: 1, high: 9, step: 4}",
        "{type: int, low: 1, high: 1000, log: true}",
        "{type: float, low: 0, high: 0.3, step: 0.1}",
        "{type: float, low: 1e-5, high: 1e-1, log: true}",
        "{type: float, low: -1, high: 1}",
    ],
)
def test_draws_and_the_middle_stay_within_bounds(distribution: str) -> None:
    (dimension,) = space_of(f"model.x: {distribution}").dimensions()
    generator = random.Random(0)
    values = [dimension.draw(generator) for _ in range(500)]

    assert all(dimension.low <= value <= dimension.high for value in [*values, dimension.middle])
    assert all(isinstance(value, int) == (dimension.kind == "int") for value in [*values, dimension.middle])
    assert dimension.points is None or set(values) <= set(dimension.points)


def test_logarithmic_draws_are_as_often_in_each_decade() -> None:
    (dimension,) = space_of("optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}").dimensions()
    generator = random.Random(0)
    values = [dimension.draw(generator) for _ in range(3000)]

    assert sum(value < 1e-3 for value in values) == pytest.approx(1000, abs=100)
    assert sum(value > 1e-2 for value in values) == pytest.approx(1000, abs=100)


def test_a_simplex_sets_weights_that_sum_to_one() -> None:
    space = space_of("loss: {type: simplex, over: [cross_entropy, focal]}")
    for seed in range(100):
        values = drawn(space, seed)
        assert values.keys() == {"loss.cross_entropy.weight", "loss.focal.weight"}
        assert sum(values.values()) == pytest.approx(1)
        JOB.with_values(values)


def test_a_simplex_with_a_step_is_one_finite_dimension() -> None:
    space = space_of("loss: {type: simplex, over: [cross_entropy, focal], step: 0.25}")
    (dimension,) = space.dimensions()

    assert (dimension.name, dimension.count) == ("loss.simplex", 5)
    assert space.values_from(JOB, {"loss.simplex": [0.25, 0.75]}) == {
        "loss.cross_entropy.weight": 0.25,
        "loss.focal.weight": 0.75,
    }


NESTED = """
loss.focal.gamma: {type: float, low: 1, high: 4, when: {loss.focal.weight: {above: 0.5}}}
schedule.pct_start: {type: float, low: 0.1, high: 0.5, when: {schedule.name: one_cycle, loss.focal.gamma: {above: 2}}}
loss: {type: simplex, over: [cross_entropy, focal]}
schedule.name: {type: categorical, choices: [one_cycle, cosine]}
schedule.warmup_epochs: {type: int, low: 0, high: 2, when: {schedule.name: [cosine]}}
"""


def test_parameters_come_after_those_that_their_when_looks_at() -> None:
    names = [dimension.name for dimension in space_of(NESTED).dimensions()]

    assert names == [
        "loss.simplex.0",
        "loss.focal.gamma",
        "schedule.name",
        "schedule.pct_start",
        "schedule.warmup_epochs",
    ]


def test_nested_conditions_that_all_hold() -> None:
    sample = space_of(NESTED).resolve(
        JOB, suggesting(**{"0": 0.25, "gamma": 3.0, "name": "one_cycle", "pct_start": 0.4})
    )

    assert sample.dims == {
        "loss.simplex.0": 0.25,
        "loss.focal.gamma": 3.0,
        "schedule.name": "one_cycle",
        "schedule.pct_start": 0.4,
    }
    assert sample.values == {
        "loss.cross_entropy.weight": 0.25,
        "loss.focal.weight": 0.75,
        "loss.focal.gamma": 3.0,
        "schedule.name": "one_cycle",
        "schedule.pct_start": 0.4,
    }


def test_nothing_is_asked_for_what_does_not_matter() -> None:
    sample = space_of(NESTED).resolve(JOB, suggesting(**{"0": 0.75, "name": "cosine", "warmup_epochs": 1}))

    assert sample.dims == {"loss.simplex.0": 0.75, "schedule.name": "cosine", "schedule.warmup_epochs": 1}


def test_where_nothing_was_chosen_a_when_looks_at_the_job() -> None:
    """gamma isn't searched below a focal weight of 0.5: the job's own, 2, isn't above 2."""
    sample = space_of(NESTED).resolve(JOB, suggesting(**{"0": 0.75, "name": "one_cycle"}))

    assert "schedule.pct_start" not in sample.values


def test_a_when_on_a_setting_that_is_not_searched_looks_at_the_job() -> None:
    space = space_of("model.dropout: {type: float, low: 0, high: 0.5, when: {training.epochs: {above: 5, below: 20}}}")

    assert drawn(space)
    assert not space.resolve(JOB.with_values({"training.epochs": 5}), lambda dimension: 0.1).values


def test_a_when_on_a_section_that_was_renamed_looks_at_its_defaults() -> None:
    space = space_of("""
optimizer.name: {type: categorical, choices: [sgd]}
model.dropout: {type: float, low: 0, high: 0.5, when: {optimizer.momentum: {above: 0.8}}}
""")

    assert "model.dropout" in drawn(space)


def test_a_when_on_what_nobody_stated_looks_at_the_default_of_what_was_chosen() -> None:
    """adamw's weight decay is 0.01, sgd's 0."""
    space = space_of("""
optimizer.name: {type: categorical, choices: [sgd]}
model.dropout: {type: float, low: 0, high: 0.5, when: {optimizer.weight_decay: {below: 0.001}}}
""")

    assert "model.dropout" in drawn(space)


def test_true_is_no_1_in_a_when() -> None:
    space = space_of("model.dropout: {type: float, low: 0, high: 0.5, when: {training.channels_last: 0}}")

    assert not drawn(space)


def test_random_points_of_nested_conditions_make_jobs_that_hold_their_values() -> None:
    space = space_of(NESTED)
    for seed in range(200):
        values = drawn(space, seed)
        job = JOB.with_values(values)
        assert values.items() <= job.values().items()
        assert ("loss.focal.gamma" in values) == (values["loss.focal.weight"] > 0.5)
        assert ("schedule.warmup_epochs" in values) == (values["schedule.name"] == "cosine")


def test_dimensions_give_the_same_values_again() -> None:
    space = space_of(NESTED)
    for seed in range(100):
        sample = sample_of(space, seed)
        assert space.values_from(JOB, sample.dims) == sample.values


def test_values_give_their_dimensions_back() -> None:
    space = space_of(NESTED)
    for seed in range(100):
        sample = sample_of(space, seed)
        assert space.dims_from(sample.values) == pytest.approx(sample.dims)


def test_dimensions_whose_when_does_not_hold_are_ignored() -> None:
    values = space_of(NESTED).values_from(
        JOB, {"loss.simplex.0": 0.9, "loss.focal.gamma": 3.0, "schedule.name": "cosine"}
    )

    assert values.keys() == {"loss.cross_entropy.weight", "loss.focal.weight", "schedule.name"}


def test_values_that_are_not_given_stay_the_jobs_own() -> None:
    assert space_of(NESTED).values_from(JOB, {}) == {}


def test_lists_can_be_chosen() -> None:
    space = space_of("model.channels: {type: categorical, choices: [[16], [16, 32]]}")

    assert JOB.with_values(drawn(space)).values()["model.channels"] in ([16], [16, 32])


def test_a_space_round_trips_and_crosses_processes() -> None:
    space = space_of(NESTED)
    space.dimensions()

    assert Space.from_dict(read_text(space.to_yaml(), "space.yaml", "space").data) == space
    assert pickle.loads(pickle.dumps(space)) == space


def test_search_settings_by_name_or_in_full() -> None:
    parameters = {"model.dropout": {"type": "float", "low": 0.0, "high": 0.5}}
    short = Space.from_dict({"parameters": parameters, "search": {"sampler": "gp", "scheduler": "asha"}})
    full = {
        "sampler": {"name": "gp", "startup_trials": 10},
        "scheduler": {"name": "asha", "grace": 1, "reduction_factor": 3},
    }

    assert Space.from_dict({"parameters": parameters, "search": full}) == short
