"""Which of a trial's own epochs were better than all of its own before: `best.pt` is of the last of them.

They stand in a file beside it. A state can't tell them: in a population a trial takes over another's state, which
brings that one's epochs along, and they are not among those that the driver was told of this trial.
"""

import json
import math
from collections.abc import Mapping, Sequence

from trainyard.data.location import Location
from trainyard.errors import DataError
from trainyard.spec.training import Objective
from trainyard.sweep.results.checkpoints import write_beside_states


class Bests:
    """The epochs, each with its value of the objective, the earliest and worst first."""

    def __init__(self, file: Location, objective: Objective) -> None:
        self._file = file
        self._objective = objective
        self._found: list[tuple[int, float]] = []

    def go_back(self, history: Sequence[Mapping[str, float]]) -> None:
        """The trial goes on from a state of its own with these epochs: what came later is trained again."""
        kept = self._kept()
        if kept is not None:
            self._found = [(epoch, value) for epoch, value in kept if epoch <= len(history)]
            return
        self._found = []
        for epoch, metrics in enumerate(history, start=1):
            if (value := self._better(epoch, metrics)) is not None:
                self._found.append((epoch, value))

    def stay(self) -> None:
        """The trial goes on from a state that may be another's: its own best ones are what they were."""
        self._found = self._kept() or []

    def improved_by(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether it is the best so far; the first of equals is kept, and NaN is never best."""
        return self._better(epoch, metrics) is not None

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """The epoch is the best, and its state is saved. RunError where the disk or bucket refuses."""
        self._found.append((epoch, metrics[self._objective.metric]))
        write_beside_states(self._file, json.dumps(self._found).encode())

    def _better(self, epoch: int, metrics: Mapping[str, float]) -> float | None:
        value = metrics.get(self._objective.metric, math.nan)
        last, best = self._found[-1] if self._found else (0, None)
        return value if epoch > last and self._objective.improves(value, on=best) else None

    def _kept(self) -> list[tuple[int, float]] | None:
        """What the file says; None where it is missing or damaged."""
        try:
            return [(int(epoch), float(value)) for epoch, value in json.loads(self._file.read_bytes())]
        except (OSError, DataError, ValueError, TypeError):
            return None
