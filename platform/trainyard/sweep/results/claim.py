"""Whose a sweep in a bucket is: one driver at a time writes it, wherever its machine is.

A bucket knows no locks. The claim is an object that its driver writes again and again; a driver that has not done so
for a while is taken to be dead. Of drivers that claim a sweep at once the last to write has it: each looks again before
it does anything. A driver that was only asleep, or cut off, finds another's claim when it comes back, before it begins
to write anything, and stops. One that is stopped in the middle of an upload (a paused machine) ends that upload first:
the other replaces within seconds what came so, and what it can't replace any more is told when it is fetched
(`results.mark`).

On a disk the claim is a lock, from the first check to the last record.
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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainyard.data.location import Location
from trainyard.errors import DataError, RunError, UsageError
from trainyard.sweep.results.folder import ELSEWHERE, LOCK, SweepFolder

RENEW_SECONDS = 10.0
DEAD_AFTER = 60.0
"""A driver that can't reach its bucket for so long may find its sweep taken over."""

SETTLE_SECONDS = 2.0
"""Between two drivers' claims at one time, if each writes its own sooner than that after it has looked."""

_BUSY = "is writing this sweep. Wait until it ends, stop it, or choose another name."

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def claimed(folder: SweepFolder) -> "Iterator[Claim | None]":
    """Be the only driver of a sweep; the claim to keep alive if it is in a bucket.

    UsageError while another driver is at work. DataError if the bucket can't be reached.
    """
    if folder.bucket is None:
        lock = _locked(folder.path, folder.place, "Choose a results folder that you may write.")
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, _here().encode(), 0)
            yield None
        finally:
            os.close(lock)
        return
    claim = Claim(folder.bucket, folder.path)
    claim.take()
    try:
        yield claim
    finally:
        claim.release()


def time_passed() -> float:
    """Seconds, with those in which the machine slept: `time.monotonic` leaves these out on Linux."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Claim:
    """Of one driver on one sweep. Threads: `renew` may be called from any.

    lost: who has taken the sweep over; empty while it is this driver's.
    """

    def __init__(
        self,
        place: Location,
        folder: Path,
        *,
        clock: Callable[[], float] = time_passed,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """place: of the sweep in the bucket. folder: of the sweep on this machine, which outlives a dead driver.

        wall: a second clock, for a virtual machine that is paused: only this one is set right when it goes on.
        """
        self.lost = ""
        self._sweep = place
        self._place = place / "driver.json"
        self._folder = folder
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._lock = -1
        self._beat = 0
        self._looked = 0.0
        self._renewed, self._renewed_wall = 0.0, 0.0
        self._driver = secrets.token_hex(8)
        self._home = ""
        self._renewing = threading.Lock()

    def take(self) -> None:
        """Claim the sweep; waits for up to DEAD_AFTER where it has to find out whether another driver lives.

        UsageError if one does. DataError if the bucket can't be reached.
        """
        self._lock = _locked(self._folder, self._sweep, ELSEWHERE)
        try:
            self._home = _home(self._lock)
            other = self._read()
            # On the disk of this machine the dead driver's lock is free: there is nothing to wait for.
            if other is not None and other.get("folder") != self._home:
                self._outlive(other)
            self._settle()
        except BaseException:
            self.release()
            raise

    def renew(self) -> None:
        """Say that this driver lives, if it is time to. RunError if the sweep is another driver's now."""
        with self._renewing:
            since = max(self._clock() - self._renewed, self._wall() - self._renewed_wall)
            if not self.lost and since >= RENEW_SECONDS:
                other = self._read()
                # A driver that took over may have ended by now, and its claim with it.
                gone = other is None and since >= DEAD_AFTER
                if gone or (other is not None and not self._is_own(other)):
                    self.lost = (
                        f"{self._sweep}: {_named(other or {})} has taken over this sweep, as nothing was heard of this "
                        f"driver for {since:.0f} s. What was trained here since is trained again there."
                    )
                else:
                    self._write()
            if self.lost:
                raise RunError(self.lost)

    def holds(self) -> bool:
        """Whether the sweep is this driver's still, as far as the bucket answers."""
        try:
            self.renew()
        except (OSError, DataError, RunError):
            return False
        return True

    def release(self) -> None:
        """Let others go on at once, as far as the bucket lets."""
        if not self.lost:
            with contextlib.suppress(OSError, DataError):
                if self._is_own(self._read()):
                    self._place.delete()
        self._unlock()

    def _settle(self) -> None:
        """Write the claim, and return when it is no other's; UsageError where another driver wrote its own after it."""
        while True:
            self._write()
            # The other may have settled before this claim was there: it finds out when it renews its own.
            late = self._clock() - self._looked >= SETTLE_SECONDS
            self._sleep(SETTLE_SECONDS + (RENEW_SECONDS if late else 0.0))
            now = self._read()
            if self._is_own(now):
                return
            if now is not None:
                raise UsageError(self._refusal(now))

    def _is_own(self, claim: Mapping[str, Any] | None) -> bool:
        return claim is not None and claim.get("driver") == self._driver

    def _refusal(self, other: Mapping[str, Any]) -> str:
        return f"{self._sweep}: {_named(other)} {_BUSY}"

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
                raise UsageError(self._refusal(now))

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
        self._looked = self._clock()
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
        self._renewed, self._renewed_wall = self._clock(), self._wall()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _named(claim: Mapping[str, Any]) -> str:
    return str(claim.get("process") or "another driver")


def _home(lock: int) -> str:
    """What tells this machine's folder of the sweep apart from those of others."""
    home = os.pread(lock, 100, 0).decode(errors="replace")
    if not home:
        home = secrets.token_hex(8)
        os.pwrite(lock, home.encode(), 0)
    return home


def _locked(folder: Path, sweep: Location, way_out: str) -> int:
    """A lock on a folder of the sweep while the process lives."""
    lock = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        owner = os.pread(lock, 300, 0).decode(errors="replace")
        os.close(lock)
        who = owner if owner.startswith("process ") else "another process on this machine"
        raise UsageError(f"{sweep}: {who} {_BUSY}") from None
    except OSError as error:
        if lock >= 0:  # a disk without locks: nothing has been written there
            os.close(lock)
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()
        raise UsageError(f"{folder}: can't be written ({error.strerror}). {way_out}") from error
