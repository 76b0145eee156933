"""What ends a trial, and what ends a sweep: the worker trains the digits, its data raises what is asked of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import ray

from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.data.local import read_here
from trainyard.data.rows import EpochOrder
from trainyard.data.split import MemorySplit, TrialData
from trainyard.errors import DataError, RunError, StorageError, TrialError
from trainyard.spec.job import Job
from trainyard.sweep.crews.crew import _cause
from trainyard.sweep.crews.mailbox import Answer, Command
from trainyard.sweep.crews.meeting import Meeting
from trainyard.sweep.crews.member import _Serving
from trainyard.sweep.slots.worker import Worker
from trainyard.sweep.slots.workers import SoloWorkers
from trainyard.training.member import Member

AWAY = StorageError("can't reach s3://lab/digits: no answer.")
DAMAGED = DataError("/data/digits: the image 7 of split train can't be decoded.")


class Stream(MemorySplit):
    """Raises what it is given where the second batch of an epoch would be."""

    error: Exception

    def training(self, order: EpochOrder) -> Iterator[Columns]:
        yield from [next(iter(super().training(order)))]
        raise self.error


@pytest.fixture(scope="module")
def data(digits: Path, digits_job: Job) -> TrialData:
    return read_here(Dataset.open(digits), digits_job.data)


def streaming(data: TrialData, error: Exception) -> Callable[[], TrialData]:
    train = Stream(cast(MemorySplit, data.train).chunks)
    train.error = error
    return lambda: TrialData(manifest=data.manifest, train=train, evaluate=data.evaluate)


def raising(error: Exception) -> Callable[[], TrialData]:
    def read() -> TrialData:
        raise error

    return read


def worker(job: Job, read: Callable[[], Any]) -> Worker:
    return Worker(job, read, member=Member(), directory=None)


def answer_of(job: Job, read: Callable[[], Any], *verbs: str) -> Answer:
    """Of the only worker of a crew to the last of these commands."""
    member = Member()
    crew = _Serving(None, worker(job, read), member, Meeting(None, "a", member), "a")
    payloads = {"start": ({}, None)}
    answers = [crew._carry_out(Command(number=1, verb=verb, payload=payloads.get(verb))) for verb in verbs]
    return answers[-1]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AWAY, "can't reach s3://lab/digits: no answer"),
        (DataError("/data/digits: the image 7 of split train is damaged."), "/data/digits: the image 7 of split train"),
        (ray.exceptions.ObjectLostError("f" * 56, None, ""), "ObjectLostError: "),
        (OSError(116, "Stale file handle"), "OSError: [Errno 116] Stale file handle"),
    ],
)
def test_data_that_no_trial_can_be_given_is_no_failure_of_the_first(
    digits_job: Job, error: Exception, told: str
) -> None:
    with pytest.raises(RunError) as alone:
        SoloWorkers(worker(digits_job, raising(error))).start({})
    assert type(alone.value) is RunError
    assert str(alone.value).startswith(f"no trial can train: {told}")
    assert str(alone.value).endswith(". Mend that; then resume.")
    answer = answer_of(digits_job, raising(error), "start")
    assert (answer.unread, answer.failure) == (True, str(alone.value))


def test_nor_is_a_stream_that_can_no_more_be_read(digits_job: Job, data: TrialData) -> None:
    workers = SoloWorkers(worker(digits_job, streaming(data, AWAY)))
    workers.start({})
    with pytest.raises(RunError, match=r"^no trial can train: can't reach s3://lab/digits: no answer\. Mend") as alone:
        workers.epoch()
    assert type(alone.value) is RunError
    assert answer_of(digits_job, streaming(data, AWAY), "start", "epoch").unread


def test_a_crew_of_which_one_cannot_read_the_data_fails_no_trial() -> None:
    """Its fellows lose their connection to it, or fail for what follows from that."""
    unread = Answer(rank=1, failure="no trial can train: it is away.", unread=True)
    failed = [Answer(rank=0, failure="connection reset", disconnected=True), Answer(rank=2, failure="no rows"), unread]
    cause = _cause(failed, frozenset())
    assert (type(cause), str(cause)) == (RunError, unread.failure)


def test_weights_that_are_not_on_this_machine_fail_no_trial(digits: Path, digits_job: Job, tmp_path: Path) -> None:
    net = {"name": "torchvision", "architecture": "squeezenet1_1", "weights": str(tmp_path / "gone.pth")}
    images = {"path": str(digits), "channels": 3, "image_size": [32, 32]}
    job = Job.from_dict({**digits_job.to_dict(), "model": net, "data": images})
    data = read_here(Dataset.open(digits), job.data)
    with pytest.raises(RunError, match=r"^no trial can train: the weights \S+gone\.pth: .* then resume\.$") as alone:
        SoloWorkers(worker(job, lambda: data)).start({})
    assert type(alone.value) is RunError
    assert answer_of(job, lambda: data, "start").unread


def test_a_damaged_image_of_a_stream_fails_the_trial(digits_job: Job, data: TrialData) -> None:
    workers = SoloWorkers(worker(digits_job, streaming(data, DAMAGED)))
    workers.start({})
    with pytest.raises(TrialError, match=r"^/data/digits: the image 7 of split train can't be decoded\.$"):
        workers.epoch()
    answer = answer_of(digits_job, streaming(data, DAMAGED), "start", "epoch")
    assert (answer.unread, answer.failure) == (False, str(DAMAGED))


def test_data_that_does_not_fit_what_a_trial_was_given_fails_it(digits_job: Job, data: TrialData) -> None:
    job = Job.from_dict({**digits_job.to_dict(), "training": {"epochs": 1, "batch_size": 100_000}})
    with pytest.raises(TrialError):
        SoloWorkers(worker(job, lambda: data)).start({})
    assert not answer_of(job, lambda: data, "start").unread


def test_an_own_model_that_misses_a_file_fails_its_trial(digits_job: Job, data: TrialData, tmp_path: Path) -> None:
    (tmp_path / "lost_table.py").write_text("def build(image, outputs):\n    open('/no/such/table')\n")
    job = Job.from_dict({**digits_job.to_dict(), "model": {"name": "lost_table:build"}}, directory=tmp_path)
    with pytest.raises(TrialError, match="No such file"):
        SoloWorkers(Worker(job, lambda: data, member=Member(), directory=tmp_path)).start({})


def test_data_that_is_back_is_read_for_the_next_trial(digits_job: Job, data: TrialData) -> None:
    reads = [raising(AWAY), lambda: data]
    workers = SoloWorkers(worker(digits_job, lambda: reads.pop(0)()))
    with pytest.raises(RunError):
        workers.start({})
    assert workers.start({}).history == ()
