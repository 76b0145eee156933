"""What a driver keeps of a sweep, without slots."""

from pathlib import Path

from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.ledger import Ledger
from trainyard.sweep.search.study import Study
from trainyard.tracking.events import Event
from trainyard.tracking.journal import Journal

SPACE = Space.from_dict(
    {"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}}, "search": {"trials": 4}}
)


class Driver:
    """A driver's ledger over files that outlive it."""

    def __init__(self, tmp_path: Path, job: Job, *, stop_after_failures: int = 3) -> None:
        self.journal = Journal(tmp_path / "journal.jsonl")
        self.heard: list[Event] = []
        self.ledger = Ledger(
            study=Study(tmp_path / "study.db", name="s", job=job, space=SPACE),
            record=self.journal.append,
            past=Journal.read(tmp_path / "journal.jsonl"),
            job=job,
            stop_after_failures=stop_after_failures,
            listeners=[self.heard.append],
        )

    def train(self, trial: int, *accuracies: float, start: int = 1) -> None:
        for epoch, accuracy in enumerate(accuracies, start):
            self.ledger.epoch(trial, epoch, {"val/accuracy": accuracy})

    def die(self) -> None:
        self.journal.close()
