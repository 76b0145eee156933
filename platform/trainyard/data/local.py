"""Splits decoded in this process, which trains on them alone."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from trainyard.data.chunks import ChunkReader
from trainyard.data.dataset import Dataset
from trainyard.data.disk_cache import CacheSettings
from trainyard.data.sampling import row_classes
from trainyard.data.shapes import DecodeSettings
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


def _read(dataset: Dataset, settings: DecodeSettings, split: str) -> MemorySplit:
    dataset.check_content(split)
    reader = ChunkReader(dataset, split, settings, CacheSettings.here())
    # Threads: Pillow and the digests let go of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = list(pool.map(reader.read, reader.chunks()))
    return MemorySplit(chunks, partial(row_classes, dataset, split), partial(dataset.names, split))
