"""A split that is read and decoded anew in every epoch, by Ray Data: what doesn't fit into memory."""

import contextlib
import gc
import logging
import queue
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.util.annotations import RayDeprecationWarning

from trainyard.data.columns import Columns, row_count
from trainyard.data.dataset import Dataset, RowGroup
from trainyard.data.decode import Decoder
from trainyard.data.rows import EpochOrder
from trainyard.data.sampling import RowClasses, row_classes
from trainyard.data.shapes import DecodeSettings, image_shape
from trainyard.data.windows import Groups, Window, evaluation_windows, training_windows
from trainyard.errors import StorageError, TrainyardError

if TYPE_CHECKING:
    from ray.data import Dataset as RayDataset

RETRIES = 3
"""Of a task whose process died."""

CLOSING_SECONDS = 10.0
"""For tasks under way to end when a stream is closed; then they are killed."""

BLOCKS = 8
"""In so many blocks a stream has under way what it may have."""


class StreamedSplit:
    """A Split whose rows pass by: few of them are in the object store at a time, however many there are.

    Each iterator runs a Ray Data execution of its own, whose tasks ask for no CPU: slots and crews may hold them all.
    """

    def __init__(self, dataset: Dataset, split: str, settings: DecodeSettings, *, store_bytes: int, tasks: int) -> None:
        """store_bytes: of the object store that an iterator may fill. tasks: windows that are decoded at a time."""
        self.rows = dataset.manifest.splits[split].rows
        self.image_shape = image_shape(dataset.manifest, settings, dataset.path)
        self._dataset = dataset
        self._split = split
        self._store_bytes = store_bytes
        self._tasks = tasks
        self._decoder = Decoder(dataset, split, settings)
        self._row_groups = dataset.groups(split)
        self._groups = Groups([group.rows for group in self._row_groups], row_bytes=self._decoder.row_bytes)

    def first(self, rows: int) -> Columns:
        group = self._row_groups[0] if self._row_groups else None
        count = min(rows, group.rows) if group else 0
        columns = self._decoder.empty(count)
        if group:
            self._decoder.fill(columns, self._decoder.read(group), np.arange(count))
        return columns

    def take(self, rows: np.ndarray) -> Columns:
        return self._decoder.take(rows)

    def classes(self) -> RowClasses:
        return self._classes

    def names(self, rows: Sequence[int]) -> list[str]:
        return self._dataset.names(self._split, rows)

    @cached_property
    def _classes(self) -> RowClasses:
        return row_classes(self._dataset, self._split)

    def training(self, order: EpochOrder) -> Iterator[Columns]:
        return self._stream(training_windows(self._groups, order), order.own.stop - order.own.start)

    def evaluation(self, *, size: int, rank: int = 0, workers: int = 1) -> Iterator[Columns]:
        return self._stream(evaluation_windows(self._groups, rank=rank, workers=workers), size)

    def _stream(self, windows: Iterable[Window], size: int) -> Iterator[Columns]:
        wanted = list(windows)
        if not wanted:
            return
        ahead = _Ahead(self._decoded(wanted))
        try:
            with plain_errors():
                yield from batches(ahead, size)
        finally:
            ahead.close()
            # The executor is part of reference cycles (Ray 2.60): until Python happens to find them, its blocks stay in
            # the object store.
            gc.collect()

    def _decoded(self, windows: list[Window]) -> "RayDataset":
        """The windows, decoded, one after the other."""
        import ray.data as ray_data

        _silence()
        block_bytes = self._store_bytes // BLOCKS
        tasks = [_Task(tuple(self._row_groups[group] for group in window.groups), window.rows) for window in windows]
        source = ray_data.from_items(
            [{"task": ray.cloudpickle.dumps(task)} for task in tasks], override_num_blocks=len(tasks)
        )
        with warnings.catch_warnings():
            # Ray 2.60 deprecates `ray_remote_args_fn`, but has no other way yet to state `max_retries`.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            decoded = source.map_batches(
                _decode_window,
                batch_size=1,
                num_cpus=0,
                compute=ray_data.TaskPoolStrategy(size=min(self._tasks, len(tasks))),
                fn_kwargs={"decoder": self._decoder, "most_bytes": block_bytes},
                # By default a task whose process dies is repeated for ever, and nobody hears of it.
                ray_remote_args_fn=lambda: {"max_retries": RETRIES},
            )
        context = decoded.context
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = block_bytes
        context.execution_options.preserve_order = True
        limits = ray_data.ExecutionResources.for_limits(object_store_memory=self._store_bytes)
        context.execution_options.resource_limits = limits
        return decoded


