"""What a process that trains sets up once: seen in processes of their own, as it can't be taken back."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import json, resource, torch
from trainyard.training.process import prepare_process

prepare_process(3)

def faults():
    # Larger than all that glibc ever keeps by itself.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(2**24).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(json.dumps({"threads": torch.get_num_threads(), "first": faults(), "later": [faults() for _ in range(10)]}))
"""


def seen(**environment: str) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**inherited, **environment}, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_is_freed_is_there_for_the_next_step() -> None:
    process = seen()
    assert process["threads"] == 3
    assert process["later"][-1] < process["first"] / 10


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_who_has_set_the_allocator_has_it_their_way() -> None:
    process = seen(MALLOC_ARENA_MAX="2")
    assert min(process["later"]) > process["first"] / 2
