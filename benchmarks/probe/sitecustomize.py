"""Notes, in every Python process of a command, when imports and certain calls began and ended.

Python imports this file at its start where its folder is on PYTHONPATH, so Ray's processes do, too; nothing else has to
know of it. `BENCHMARK_PROBE` names the folder for the notes, one file a process, one line of JSON a note: what, began
and seconds (absent: still going on when the process ended). A module or function that is not there is not noted.
"""

import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MODULES = (
    "ray",
    "ray.tune",
    "ray.train",
    "ray.train.torch",
    "torch",
    "torch._dynamo",
    "torch.distributed",
    "torchmetrics",
    "torchvision",
    "pandas",
    "pyarrow.dataset",
    "scipy",
    "sklearn",
    "optuna",
    "sqlalchemy",
    "mlflow",
    "trainyard.sweep.run",
    "trainyard.sweep.slots.slot",
    "trainyard.sweep.crews.member",
    "trainyard.training.trial",
)
"""Imports to note."""

CALLS = {
    "ray._private.worker": ("init",),
    "ray._private.function_manager": ("FunctionActorManager.load_actor_class",),
    "ray.tune.tuner": ("Tuner.fit",),
    "ray.train.v2._internal.execution.controller.controller": ("TrainController.__init__",),
    "ray.train.v2._internal.execution.worker_group.worker_group": (
        "WorkerGroup._create_placement_group",
        "WorkerGroup._create_workers",
        "WorkerGroup._init_train_context_on_workers",
    ),
    "ray.train.torch.config": ("_setup_torch_process_group",),
    "trainyard.data.cache": ("SharedData.read", "_read"),
    "trainyard.sweep.run": ("run_sweep",),
    "trainyard.sweep.slots.slot": ("Slot.setup",),
    "trainyard.sweep.crews.meeting": ("Meeting.form",),
    "trainyard.training.trial": ("Trial.__init__",),
}
"""Functions to note, by module. Of each only the first three calls."""


class Notes:
    """The notes of this process."""

    def __init__(self, folder: str) -> None:
        self._file = os.path.join(folder, f"{os.getpid()}.jsonl")
        self._lock = threading.Lock()
        self.begun = os.path.exists(self._file)

    def write(self, **note: Any) -> None:
        line = json.dumps(note)
        with self._lock, open(self._file, "a") as file:
            file.write(line + "\n")

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        began = time.time()
        try:
            yield
        finally:
            self.write(what=what, began=began, seconds=time.time() - began)


class Watcher:
    """Finds modules as the other finders do, and has those of interest noted while they execute."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in MODULES and name not in CALLS:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            with self._notes.noted(f"import {name}"):
                execute(module)
            for call in CALLS.get(name, ()):
                self._wrap(module, call)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _wrap(self, module: Any, call: str) -> None:
        owner, _, name = call.rpartition(".")
        place = getattr(module, owner, None) if owner else module
        function = getattr(place, name, None)
        if function is not None:
            setattr(place, name, self._noting(function, call, module.__name__.rpartition(".")[2]))

    def _noting(self, function: Callable[..., Any], call: str, module: str) -> Callable[..., Any]:
        left, label = 3, call if "." in call else f"{module}.{call}"

        @functools.wraps(function)
        def noting(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                return function(*args, **kwargs)
            left -= 1
            what = f"actor {args[2].class_name}" if call.endswith("load_actor_class") else label
            with self._notes.noted(what):
                return function(*args, **kwargs)

        return noting


def process_start() -> float:
    """When the kernel started this process, to 10 ms; where it does not tell, now."""
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime") as file:
            up = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return time.time()
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


if folder := os.environ.get("BENCHMARK_PROBE"):
    notes = Notes(folder)
    script = next((part for part in sys.orig_argv[1:] if part.endswith(".py")), "") or "command"
    # Ray replaces some processes by another program: that is a start, too, but not the kernel's.
    began = time.time() if notes.begun else process_start()
    notes.write(what=f"process {os.path.basename(script)}", began=began, seconds=None)
    sys.meta_path.insert(0, Watcher(notes))
