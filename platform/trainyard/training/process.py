"""What a process that trains sets up once."""

import contextlib
import ctypes
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt (malloc.h)."""

_HEAP_OF_THREAD = 64 << 20
"""Bytes of the largest heap that a thread but the first has (HEAP_MAX_SIZE in glibc's malloc/arena.c)."""


def prepare_process(threads: int) -> None:
    """Give torch so many threads, and keep memory that is freed for the next step.

    By itself glibc hands large blocks back to the system and takes them anew, zeroed page by page, in every training
    step: a fifth to a third of the time on a CPU (crew_scaling in benchmarks/README.md). A thread but the first, as Ray
    Train's are, has heaps of its own, and loses each one that is empty for a moment: another tenth. A block of
    more than 64 MiB in such a thread comes from the system each time, whatever is set here. Whoever sets
    variables of glibc's, `MALLOC_...`, has it their way.
    """
    import torch

    torch.set_num_threads(threads)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        with contextlib.suppress(AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_TRIM_THRESHOLD, -1)  # never
            mallopt(_MMAP_MAX, 0)  # large blocks from the heap, too
            mallopt(_TOP_PAD, _HEAP_OF_THREAD)  # a thread's heap stays when it is empty
