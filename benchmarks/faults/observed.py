"""`trainyard`, which writes down what Ray Tune knows of its trials when a sweep ends; nothing else keeps that.

    python observed.py FILE [arguments of trainyard]

FILE is a list of JSON: of each of Tune's trials our number, Tune's status, and the last epoch and state that it heard.
"""

import json
import sys
from pathlib import Path
from typing import Any


def observe(file: Path) -> None:
    """Have the file written at the end of each of Tune's runs in this process."""
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


if __name__ == "__main__":
    observe(Path(sys.argv[1]))
    from trainyard.cli.main import main

    main(sys.argv[2:])
