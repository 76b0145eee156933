"""The chaos run itself, small: several raylets, a sweep by its real command, and kills of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.own_cluster, pytest.mark.timeout(300)]

CHAOS = Path(__file__).parents[2] / "benchmarks" / "chaos.py"


@pytest.mark.parametrize(
    ("variant", "kinds", "kills"),
    [("solo", "slot,node,driver", 3), ("crew", "worker,slot,node", 3), ("shrinking", "node", 1)],
    ids=["solo", "crew", "shrinking"],
)
def test_a_sweep_outlives_what_is_killed_under_it(variant: str, kinds: str, kills: int, tmp_path: Path) -> None:
    options = ["--only", variant, "--kinds", kinds, "--trials", "6", "--kills", str(kills)]
    options += ["--keep", str(tmp_path / "kept")]
    ran = subprocess.run(
        [sys.executable, str(CHAOS), *options],
        env={**os.environ, "TMPDIR": "/tmp"},  # the paths of sockets are short
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(" epochs: killed a ") == kills
