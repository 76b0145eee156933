"""`trainyard`, which writes down what Ray Tune knows of its trials when a sweep ends; nothing else keeps that.

    python observed.py FILE [arguments of trainyard]

FILE is a JSON list: of each of Tune's trials our number, Tune's status, and the last epoch and state that it heard.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainyard.cluster import session


def observe(file: Path) -> None:
    """Have the file written at the end of each of Tune's runs in this process. Imports Ray Tune."""
    from trainyard.sweep.searcher import TuneWatcher

    def on_experiment_end(self: TuneWatcher, trials: list[Any], **info: Any) -> None:
        file.write_text(json.dumps([known(trial) for trial in trials]))

    TuneWatcher.on_experiment_end = on_experiment_end  # type: ignore[method-assign]


def known(trial: Any) -> dict[str, Any]:
    last = trial.last_result or {}
    return {
        "trial": trial.config["trial"],
        "status": trial.status,
        "epoch": last.get("epoch", 0),
        "state": last.get("trainyard", {}).get("state"),
    }


def main(file: Path, arguments: list[str]) -> None:
    connected = session.connected

    @contextmanager
    def connected_and_observed(**settings: Any) -> Iterator[Any]:
        # Not before: the command imports Ray and Tune in an order and with settings of its own.
        with connected(**settings) as nodes:
            observe(file)
            yield nodes

    session.connected = connected_and_observed
    from trainyard.cli.main import main as command

    command(arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
