"""CMA-ES goes on from what its study keeps, and takes nothing from it but numbers."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cmaes
import numpy as np
import optuna
import pytest
from optuna.samplers import CmaEsSampler

from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.cma_es import RestrictedCmaEsSampler
from trainyard.sweep.search.study import Study

SPACE = {
    "parameters": {
        "optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "training.epochs": {"type": "int", "low": 2, "high": 90},
        "training.batch_size": {"type": "int", "low": 8, "high": 128, "step": 8},
    },
    "search": {"sampler": {"name": "cma_es", "startup_trials": 2}, "trials": 60},
}


def proposals(folder: Path, job: Job, *, until: int) -> list[dict[str, Any]]:
    """What the study proposes from when it is opened until there are so many. Two trials run at a time."""
    study = Study(folder / "study.db", name="s", job=job, space=Space.from_dict(SPACE))
    running, values = study.unfinished(), list[dict[str, Any]]()
    while (proposal := study.ask()) is not None:
        running.append(proposal)
        values.append(proposal.values)
        if proposal.trial + 1 == until:
            break
        if len(running) == 2:
            over = running.pop(0)
            distance = abs(np.log10(over.values["optimizer.lr"]) + 2) + abs(over.values["training.epochs"] - 30) / 10
            study.tell(over.trial, "finished", [-float(distance)])
    return values


def test_a_reopened_study_goes_on_as_optunas_own_would(
    tmp_path: Path, digits_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for sampler in (RestrictedCmaEsSampler, CmaEsSampler):
        monkeypatch.setattr("trainyard.sweep.search.samplers.RestrictedCmaEsSampler", sampler)
        folder = tmp_path / sampler.__name__
        folder.mkdir()
        runs.append([proposals(folder, digits_job, until=until) for until in (30, 60)])
    assert runs[0] == runs[1]
    assert [len(values) for values in runs[0]] == [30, 30]


def optimizer() -> cmaes.CMA:
    """One that has been told of two generations."""
    own = cmaes.CMA(mean=np.full(3, 0.5), sigma=1 / 6, bounds=np.array([[0.0, 1.0]] * 3), seed=1)
    for _ in range(2):
        own.tell([(own.ask(), float(number)) for number in range(own.population_size)])
    return own


def kept(content: object) -> optuna.trial.FrozenTrial:
    """A trial with this as its optimizer, stored as Optuna does."""
    text = pickle.dumps(content).hex()
    attributes = CmaEsSampler(seed=0)._split_optimizer_str(text)
    return optuna.trial.create_trial(value=1.0, system_attrs=attributes)


def restored(content: object) -> Any:
    return RestrictedCmaEsSampler(seed=0)._restore_optimizer([kept(content)])


def test_an_optimizer_comes_back_as_it_was() -> None:
    before, after = pickle.loads(pickle.dumps(optimizer())), restored(optimizer())
    assert isinstance(after, cmaes.CMA)
    for one in (before, after):
        one.reseed_rng(7)
        one.tell([(one.ask(), float(number)) for number in range(one.population_size)])
    assert [before.ask().tolist() for _ in range(3)] == [after.ask().tolist() for _ in range(3)]


def test_there_is_none_before_the_first_generation_is_over() -> None:
    assert RestrictedCmaEsSampler(seed=0)._restore_optimizer([optuna.trial.create_trial(value=1.0)]) is None


def with_(name: str, value: object) -> Callable[[], object]:
    def changed() -> object:
        one = optimizer()
        setattr(one, name, value)
        return one

    return changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {"_mean": 1}, "it is no optimizer"),
        (lambda: print, "the pickle asks for builtins.print, which no data needs: it is refused"),
        (lambda: np.random.RandomState(1), "the pickle asks for numpy.random"),
        (with_("_novelty", 1), "it is an optimizer of another version of cmaes, or none"),
        (with_("_mean", np.zeros(4)), r"_weights must be \(8,\) of float64, got \(7,\) of float64"),
        (with_("_pc", np.zeros(2)), r"_pc must be \(3,\) of float64, got \(2,\) of float64"),
        (with_("_weights", [[[[]]]]), r"_weights must be \(7,\)"),
        (with_("_sigma", "large"), "_sigma must be a float, got a str"),
        (with_("_sigma", None), "_sigma must be a float, got a NoneType"),
        (with_("_B", np.zeros((3, 3))), "_B must be a NoneType, got a"),
        (with_("_cc", 10**400), "too large"),
    ],
)
def test_what_is_no_optimizer_is_refused(content: Callable[[], object], message: str) -> None:
    with pytest.raises(
        RunError, match=rf"^study\.db: what trial -1 keeps of the optimizer .* can't be read: .*{message}"
    ):
        restored(content())


@pytest.mark.parametrize(
    "damage", [{"cma:optimizer:0": "no number"}, {"cma:optimizer:0": 1}, {"cma:optimizer:7": "00"}]
)
def test_what_is_no_pickle_is_refused(damage: dict[str, Any]) -> None:
    trial = optuna.trial.create_trial(value=1.0, system_attrs=damage)
    with pytest.raises(RunError, match="can't be read"):
        RestrictedCmaEsSampler(seed=0)._restore_optimizer([trial])
