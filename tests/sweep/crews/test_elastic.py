"""An elastic crew on several raylets: it shrinks, grows and moves, and trains what one worker would."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.own_cluster, pytest.mark.timeout(400)]

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Seen:
    folder = tmp_path_factory.mktemp("elastic")
    command = [sys.executable, str(Path(__file__).parent / "elastic.py"), str(folder), str(digits)]
    with tempfile.TemporaryDirectory(prefix="ty-") as short:  # there are sockets in it, whose paths must be short
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        done = subprocess.run(
            command,
            env={**environment, "RAY_TMPDIR": short},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=380,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
    return dict(json.loads((folder / "seen.json").read_text()))


def test_a_crew_is_as_large_as_there_is_room_for(seen: Seen) -> None:
    sizes = seen["sizes"]
    changed = [size for size, before in zip(sizes, [0, *sizes], strict=False) if size != before]
    assert changed == [2, 1, 2, 1]


def test_it_trains_what_one_worker_would_whatever_its_size(seen: Seen) -> None:
    assert seen["losses"] == pytest.approx(seen["alone"], rel=1e-3)


def test_it_outlives_its_controller_and_leaves_no_place_taken(seen: Seen) -> None:
    assert "Ray Train's controller died" in seen["changes"]
    assert seen["left"] == []


def test_slots_that_take_turns_on_a_crew_have_it_meet_anew(seen: Seen) -> None:
    assert seen["diverged"] == ["diverged", "diverged"]


def test_it_moves_off_a_machine_that_is_taken_back_after_the_epoch_under_way(seen: Seen) -> None:
    assert seen["changes"]["a machine was taken back"]["epochs"] <= 2


def test_what_dies_with_a_machine_or_after_its_notice_is_nobodys_fault(seen: Seen) -> None:
    assert seen["excused"] == {"dead": True, "living": False, "told to go": True}
