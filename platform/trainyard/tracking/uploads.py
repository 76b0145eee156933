"""Uploads pictures to MLflow, in a thread of its own: a place for artifacts that is slow holds up no record.

What does not get there is told once and never an error. A tag of the run says of what its pictures are once all are
there; whoever delivers the journal next sends those again whose tag is missing.
"""

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from trainyard.data.location import Location
from trainyard.errors import DataError
from trainyard.tracking.client import Refused, Unreachable, call
from trainyard.tracking.outbox import Pictures

PICTURES_TAG = "trainyard.pictures"

_log = logging.getLogger(__name__)

_TRIES, _TRY_SECONDS = 3, 5.0
"""Tries of a file, one after the other, and the time after which there is no further one: where each of them runs into
a time-out, there is but one."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Order(NamedTuple):
    """The pictures of a run. client: MLflow's. experiment: any that is there, to see whether the server answers."""

    client: Any
    experiment: str
    run_id: str
    pictures: Pictures
    name: str


class Uploads:
    """Of one sweep. Once the place for artifacts takes nothing although the server is well, no more is tried."""

    def __init__(self, folder: Location) -> None:
        """folder: what the paths of pictures begin in."""
        self._folder = folder
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="trainyard-pictures", daemon=True)
        self._closing = threading.Event()
        self._abandoned = False
        self._told = False
        self._takes = True

    def add(self, order: Order) -> None:
        """Upload pictures soon; returns at once."""
        self._orders.put(order)
        if self._thread.ident is None:
            self._thread.start()

    def close(self, timeout: float) -> bool:
        """Wait for what is left, and end the thread. Whether that was enough time."""
        self._closing.set()
        self._orders.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._abandoned = True
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None and not self._abandoned:
            self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        pause = _FIRST_PAUSE
        while self._takes and not self._abandoned:
            try:
                self._upload(order)
            except Unreachable:
                if self._closing.is_set():
                    time.sleep(min(pause, 1.0))
                else:
                    self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:
                self._tell(order, str(error))
                return
            else:
                return

    def _upload(self, order: Order) -> None:
        """Each under its file's name, then the tag. Unreachable if the server itself does not answer."""
        for file in order.pictures.files:
            if self._abandoned:
                return
            if trouble := self._upload_file(order, self._folder / file):
                self._tell(order, trouble)
                return
        call(order.client.set_tag, order.run_id, PICTURES_TAG, order.pictures.of)

    def _upload_file(self, order: Order, place: Location) -> str:
        """Why it failed; empty if it did not. Unreachable if it may well do later."""
        if not self._is_inside(place):
            return f"{place} leads out of the folder"
        try:
            with _on_disk(place) as file:
                return self._send(order, file)
        except OSError as error:
            return f"{error.strerror or error}: {place}"
        except DataError as error:
            return str(error)

    def _is_inside(self, place: Location) -> bool:
        """Whether no link leads elsewhere: a folder may come from others, and what it names is shown to all."""
        if place.local is None or self._folder.local is None:
            return True
        return place.local.resolve().is_relative_to(self._folder.local.resolve())

    def _send(self, order: Order, file: Path) -> str:
        file.open("rb").close()
        trouble, until = "", time.monotonic() + _TRY_SECONDS
        for tried in range(_TRIES):
            if tried and time.monotonic() > until:
                break
            try:
                call(order.client.log_artifact, order.run_id, str(file), "pictures")
            except Refused as error:
                return str(error)
            except Unreachable as error:
                if error.passing or not _answers(order):
                    raise
                trouble = str(error)
            else:
                return ""
        self._takes = False
        return trouble

    def _tell(self, order: Order, trouble: str) -> None:
        if not self._told:
            _log.warning(
                "Pictures do not get into MLflow, the first of them those of %s: %s. They are kept in %s.",
                order.name,
                trouble,
                self._folder,
            )
        self._told = True


@contextlib.contextmanager
def _on_disk(place: Location) -> Iterator[Path]:
    """The file, or a copy of what is in a bucket under the same name."""
    if place.local:
        yield place.local
        return
    with tempfile.TemporaryDirectory(prefix="trainyard-") as folder:
        file = Path(folder) / place.name
        file.write_bytes(place.read_bytes())
        yield file


def _answers(order: Order) -> bool:
    try:
        call(order.client.get_experiment, order.experiment)
    except (Unreachable, Refused):
        return False
    return True
