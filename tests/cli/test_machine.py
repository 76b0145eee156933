"""What this machine has, without Ray."""

import os
from pathlib import Path

import pytest

from trainyard.cli.machine import cpus_here, gpus_here

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "cpus"), [("max 100000", AFFINITY), ("150000 100000", 1), ("50000 100000", 1), ("nonsense", AFFINITY)]
)
def test_cpus_are_no_more_than_the_container_has(limit: str, cpus: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(limit)

    assert cpus_here(tmp_path / "cpu.max") == cpus


def test_cpus_without_a_container(tmp_path: Path) -> None:
    assert cpus_here(tmp_path / "missing") == AFFINITY


@pytest.mark.parametrize(("visible", "gpus"), [(None, 2), ("0", 1), ("", 0), ("-1", 0), ("0,1,2", 2)])
def test_gpus_are_those_listed_and_visible(
    visible: str | None, gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: a)'\necho 'GPU 1: NVIDIA H100 (UUID: b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert gpus_here() == gpus


def test_no_gpus_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert gpus_here() == 0
