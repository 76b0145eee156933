"""A Ray that only this machine can reach."""

import contextlib
from collections.abc import Iterator

from trainyard.cluster.variables import variable


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """What of Ray is started inside listens on 127.0.0.1 and nowhere else: driver, raylet, agents, workers and all.

    Ray can do so, for Windows and macOS, and has no option for it elsewhere: a node at 127.0.0.1 it takes for one at
    the address of the machine, and listens on every interface. Whoever reaches one of those ports runs code here.

    Undone at the end: a driver that joins a cluster afterwards must be reached by others.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    # The variable is for the processes that Ray starts; here it has been read already.
    with variable(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0"):
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before
