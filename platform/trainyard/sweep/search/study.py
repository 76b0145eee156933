"""The Optuna study of a sweep: asks for proposals, and tells what came of them, truthfully.

The study is named after the sweep and lives in the sweep's folder (SQLite). It outlives the driver: trials that were
under way when the driver died are still RUNNING in it, and are handed out first when the sweep is resumed.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from trainyard.errors import RunError
from trainyard.spec.dimension import Dimension
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.points import fixed_points, trial_count
from trainyard.sweep.search.samplers import build_sampler, wants_all_dimensions
from trainyard.sweep.search.study_storage import StudyStorage

STATES = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Our states in Optuna's words. A diverged trial with a finite value is a bad trial that the sampler should learn from,
so it is told PRUNED; without one it is told FAIL, which TPE ignores (optuna/optuna#1015)."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial's number, and its values by dotted path of the job."""

    trial: int
    values: dict[str, Any]


class Study:
    """Ask and tell over one space for one job. Used from one thread, the driver's."""

    def __init__(self, path: Path, *, name: str, job: Job, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._job = job
        self._space = space
        self._path = path
        self._study = self._open(name)
        # One that waits was queued by a driver that died before it asked for it.
        asked = sum(trial.state != TrialState.WAITING for trial in self._study.get_trials(deepcopy=False))
        self._study.sampler = build_sampler(space.search.sampler, seed=space.search.seed, asked=asked)
        self._live: dict[int, Trial] = {}
        self._points = [_all_stored(point) for point in fixed_points(space, job)]
        self._total = trial_count(space, job)
        self._asked = asked

    def _open(self, name: str) -> optuna.Study:
        with self._kept():
            database = optuna.storages.RDBStorage(f"sqlite:///{self._path}")
            # A trial is a dozen commits: itself, its parameters, its epochs. They take 18 ms together when none of them
            # waits for the disk: a killed driver loses none of them, a power cut the last.
            event.listen(database.engine, "connect", _quick_sqlite)
            database.engine.dispose()
            return optuna.create_study(
                storage=StudyStorage(database),
                study_name=name,
                load_if_exists=True,
                directions=["maximize" if o.mode == "max" else "minimize" for o in self._job.objectives],
            )

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Raise what the storage raises (a full disk, a damaged file) as a RunError that names the file."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise RunError(
                f"{self._path}: Optuna's study can't be read or written ({cause}). Make room or mend the file, then "
                "resume."
            ) from error

    @property
    def total(self) -> int:
        """How many trials the sweep will have in all: as many as wanted, or as the grid has points."""
        return self._total

    def ask(self) -> Proposal | None:
        """The next proposal; None when all have been handed out."""
        if self._asked >= self.total:
            return None
        with self._kept():
            if self._asked < len(self._points) and not self._study.get_trials(False, (TrialState.WAITING,)):
                self._study.enqueue_trial(self._points[self._asked])
            trial = self._study.ask()
            self._asked += 1
            self._live[trial.number] = trial
            return Proposal(trial=trial.number, values=self._suggest(trial))

    def _suggest(self, trial: Trial) -> dict[str, Any]:
        with warnings.catch_warnings():
            # An enqueued point need not hold every dimension, and lists as choices are kept by value.
            warnings.simplefilter("ignore", UserWarning)
            if wants_all_dimensions(self._space.search.sampler):
                everything = {dim.name: _suggest(trial, dim) for dim in self._space.dimensions()}
                return self._space.values_from(self._job, everything)
            return dict(self._space.resolve(self._job, lambda dim: _suggest(trial, dim)).values)

    def report(self, trial: int, *, epoch: int, value: float) -> None:
        """An epoch's objective; what is not finite, or belongs to several objectives, Optuna does not take."""
        if math.isfinite(value) and len(self._job.objectives) == 1:
            with self._kept():
                self._trial(trial).report(value, epoch)

    def tell(self, trial: int, state: str, values: Sequence[float] | None) -> None:
        """The end of a trial: its objective values at its best epoch, None where it has none; infinity is a value."""
        told = STATES[state]
        if state == "diverged" and len(self._job.objectives) == 1 and not self._frozen(trial).intermediate_values:
            told = TrialState.FAIL
        if told == TrialState.COMPLETE and (values is None or any(map(math.isnan, values))):
            told = TrialState.FAIL
        with self._kept():
            self._study.tell(trial, values if told == TrialState.COMPLETE else None, state=told)
        self._live.pop(trial, None)

    def unfinished(self) -> list[Proposal]:
        """Trials that were handed out and never told, in order."""
        # Asking again returns what was suggested, and completes a trial whose driver died in the middle of asking.
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [Proposal(trial=t.number, values=self._suggest(self._trial(t.number))) for t in running]

    def _frozen(self, trial: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial]

    def _trial(self, number: int) -> Trial:
        if number not in self._live:
            self._live[number] = Trial(self._study, self._frozen(number)._trial_id)
        return self._live[number]


def _suggest(trial: Trial, dim: Dimension) -> Any:
    """Ask Optuna for one dimension's value."""
    if dim.kind == "categorical":
        choices = {_stored(choice): choice for choice in dim.choices}
        return choices[trial.suggest_categorical(dim.name, list(choices))]
    if dim.kind == "int":
        return trial.suggest_int(dim.name, int(dim.low), int(dim.high), step=int(dim.step or 1), log=dim.log)
    value = trial.suggest_float(dim.name, dim.low, dim.high, step=dim.step, log=dim.log)
    # Optuna adds steps up: 0.30000000000000004 where 0.3 is meant.
    return value if dim.step is None else dim.nearest(value)


def _all_stored(point: dict[str, Any]) -> dict[str, Any]:
    return {name: _stored(value) for name, value in point.items()}


def _stored(choice: Any) -> Any:
    """A choice as Optuna's storage takes it: scalars as they are, a list (a model's channels) as text."""
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _quick_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
