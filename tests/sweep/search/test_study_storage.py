"""What Optuna's study remembers, what its database holds, and what is asked of it."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from trainyard.sweep.search.study_storage import StudyStorage

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(path: Path) -> optuna.Study:
    storage = StudyStorage(RDBStorage(f"sqlite:///{path}"))
    return optuna.create_study(storage=storage, study_name="s", load_if_exists=True, direction="maximize")


def train(study: optuna.Study, *, report: float = 0.5) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_categorical("name", ["adam", "sgd"])
    trial.report(report, 1)
    return trial


def content(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    names = (
        "number",
        "state",
        "params",
        "distributions",
        "intermediate_values",
        "system_attrs",
        "user_attrs",
        "values",
    )
    return [{name: getattr(trial, name) for name in names} for trial in trials]


def test_the_database_holds_what_the_study_remembers_and_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study = open_study(path)
    study.set_user_attr("why", "a test")
    study.tell(train(study), 0.25)
    study.tell(train(study), state=TrialState.PRUNED)
    study.tell(train(study), state=TrialState.FAIL)
    study.enqueue_trial({"lr": 0.01, "name": "sgd"})
    queued = train(study)
    queued.set_user_attr("seen", [1, 2])
    study.enqueue_trial({"lr": 0.02})
    assert queued.params == {"lr": 0.01, "name": "sgd"}
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{path}")
    again = open_study(path)
    assert content(study.trials) == content(stored.trials) == content(again.trials)
    assert [trial.state.name for trial in again.trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]
    assert again.user_attrs == stored.user_attrs == {"why": "a test"}
    assert again.trials[3].system_attrs, "the queued point"
    assert again.best_value == 0.25
    assert train(again).params["lr"] == 0.02
    again.tell(3, 0.75)
    assert optuna.load_study(study_name="s", storage=f"sqlite:///{path}").best_trial.number == 3


def test_a_folder_with_several_studies_keeps_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    other = optuna.create_study(storage=f"sqlite:///{path}", study_name="another", direction="minimize")
    other.tell(train(other), 0.125)
    study = open_study(path)
    study.tell(train(study), 0.25)
    assert [trial.value for trial in open_study(path).trials] == [0.25]
    stored = optuna.load_study(study_name="another", storage=f"sqlite:///{path}")
    assert [trial.value for trial in stored.trials] == [0.125]


def test_what_the_database_refuses_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path / "study.db")
    trial = train(study)

    def refuse(*arguments: Any) -> None:
        raise StorageInternalError("the disk is full")

    for name in ("create_new_trial", "set_trial_intermediate_value", "set_trial_state_values"):
        monkeypatch.setattr(RDBStorage, name, refuse)
    for change in (study.ask, lambda: trial.report(0.75, 2), lambda: study.tell(trial, 1.0)):
        with pytest.raises(StorageInternalError):
            change()
    assert [(known.state, known.intermediate_values) for known in study.trials] == [(TrialState.RUNNING, {1: 0.5})]


@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler(seed=0), optuna.samplers.TPESampler(seed=0)])
def test_a_proposal_asks_the_database_as_much_beside_many_trials_as_beside_few(
    tmp_path: Path, sampler: optuna.samplers.BaseSampler
) -> None:
    """Optuna alone reads every trial that runs for each proposal."""
    study = open_study(tmp_path / "study.db")
    study.sampler = sampler
    asked: list[int] = []

    def count(*arguments: Any) -> None:
        asked[-1] += 1

    event.listen(study._storage._database.engine, "before_cursor_execute", count)
    for _ in range(12):
        asked.append(0)
        study.tell(train(study), 0.5)
        train(study)
    assert asked[-1] <= asked[1] + 5, "what a sampler notes, once it has learnt something"
