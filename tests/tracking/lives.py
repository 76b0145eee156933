"""Records one sweep in several lives, of which each but the last is killed: run by `test_crash.py`.

A line of JSON on stdin is one life: `uri`, `journal`, `hold`, `most` events to send (all if null), and `die`: before or
after which call of MLflow the process gets SIGKILL. Every life is forked from this process, which has imported mlflow,
and is answered by its exit status.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from trainyard.tracking import recorder as recorder_module
from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialPictures,
    TrialStarted,
)
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder

TRIALS, EPOCHS = 8, 3


def rest_of_the_sweep(past: list[Event], pictures: Path | None = None) -> Iterator[Event]:
    """What a driver sends that has read the journal. The last epoch of a trial that was cut off is trained again."""
    yield SweepStarted(name="s", job={"name": "j", "optimizer": {"lr": 0.1}}, objectives=[("loss", "min")])
    ended = {event.trial for event in past if isinstance(event, TrialEnded)}
    for trial in sorted(set(range(TRIALS)) - ended):
        heard = [event.epoch for event in past if isinstance(event, TrialEpoch) and event.trial == trial]
        yield TrialStarted(trial=trial, values={"optimizer.lr": trial / 10})
        for epoch in range(max([1, *heard]), EPOCHS + 1):
            yield TrialEpoch(trial=trial, epoch=epoch, metrics={"loss": 1 / epoch, "accuracy": epoch / 10})
        if pictures is not None:
            (pictures / "pictures").mkdir(exist_ok=True)
            (pictures / "pictures" / f"{trial}.png").write_text(f"trial {trial}")
            yield TrialPictures(trial=trial, epoch=EPOCHS, files=[f"pictures/{trial}.png"])
        state: Any = ("finished", "pruned", "failed", "diverged")[trial % 4]
        yield TrialEnded(trial=trial, state=state, best=[Best(metric="loss", value=1 / EPOCHS, epoch=EPOCHS)])
    yield SweepEnded(state="finished")


def live(
    uri: str, journal: str, hold: float, most: int | None, die: dict[str, Any] | None, pictures: bool = False
) -> None:
    recorder_module._HOLD_SECONDS, recorder_module._BATCH_SECONDS = hold, 0.02
    if die:
        _deadly(**die)
    path = Path(journal)
    past = Journal.read(path) if path.exists() else []
    with Journal(path) as opened:
        recorder = Recorder(opened, uri, "test", grace=0.0)
        recorder.start()
        for number, event in enumerate(rest_of_the_sweep(past, path.parent if pictures else None)):
            if number == most:
                time.sleep(30)  # the recorder's thread kills us
            recorder.send(event)
            time.sleep(0.01 if most else 0.0)
        recorder.close(30)


def _deadly(call: str, number: int, after: bool) -> None:
    """The so-many-th call of this name is the last thing that the process does."""
    owner: Any = MlflowClient if hasattr(MlflowClient, call) else SqlAlchemyStore
    original: Callable[..., Any] = getattr(owner, call)
    calls = iter(range(1, 1_000_000))

    def deadly(*args: Any, **options: Any) -> Any:
        last = next(calls) == number
        result = None if last and not after else original(*args, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, call, deadly)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(**json.loads(line))
                os._exit(0)
            finally:
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
