"""What a model raises, made into the reason for which its trial failed."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainyard.errors import TrainyardError, TrialError

_NOT_THE_USERS = ("site-packages", "dist-packages", "<frozen", str(Path(__file__).parent.parent))


@contextmanager
def trial_errors(doing: str) -> Iterator[None]:
    """Raise anything but our own errors as a TrialError that says what was being done, what was raised, and where."""
    try:
        yield
    except TrainyardError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrialError(f"{doing}: out of memory: {_first_line(error)} (use a smaller training.batch_size)") from error
    except Exception as error:
        raise TrialError(f"{doing}: {type(error).__name__}: {_first_line(error)}{_where(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _where(error: BaseException) -> str:
    """File and line of the innermost call in the user's own code, in brackets; nothing if none of it was under way."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in _NOT_THE_USERS)]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
