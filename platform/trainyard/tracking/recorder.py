"""The recorder: what is sent to it stands in the journal at once, and in MLflow a little later."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator

from trainyard.data.location import Location
from trainyard.errors import DataError, RunError, TrackingError
from trainyard.tracking.client import Refused, Unreachable
from trainyard.tracking.events import Event, SweepEnded, TrialEnded, TrialEpoch
from trainyard.tracking.journal import Journal, JournalReader
from trainyard.tracking.outbox import SWEEP, Letter, Outbox
from trainyard.tracking.uploads import Uploads
from trainyard.tracking.uri import masked
from trainyard.tracking.writer import MlflowWriter

_log = logging.getLogger(__name__)

_BATCH_SECONDS = 1.0
_HOLD_SECONDS = 2.0
"""A run that has not ended waits so long for more to say about it: short trials are then told in one go."""
_MOST_HELD = 100_000
"""So many undelivered metrics, parameters and tags are held in memory (some 20 MB); the rest stays in the journal."""
_READ_AT_ONCE = 100
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_TRIES = 5


class Recorder:
    """Copies the journal of a sweep to MLflow, in one background thread, and pictures in another.

    `send` appends to the journal and returns; the thread follows the journal file from its first line. That is all the
    buffer there is: memory holds a bounded part of it, however long the server is away, and after a crash the next
    recorder reads the same file, asks MLflow which runs it holds, and sends what is missing. No event is lost once
    `send` has returned, and none is doubled: an epoch counts the first time it comes, and MLflow drops a metric that it
    has.

    The thread imports mlflow when the first epoch has finished or `grace` seconds have passed, so that the 2 to 3 s of
    CPU it takes do not delay the first step of training. While the server does not answer it tries again after 1, 2, 4,
    ... 30 s. What MLflow refuses for good is left out, and `close` tells.

    Threads: `send` may be called from any. After a fork there is no thread in the child.
    """

    def __init__(
        self,
        journal: Journal,
        tracking_uri: str,
        experiment: str,
        *,
        artifact_root: str | None = None,
        pictures: Location | None = None,
        standalone: bool = False,
        deliver_with: str = "",
        grace: float = 20.0,
    ) -> None:
        """pictures: what the paths of pictures begin in, where that is not the journal's folder.

        standalone: for one trial without a sweep, which becomes one run without a parent.

        deliver_with: the command that brings what is undelivered to MLflow later, for the error that tells.
        """
        self._journal = journal
        self._uri = tracking_uri
        self._deliver_with = deliver_with
        self._grace = grace
        self._reader = JournalReader(journal.path)
        self._outbox = Outbox(standalone=standalone)
        self._uploads = Uploads(pictures or Location.of(journal.path.parent))
        self._writer = MlflowWriter(tracking_uri, experiment, artifact_root, uploads=self._uploads)
        self._awake = threading.Event()
        self._eager = threading.Event()
        self._closing = threading.Event()
        self._abandoned = False
        self._failures: Counter[int] = Counter()
        self._trouble = ""
        self._broken: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="trainyard-recorder", daemon=True)

    @property
    def trouble(self) -> str:
        """Why MLflow takes nothing at the moment; empty when all is well."""
        return self._trouble

    @property
    def undelivered(self) -> int:
        """How many events MLflow has yet to be told. Approximate while the thread works."""
        return max(0, self._journal.events - self._reader.read) + self._outbox.events

    def start(self) -> None:
        """Begin to copy. What the journal holds from before is told again, as far as MLflow does not have it."""
        self._thread.start()

    def send(self, event: Event) -> None:
        """Keep an event for good, and copy it soon. Takes 20 to 100 µs. Raises RunError when the disk is full."""
        self._journal.append(event)
        if isinstance(event, TrialEpoch | TrialEnded | SweepEnded):
            self._eager.set()
        self._awake.set()

    def close(self, timeout: float = 60.0) -> None:
        """Deliver everything and end the thread. The journal stays open: it is its owner's.

        Raises TrackingError when `timeout` seconds did not suffice, or MLflow refused something. Pictures that are
        not there by then are a warning.
        """
        until = time.monotonic() + timeout
        for signal in (self._closing, self._eager, self._awake):
            signal.set()
        if self._thread.ident is None:
            self._reader.close()
        else:
            self._thread.join(timeout)
        self._abandoned = True
        delivered = not self._thread.is_alive()
        uploaded = self._uploads.close(max(0.0, until - time.monotonic()) if delivered else 0.0)
        if self._broken or not delivered:
            raise TrackingError(self._left_over()) from self._broken
        if not uploaded:
            _log.warning(
                "Not all pictures got into MLflow at %s in time. They are kept in %s. %s",
                masked(self._uri),
                self._journal.path.parent,
                self._way_out(),
            )
        if self._writer.refused:
            raise TrackingError(self._refusals())

    def _work(self) -> None:
        with self._reader:
            self._eager.wait(self._grace)
            self._copy()

    def _copy(self) -> None:
        pause = _FIRST_PAUSE
        while not self._abandoned:
            try:
                self._turn()
            except Unreachable as error:
                self._say_trouble(str(error))
                self._pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:  # a damaged journal, or a mistake of ours: trying again would help nobody
                self._broken = error
                _log.error("The recorder has stopped: %s", error, exc_info=not isinstance(error, RunError))
                return
            else:
                self._say_recovered()
                pause = _FIRST_PAUSE
                if self._closing.is_set() and self.undelivered == 0:
                    return
                self._rest()

    def _turn(self) -> None:
        """Read what is new, deliver what is due."""
        while self._outbox.size < _MOST_HELD and (events := self._reader.next(_READ_AT_ONCE)):
            for event in events:
                self._outbox.add(event, time.monotonic())
        in_haste = self._closing.is_set() or self._outbox.size >= _MOST_HELD
        letters = self._outbox.due(time.monotonic(), hold=0.0 if in_haste else _HOLD_SECONDS)
        if letters:
            self._deliver(letters)

    def _deliver(self, letters: list[Letter]) -> None:
        sweep = self._outbox.sweep
        if sweep is None:
            raise RunError(f"{self._journal.path}: the journal does not begin with the start of a sweep.")
        try:
            self._journal.sync()
        except DataError as error:  # MLflow would know more than whoever goes on after the death of this machine
            raise Unreachable(f"they are not safe yet: {error}") from error
        try:
            self._writer.connect(sweep.sweep_id)
            self._writer.create(SWEEP, self._outbox.identity(SWEEP), self._outbox.name(SWEEP), sweep.time)
        except Refused as error:  # without these nothing can be recorded, so only trying again is left
            raise Unreachable(str(error)) from error
        for letter in letters:
            if self._abandoned:
                return
            self._deliver_one(letter)
            self._outbox.remove(letter)

    def _deliver_one(self, letter: Letter) -> None:
        name = self._outbox.name(letter.key)
        try:
            self._writer.deliver(letter, self._outbox.identity(letter.key), name)
        except Refused as error:
            self._writer.refuse(name, error)
        except Unreachable as error:
            if error.passing or not self._writer.answers():
                raise
            # It fails although the server is well. After some tries it may not keep the others waiting any longer.
            self._failures[letter.key] += 1
            if self._failures[letter.key] < _TRIES:
                raise
            self._writer.refuse(name, error)
        self._failures.pop(letter.key, None)

    def _rest(self) -> None:
        """Wait for more to do, and a little longer, so that it is done in one go."""
        if self._journal.events > self._reader.read:
            return
        if self._outbox.runs == 0 and not self._closing.is_set():
            self._awake.wait()
        self._awake.clear()
        self._closing.wait(_BATCH_SECONDS)

    def _pause(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(min(seconds, 1.0))
        else:
            self._closing.wait(seconds)

    def _say_trouble(self, reason: str) -> None:
        if not self._trouble:
            _log.warning(
                "MLflow at %s takes no records (%s). Training goes on; they are kept in %s and delivered later.",
                masked(self._uri),
                reason,
                self._journal.path,
            )
        self._trouble = reason

    def _say_recovered(self) -> None:
        if self._trouble:
            _log.warning("MLflow at %s takes records again.", masked(self._uri))
        self._trouble = ""

    def _left_over(self) -> str:
        why = self._broken or self._trouble or "there was not enough time"
        return (
            f"{self.undelivered} records have not reached MLflow at {masked(self._uri)}: {str(why).rstrip('.')}. "
            f"They are kept in {self._journal.path}. {self._way_out()}"
        )

    def _refusals(self) -> str:
        told = "\n".join(f"  {refusal}" for refusal in self._writer.refusals)
        return (
            f"MLflow at {masked(self._uri)} refused {self._writer.refused} of the records, which are kept in "
            f"{self._journal.path}:\n{told}"
        )

    def _way_out(self) -> str:
        return f"Deliver them with: {self._deliver_with}" if self._deliver_with else "Resume the sweep to deliver them."


@contextlib.contextmanager
def recording(
    journal: Journal,
    tracking_uri: str,
    experiment: str,
    *,
    deliver_with: str,
    pictures: Location | None = None,
    standalone: bool = False,
) -> Iterator[Recorder]:
    """A recorder at work. TrackingError at the end for what is undelivered, unless a worse error is under way."""
    recorder = Recorder(
        journal, tracking_uri, experiment, pictures=pictures, standalone=standalone, deliver_with=deliver_with
    )
    recorder.start()
    try:
        yield recorder
    except BaseException:
        with contextlib.suppress(TrackingError):
            recorder.close()
        raise
    recorder.close()
