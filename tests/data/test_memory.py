"""The memory that is free: of the machine, or of the container if that is less."""

from pathlib import Path

import pytest

from trainyard.data.memory import free_memory, local_object_store

MEMINFO = "MemTotal:       32000 kB\nMemFree:         1000 kB\nMemAvailable:   20000 kB\nHugePages_Total:       0\n"


def free(folder: Path, **files: str) -> int:
    """files: of the control group, with `__` for the slash."""
    (folder / "meminfo").write_text(MEMINFO)
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return free_memory(cgroup=folder, meminfo=folder / "meminfo")


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    assert free(tmp_path) == 20_000 * 1024
    assert free(tmp_path, **{"memory.max": "max\n", "memory.current": "5\n"}) == 20_000 * 1024


def test_the_limit_of_a_container_counts_but_not_its_file_cache(tmp_path: Path) -> None:
    group = {"memory.max": "1000000\n", "memory.current": "700000\n", "memory.stat": "anon 1\nfile 300000\nshmem 100\n"}
    assert free(tmp_path, **group) == 1_000_000 - 700_000 + 300_000 - 100


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    group = {
        "memory__memory.limit_in_bytes": "1000000\n",
        "memory__memory.usage_in_bytes": "700000\n",
        "memory__memory.stat": "cache 1\ntotal_cache 50000\n",
    }
    assert free(tmp_path, **group) == 350_000


@pytest.mark.cluster
def test_the_store_of_a_ray_to_be_is_about_the_one_that_it_gets(ray_nodes: list[dict[str, float]]) -> None:
    assert local_object_store() == pytest.approx(ray_nodes[0]["object_store_memory"], rel=0.5)
