"""Work spread over the CPUs of a cluster: one Ray task for each item."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import ray

WAITING_PER_CPU = 2
"""Tasks in flight for each CPU: one that runs, one that waits for it. The rest is not submitted yet."""

T = TypeVar("T")
R = TypeVar("R")


def over_cluster(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """The results in the order in which they are done, over the CPUs of the connected cluster.

    function: anything that can be called and pickled; it travels to each node once. What it raises is raised here as it
    is, and cancels the rest; so does leaving the iterator early.
    """
    task = ray.remote(num_cpus=1, max_retries=3)(_called)
    shipped = ray.put(function)
    left = iter(items)
    at_a_time = max(1, int(WAITING_PER_CPU * ray.cluster_resources().get("CPU", 1)))
    pending: list[Any] = [task.remote(shipped, item) for item in islice(left, at_a_time)]
    try:
        while pending:
            (done,), pending = ray.wait(pending, num_returns=1)
            pending.extend(task.remote(shipped, item) for item in islice(left, 1))
            yield _result(done)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def _called(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
