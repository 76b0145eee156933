"""Which splits of a job are decoded into memory, and which are streamed. A pure function of sizes."""

from dataclasses import dataclass
from typing import Any, Literal

from trainyard.data.manifest import Manifest
from trainyard.data.shapes import DecodeSettings, decoded_bytes
from trainyard.errors import InfeasibleError
from trainyard.spec.training import DataSettings

Loading = Literal["cached", "streamed"]

SHARE_FOR_DATA = 0.6
"""Of the free memory, for the splits that are cached unasked: the rest is for streams, weights and other sweeps."""

SHARE_WHEN_FORCED = 0.9
"""The same where a job insists on it."""

SPILLED_FROM = 0.8
"""Of the object store: beyond it Ray writes objects to the disk. What is left up to there is for streams."""

STREAM_MOST = 256 << 20
STREAM_LEAST = 16 << 20
"""Bytes that Ray Data is told a stream may have under way. With what the reader holds it comes to up to twice that."""


@dataclass(frozen=True, kw_only=True)
class SplitLoading:
    """How a split gets to those who train on it. nbytes: decoded."""

    split: str
    rows: int
    nbytes: int
    loading: Loading


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """The splits of a job, the one to train on first. room: bytes of the memory that cached splits may take.

    stream_bytes: of what a stream may have under way. auto_size: (height, width) that was chosen, where a job leaves
    that open.
    """

    splits: tuple[SplitLoading, ...]
    room: int
    stream_bytes: int
    auto_size: tuple[int, int] | None = None

    def of(self, split: str) -> SplitLoading:
        return next(plan for plan in self.splits if plan.split == split)

    @property
    def streams(self) -> bool:
        return any(plan.loading == "streamed" for plan in self.splits)

    def as_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        size = {} if self.auto_size is None else {"image_size": list(self.auto_size)}
        return {
            **size,
            "room_bytes": self.room,
            "splits": {
                plan.split: {"rows": plan.rows, "bytes": plan.nbytes, "loading": plan.loading} for plan in self.splits
            },
        }


def plan_data(
    manifest: Manifest, data: DataSettings, *, free: int, where: str = "the memory", streams: int = 1
) -> DataPlan:
    """Decide for each split of a job whether it is cached or streamed.

    `auto` caches what fits SHARE_FOR_DATA of the free memory, the split to evaluate on first, as it is mostly the
    smaller one. free: bytes of the memory that a copy has to fit, on the machine that has the least. where: what that
    memory is, for messages. streams: how many may be read at a time on one machine.

    InfeasibleError where the job insists on `cached` and it doesn't fit.
    """
    settings = DecodeSettings.of(data, manifest)
    sizes = {
        split: decoded_bytes(manifest, split, settings, data.path) for split in (data.evaluate_split, data.train_split)
    }
    if data.loading == "cached":
        _require_room(sizes, free, data, where)
    room = int(SHARE_FOR_DATA * free)
    left = room
    chosen: dict[str, Loading] = {}
    for split, nbytes in sizes.items():
        fits = nbytes <= left
        chosen[split] = "cached" if data.loading == "cached" or (data.loading == "auto" and fits) else "streamed"
        left -= nbytes if chosen[split] == "cached" else 0
    return DataPlan(
        splits=tuple(
            SplitLoading(split=split, rows=manifest.splits[split].rows, nbytes=sizes[split], loading=chosen[split])
            for split in dict.fromkeys((data.train_split, data.evaluate_split))
        ),
        room=room,
        stream_bytes=_stream_bytes(left + int(SPILLED_FROM * free) - room, streams),
        auto_size=settings.image_size if data.image_size == "auto" else None,
    )


def _stream_bytes(left: int, streams: int) -> int:
    return min(STREAM_MOST, max(STREAM_LEAST, left // 2 // max(1, streams)))


def _require_room(sizes: dict[str, int], free: int, data: DataSettings, where: str) -> None:
    room, needed = int(SHARE_WHEN_FORCED * free), sum(sizes.values())
    if needed <= room:
        return
    names = " and ".join(f"{split} ({readable(nbytes)})" for split, nbytes in sizes.items())
    smaller = "a smaller data.image_size" if data.image_size else "a data.image_size"
    raise InfeasibleError(
        f"data.loading=cached needs {readable(needed)} for {names}, decoded, and {where} has room for "
        f"{readable(room)}. Set data.loading=auto, {smaller}, or take machines with more memory."
    )


def readable(nbytes: float) -> str:
    """`1.4 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" or nbytes >= 10 else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} GiB"
