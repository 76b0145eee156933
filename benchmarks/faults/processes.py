"""Which processes descend from this one, and what they are. Linux only."""

import contextlib
import ctypes
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36

TITLES = {"slot": ("ray::Slot", "ray::ResourceTrainable"), "worker": ("ray::RayTrainWorker",)}
"""What Ray calls the processes of its actors, with the method that runs behind it; Tune wraps the slot's class."""

RAYS_OWN = "_AutoscalingCoordinatorActor"
"""An actor that Ray starts once in a cluster, for all crews and data sets that will ever be in it."""

IDLE = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", f"ray::{RAYS_OWN}")
"""Processes of a raylet that hold nothing of a sweep's."""


def adopt_orphans() -> None:
    """From now on, a process whose parent dies below this one becomes its child, and so stays in `family`."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family(root: int | None = None) -> list[psutil.Process]:
    """All living descendants of a process, of this one by default."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in psutil.Process(root).children(recursive=True) if alive(child)]
    return []


def alive(process: psutil.Process) -> bool:
    """Whether it still runs: a process that nobody has waited for does not."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def title(process: psutil.Process) -> str:
    """Its command line, of which a process of Ray's leaves its name alone; empty for one that has gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def titled(processes: Iterable[psutil.Process], kind: str) -> list[psutil.Process]:
    """Those of a kind, in the order of their pids."""
    return sorted((p for p in processes if title(p).startswith(TITLES[kind])), key=lambda process: process.pid)


def busy_of(raylet: int) -> list[psutil.Process]:
    """Processes of a raylet that are not idle, nor its own helpers."""
    return [child for child in family(raylet) if title(child).startswith("ray::") and not is_idle(child)]


def is_idle(process: psutil.Process) -> bool:
    return title(process).startswith(IDLE)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each that is still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float, *, every: float = 0.2) -> bool:
    """Wait for a condition; whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def read_marks(folder: Path) -> dict[int, float]:
    """By pid, what `marking_net` noted there."""
    return {int(file.name): float(file.read_text()) for file in folder.iterdir() if file.name.isdigit()}
