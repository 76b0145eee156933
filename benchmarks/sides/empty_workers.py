"""Workers that do nothing, for everything around the training to be measured."""

import math
from typing import Any

from trainyard.data.location import Location
from trainyard.sweep.slots.assignment import EpochDone, Started

BEST_LR = 1e-3


class EmptyWorkers:
    """Workers that know the result of an epoch at once: the nearer to the best learning rate, the higher."""

    cramped = False

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        self._accuracy = 1 / (1 + math.log10(values["optimizer.lr"] / BEST_LR) ** 2)
        return Started(history=(), live=dict(values), done=None)

    def epoch(self) -> EpochDone:
        return EpochDone(metrics={"val/accuracy": self._accuracy, "val/loss": 1 - self._accuracy}, done="all epochs")

    def state(self) -> bytes:
        return b"nothing was learnt"

    def save(self, place: Location) -> None:
        place.write_bytes(self.state())

    def leave(self) -> None: ...

    def stop(self) -> None: ...
