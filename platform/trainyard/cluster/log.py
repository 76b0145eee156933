"""The log of a submitted job, over connections that break."""

import asyncio
from collections.abc import Callable
from typing import Any

from trainyard.cluster.dashboard import first_line

SILENCE_SECONDS = 60.0
"""Without a line of a followed log, until it is asked for anew: a connection of a laptop that slept stays silent."""


class Disconnected(Exception):
    """The dashboard went away while a log was read."""


class LogReader:
    """Shows a log that is read anew from its beginning by each connection, every character once."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._shown = 0

    async def read(self, lines: Any) -> bool:
        """Until the log ends (True), or nothing comes for SILENCE_SECONDS. lines: an asynchronous generator.

        Raises Disconnected, and what `show` raises.
        """
        position = 0
        coming: asyncio.Task[str] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(lines))
                done, _ = await asyncio.wait({coming}, timeout=SILENCE_SECONDS)
                if not done:
                    return False
                try:
                    text = coming.result()
                except StopAsyncIteration:
                    return True
                except _disconnections() as error:
                    raise Disconnected(first_line(error)) from error
                if new := text[max(0, self._shown - position) :]:
                    self._show(new)
                position += len(text)
                self._shown = max(self._shown, position)
        finally:
            if coming is not None and not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
            await lines.aclose()


def _disconnections() -> tuple[type[Exception], ...]:
    """What Ray's client raises when the dashboard goes away in the middle of a log."""
    import aiohttp

    return (aiohttp.ClientError, RuntimeError, OSError)
