"""What ends a sweep before all its trials have ended, and deletes the checkpoints that nobody needs any more."""

from typing import Any

from ray import tune

from trainyard.data.location import Location
from trainyard.sweep.ledger import Ledger
from trainyard.sweep.results.checkpoints import Tidying
from trainyard.sweep.results.mirror import Mirror
from trainyard.sweep.searcher import DriverOnly, LedgerSearcher

TIDY_EVERY = 10
"""Trials at a time."""


class SweepStopper(DriverOnly, tune.Stopper):
    """Ends the sweep on Ctrl-C, on an error of its own, or when its first trials all failed; tidies checkpoints."""

    def __init__(
        self, searcher: LedgerSearcher, ledger: Ledger, place: Location, keep_checkpoints: int, mirror: Mirror
    ) -> None:
        """place: of the sweep's states. keep_checkpoints: of how many best trials they are kept."""
        self._searcher = searcher
        self._ledger = ledger
        self._keep_checkpoints = keep_checkpoints
        self._mirror = mirror
        self._tidied = 0
        self._tidying = Tidying(place)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def tidy(self) -> None:
        """Keep the checkpoints of the best trials only."""
        keep = self._ledger.best_trials(self._keep_checkpoints)
        self._tidying.ended(self._ledger.ended[self._tidied :], keep)
        self._tidied = len(self._ledger.ended)

    def close(self) -> None:
        """Tidy for the last time; returns when it is done."""
        self.tidy()
        self._tidying.close()

    def stop_all(self) -> bool:
        if len(self._ledger.ended) - self._tidied >= TIDY_EVERY:
            self.tidy()
        return self._searcher.stopping or self._ledger.hopeless is not None or bool(self._mirror.lost)
