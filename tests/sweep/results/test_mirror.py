"""A sweep's records in another place, at any moment those of one moment. The place is a folder here."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.loading import plan_data
from trainyard.data.location import Location
from trainyard.errors import DataError, RunError
from trainyard.spec.job import Job
from trainyard.sweep.ledger import Ledger
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.results.claim import Claim
from trainyard.sweep.results.fetch import fetch
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mirror import BucketMirror, NoMirror
from trainyard.sweep.search.study import Study
from trainyard.sweep.train import Training, run_training
from trainyard.tracking.events import TrialEpoch
from trainyard.tracking.journal import Journal
from trainyard.tracking.uri import tracking_uri

from ..driver import SPACE


class Machine:
    """A driver on a machine of its own, without slots, whose sweep is in a bucket."""

    def __init__(self, tmp_path: Path, name: str, bucket: Location, job: Job) -> None:
        path = tmp_path / name / "s"
        path.mkdir(parents=True, exist_ok=True)
        (path / "space.yaml").write_text(SPACE.to_yaml())
        self.folder = SweepFolder(path=path, bucket=bucket)
        claim = Claim(bucket, path, clock=lambda: 0.0, wall=lambda: 0.0)  # which nobody loses
        self.mirror = BucketMirror(self.folder, claim)
        self._job = job

    def begin(self) -> None:
        """With what is in the bucket."""
        fetch(self.folder)
        self.journal = Journal(self.folder.journal, secure=self.mirror.secure)
        self.ledger = Ledger(
            study=Study(self.folder.study, name="s", job=self._job, space=SPACE),
            record=self.journal.append,
            past=Journal.read(self.folder.journal),
            job=self._job,
            stop_after_failures=3,
            listeners=[],
            change=self.mirror.change,
        )

    def train(self, epochs: int) -> int:
        """Propose a trial and report so many epochs."""
        assignment = self.ledger.propose()
        assert assignment is not None
        for epoch in range(assignment.reported + 1, epochs + 1):
            self.ledger.epoch(assignment.trial, epoch, {"val/accuracy": epoch / 10})
        return assignment.trial

    def state(self) -> dict[int, tuple[str, int]]:
        return {number: (record.state, record.epochs) for number, record in self.ledger.records.items()}


@pytest.fixture
def bucket(tmp_path: Path) -> Location:
    return Location.of(tmp_path / "bucket" / "s")


@pytest.fixture
def first(tmp_path: Path, bucket: Location, digits_job: Job) -> Machine:
    machine = Machine(tmp_path, "a", bucket, digits_job)
    machine.begin()
    return machine


@pytest.fixture
def second(tmp_path: Path, bucket: Location, digits_job: Job) -> Machine:
    return Machine(tmp_path, "b", bucket, digits_job)


def test_another_machine_goes_on_from_what_was_secured(first: Machine, second: Machine) -> None:
    first.ledger.end(first.train(3), "finished", "")
    first.train(2)
    first.journal.sync()
    first.train(1)  # lost with its machine

    second.begin()

    assert second.state() == {0: ("finished", 3), 1: ("running", 2)}
    assert second.ledger.remaining == 3
    assert second.train(4) == 1
    assert second.train(1) == 2, "the trial that was lost is proposed anew"


@pytest.mark.parametrize("missing", ["the study", "the journal and the study"])
def test_a_machine_that_dies_while_it_copies_leaves_the_moment_before(
    first: Machine, second: Machine, bucket: Location, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.ledger.end(first.train(3), "finished", "")
    first.train(2)
    first.mirror.secure()
    first.ledger.end(1, "pruned", "")
    first.ledger.end(first.train(2), "failed", "")
    write = Location.write_bytes

    def dies(self: Location, data: bytes) -> None:
        if self.name in ("study.db", "journal.jsonl" if "journal" in missing else ""):
            raise DataError("no route to host")
        write(self, data)

    monkeypatch.setattr(Location, "write_bytes", dies)
    with pytest.raises(DataError):
        first.mirror.secure()
    monkeypatch.setattr(Location, "write_bytes", write)

    second.begin()

    assert second.state() == {0: ("finished", 3), 1: ("running", 2)}
    assert [second.train(2), second.train(1), second.train(1)] == [1, 2, 3]
    for trial in (1, 2, 3):
        second.ledger.end(trial, "finished", "")
    assert second.ledger.remaining == 0, "the sweep can be brought to its end"


def test_the_machine_of_a_driver_that_died_has_all_of_it(
    first: Machine, tmp_path: Path, bucket: Location, digits_job: Job
) -> None:
    first.train(1)
    first.mirror.secure()
    first.train(2)
    first.journal.close()

    again = Machine(tmp_path, "a", bucket, digits_job)
    again.begin()

    assert again.state() == {0: ("running", 1), 1: ("running", 2)}


def test_unless_another_went_on_meanwhile(
    first: Machine, second: Machine, tmp_path: Path, bucket: Location, digits_job: Job
) -> None:
    first.train(1)
    first.mirror.secure()
    first.train(2)
    first.journal.close()
    second.begin()
    second.train(3)
    second.mirror.secure()

    again = Machine(tmp_path, "a", bucket, digits_job)
    again.begin()

    assert again.state() == {0: ("running", 3)}


def test_what_has_not_changed_is_not_brought_again(first: Machine, bucket: Location) -> None:
    first.train(1)
    first.mirror.secure()
    before = (bucket / "journal.jsonl").changed(), (bucket / "study.db").changed()
    first.mirror.secure()
    assert ((bucket / "journal.jsonl").changed(), (bucket / "study.db").changed()) == before


def test_the_states_of_a_trial_that_was_lost_are_not_taken_for_those_of_its_number(
    first: Machine, second: Machine, bucket: Location
) -> None:
    states = [TrialFolder(bucket, number).last for number in (0, 1)]
    first.train(1)
    first.mirror.secure()
    first.train(2)
    for state in states:
        state.write_bytes(b"state")

    second.begin()

    assert [state.exists() for state in states] == [True, False]


def test_a_sweep_of_which_nothing_was_brought_begins_anew(second: Machine) -> None:
    second.begin()
    assert second.state() == {}


def test_a_damaged_study_is_told(first: Machine, second: Machine, bucket: Location) -> None:
    first.train(1)
    first.mirror.secure()
    (bucket / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RunError, match=r"bucket/s/study\.db is damaged"):
        second.begin()


@pytest.mark.parametrize("missing", ["study.db", "journal.jsonl"])
def test_records_that_somebody_deleted_are_told_and_nothing_else_is_lost(
    first: Machine, second: Machine, bucket: Location, missing: str
) -> None:
    first.ledger.end(first.train(3), "finished", "")
    first.mirror.secure()
    TrialFolder(bucket, 0).best.write_bytes(b"state")
    (bucket / missing).delete()
    left = {found.path: (bucket / found.path).read_bytes() for found in bucket.walk()}

    with pytest.raises(RunError, match=rf"bucket/s/{missing} is missing, .*Restore it from a backup"):
        second.begin()

    assert {found.path: (bucket / found.path).read_bytes() for found in bucket.walk()} == left
    assert "trials/00000/best.pt" in left


def test_so_are_both_of_them_and_those_of_a_training(first: Machine, second: Machine, bucket: Location) -> None:
    first.ledger.end(first.train(3), "finished", "")
    first.mirror.secure()
    TrialFolder(bucket, 0).best.write_bytes(b"state")
    (bucket / "study.db").delete()
    (bucket / "journal.jsonl").delete()
    with pytest.raises(RunError, match=r"journal\.jsonl is missing"):
        second.begin()
    (second.folder.path / "space.yaml").unlink()
    with pytest.raises(RunError, match=r"journal\.jsonl is missing"):
        second.begin()
    assert TrialFolder(bucket, 0).best.exists()


def _shorter(journal: bytes) -> bytes:
    return b"".join(journal.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    "changed", [_shorter, lambda journal: b"", lambda journal: journal.replace(b'"epoch":1', b'"epoch":7')]
)
def test_a_journal_of_another_time_than_the_study_is_told(
    first: Machine, second: Machine, bucket: Location, changed: Callable[[bytes], bytes]
) -> None:
    first.train(3)
    first.mirror.secure()
    TrialFolder(bucket, 0).last.write_bytes(b"state")
    journal = (bucket / "journal.jsonl").read_bytes()
    assert changed(journal) != journal
    (bucket / "journal.jsonl").write_bytes(changed(journal))

    with pytest.raises(RunError, match=r"journal\.jsonl does not begin with the \d events that study\.db goes with"):
        second.begin()

    assert TrialFolder(bucket, 0).last.exists()


def test_a_sweep_that_was_copied_from_a_disk_is_not_cut_off(first: Machine, second: Machine, bucket: Location) -> None:
    first.train(3)
    for file in (first.folder.journal, first.folder.study):
        (bucket / file.name).write_bytes(file.read_bytes())
    with pytest.raises(RunError, match="A sweep of a disk goes on there"):
        second.begin()


def test_a_driver_that_dies_before_its_first_copy_is_followed_by_one_that_begins_anew(
    first: Machine, second: Machine, bucket: Location
) -> None:
    first.train(3)
    TrialFolder(bucket, 0).last.write_bytes(b"state")

    second.begin()

    assert second.state() == {}
    assert not TrialFolder(bucket, 0).last.exists()
    assert second.train(1) == 0


def test_the_copy_of_the_study_is_one_whole_database(first: Machine, bucket: Location) -> None:
    first.train(2)
    first.mirror.secure()
    database = sqlite3.connect(str((bucket / "study.db").local))
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert database.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    assert [path.name for path in Path(bucket.path).iterdir() if "study" in path.name] == ["study.db"]


class TakenOver(NoMirror):
    """Of a driver that finds another's claim after its second epoch."""

    def __init__(self, epochs: list[TrialEpoch]) -> None:
        super().__init__()
        self._epochs = epochs

    @property
    def lost(self) -> str:
        return "another driver has taken over" if len(self._epochs) == 2 else ""


def test_a_driver_whose_sweep_is_anothers_stops(tmp_path: Path, digits_job: Job, digits: Path) -> None:
    job = digits_job.with_values({"data.path": str(digits), "training.epochs": 5})
    dataset, epochs = Dataset.open(digits), list[TrialEpoch]()
    training = Training(
        job=job,
        dataset=dataset,
        data=plan_data(dataset.manifest, job.data, free=2**30, where="this memory"),
        on_ray=False,
        folder=SweepFolder.create(tmp_path, "s", job, None),
        tracking_uri=tracking_uri(tmp_path),
        mirror=TakenOver(epochs),
    )
    with pytest.raises(RunError, match="another driver has taken over"):
        run_training(
            training, listeners=[lambda event: epochs.append(event) if isinstance(event, TrialEpoch) else None]
        )
    assert [epoch.epoch for epoch in epochs] == [1, 2]
