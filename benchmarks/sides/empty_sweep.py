"""A sweep by trainyard of trials that do nothing, with the driver's memory and MLflow's progress noted on the way."""

import argparse
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from trainyard.cluster.nodes import read_cluster
from trainyard.cluster.session import connected
from trainyard.data.dataset import Dataset
from trainyard.spec.load import load
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.events import Event, SweepEnded, SweepStarted, TrialEnded


class Watch:
    """A listener of the sweep."""

    def __init__(self, database: Path, every: int) -> None:
        """every: so many trials between two looks."""
        self._database = database
        self._every = every
        self.started = self.sweep_ended = 0.0
        self.ended: list[float] = []
        self.looks: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        if isinstance(event, TrialEnded):
            if event.state != "finished":
                raise SystemExit(f"trial {event.trial} {event.state}: {event.reason}")
            self.ended.append(event.time)
            if len(self.ended) % self._every == 0:
                self.look()
        elif isinstance(event, SweepStarted):
            self.started = event.time
        elif isinstance(event, SweepEnded):
            self.sweep_ended = event.time

    def look(self) -> None:
        """cpu: seconds that this process has used so far. undelivered: trials that have ended, but not in MLflow."""
        self.looks.append(
            {
                "trials": len(self.ended),
                "rss_mib": resident_mib(),
                "cpu": time.process_time(),
                "undelivered": len(self.ended) - self.delivered(),
            }
        )

    def delivered(self) -> int:
        """The trials whose run in MLflow has ended."""
        if not self._database.exists():
            return 0
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            try:
                query = "SELECT COUNT(*) FROM runs WHERE status != 'RUNNING' AND name != 'benchmark'"
                return int(database.execute(query).fetchone()[0])
            except sqlite3.OperationalError:  # its tables are being made
                return 0


def resident_mib() -> float:
    """Of this process, as Linux counts it."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with job.yaml and space.yaml; for results")
    parser.add_argument("--every", type=int, default=100, help="trials between two looks at memory and MLflow")
    parser.add_argument("--cpus", type=int, default=2, help="of the Ray that it starts, each for a slot")
    parser.add_argument("--address", help="of a running cluster with so many CPUs, instead")
    options = parser.parse_args()
    job, space = load(options.folder / "job.yaml", options.folder / "space.yaml")
    assert space is not None
    folder = SweepFolder.create(options.folder / "results", "benchmark", job, space)
    database = options.folder / "mlflow.db"
    watch = Watch(database, options.every)
    with connected(address=options.address, cpus=options.cpus) as nodes:
        from empty_slot import EmptySlot

        from trainyard.sweep import run

        sweep = run.Sweep(
            job=job,
            space=space,
            dataset=Dataset.open(Path(job.data.path)),
            folder=folder,
            tracking_uri=f"sqlite:///{database}",
        )
        with patch.object(run, "Slot", EmptySlot):
            look = read_cluster if options.address else None
            outcome = run.run_sweep(sweep, nodes, listeners=[watch.take], look=look)
        closed = time.time()
    if outcome.state != "finished":
        raise SystemExit(f"the sweep {outcome.state}: {outcome.reason}")
    result = {
        "started": watch.started,
        "ended": watch.ended,
        "sweep_ended": watch.sweep_ended,
        "closed": closed,
        "looks": watch.looks,
        "missing": len(watch.ended) - watch.delivered(),
    }
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
