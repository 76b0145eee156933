"""Writes letters to MLflow, through its public client. The only file that knows MLflow's calls for writing.

Every call may be made twice: a run is looked up by its tags before one is created, parameters and tags that are there
already are taken as they are, and MLflow drops a metric that equals one it holds in run, name, step, time and value
(its primary key; mlflow#24683). So whoever is unsure whether something arrived sends it again.

Measured per trial of 3 epochs, 12 metrics an epoch and 6 parameters, on SQLite: 4.3 ms of CPU to create a run, 8 ms for
one `log_batch` (2.5 ms more if it holds tags, so they travel with the creation), 3.5 ms to end it. `update_run` instead
of `set_terminated` takes 6 to 10 ms: it reads the run first.
"""

import getpass
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.tracking.client import Refused, Unreachable, call, open_client, search_runs
from trainyard.tracking.names import PARAMETER_LENGTH, TAG_LENGTH, allowed, number, text
from trainyard.tracking.outbox import STATUS, SWEEP, Letter
from trainyard.tracking.uploads import PICTURES_TAG, Order, Uploads
from trainyard.tracking.uri import default_artifacts

_TOLD = 5
_EPOCHS = "trainyard.epochs"
_ENTITIES = 1000
_PARAMETERS = 100


@dataclass(frozen=True, kw_only=True)
class Held:
    """What MLflow holds of a run, as far as it matters for going on. pictures: of what those are that are there."""

    run_id: str
    state: str
    status: str
    epochs: int
    pictures: str

    def includes(self, letter: Letter) -> bool:
        """Whether the letter says nothing new. Ending a run is the last call: an ended one lacks nothing of before."""
        fresh = letter.key == SWEEP or letter.goes_on or letter.noted_late
        ended = self.status != "RUNNING" and letter.epochs <= self.epochs
        drawn = letter.pictures is None or not letter.pictures.files or self.pictures == letter.pictures.of
        return not fresh and ended and drawn and (letter.ended is None or letter.state == self.state)


