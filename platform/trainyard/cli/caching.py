"""The disk cache of decoded splits: listed and cleared."""

import datetime
from typing import Any

from trainyard.cli.printing import table
from trainyard.data.disk_cache import CacheSettings, DiskCache
from trainyard.data.loading import readable


def cache_listing() -> dict[str, Any]:
    """Where it is, how large it may get, and what is in it, the last used first."""
    settings = CacheSettings.here()
    entries = DiskCache(settings).entries()
    return {
        "folder": str(settings.resolved()),
        "limit_bytes": settings.limit,
        "bytes": sum(entry.nbytes for entry in entries),
        "entries": [
            {"data": entry.data, "split": entry.split, "bytes": entry.nbytes, "used": _moment(entry.used)}
            for entry in entries
        ],
    }


def cache_lines() -> list[str]:
    listing = cache_listing()
    taken, limit = readable(listing["bytes"]), readable(listing["limit_bytes"])
    lines = [f"{listing['folder']}: {taken} of at most {limit}"]
    rows = [[entry["data"], entry["split"], readable(entry["bytes"]), entry["used"]] for entry in listing["entries"]]
    return [*lines, *table(["data set", "split", "size", "last used"], rows, left=[0, 1])] if rows else lines


def clear_cache() -> str:
    settings = CacheSettings.here()
    return f"{settings.resolved()}: {readable(DiskCache(settings).clear())} deleted."


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="minutes")
