"""Whose a sweep in a bucket is: one driver at a time writes it, wherever its machine is.

A bucket knows no locks. The claim is an object that its driver writes again and again; a driver that has not done so
for a while is taken to be dead. A driver that was only asleep, or cut off, finds another's claim when it comes back,
before it has written anything, and stops.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainyard.data.location import Location
from trainyard.errors import DataError, RunError, UsageError
from trainyard.sweep.folder import ELSEWHERE

RENEW_SECONDS = 10.0
DEAD_AFTER = 60.0
"""A driver that can't reach its bucket for so long may find its sweep taken over."""

_log = logging.getLogger(__name__)


class Claim:
    """Of one driver on one sweep. Threads: `renew` may be called from any.

    lost: who has taken the sweep over; empty while it is this driver's.
    """

    def __init__(
        self,
        place: Location,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """place: of the sweep in the bucket. folder: of the sweep on this machine, which outlives a dead driver."""
        self.lost = ""
        self._sweep = place
        self._place = place / "driver.json"
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._lock = -1
        self._beat = 0
        self._renewed = 0.0
        self._driver = secrets.token_hex(8)
        self._home = ""
        self._renewing = threading.Lock()

    def take(self) -> None:
        """Claim the sweep; waits for up to DEAD_AFTER where it has to find out whether another driver lives.

        UsageError if one does. DataError if the bucket can't be reached.
        """
        self._lock, self._home = _locked(self._folder, self._sweep)
        try:
            other = self._read()
            # On the disk of this machine the dead driver's lock is free: there is nothing to wait for.
            if other is not None and other.get("folder") != self._home:
                self._outlive(other)
            self._write()
        except BaseException:
            self._unlock()
            raise

    def renew(self) -> None:
        """Say that this driver lives, if it is time to. RunError if the sweep is another driver's now."""
        with self._renewing:
            since = self._clock() - self._renewed
            if not self.lost and since >= RENEW_SECONDS:
                other = self._read()
                # A driver that took over may have ended by now, and its claim with it.
                gone = other is None and since >= DEAD_AFTER
                if gone or (other is not None and other.get("driver") != self._driver):
                    self.lost = (
                        f"{self._sweep}: {_named(other or {})} has taken over this sweep, as nothing was heard of this "
                        f"driver for {since:.0f} s. What was trained here since is trained again there."
                    )
                else:
                    self._write()
            if self.lost:
                raise RunError(self.lost)

    def release(self) -> None:
        """Let others go on at once, as far as the bucket lets."""
        if not self.lost:
            with contextlib.suppress(OSError, DataError):
                self._place.delete()
        self._unlock()

    def _outlive(self, other: Mapping[str, Any]) -> None:
        """Return when the other driver has not renewed its claim for long enough; UsageError when it does."""
        waiting = DEAD_AFTER - self._age()
        if waiting > 0:
            _log.warning(
                "%s: %s was writing this sweep %.0f s ago. Finding out whether it still does: %.0f s.",
                self._sweep,
                _named(other),
                DEAD_AFTER - waiting,
                waiting,
            )
        until = self._clock() + waiting
        while (left := until - self._clock()) > 0:
            self._sleep(min(left, RENEW_SECONDS / 2))
            now = self._read()
            if now is None:  # it has ended
                return
            if now != other:
                raise UsageError(
                    f"{self._sweep}: {_named(now)} is writing this sweep. Wait until it ends, stop it, or choose "
                    "another name."
                )

    def _age(self) -> float:
        """Seconds since the claim was written, by the bucket's own clock; 0 if it doesn't say."""
        probe = self._sweep / f"probe-{self._driver}"
        probe.write_bytes(b"")
        try:
            then, now = self._place.changed(), probe.changed()
        finally:
            probe.delete()
        return max(0.0, (now - then) / 1e9) if then and now else 0.0

    def _read(self) -> dict[str, Any] | None:
        """None where there is no claim."""
        try:
            content = json.loads(self._place.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:  # nothing that we write
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self) -> None:
        self._beat += 1
        claim = {"driver": self._driver, "process": _here(), "folder": self._home, "beat": self._beat}
        self._place.write_bytes(json.dumps(claim).encode())
        self._renewed = self._clock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _named(claim: Mapping[str, Any]) -> str:
    return str(claim.get("process") or "another driver")


def _locked(folder: Path, sweep: Location) -> tuple[int, str]:
    """A lock on this machine's folder of the sweep while the process lives, and what tells the folder apart."""
    lock = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "driver.lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        home = os.pread(lock, 100, 0).decode(errors="replace")
        if not home:
            home = secrets.token_hex(8)
            os.pwrite(lock, home.encode(), 0)
        return lock, home
    except BlockingIOError:
        os.close(lock)
        raise UsageError(
            f"{sweep}: another process on this machine is writing this sweep. Wait until it ends, stop it, or choose "
            "another name."
        ) from None
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise UsageError(f"{folder}: can't be written ({error.strerror}). {ELSEWHERE}") from error
