"""What a process that trains sets up once: seen in processes of their own, as it can't be taken back."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")

COUNT = """
import json, resource, torch
from trainyard.training.process import prepare_process

def faults(work):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def block(mebibytes):
    return torch.empty(mebibytes * 2**18).fill_(1.0)
"""

LARGE_BLOCKS = """
# Larger than all that glibc ever keeps by itself.
prepare_process(3)
print(json.dumps({"threads": torch.get_num_threads(), "faults": [faults(lambda: block(64)) for _ in range(11)]}))
"""

IN_A_THREAD = """
# Steps hold the answers of all layers, evaluations the last one. Together it is about what a heap takes.
from concurrent.futures import ThreadPoolExecutor

def epoch():
    for _ in range(5):
        held = [block(size) for size in (8, 8, 2, 4, 4, 1)]
        while held:
            held.pop()
    for _ in range(3):
        last = None
        for size in (16, 16, 4, 8, 8, 2):
            last = block(size)

prepare_process(1)
with ThreadPoolExecutor(1) as thread:
    print(json.dumps({"faults": thread.submit(lambda: [faults(epoch) for _ in range(5)]).result()}))
"""


def seen(script: str, **environment: str) -> dict[str, Any]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", COUNT + script]
    done = subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_memory_that_is_freed_is_there_for_the_next_step() -> None:
    process = seen(LARGE_BLOCKS)
    first, *_, last = process["faults"]
    assert process["threads"] == 3
    assert last < first / 10


def test_a_thread_too_keeps_what_it_frees() -> None:
    first, *_, last = seen(IN_A_THREAD)["faults"]
    assert last < first / 10


def test_who_has_set_the_allocator_has_it_their_way() -> None:
    first, *later = seen(LARGE_BLOCKS, MALLOC_ARENA_MAX="2")["faults"]
    assert min(later) > first / 2
