"""The sweep by trainyard, driven as the command line drives it; notes the moment at which its records are closed."""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

from trainyard.cluster.session import connected
from trainyard.data.dataset import Dataset
from trainyard.spec.load import load
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.events import Event, SweepEnded, TrialEnded, TrialEpoch
from trainyard.tracking.journal import Journal


def timings(events: Iterable[Event]) -> dict[str, object]:
    """When each trial trained and ended, by the events of the journal."""
    epochs: dict[int, list[TrialEpoch]] = {}
    trials = []
    for event in events:
        if isinstance(event, TrialEpoch):
            epochs.setdefault(event.trial, []).append(event)
        elif isinstance(event, TrialEnded):
            if event.state != "finished":
                raise SystemExit(f"trial {event.trial} {event.state}: {event.reason}")
            history = epochs[event.trial]
            seconds = [epoch.metrics["seconds/train"] + epoch.metrics["seconds/evaluate"] for epoch in history]
            trials.append(
                {
                    "first_step": history[0].time - seconds[0],
                    "last_epoch": history[-1].time,
                    "ended": event.time,
                    "training": sum(seconds),
                    "epochs": [epoch.time for epoch in history],
                }
            )
        elif isinstance(event, SweepEnded):
            return {"trials": trials, "sweep_ended": event.time}
    raise SystemExit("the sweep did not end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with job.yaml and space.yaml; for results")
    parser.add_argument("--cpus", type=int, default=2, help="of the Ray that it starts")
    options = parser.parse_args()
    job, space = load(options.folder / "job.yaml", options.folder / "space.yaml")
    assert space is not None
    folder = SweepFolder.create(options.folder / "results", "benchmark", job, space)
    with connected(cpus=options.cpus) as nodes:
        from trainyard.sweep.run import Sweep, run_sweep

        outcome = run_sweep(
            Sweep(
                job=job,
                space=space,
                dataset=Dataset.open(Path(job.data.path)),
                folder=folder,
                tracking_uri=f"sqlite:///{options.folder}/mlflow.db",
            ),
            nodes,
        )
        closed = time.time()
    if outcome.state != "finished":
        raise SystemExit(f"the sweep {outcome.state}: {outcome.reason}")
    result = {**timings(Journal.read(folder.journal)), "closed": closed}
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
