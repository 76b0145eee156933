"""A sweep in a pipe: one line for each trial that ends, or one JSON object for each event.

Lines are written by a thread of their own. Whoever reads them may be slow (a pager, a full pipe): that must not hold up
the driver's loop, in which the events are told.
"""

import queue
import threading
from dataclasses import fields
from types import TracebackType
from typing import Any, Self, TextIO

from trainyard.cli.planning import data_words
from trainyard.cli.printing import as_json, counted, duration, number
from trainyard.cli.progress import Progress, TrialView
from trainyard.sweep.plan import Plan
from trainyard.tracking.events import (
    Event,
    SweepEnded,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialPictures,
    TrialStarted,
)


class LineWriter:
    """Writes lines to a stream, in order, from a thread. When nobody reads any more the rest is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="trainyard-lines", daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """Takes some microseconds, whoever reads."""
        self._lines.put(line)

    def close(self) -> None:
        """Return when all is written."""
        self._lines.put(None)
        self._thread.join()

    def _work(self) -> None:
        deaf = False
        while (line := self._lines.get()) is not None:
            try:
                if not deaf:
                    self._stream.write(f"{line}\n")
                    self._stream.flush()
            except (OSError, ValueError):  # the pipe is closed: the sweep goes on without it
                deaf = True


class _Lines:
    """A display of lines: what has been told is written when it is left."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress = progress
        self._writer = LineWriter(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


class PlainLines(_Lines):
    """One line at the start, one for each trial that ends or in which something is wrong, one at the end."""

    def plan(self, plan: Plan) -> None:
        again = self._progress.plan is not None
        self._progress.plan = plan
        self._writer.send(f"sweep {self._progress.name}: {self._change(plan) if again else self._outline(plan)}")

    def _change(self, plan: Plan) -> str:
        gpus = f" and {plan.cluster_gpus:g} GPUs" if plan.cluster_gpus else ""
        there = f"as the cluster has {plan.cluster_cpus:g} CPUs{gpus}"
        if not plan.room:
            return f"waits for nodes with room for a trial, {there}"
        return f"now {plan.slots} at a time, {there}"

    def _outline(self, plan: Plan) -> str:
        done = f", {self._progress.done} of them done" if self._progress.done else ""
        crews = f", each a crew of {plan.workers_each} workers" if plan.crews else ""
        words = data_words(plan)
        data = f"; {words}" if words else ""
        return (
            f"{counted(plan.trials, 'trial')}{done}, {plan.slots} at a time{crews}, at most "
            f"{counted(plan.epochs_per_trial, 'epoch')} each{data}"
        )

    def take(self, event: Event) -> None:
        self._progress.take(event)
        if isinstance(event, TrialEnded):
            self._writer.send(self._trial(self._progress.trials[event.trial]))
        elif isinstance(event, TrialFinding) or (isinstance(event, TrialPictures) and event.trouble):
            self._writer.send(f"trial {event.trial} {event}")
        elif isinstance(event, SweepEnded):
            self._writer.send(self._end())

    def _trial(self, trial: TrialView) -> str:
        """`trial 7 finished val/accuracy=0.9812 at epoch 6 of 8 (12/40, best 0.9846 trial 3)`."""
        progress = self._progress
        parts = [f"trial {trial.number} {trial.state}"]
        if trial.best_epoch is not None:
            values = " ".join(f"{metric}={number(value)}" for metric, value in trial.values_at_best.items())
            parts.append(f"{values} at epoch {trial.best_epoch} of {trial.epochs}")
        if trial.state in ("failed", "diverged"):
            parts.append(f"because {' '.join(trial.reason.split())}")
        best = f", best {number(progress.leader.best)} trial {progress.leader.number}" if progress.leader else ""
        return f"{' '.join(parts)} ({progress.done}/{progress.total}{best})"

    def _end(self) -> str:
        progress = self._progress
        states = ", ".join(f"{count} {state}" for state, count in sorted(progress.counts.items()))
        spent = duration((progress.ended or 0) - progress.began) if progress.began is not None else "-"
        return (
            f"sweep {progress.name} {progress.state}: {counted(progress.done, 'trial')} ended "
            f"({states or 'none'}), in {spent}"
        )


class EpochLines(_Lines):
    """One line for each epoch of a single training, and for whatever is found to be wrong with it."""

    def __init__(self, progress: Progress, stream: TextIO, *, epochs: int) -> None:
        super().__init__(progress, stream)
        self._epochs = epochs
        self._began: tuple[float, int] | None = None

    def plan(self, plan: Plan) -> None:
        self._progress.plan = plan

    def take(self, event: Event) -> None:
        self._progress.take(event)
        if isinstance(event, TrialStarted):
            before = self._progress.trials[event.trial].epochs
            self._began = (event.time, before)
            done = f", {before} of them done" if before else ""
            self._writer.send(f"training {self._progress.name}: at most {counted(self._epochs, 'epoch')}{done}")
        elif isinstance(event, TrialEpoch):
            self._writer.send(self._epoch(event))
        elif isinstance(event, TrialFinding) or (isinstance(event, TrialPictures) and event.trouble):
            self._writer.send(str(event))

    def _epoch(self, event: TrialEpoch) -> str:
        """`epoch 3/8 val/accuracy=0.9704 (best) train/loss=0.1120 val/loss=0.0961 (about 0:05 left)`."""
        trial = self._progress.trials[event.trial]
        objectives = [metric for metric, _ in self._progress.objectives]
        shown = dict.fromkeys([*objectives, "train/loss", "val/loss"])
        parts = [f"{metric}={number(event.metrics[metric])}" for metric in shown if metric in event.metrics]
        if trial.best_epoch == event.epoch:
            parts.insert(1, "(best)")
        left = f" (about {duration(self._left(event))} left)" if event.epoch < self._epochs else ""
        return f"epoch {event.epoch}/{self._epochs} {' '.join(parts)}{left}"

    def _left(self, event: TrialEpoch) -> float | None:
        if self._began is None or event.epoch <= self._began[1]:
            return None
        return (event.time - self._began[0]) / (event.epoch - self._began[1]) * (self._epochs - event.epoch)


class JsonLines(_Lines):
    """One JSON object a line: the plan, then every event as in the sweep's journal (NaN as null), then a summary."""

    def plan(self, plan: Plan) -> None:
        self._progress.plan = plan
        self._writer.send(as_json({"event": "plan", "name": self._progress.name, **plan.as_dict()}))

    def take(self, event: Event) -> None:
        self._progress.take(event)
        self._writer.send(as_json(as_plain(event)))


def as_plain(event: Event) -> dict[str, Any]:
    """An event as the journal writes it, but for the text of the environment, which is long."""
    content: dict[str, Any] = {"event": event.kind}
    content.update((item.name, getattr(event, item.name)) for item in fields(event) if item.name != "environment")
    if isinstance(event, TrialEnded):
        content["best"] = [{"metric": best.metric, "value": best.value, "epoch": best.epoch} for best in event.best]
    return content
