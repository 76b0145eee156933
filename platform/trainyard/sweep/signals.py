"""What a process does at a signal, for as long as something runs."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], None], *signals: signal.Signals) -> Iterator[None]:
    """Signals go to the handler, and afterwards to whatever took them before. In other threads it does nothing."""
    try:
        before = {number: signal.signal(number, handler) for number in signals}
    except ValueError:  # not in the main thread, where signals are another's business
        yield
        return
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
