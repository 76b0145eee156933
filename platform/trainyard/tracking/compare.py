"""A sweep read back from MLflow, as a table of its trials: the best first."""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from trainyard.errors import UsageError
from trainyard.spec.hints import close, listing
from trainyard.tracking.client import Refused, Unreachable, open_client, search_experiments, search_runs
from trainyard.tracking.names import allowed, number_of, value_of
from trainyard.tracking.uri import check_reachable, masked, sqlite_path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    objectives: by metric, the best value reached; None where no epoch was finished. May be NaN or infinite.
    best_epoch: in which the (first) objective was best. epochs: how many were finished.
    seconds: from start to end by the clock; None while it runs.
    values: what was sampled, by path of the job.
    pareto: with several objectives, whether no other trial is as good in all and better in one; else None.
    """

    trial: int
    run_id: str
    state: str
    reason: str
    objectives: Mapping[str, float | None]
    best_epoch: int | None
    epochs: int
    seconds: float | None
    values: Mapping[str, Any]
    pareto: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All trials of a sweep, the best first; ties by trial, those without a value (or with NaN) last.

    objectives: pairs of metric and mode. With several, the Pareto front comes first, and the first objective orders.
    """

    sweep: str
    run_id: str
    experiment_id: str
    state: str
    objectives: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in each state."""
        return dict(sorted(Counter(row.state for row in self.rows).items()))

    @property
    def best(self) -> Row | None:
        """The first row, if it has a value."""
        first = self.rows[0] if self.rows else None
        return first if first and math.isfinite(_costs(first, self.objectives)[0]) else None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; what is NaN or infinite becomes None, as JSON has no word for it."""
        return {
            "sweep": self.sweep,
            "run_id": self.run_id,
            "experiment_id": self.experiment_id,
            "state": self.state,
            "objectives": [{"metric": metric, "mode": mode} for metric, mode in self.objectives],
            "states": self.states,
            "trials": [_plain(row) for row in self.rows],
        }


def read_sweep(uri: str, name: str) -> Comparison:
    """Read a sweep of this name; the newest, should there be several.

    Raises UsageError when nobody answers at the URI, or naming the sweeps there are when there is none of this name.
    """
    with reading(uri) as client:
        sweeps = _sweeps(client)
        named = [run for run in sweeps if run.data.tags["trainyard.sweep"] == name]
        if not named:
            raise UsageError(_unknown(name, _names(sweeps), uri))
        tags = named[-1].data.tags
        runs = trial_runs(client, named[-1].info.experiment_id, tags["trainyard.sweep_id"])
    objectives = tuple((metric, mode) for metric, mode in value_of(tags.get("trainyard.objectives", "[]")))
    varied = _varied(runs)
    return Comparison(
        sweep=name,
        run_id=named[-1].info.run_id,
        experiment_id=named[-1].info.experiment_id,
        state=tags.get("trainyard.state", "running"),
        objectives=objectives,
        rows=ranked([_row(run, objectives, varied) for run in runs], objectives),
        tags=dict(tags),
    )


def sweep_names(uri: str) -> list[str]:
    """The names of all sweeps, the newest first. Raises UsageError when nobody answers at the URI."""
    with reading(uri) as client:
        return _names(_sweeps(client))


def sweep_exists(uri: str, name: str) -> bool:
    """Whether a sweep of this name is recorded. Of a SQLite file it is asked directly: importing mlflow takes 2 s."""
    path = sqlite_path(uri)
    if path is None:
        return name in sweep_names(uri)
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(_SWEEP_OF_NAME, (name,)).fetchone() is not None
    except sqlite3.Error:  # another schema than we know
        return name in sweep_names(uri)


_SWEEP_OF_NAME = """
    SELECT 1 FROM tags JOIN runs USING (run_uuid)
    WHERE key = 'trainyard.sweep' AND value = ? AND lifecycle_stage = 'active' LIMIT 1
"""


def ranked(rows: Sequence[Row], objectives: Sequence[tuple[str, str]]) -> tuple[Row, ...]:
    """The rows in the order of a leaderboard, with the Pareto flag where there are several objectives."""
    if len(objectives) > 1:
        front = pareto_front([_costs(row, objectives) for row in rows])
        rows = [replace(row, pareto=flag) for row, flag in zip(rows, front, strict=True)]
    return tuple(sorted(rows, key=lambda row: (not row.pareto, _costs(row, objectives), row.trial)))


