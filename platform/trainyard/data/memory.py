"""The memory that this machine has free, and what Ray would take of it."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
SHARED_MEMORY = "/dev/shm"

STORE_SHARE = 0.3
"""Of the free memory: what Ray gives its object store, unless it is told otherwise."""

STORE_MOST = 200 * 10**9


def free_memory(cgroup: Path = CGROUP, meminfo: Path = MEMINFO) -> int:
    """Bytes that this process may still take: of the machine, and of its container if that is less."""
    return min(_machine_free(meminfo), _container_free(cgroup))


def local_object_store() -> int:
    """Bytes of the object store of a Ray that is started on this machine now.

    As ray._private.utils.resolve_object_store_memory works it out, which takes the import of Ray to ask.
    """
    store = min(int(STORE_SHARE * free_memory()), STORE_MOST)
    try:
        shared = os.statvfs(SHARED_MEMORY)
    except OSError:
        return store
    return min(store, int(0.95 * shared.f_bsize * shared.f_bavail))


def _machine_free(meminfo: Path) -> int:
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux: half of what there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_free(cgroup: Path) -> int:
    """By cgroup v2, else v1; a file cache counts as free."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_cache"),
    ):
        try:
            most = int((cgroup / limit).read_text())
            used = int((cgroup / usage).read_text())
            counts = dict(line.split() for line in (cgroup / limit).with_name("memory.stat").read_text().splitlines())
            return max(0, most - used + int(counts.get(cache, 0)) - int(counts.get("shmem", 0)))
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
    return 2**62
