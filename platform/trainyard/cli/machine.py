"""What this machine has to train on, found out without starting Ray."""

import os
import subprocess
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def cpus_here(limit: Path = CGROUP_LIMIT) -> int:
    """CPUs that this process may use: its affinity, and at most what its container is given."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text().split()
        given = int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max": no limit
        return allowed
    return max(1, min(allowed, int(given)))


def gpus_here() -> int:
    """GPUs that nvidia-smi lists, as far as CUDA_VISIBLE_DEVICES lets this process see them."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    return min(count, len([item for item in visible.split(",") if item.strip() not in ("", "-1")]))
