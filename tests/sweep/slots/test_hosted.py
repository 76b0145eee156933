"""A training's process on a real Ray, where it does not come up."""

import os
import signal
from typing import Any, NoReturn

import pytest

from trainyard.spec.job import Job
from trainyard.sweep.slots.hosted import HostedWorker, _last_error
from trainyard.sweep.slots.workers import CrewLost

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_nodes")]


class NoData:
    """What a process that starts is to read later raises at once."""

    @property
    def read(self) -> NoReturn:
        raise ModuleNotFoundError("No module named 'timm'")


class Deadly:
    """The process that starts is killed."""

    @property
    def read(self) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def lost(job: Job, data: Any) -> CrewLost:
    with pytest.raises(CrewLost) as loss:
        HostedWorker(job, None, data).start({})
    return loss.value


def test_a_process_that_cannot_start_ends_the_run_with_the_reason_and_not_the_trial(digits_job: Job) -> None:
    loss = lost(digits_job, NoData())
    assert loss.final
    assert str(loss) == (
        "its process could not start: ModuleNotFoundError: No module named 'timm'. Mend that; then resume."
    )


def test_one_that_is_killed_while_it_starts_is_placed_again(digits_job: Job) -> None:
    loss = lost(digits_job, Deadly())
    assert (loss.final, loss.counts) == (False, True)
    assert str(loss).startswith("its process died: ")


def test_the_reason_is_the_error_and_not_the_advice_below_it() -> None:
    text = """The actor died because of an error raised in its creation task, ray::_Host.__init__()
  File "workers.py", line 3, in lone_worker
RuntimeError: CUDA error: no kernel image is available for execution on the device
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."""
    assert _last_error(text) == "RuntimeError: CUDA error: no kernel image is available for execution on the device"
