"""What is wrong with the records of a sweep that should have gone well: journal, Ray Tune, Optuna's study and MLflow,
compared.

Every trial of the sweep is to finish, and all of them train the same thing from the same seed, so that their numbers
are the same, too: a trial that went on from another state than its own shows.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard.tracking.events import Event, SweepEnded, SweepStarted, TrialEnded, TrialEpoch, TrialStarted

METRIC = "train/loss"
"""What is compared between trials, and looked up in MLflow."""

TOLERANCE = 1e-4
"""Relative, between the losses of a trial that was killed and one that was not: a crew that shrinks adds in another
order."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A sweep of so many trials, each of so many epochs."""

    trials: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial as MLflow has it. steps: the epochs for which it has `METRIC`, as often as they are there."""

    trial: int
    status: str
    steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A trial as the last driver's Ray Tune has it. epoch, state: of the last result that Tune heard."""

    trial: int
    status: str
    epoch: int
    state: str | None


def audit(
    expected: Expected,
    events: Sequence[Event],
    tuned: Sequence[Tuned],
    states: Sequence[str],
    runs: Sequence[Run],
    sweep_status: str,
) -> list[str]:
    """One line for each thing that is wrong; none if all is well.

    tuned: the trials of the last driver's Tune. states: of Optuna's trials, in the order of their numbers.
    sweep_status: of the sweep's own run in MLflow.
    """
    return [
        *journal_problems(expected, events),
        *number_problems(events),
        *tune_problems(expected, events, tuned),
        *study_problems(expected, states),
        *run_problems(expected, runs, sweep_status),
    ]


def journal_problems(expected: Expected, events: Sequence[Event]) -> list[str]:
    """Trials that are not there once, that did not finish, and epochs that are missing or there twice."""
    problems = []
    ends: dict[int, list[TrialEnded]] = {}
    for event in events:
        if isinstance(event, TrialEnded):
            ends.setdefault(event.trial, []).append(event)
    for trial in sorted(set(range(expected.trials)) | set(ends)):
        of_trial = ends.get(trial, [])
        if trial >= expected.trials:
            problems.append(f"journal: trial {trial} is one too many")
        elif len(of_trial) != 1:
            problems.append(f"journal: trial {trial} ended {len(of_trial)} times")
        elif of_trial[0].state != "finished":
            problems.append(f"journal: trial {trial} {of_trial[0].state}: {of_trial[0].reason}")
    epochs = Counter((event.trial, event.epoch) for event in events if isinstance(event, TrialEpoch))
    for trial in range(expected.trials):
        counts = {epoch: epochs[trial, epoch] for epoch in range(1, expected.epochs + 1)}
        if lost := [epoch for epoch, count in counts.items() if count == 0]:
            problems.append(f"journal: trial {trial} lost the epochs {lost}")
        if doubled := [epoch for epoch, count in counts.items() if count > 1]:
            problems.append(f"journal: trial {trial} has the epochs {doubled} more than once")
    last = events[-1] if events else None
    if not (isinstance(last, SweepEnded) and last.state == "finished"):
        problems.append("journal: the sweep did not finish")
    return problems


def number_problems(events: Sequence[Event]) -> list[str]:
    """Epochs whose loss is not that of most trials."""
    losses: dict[int, dict[int, float]] = {}
    for event in events:
        if isinstance(event, TrialEpoch):
            losses.setdefault(event.epoch, {})[event.trial] = event.metrics[METRIC]
    problems = []
    for epoch, by_trial in sorted(losses.items()):
        usual = sorted(by_trial.values())[len(by_trial) // 2]
        odd = [trial for trial, loss in by_trial.items() if not math.isclose(loss, usual, rel_tol=TOLERANCE)]
        problems += [
            f"numbers: trial {trial} had {METRIC} {by_trial[trial]:.6g} in epoch {epoch}, most had {usual:.6g}"
            for trial in sorted(odd)
        ]
    return problems


def tune_problems(expected: Expected, events: Sequence[Event], tuned: Sequence[Tuned]) -> list[str]:
    """Trials that the last driver's Tune has twice, or does not know to have ended with all their epochs, those that
    ended under this driver without it, and those that it had although they had ended before."""
    begun = max((place for place, event in enumerate(events) if isinstance(event, SweepStarted)), default=0)
    under_it = {event.trial for event in events[begun:] if isinstance(event, TrialEnded)}
    if under_it and not tuned:
        return ["Tune: nothing was written at its end"]
    counts = Counter(trial.trial for trial in tuned)
    problems = [
        f"Tune: trial {trial} is there {counts[trial]} times, and should be {int(trial in under_it)} times"
        for trial in sorted(under_it | set(counts))
        if counts[trial] != (trial in under_it)
    ]
    ended = {"status": "TERMINATED", "epoch": expected.epochs, "state": "finished"}
    for trial in tuned:
        found = {name: getattr(trial, name) for name in ended}
        if found != ended:
            problems.append(f"Tune: trial {trial.trial} is {', '.join(map(str, found.values()))}")
    return problems


def study_problems(expected: Expected, states: Sequence[str]) -> list[str]:
    """Trials that Optuna does not know to be complete."""
    problems = [f"Optuna: trial {trial} is {state}" for trial, state in enumerate(states) if state != "COMPLETE"]
    if len(states) != expected.trials:
        problems.append(f"Optuna: {len(states)} trials, not {expected.trials}")
    return problems


def run_problems(expected: Expected, runs: Sequence[Run], sweep_status: str) -> list[str]:
    """Runs that are missing, there twice or not finished, and epochs that MLflow lacks or has twice."""
    counts = Counter(run.trial for run in runs)
    problems = [
        f"MLflow: trial {trial} has {counts[trial]} runs"
        for trial in sorted(set(range(expected.trials)) | set(counts))
        if counts[trial] != (trial < expected.trials)
    ]
    for run in sorted(runs, key=lambda run: run.trial):
        if run.status != "FINISHED":
            problems.append(f"MLflow: trial {run.trial} is {run.status}")
        if sorted(run.steps) != list(range(1, expected.epochs + 1)):
            problems.append(f"MLflow: trial {run.trial} has the epochs {sorted(run.steps)}")
    if sweep_status != "FINISHED":
        problems.append(f"MLflow: the sweep is {sweep_status or 'not there'}")
    return problems


def sampled_by(events: Sequence[Event], path: str) -> Mapping[float, int]:
    """The trials by the value that was sampled for one of the job's paths."""
    return {event.values[path]: event.trial for event in events if isinstance(event, TrialStarted)}


def read_tuned(file: Path) -> list[Tuned]:
    """What faults/observed.py wrote; nothing if it did not."""
    return [Tuned(**trial) for trial in json.loads(file.read_text())] if file.exists() else []


def read_states(database: Path, name: str) -> list[str]:
    """Of Optuna's trials, in the order of their numbers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{database}")
    return [trial.state.name for trial in study.trials]


def read_runs(uri: str) -> tuple[list[Run], str]:
    """The runs of the trials in MLflow, and the status of the sweep's own."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs: list[Run] = []
    sweep_status = ""
    for run in client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]):
        if run.data.tags.get("trainyard.kind") == "sweep":
            sweep_status = run.info.status
        elif run.data.tags.get("trainyard.kind") == "trial":
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, METRIC)]
            runs.append(
                Run(trial=int(run.data.tags["trainyard.trial"]), status=run.info.status, steps=tuple(sorted(steps)))
            )
    return runs, sweep_status
