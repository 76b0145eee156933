"""Connecting to a Ray cluster, or starting one on this machine for as long as the command runs."""

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Iterator

from trainyard.errors import UsageError

ENVIRONMENT = {
    # Tune's own result files, tables and snapshots repeat what the journal, MLflow and our table hold; a snapshot of
    # 2,000 trials is written every few seconds otherwise.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ctrl-C is ours: the running trials are to be resumed, not lost. A slot in a long epoch is not waited for.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",
    # Worker groups are watched for losses more often than every 2 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # A process more for each crew, 4 s of imports in the middle of its start.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
}


@contextlib.contextmanager
def connected(*, address: str | None = None, cpus: int | None = None) -> Iterator[list[dict[str, float]]]:
    """Yield the resources of each node of a cluster, and leave it at the end.

    `object_store_memory` is what is free of it, in bytes; of all else, what there is.

    address: of a running cluster (`auto`, `host:6379`, `ray://...`); None starts a Ray on this machine, with `cpus`
    CPUs (all by default), which ends with the command. UsageError where nothing answers.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = address or os.environ.get("RAY_ADDRESS") or None
    # Importing Tune takes 3 s, most of it pandas; meanwhile Ray's processes start.
    preload = threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True)
    import ray

    preload.start()
    try:
        _start(address, cpus)
    except Exception as error:  # a node that takes too long to start is a plain Exception
        raise UsageError(_no_answer(address, error)) from error
    try:
        yield _resources()
    finally:
        ray.shutdown()


def _resources() -> list[dict[str, float]]:
    import ray
    from ray._private.state import available_resources_per_node

    store = "object_store_memory"
    try:
        free = available_resources_per_node()
    except ray.exceptions.RaySystemError:  # by ray://, which knows only what there is in all
        free = {}
    return [
        {**node["Resources"], store: free.get(node["NodeID"], node["Resources"]).get(store, 0.0)}
        for node in ray.nodes()
        if node["Alive"]
    ]


def _start(address: str | None, cpus: int | None) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is not None:
        ray.init(address=address, **quiet)
    else:
        ray.init(num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _no_answer(address: str | None, error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if address is None:
        return f"Ray could not be started on this machine: {first.rstrip('.')}. On a busy machine, try again later."
    return (
        f"no Ray cluster answers at {address} ({first}). Start one with `ray start --head`, or leave --address (and "
        "RAY_ADDRESS) out to run on this machine alone."
    )
