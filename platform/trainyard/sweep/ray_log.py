"""Ray's own messages, in a file beside the sweep instead of across the table on the terminal."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from trainyard.cluster.session import MESSAGES

LOGGERS = ("ray.tune", "ray.train", "ray.air", "ray.data", MESSAGES)

ABOUT_NOTHING = "ray.tune.analysis"
"""Misses Tune's own result files, which are off, and says so trial by trial."""


@contextlib.contextmanager
def ray_logs_to(path: Path) -> Iterator[None]:
    """Append what Tune and Train log from warnings up, tracebacks of killed slots among it, to a file."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger(ABOUT_NOTHING).setLevel(logging.CRITICAL)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()
