"""Work on several cores of this machine."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from trainyard.errors import DataError

T = TypeVar("T")
R = TypeVar("R")


class Run(Protocol):
    """Maps a picklable function over items, and yields the results as they are finished, in any order."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T]) -> Iterable[R]: ...


def in_process(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    return map(function, items)


def on_processes(processes: int | None = None) -> Run:
    """processes: those that may be used if None is stated.

    A process that is killed is a DataError. When the caller goes, by Ctrl-C, a failure or SIGKILL, the processes go at
    once and say nothing.
    """
    return partial(_map_on_processes, processes or usable_cpus())


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _map_on_processes(processes: int, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    if not items:
        return
    _quiet_tracker()
    context = _context()
    until_closed, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        min(processes, len(items)), mp_context=context, initializer=_start_worker, initargs=(until_closed,)
    )
    try:
        yield from _finished(pool, function, iter(items), 2 * processes)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DataError(
            "a process of the import was killed, perhaps for want of memory. Repeat the import: it goes on with what "
            "is left; with fewer processes it takes less memory."
        ) from error
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        until_closed.close()


def _finished(pool: ProcessPoolExecutor, function: Callable[[T], R], items: Iterator[T], most: int) -> Iterator[R]:
    """Few items are handed over ahead: each is pickled with all that it holds."""
    running: set[Future[R]] = set()
    for item in items:
        running.add(pool.submit(function, item))
        if len(running) >= most:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _context() -> Any:
    """Not fork: a copy of a process with threads, such as pyarrow's, may hang. A fork server imports what all need
    once."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainyard.data.importing.shard"])
    return context


def _quiet_tracker() -> None:
    """Python's resource tracker removes what a killed process leaves, and would tell the user of "leaked semaphores".

    It takes over the interpreter's options for warnings when it starts.
    """
    sys.warnoptions.append("ignore:resource_tracker")
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove("ignore:resource_tracker")


def _start_worker(until_closed: Connection) -> None:
    """Ctrl-C reaches every process of a terminal: it is the caller's to answer. Its end of the pipe closes when it lets
    go of it, and also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave, args=(until_closed,), daemon=True).start()


def _leave(until_closed: Connection) -> None:
    try:
        until_closed.recv()
    except (EOFError, OSError):
        os._exit(1)
