"""Splits decoded in this process, which trains on them alone, or measures on one of them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from trainyard.data.chunks import ChunkReader
from trainyard.data.dataset import Dataset
from trainyard.data.disk_cache import CacheSettings
from trainyard.data.loading import SHARE_FOR_DATA
from trainyard.data.sampling import row_classes
from trainyard.data.shapes import DecodeSettings, decoded_bytes
from trainyard.data.split import MemorySplit, TrialData
from trainyard.spec.prompts import Prompts
from trainyard.spec.training import DataSettings


def read_here(dataset: Dataset, data: DataSettings, prompts: Prompts | None = None) -> TrialData:
    """A job's splits in memory, read from the disk cache or decoded on all CPUs. DataError as Decoder."""
    settings = DecodeSettings.of(data, dataset.manifest, prompts)
    train = _read(dataset, settings, data.train_split)
    alike = data.evaluate_split == data.train_split
    evaluate = train if alike else _read(dataset, settings, data.evaluate_split)
    return TrialData(manifest=dataset.manifest, train=train, evaluate=evaluate)


def read_parts(
    dataset: Dataset, data: DataSettings, prompts: Prompts | None = None, *, free: int
) -> Iterator[MemorySplit]:
    """The split to evaluate on, in the order of its rows, to go through once: in one part where that fits the memory,
    else chunk by chunk. free: bytes of the memory. DataError as Decoder.
    """
    settings, split = DecodeSettings.of(data, dataset.manifest, prompts), data.evaluate_split
    if decoded_bytes(dataset.manifest, split, settings, dataset.path) <= SHARE_FOR_DATA * free:
        yield _read(dataset, settings, split)
        return
    dataset.check_content(split)
    reader = ChunkReader(dataset, split, settings, CacheSettings.here())
    for groups in reader.chunks():
        yield MemorySplit([reader.read(groups)])


def _read(dataset: Dataset, settings: DecodeSettings, split: str) -> MemorySplit:
    dataset.check_content(split)
    reader = ChunkReader(dataset, split, settings, CacheSettings.here())
    # Threads: Pillow and the digests let go of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = list(pool.map(reader.read, reader.chunks()))
    return MemorySplit(chunks, partial(row_classes, dataset, split), partial(dataset.names, split))