def pareto_front(costs: Sequence[Sequence[float]]) -> list[bool]:
    """Of each point, whether no other is at most as high in all costs and lower in one.

    Infinity, as of a target that was not reached, is the highest cost; a point whose first cost is infinite is never on
    the front, as its trial has no best epoch.
    """
    flags = [math.isfinite(point[0]) for point in costs]
    order = sorted((index for index, flag in enumerate(flags) if flag), key=lambda index: tuple(costs[index]))
    front: list[int] = []
    for index in order:  # whatever dominates a point comes before it, and so does something on the front that does
        point = costs[index]
        beaten = any(
            tuple(costs[other]) != tuple(point) and all(a <= b for a, b in zip(costs[other], point, strict=True))
            for other in front
        )
        flags[index] = not beaten
        front += [] if beaten else [index]
    return flags


def _costs(row: Row, objectives: Sequence[tuple[str, str]]) -> tuple[float, ...]:
    """What to minimise, objective by objective; infinity where there is no number."""
    return tuple(_cost(row.objectives.get(metric), mode) for metric, mode in objectives)


def _cost(value: float | None, mode: str) -> float:
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if mode == "max" else value


@contextmanager
def reading(uri: str) -> Iterator[Any]:
    """A client; whatever goes wrong with it is a UsageError."""
    path = sqlite_path(uri)
    if path and not path.exists():
        raise UsageError(f"{path}: no such file, so nothing has been recorded there yet.")
    check_reachable(uri)
    try:
        yield open_client(uri)
    except (Unreachable, Refused) as error:
        raise UsageError(f"The records at {masked(uri)} cannot be read: {error}.") from error


def trial_runs(client: Any, experiment_id: str, sweep_id: str) -> list[Any]:
    """The runs of a sweep's trials, the oldest first."""
    condition = f"tags.`trainyard.sweep_id` = '{sweep_id}' AND tags.`trainyard.kind` = 'trial'"
    return search_runs(client, [experiment_id], condition)


def _sweeps(client: Any) -> list[Any]:
    """The runs of all sweeps, the oldest first."""
    return search_runs(client, search_experiments(client), "tags.`trainyard.kind` = 'sweep'")


def _names(sweeps: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(run.data.tags["trainyard.sweep"] for run in reversed(sweeps)))


def _unknown(name: str, names: Sequence[str], uri: str) -> str:
    if not names:
        return f"There is no sweep {name} at {masked(uri)}, nor any other."
    hint = close(name, names) or f" There are: {listing(names, last='and')}."
    return f"There is no sweep {name} at {masked(uri)}.{hint}"


def _row(run: Any, objectives: Sequence[tuple[str, str]], varied: Sequence[str]) -> Row:
    tags, metrics, params = run.data.tags, run.data.metrics, run.data.params
    sampled = tags["trainyard.sampled"].split(", ") if "trainyard.sampled" in tags else varied
    ended = run.info.end_time if run.info.status != "RUNNING" else None
    best_epoch = metrics.get("best/epoch")
    return Row(
        trial=int(tags["trainyard.trial"]),
        run_id=run.info.run_id,
        state=tags.get("trainyard.state", "running"),
        reason=tags.get("trainyard.reason", ""),
        objectives={metric: _objective(metrics, metric) for metric, _ in objectives},
        best_epoch=int(best_epoch) if best_epoch is not None else None,
        epochs=int(tags.get("trainyard.epochs", 0)),
        seconds=(ended - run.info.start_time) / 1000 if ended is not None else None,
        values={path: value_of(params[allowed(path)]) for path in sampled if allowed(path) in params},
    )


def _objective(metrics: Mapping[str, float], metric: str) -> float | None:
    """The best value; of a trial that has not ended, the latest."""
    value = metrics.get(allowed(f"best/{metric}"), metrics.get(allowed(metric)))
    return number_of(value) if value is not None else None


def _varied(runs: Sequence[Any]) -> list[str]:
    """The settings that are not the same in all trials: what varies where it was not noted."""
    seen: dict[str, set[str]] = {}
    for run in runs:
        for path, value in run.data.params.items():
            seen.setdefault(path, set()).add(value)
    return [path for path, values in seen.items() if len(values) > 1]


def _plain(row: Row) -> dict[str, Any]:
    finite = {m: None if v is None or not math.isfinite(v) else v for m, v in row.objectives.items()}
    return asdict(replace(row, objectives=finite))
