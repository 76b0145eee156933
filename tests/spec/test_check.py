"""Spaces that fit their jobs; those that don't are in bad_specs.yaml."""

from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import Job, Space, check
from trainyard.spec.yaml_reader import read_text

DATA: dict[str, Any] = {
    "name": "digits",
    "task": "classification",
    "data": {"path": "data/digits"},
    "model": {"name": "cnn"},
    "loss": {"cross_entropy": {"weight": 1.0}, "focal": {"weight": 0.0}},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "training": {"epochs": 8, "batch_size": 64},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}
JOB = Job.from_dict(DATA)
LR = "optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}"


def space_of(parameters: str, **search: Any) -> Space:
    return Space.from_dict({"parameters": read_text(parameters, "space.yaml", "space").data, "search": search})


def told(job: Job, space: Space) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check(job, space)
    return [str(problem) for problem in caught.value.problems]


def test_a_job_by_itself_was_checked_when_it_was_made() -> None:
    check(JOB)


@pytest.mark.parametrize(
    "parameters",
    [
        # Settings of another schedule than the job's, when it is chosen.
        "schedule.name: {type: categorical, choices: [constant, step]}\n"
        "schedule.every_epochs: {type: int, low: 1, high: 4, when: {schedule.name: step}}",
        # A condition on what the job fixes, and that never holds here: the space may be meant for other jobs too.
        "schedule.pct_start: {type: float, low: 0.1, high: 0.5, when: {schedule.name: one_cycle}}",
        # Another optimizer, with a setting of its own.
        f"{LR}\noptimizer.name: {{type: categorical, choices: [adamw, sgd]}}\n"
        "optimizer.momentum: {type: float, low: 0, high: 0.99, when: {optimizer.name: sgd}}",
        # Whole numbers for a float, lists, true and false, a setting that the job leaves absent.
        "model.channels: {type: categorical, choices: [[16], [16, 32]]}",
        "training.channels_last: {type: categorical, choices: [true, false]}",
        "training.clip_grad_norm: {type: float, low: 0.1, high: 10, log: true}",
        "training.epochs: {type: int, low: 2, high: 8}",
        "loss.focal.gamma: {type: int, low: 1, high: 4}",
    ],
)
def test_a_space_that_fits(parameters: str) -> None:
    check(JOB, space_of(parameters))


@pytest.mark.parametrize(("dropouts", "search"), [("0.4, step: 0.2", {}), ("0.5, step: 0.1", {"trials": 7})])
def test_a_grid_within_its_trials_or_cut_off_by_those_that_are_stated(dropouts: str, search: dict[str, Any]) -> None:
    parameters = f"""
loss: {{type: simplex, over: [cross_entropy, focal], step: 0.25}}
model.dropout: {{type: float, low: 0, high: {dropouts}}}
"""
    check(JOB, space_of(parameters, sampler="grid", **search))


def test_conditions_and_starting_points_count_for_a_grid() -> None:
    """Two schedules, one of them with 19 values: 20 points, and one more where a point to start from is another."""
    parameters = """
schedule.name: {type: categorical, choices: [constant, one_cycle]}
schedule.pct_start: {type: float, low: 0.05, high: 0.95, step: 0.05, when: {schedule.name: one_cycle}}
"""
    check(JOB, space_of(parameters, sampler="grid", start_from=[{"schedule.name": "constant"}]))

    assert told(JOB, space_of(parameters, sampler="grid", start_from=[{"schedule.name": "one_cycle"}])) == [
        "space: search.trials must be stated for a grid of more than 20 points. Write trials: 39 to run every one."
    ]


def test_the_loss_can_be_searched_where_trials_are_measured_by_something_else() -> None:
    stopping = {"epochs": 8, "batch_size": 64, "early_stopping": {"metric": "val/accuracy", "patience": 2}}
    check(Job.from_dict(DATA | {"training": stopping}), space_of("loss.focal.gamma: {type: float, low: 1, high: 4}"))


def test_the_loss_can_be_the_objective_where_it_is_not_searched() -> None:
    check(Job.from_dict(DATA | {"objective": {"metric": "val/loss", "mode": "min"}}), space_of(LR))


def test_population_based_training_of_what_can_change() -> None:
    check(JOB, space_of(LR, scheduler="pbt"))


def test_two_objectives_without_a_scheduler() -> None:
    objectives = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "val/loss", "mode": "min"}]
    check(Job.from_dict(DATA | {"objective": objectives}), space_of(LR))


def test_starting_points() -> None:
    parameters = f"{LR}\nloss: {{type: simplex, over: [cross_entropy, focal]}}"
    weights = {"loss.cross_entropy.weight": 0.5, "loss.focal.weight": 0.5}
    check(JOB, space_of(parameters, start_from=[{"optimizer.lr": 1e-3}, weights]))


def test_a_setting_of_ones_own_model_must_be_in_the_job() -> None:
    job = Job.from_dict(DATA | {"model": {"name": "nets:build", "width": 64}})
    check(job, space_of("model.width: {type: int, low: 8, high: 128}"))

    assert told(job, space_of("model.widht: {type: int, low: 8, high: 128}")) == [
        "space: unknown path model.widht in job digits. Did you mean model.width?"
    ]


def test_unknown_paths_beside_points_to_start_from() -> None:
    space = space_of(
        "model.nam: {type: categorical, choices: [a]}\nfoo.name: {type: categorical, choices: [a]}\n"
        "model.dropout: {type: float, low: 0, high: 0.5, when: {foo.bar: 1}}",
        start_from=[{"foo.name": "a"}, {"model.dropout": 1.0}],
    )

    assert [problem.partition(". ")[0] for problem in told(JOB, space)] == [
        "space: unknown path model.nam in job digits",
        "space: unknown path foo.name in job digits",
        "space: unknown path foo.bar in job digits",
        "space: start_from gives model.dropout=1.0, which is outside float 0 to 0.5.",
    ]


def test_a_mapping_in_ones_own_model_is_no_setting() -> None:
    job = Job.from_dict(DATA | {"model": {"name": "nets:build", "head": {"width": 64}}})

    assert told(job, space_of("model.head: {type: int, low: 8, high: 128}")) == [
        "space: model.head is a section; name one of its settings, such as model.head.width."
    ]


def test_an_unknown_choice_for_a_name() -> None:
    assert told(JOB, space_of("optimizer.name: {type: categorical, choices: [adamw, lion]}")) == [
        'space: choices[1] of optimizer.name: optimizer.name must be adam, adamw or sgd, got "lion".'
    ]


def test_what_is_wrong_with_one_parameter_does_not_hide_what_is_wrong_with_another() -> None:
    space = space_of("optimizer.rate: {type: float, low: 1, high: 2}\nmodel.dropout: {type: float, low: 0, high: 2}")

    assert told(JOB, space) == [
        "space: unknown path optimizer.rate in job digits. optimizer has name, lr, weight_decay and betas.",
        "space: high of model.dropout: model.dropout must be < 1, got 2.0.",
    ]


def test_a_rule_broken_only_under_a_condition() -> None:
    space = space_of("""
schedule.name: {type: categorical, choices: [one_cycle, cosine]}
schedule.warmup_epochs: {type: int, low: 0, high: 9, when: {schedule.name: cosine}}
""")

    assert told(JOB, space) == [
        "space: high of schedule.warmup_epochs: schedule.warmup_epochs must be <= training.epochs, "
        "got warmup_epochs=9, epochs=8."
    ]
