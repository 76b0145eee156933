"""The same image in several splits: what is trained on would be evaluated on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainyard.data.importing.facts import IMAGE_DIGEST_BYTES, ShardFacts

FIRST_TO_KEEP = ("test", "val")
"""Of copies in several splits that in test is kept before that in val, that before others, and train's goes."""


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A row whose image is also in another split. shard, position: the entry. kept_*: those of the copy that stays."""

    shard: int
    position: int
    kept_shard: int
    kept_position: int


def duplicates_across_splits(shards: Sequence[ShardFacts]) -> list[Duplicate]:
    """Of the copies of an image all but those in one split. 40 bytes a row while it works."""
    if not any(shard.rows for shard in shards):
        return []
    digests = np.frombuffer(b"".join(shard.image_digests for shard in shards), ">u8").reshape(-1, 2)
    assert digests.itemsize * 2 == IMAGE_DIGEST_BYTES
    owners = np.repeat(np.arange(len(shards), dtype=np.int32), [shard.rows for shard in shards])
    positions = np.frombuffer(b"".join(shard.positions for shard in shards), "<i4")
    ranks = _ranks(shards)[owners]
    # Copies come together, and of them the one to keep first.
    order = np.lexsort((positions, owners, ranks, digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    across = ranks[order] != ranks[firsts]
    return [
        Duplicate(
            shard=int(owners[row]),
            position=int(positions[row]),
            kept_shard=int(owners[first]),
            kept_position=int(positions[first]),
        )
        for row, first in zip(order[across], firsts[across], strict=True)
    ]


def _ranks(shards: Sequence[ShardFacts]) -> np.ndarray:
    """Of each shard's split: the lowest is kept."""
    others = sorted({shard.split for shard in shards} - {*FIRST_TO_KEEP, "train"})
    ranks = {split: rank for rank, split in enumerate([*FIRST_TO_KEEP, *others, "train"])}
    return np.array([ranks[shard.split] for shard in shards], np.int32)
