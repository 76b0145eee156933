"""Connecting to a Ray cluster, or starting one on this machine for as long as the command runs."""

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from trainyard.cluster.loopback import on_loopback
from trainyard.cluster.nodes import Resources, read_cluster
from trainyard.errors import UsageError

MESSAGES = "ray.cluster"
"""The logger of what Ray tells drivers. Heard by who sets a level for it."""

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
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    # A thread that asks Ray for something after the end of the session would start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


@contextlib.contextmanager
def connected(*, address: str | None = None, cpus: int | None = None, tune: bool = True) -> Iterator[list[Resources]]:
    """Yield the resources of each node that a cluster has or may start, and leave it at the end.

    `object_store_memory` is what is free of it, in bytes; of all else, what there is.

    address: of a running cluster (`auto`, `host:6379`, `ray://...`); None starts a Ray on this machine, with `cpus`
    CPUs (all by default), which ends with the command. UsageError where nothing answers. tune: whether Ray Tune or
    Ray Train will have work.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = address or os.environ.get("RAY_ADDRESS") or None
    # Importing Tune takes 3 s, most of it pandas; meanwhile Ray's processes start.
    preload = threading.Thread(target=importlib.import_module, args=("ray.tune",), daemon=True)
    import ray

    if tune:
        preload.start()
    with _messages_to_log(), on_loopback() if address is None else contextlib.nullcontext():
        try:
            _start(address, cpus)
        except Exception as error:  # a node that takes too long to start is a plain Exception
            raise UsageError(_no_answer(address, error)) from error
        try:
            yield read_cluster(grows=address is not None).places()
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _messages_to_log() -> Iterator[None]:
    """What Ray tells drivers of dead nodes and workers goes to a logger, and not to stdout, between our own lines."""
    from ray._private import worker

    def log(message: Mapping[str, Any], ignore_prefix: bool) -> None:
        logging.getLogger(MESSAGES).warning("%s", "\n".join(message["lines"]).strip())

    before = worker.print_to_stdstream
    worker.print_to_stdstream = log
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def _start(address: str | None, cpus: int | None) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is not None:
        ray.init(address=address, **quiet)
    else:
        # "local": without an address Ray would join any that it finds on this machine.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    logging.getLogger("ray").setLevel(logging.ERROR)


def _no_answer(address: str | None, error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if address is None:
        return f"Ray could not be started on this machine: {first.rstrip('.')}. On a busy machine, try again later."
    return (
        f"no Ray cluster answers at {address} ({first}). Start one with `ray start --head`, or leave --address (and "
        "RAY_ADDRESS) out to run on this machine alone."
    )
