"""What Optuna is asked and told. Real studies in real SQLite files."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from trainyard.errors import RunError
from trainyard.spec.grid import grid
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.study import Study

LR: dict[str, Any] = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
EVERY_KIND: dict[str, Any] = {
    **LR,
    "training.epochs": {"type": "int", "low": 2, "high": 9},
    "model.channels": {"type": "categorical", "choices": [[8, 16], [32, 64]]},
    "loss": {"type": "simplex", "over": ["cross_entropy", "focal"]},
    "loss.focal.gamma": {"type": "float", "low": 1, "high": 4, "when": {"loss.focal.weight": {"above": 0.5}}},
}
FINITE: dict[str, Any] = {
    "optimizer.lr": {"type": "categorical", "choices": [0.1, 0.01]},
    "schedule.name": {"type": "categorical", "choices": ["constant", "one_cycle"]},
    "schedule.pct_start": {
        "type": "float",
        "low": 0.1,
        "high": 0.3,
        "step": 0.1,
        "when": {"schedule.name": "one_cycle"},
    },
}


def space(parameters: dict[str, Any], **search: Any) -> Space:
    return Space.from_dict({"parameters": parameters, "search": search})


def stored(path: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials as another program reads them."""
    return optuna.load_study(study_name="s", storage=f"sqlite:///{path}").trials


def open_study(tmp_path: Path, job: Job, space: Space) -> Study:
    return Study(tmp_path / "study.db", name="s", job=job, space=space)


def ask_all(study: Study) -> list[dict[str, Any]]:
    """Asks for everything; each trial ends at once, the better the smaller its learning rate."""
    proposals = []
    while (proposal := study.ask()) is not None:
        proposals.append(proposal.values)
        study.report(proposal.trial, epoch=1, value=0.5)
        study.tell(proposal.trial, "finished", [1.0 - proposal.values["optimizer.lr"]])
    return proposals


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cma_es", "gp"])
def test_every_sampler_proposes_valid_jobs_only(tmp_path: Path, digits_job: Job, sampler: str) -> None:
    settings: Any = {"name": sampler} | ({"startup_trials": 3} if sampler in ("tpe", "gp", "cma_es") else {})
    kinds = {key: value for key, value in EVERY_KIND.items() if sampler != "cma_es" or key != "model.channels"}
    proposals = ask_all(open_study(tmp_path, digits_job, space(kinds, sampler=settings, trials=8)))
    assert len(proposals) == 8
    for values in proposals:
        digits_job.with_values(values)
        assert values["loss.cross_entropy.weight"] + values["loss.focal.weight"] == pytest.approx(1)
        assert ("loss.focal.gamma" in values) == (values["loss.focal.weight"] > 0.5)


def test_the_same_seed_proposes_the_same(tmp_path: Path, digits_job: Job) -> None:
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        runs.append(ask_all(open_study(tmp_path / name, digits_job, space(EVERY_KIND, trials=12, seed=seed))))
    assert runs[0] == runs[1] != runs[2]


def test_a_grid_is_every_combination_once_and_conditions_multiply_nothing(digits_job: Job) -> None:
    points = list(grid(space(FINITE), digits_job))
    assert len(points) == 2 * (1 + 3)
    assert len({tuple(sorted(point.items())) for point in points}) == 8


def test_a_grid_ends_with_its_points(tmp_path: Path, digits_job: Job) -> None:
    study = open_study(tmp_path, digits_job, space(FINITE, sampler="grid", trials=100))
    assert study.total == 8
    proposals = ask_all(study)
    assert len({tuple(sorted(values.items())) for values in proposals}) == 8


def test_points_to_start_from_come_first(tmp_path: Path, digits_job: Job) -> None:
    start = {"optimizer.lr": 0.003, "loss.cross_entropy.weight": 0.25, "loss.focal.weight": 0.75}
    study = open_study(tmp_path, digits_job, space(EVERY_KIND, start_from=[start], trials=3))
    first = ask_all(study)[0]
    assert {path: first[path] for path in start} == pytest.approx(start)


@pytest.mark.parametrize(
    ("state", "value", "told"),
    [("finished", 0.9, "COMPLETE"), ("pruned", 0.5, "PRUNED"), ("diverged", 0.5, "PRUNED"), ("failed", 0.5, "FAIL")],
)
def test_states_are_told_truthfully(tmp_path: Path, digits_job: Job, state: Any, value: float, told: str) -> None:
    study = open_study(tmp_path, digits_job, space(LR))
    proposal = study.ask()
    assert proposal is not None
    study.report(proposal.trial, epoch=1, value=0.5)
    study.tell(proposal.trial, state, [value])
    (trial,) = stored(tmp_path / "study.db")
    assert trial.state.name == told
    assert trial.value == (None if told == "FAIL" else value)


def test_a_trial_that_diverged_before_its_first_epoch_is_told_fail(tmp_path: Path, digits_job: Job) -> None:
    study = open_study(tmp_path, digits_job, space(LR))
    study.ask()
    study.tell(0, "diverged", None)
    assert stored(tmp_path / "study.db")[0].state.name == "FAIL"


def test_a_file_that_is_no_study_is_an_error_that_names_it(tmp_path: Path, digits_job: Job) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(RunError, match=r"study\.db: Optuna's study can't be read or written \(.*not a database\)"):
        open_study(tmp_path, digits_job, space(LR))


def test_nan_is_never_told(tmp_path: Path, digits_job: Job) -> None:
    study = open_study(tmp_path, digits_job, space(LR))
    study.ask()
    study.report(0, epoch=1, value=math.nan)
    study.tell(0, "finished", [math.nan])
    (trial,) = stored(tmp_path / "study.db")
    assert (trial.state.name, trial.intermediate_values) == ("FAIL", {})


def test_several_objectives_are_told_together(tmp_path: Path, digits_job: Job) -> None:
    two = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "val/loss", "mode": "min"}]
    job = Job.from_dict({**digits_job.to_dict(), "objective": two})
    study = open_study(tmp_path, job, space(LR))
    study.ask()
    study.report(0, epoch=1, value=0.5)
    study.tell(0, "finished", [0.9, 0.1])
    assert stored(tmp_path / "study.db")[0].values == [0.9, 0.1]


def test_a_reopened_study_goes_on_and_repeats_no_proposal(tmp_path: Path, digits_job: Job) -> None:
    first = open_study(tmp_path, digits_job, space(LR, sampler="random", trials=6))
    before = [first.ask() for _ in range(3)]
    for proposal in before[:2]:
        assert proposal is not None
        first.tell(proposal.trial, "finished", [0.5])
    again = open_study(tmp_path, digits_job, space(LR, sampler="random", trials=6))
    assert again.unfinished() == [before[2]]
    after = [again.ask() for _ in range(3)]
    assert again.ask() is None
    rates = [proposal.values["optimizer.lr"] for proposal in [*before, *after] if proposal is not None]
    assert len(set(rates)) == 6
