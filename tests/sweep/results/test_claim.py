"""Whose a sweep is, where there are no locks: the claim is a file here, as it is an object in a bucket."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainyard.data.location import Location
from trainyard.errors import RunError, UsageError
from trainyard.sweep.results.claim import DEAD_AFTER, RENEW_SECONDS, SETTLE_SECONDS, Claim


class Clock:
    """Time passes where somebody sleeps. Each second changes what the test says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0
        self.meanwhile = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        self.meanwhile()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweep(tmp_path: Path) -> Location:
    return Location.of(tmp_path / "bucket" / "s")


@pytest.fixture
def machine(tmp_path: Path, sweep: Location, clock: Clock):  # type: ignore[no-untyped-def]
    """machine("a"): a driver's claim on a machine of that name."""

    def claim(name: str) -> Claim:
        return Claim(sweep, tmp_path / name / "s", clock=clock, sleep=clock.sleep)

    return claim


def die(claim: Claim) -> None:
    """What is left of a process that was killed: not even its locks."""
    os.close(claim._lock)
    claim._lock = -1


def test_a_sweep_that_nobody_has_is_claimed_at_once(machine, clock: Clock, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    machine("a").take()
    assert clock.slept == SETTLE_SECONDS
    assert json.loads((sweep / "driver.json").read_bytes())["process"].startswith(f"process {os.getpid()} on ")


def test_one_that_was_released_too(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first = machine("a")
    first.take()
    first.release()
    machine("b").take()
    assert clock.slept == 2 * SETTLE_SECONDS


def test_a_living_driver_is_not_disturbed(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first, second = machine("a"), machine("b")
    first.take()
    clock.meanwhile = first.renew
    with pytest.raises(UsageError, match=r"bucket/s: process \d+ on .* is writing this sweep\. Wait until it ends"):
        second.take()
    clock.now += 20
    first.renew()
    assert first.lost == ""


def test_a_second_driver_on_the_machine_of_a_living_one_is_refused_at_once(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    machine("a").take()
    with pytest.raises(UsageError, match="another process on this machine is writing this sweep"):
        machine("a").take()
    assert clock.slept == SETTLE_SECONDS, "of the first"


def test_the_sweep_of_a_dead_driver_is_taken_over_after_a_while(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first = machine("a")
    first.take()
    die(first)
    machine("b").take()
    assert DEAD_AFTER - 2 < clock.slept - 2 * SETTLE_SECONDS <= DEAD_AFTER


def test_and_at_once_if_it_has_been_dead_for_long(machine, clock: Clock, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    first = machine("a")
    first.take()
    die(first)
    written = Path((sweep / "driver.json").path)
    os.utime(written, (written.stat().st_mtime - DEAD_AFTER,) * 2)
    machine("b").take()
    assert clock.slept == 2 * SETTLE_SECONDS
    assert [path.name for path in written.parent.iterdir()] == ["driver.json"], "nothing else is left there"


def test_and_at_once_on_its_own_machine(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first = machine("a")
    first.take()
    die(first)
    machine("a").take()
    assert clock.slept == 2 * SETTLE_SECONDS


def test_a_driver_that_ends_while_another_waits_lets_it_in(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first = machine("a")
    first.take()
    clock.meanwhile = first.release
    machine("b").take()
    assert clock.slept < 10


def test_a_driver_that_was_asleep_finds_its_sweep_taken_over_and_stops(machine, clock: Clock, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    first, second = machine("a"), machine("b")
    first.take()
    second.take()  # nothing was heard of the first for DEAD_AFTER
    with pytest.raises(RunError, match=r"has taken over this sweep, as nothing was heard of this driver for 6[0-9] s"):
        first.renew()
    assert first.lost
    theirs = (sweep / "driver.json").read_bytes()
    first.release()
    assert (sweep / "driver.json").read_bytes() == theirs, "the claim of the other stays"
    with pytest.raises(RunError):
        first.renew()


def test_also_if_the_other_has_ended_by_then(machine, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    first, second = machine("a"), machine("b")
    first.take()
    second.take()
    second.release()
    with pytest.raises(RunError, match="another driver has taken over"):
        first.renew()


def test_a_claim_that_is_damaged_is_anothers(machine, clock: Clock, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    (sweep / "driver.json").write_bytes(b"{")
    machine("a").take()
    assert clock.slept > DEAD_AFTER - 2


def test_of_two_drivers_that_resume_a_dead_ones_sweep_at_once_one_gets_it(
    tmp_path: Path, sweep: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sweep / "driver.json").write_bytes(b'{"driver": "dead", "folder": "elsewhere"}')
    os.utime((sweep / "driver.json").path, (1, 1))  # long ago
    changed, in_step = Location.changed, threading.Barrier(2)

    def waits(self: Location) -> int:
        found = changed(self)
        if self.name == "driver.json":
            in_step.wait(timeout=10)  # both have read the claim of the dead one, and none has written its own
        return found

    monkeypatch.setattr(Location, "changed", waits)
    claims = [Claim(sweep, tmp_path / name / "s", sleep=lambda seconds: time.sleep(seconds / 10)) for name in "ab"]

    def take(claim: Claim) -> str:
        try:
            claim.take()
        except UsageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as threads:
        told = list(threads.map(take, claims))

    (refused,) = filter(None, told)
    assert "is writing this sweep. Wait until it ends" in refused
    claims[told.index("")].renew()
    assert json.loads((sweep / "driver.json").read_bytes())["driver"] == claims[told.index("")]._driver


def test_who_is_slow_to_claim_waits_longer(machine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    write = Location.write_bytes

    def slowly(self: Location, data: bytes) -> None:
        write(self, data)
        clock.now += SETTLE_SECONDS

    monkeypatch.setattr(Location, "write_bytes", slowly)
    machine("a").take()
    assert clock.slept > RENEW_SECONDS


def test_who_is_refused_leaves_the_claim_of_the_other(machine, clock: Clock, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    theirs = b'{"driver": "another", "process": "process 7 on elsewhere"}'
    clock.meanwhile = lambda: (sweep / "driver.json").write_bytes(theirs)
    with pytest.raises(UsageError, match="process 7 on elsewhere is writing this sweep"):
        machine("a").take()
    assert (sweep / "driver.json").read_bytes() == theirs


def test_a_driver_that_ends_does_not_take_the_claim_of_the_next_along(machine, sweep: Location) -> None:  # type: ignore[no-untyped-def]
    first, second = machine("a"), machine("b")
    first.take()
    second.take()
    first.release()
    assert second.holds()
    assert (sweep / "driver.json").exists()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="elsewhere no clock stands still")
def test_a_machine_that_slept_has_let_time_pass(
    tmp_path: Path, sweep: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim(sweep, tmp_path / "a" / "s", wall=lambda: 0.0, sleep=lambda seconds: None)
    claim.take()
    (sweep / "driver.json").delete()  # another took over and has ended
    assert claim.holds(), "nothing is asked so soon"

    read = time.clock_gettime
    # Linux counts the time of a sleep by this clock and by none of the others.
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read(clock) + 3600 * (clock == time.CLOCK_BOOTTIME))

    with pytest.raises(RunError, match=r"another driver has taken over .* for 360\d s"):
        claim.renew()


def test_so_has_a_virtual_machine_that_was_paused(tmp_path: Path, sweep: Location) -> None:
    wall = Clock()
    claim = Claim(sweep, tmp_path / "a" / "s", clock=lambda: 0.0, wall=wall, sleep=lambda seconds: None)
    claim.take()
    (sweep / "driver.json").write_bytes(b'{"driver": "another", "process": "process 7 on elsewhere"}')
    wall.now += 3600
    with pytest.raises(RunError, match="process 7 on elsewhere has taken over"):
        claim.renew()