@dataclass(frozen=True)
class _Task:
    """What one Ray Data task decodes: some rows of some row groups, in this order."""

    groups: tuple[RowGroup, ...]
    rows: np.ndarray


def _decode_window(batch: dict[str, Any], *, decoder: Decoder, most_bytes: int) -> Iterator[Columns]:
    """The rows of the one task in the batch, in parts that are no larger than a block."""
    task: _Task = ray.cloudpickle.loads(batch["task"][0])
    part = max(1, most_bytes // decoder.row_bytes)
    try:
        encoded = list(decoder.read_all(task.groups))
        for start in range(0, len(task.rows), part):
            rows = task.rows[start : start + part]
            columns = decoder.empty(len(rows))
            for group, stored in zip(task.groups, encoded, strict=True):
                at = np.flatnonzero((rows >= group.first_row) & (rows < group.first_row + group.rows))
                decoder.fill(columns, stored, rows[at] - group.first_row, at)
            yield columns
    except TrainyardError as error:
        raise _Carried(error) from None


class _Carried(Exception):
    """An error of ours on its way through Ray Data, which adds advice of its own to messages."""


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raise errors of ours that come out of a Ray task as they were there.

    StorageError where Ray can't give what the task made, or its process died again and again.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause: Any = error
        while isinstance(cause, ray.exceptions.RayTaskError):
            cause = cause.cause
        if isinstance(cause, _Carried):
            cause = cause.args[0]
        if isinstance(cause, TrainyardError):
            raise cause from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise StorageError(
            "a process that decodes images was killed again and again, perhaps for want of memory. Take a smaller "
            "data.image_size, fewer resources.cpus_per_worker, or machines with more memory."
        ) from error
    except ray.exceptions.RayError as error:
        first, *_ = str(error).strip().splitlines() or [""]
        raise StorageError(f"Ray can't give what was decoded: {type(error).__name__}: {first.rstrip('.')}.") from error


def batches(blocks: Iterable[Columns], size: int) -> Iterator[Columns]:
    """The rows of the blocks in batches of `size`, the last of what is left. Copies: blocks are let go of."""
    held: list[Columns] = []
    count = 0
    for block in blocks:
        start, rows = 0, row_count(block)
        while start < rows:
            end = min(rows, start + size - count)
            held.append({name: column[start:end] for name, column in block.items()})
            count += end - start
            start = end
            if count == size:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Ahead:
    """Fetches the blocks of an execution in a thread, one more than is being used; from other nodes that takes time.

    `Dataset.iter_batches` does the same, but where it isn't used to its end a thread of it stays for ever, with the
    blocks that it had in hand; `iter_internal_ref_bundles` decodes on and on however slow its reader is (Ray 2.60).
    """

    def __init__(self, dataset: "RayDataset") -> None:
        self._blocks: queue.Queue[Columns | BaseException | None] = queue.Queue(maxsize=1)
        self._closed = False
        self._execution: Any = None
        self._thread = threading.Thread(target=self._fetch, args=(dataset,), name="trainyard-stream", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Columns]:
        while (block := self._blocks.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block

    def close(self) -> None:
        """Returns when the execution has ended and nothing of it is held."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            self._blocks.get_nowait()
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive() and self._execution is not None:
            self._execution.shutdown(force=True)
            self._thread.join(CLOSING_SECONDS)

    def _fetch(self, dataset: "RayDataset") -> None:
        try:
            bundles, _, execution = dataset._execute_to_iterator(capture_executor=False)
            # Says that there is a reader, who is to be waited for when the store is as full as it may be.
            execution.set_external_consumer_bytes(0)
            self._execution = execution
            try:
                for bundle in bundles:
                    for entry in bundle.blocks:
                        self._hand_over(_columns(ray.get(entry.ref)))
                    if self._closed:
                        return
            finally:
                execution.shutdown(force=False)  # by force it would kill the processes, which take seconds to start
            self._hand_over(None)
        except BaseException as error:
            self._hand_over(error)

    def _hand_over(self, item: Columns | BaseException | None) -> None:
        while not self._closed:
            with contextlib.suppress(queue.Full):
                self._blocks.put(item, timeout=1.0)
                return


def _columns(block: Any) -> Columns:
    from ray.data.block import BlockAccessor

    return dict(BlockAccessor.for_block(block).to_numpy())


def _silence() -> None:
    """Ray Data says on the terminal when it begins and ends; its own log file has it all."""
    from ray._private.log import PlainRayHandler

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, PlainRayHandler):
            handler.setLevel(logging.CRITICAL + 1)