class MlflowWriter:
    """One experiment of one tracking server or file. Used by one thread. `refusals` tells the first of `refused`."""

    def __init__(self, uri: str, experiment: str, artifact_root: str | None = None, *, uploads: Uploads) -> None:
        """uploads: what takes care of pictures."""
        self._uri = uri
        self._uploads = uploads
        self._experiment = experiment
        self._artifacts = artifact_root or default_artifacts(uri)
        self._client: Any = None
        self._experiment_id = ""
        self._runs: dict[int, str] = {}
        self._held: dict[int, Held] = {}
        self._current = False
        self.refused = 0
        self.refusals: list[str] = []

    def connect(self, sweep_id: str) -> None:
        """Import mlflow, make the experiment if need be, and find the runs that are there. Once done, does nothing."""
        if self._client is None:
            self._client = open_client(self._uri)
        if not self._experiment_id:
            self._experiment_id = self._find_experiment()
        if not self._current:
            self._find_runs(sweep_id)
            self._current = True

    def answers(self) -> bool:
        """Whether the server takes questions: then what fails again and again is the letter's own fault."""
        try:
            call(self._client.get_experiment, self._experiment_id)
        except (Unreachable, Refused):
            return False
        return True

    def deliver(self, letter: Letter, identity: Mapping[str, str], name: str) -> None:
        """Write a letter, creating its run if there is none. Raises Unreachable or Refused; then it can be repeated."""
        held = self._held.get(letter.key)
        if held and held.includes(letter):
            return
        tags = dict(letter.tags)
        if letter.key not in self._runs:
            # How many epochs are there may be said before they are only where the state tells that the run was not to
            # go on: `_find_runs` then believes it only of a run that was ended, too.
            first = tags if letter.ended is not None else {name: tags[name] for name in tags.keys() - {_EPOCHS}}
            self.create(letter.key, {**identity, **first}, name, letter.began)
            tags = {name: tags[name] for name in tags.keys() - first.keys()}
        run_id = self._runs[letter.key]
        if letter.goes_on or (held and held.status != "RUNNING" and letter.ended is None):
            call(self._client.update_run, run_id, status="RUNNING")
        self._log(run_id, letter, tags, held.epochs if held else 0)
        if letter.ended is not None:
            end = int(letter.ended * 1000)
            call(self._client.set_terminated, run_id, status=STATUS[letter.state], end_time=end)
        self._held.pop(letter.key, None)
        for file, content in letter.files.items():
            call(self._client.log_text, run_id, content, file)
        if letter.pictures and letter.pictures.files and letter.ended is not None:
            self._uploads.add(Order(self._client, self._experiment_id, run_id, letter.pictures, name))

    def refuse(self, what: str, why: Exception) -> None:
        """Remember that something was not taken: the first few, and how many."""
        self.refused += 1
        if self.refused <= _TOLD:
            self.refusals.append(f"{what}: {why}")

    def create(self, key: int, tags: Mapping[str, str], name: str, began: float) -> None:
        """Create the run, if there is none. Trials need that of the sweep first."""
        if key in self._runs:
            return
        tags = {allowed(tag): text(value, TAG_LENGTH) for tag, value in tags.items()}
        tags |= {"mlflow.source.name": "trainyard", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
        if key != SWEEP:
            tags["mlflow.parentRunId"] = self._runs[SWEEP]
        start = int((began or time.time()) * 1000)
        # Should the answer get lost, the run may be there all the same: look before making another.
        self._current = False
        run = call(self._client.create_run, self._experiment_id, start_time=start, tags=tags, run_name=name)
        self._current = True
        self._runs[key] = run.info.run_id

    def _log(self, run_id: str, letter: Letter, tags: Mapping[str, str], epochs: int) -> None:
        from mlflow.entities import Metric, Param, RunTag

        new = [item for item in letter.numbers if item.step > epochs or item.name.startswith("best/")]
        metrics = [Metric(allowed(n.name), number(n.value), int(n.time * 1000), n.step) for n in new]
        params = [Param(allowed(path), text(value, PARAMETER_LENGTH)) for path, value in letter.params.items()]
        notes = [RunTag(allowed(tag), text(value, TAG_LENGTH)) for tag, value in tags.items()]
        if len(metrics) + len(params) + len(notes) <= _ENTITIES and max(len(params), len(notes)) <= _PARAMETERS:
            try:
                call(self._client.log_batch, run_id, metrics=metrics, params=params, tags=notes)
            except Refused:
                pass  # a bad parameter must not take the metrics with it
            else:
                return
        # The tags last: they say how many epochs are there.
        for part in ({"params": params}, {"metrics": metrics}, {"tags": notes}):
            try:
                call(self._client.log_batch, run_id, **part)
            except Refused as refused:
                self.refuse(f"{next(iter(part))} of run {run_id}", refused)

    def _find_experiment(self) -> str:
        experiment = call(self._client.get_experiment_by_name, self._experiment)
        if experiment is None:
            return str(call(self._client.create_experiment, self._experiment, artifact_location=self._artifacts))
        if experiment.lifecycle_stage != "active":
            raise Unreachable(
                f"the experiment {self._experiment} was deleted in MLflow; restore it with "
                f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
            )
        return str(experiment.experiment_id)

    def _find_runs(self, sweep_id: str) -> None:
        """Know every run of the sweep. Of two for one trial (an answer got lost) the one that holds more is kept."""
        found: dict[int, Held] = {}
        condition = f"tags.`trainyard.sweep_id` = '{sweep_id}'"
        for run in search_runs(self._client, [self._experiment_id], condition):
            tags = run.data.tags
            key = int(tags.get("trainyard.trial", SWEEP))
            state, status = tags.get("trainyard.state", "running"), run.info.status
            epochs = int(tags.get(_EPOCHS, 0)) if state == "running" or status != "RUNNING" else 0
            held = Held(
                run_id=run.info.run_id,
                state=state,
                status=status,
                epochs=epochs,
                pictures=tags.get(PICTURES_TAG, ""),
            )
            if key in found:
                held, spare = sorted((found[key], held), key=lambda item: (-item.epochs, item.status == "RUNNING"))
                call(self._client.delete_run, spare.run_id)
            found[key] = held
        self._held = found
        self._runs = {key: held.run_id for key, held in found.items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
